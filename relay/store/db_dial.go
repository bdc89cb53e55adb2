package store

import (
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// lostAfter is how long a server may not answer to TCP before a connection is taken for lost. Nobody says so when
// a machine stops, or a firewall forgets a connection.
const lostAfter = 10 * time.Second

// dialFunc makes connections that notice when they are lost. What the URL says in the words of libpq counts:
// keepalives, keepalives_idle, keepalives_interval, keepalives_count and tcp_user_timeout; they are no settings of
// the server and are taken out.
func dialFunc(c *pgconn.Config) pgconn.DialFunc {
	said := func(name string, unit, otherwise time.Duration) time.Duration {
		v, ok := c.RuntimeParams[name]
		delete(c.RuntimeParams, name)
		if n, err := strconv.Atoi(v); ok && err == nil && n > 0 {
			return time.Duration(n) * unit
		}
		return otherwise
	}
	off := c.RuntimeParams["keepalives"] == "0"
	delete(c.RuntimeParams, "keepalives")
	keep := net.KeepAliveConfig{
		Enable: !off, Idle: said("keepalives_idle", time.Second, lostAfter), Interval: said("keepalives_interval", time.Second, 3*time.Second),
		Count: int(said("keepalives_count", 1, 3)),
	}
	d := &net.Dialer{Timeout: c.ConnectTimeout, KeepAliveConfig: keep, Control: userTimeout(said("tcp_user_timeout", time.Millisecond, lostAfter))}
	if off {
		d.KeepAlive = -1
	}
	return d.DialContext
}
