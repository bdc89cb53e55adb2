package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// pingTime is how long a connection that has been idle may take to show that it is alive.
const pingTime = 5 * time.Second

// beginHasty begins a transaction that waits only for a short time for what somebody else has locked: all that this node
// writes waits with it. Other nodes take milliseconds, and whoever takes longer, like a person at a prompt, must not stop
// the mail. Where a time is set, in the URL or for the role, it is that.
const beginHasty = `BEGIN; SELECT set_config('lock_timeout', '2s', true) WHERE current_setting('lock_timeout') = '0'`

// openPostgres opens a PostgreSQL. What the URL says of the pool, of time and of keepalives stays as it is, in the
// words of libpq and pgxpool; and where it names several servers and not which of them is wanted
// (target_session_attrs), it is the one that can be written.
func openPostgres(ctx context.Context, rawURL string) (*db, error) {
	cfg, err := pgxpool.ParseConfig(rawURL)
	u, uerr := url.Parse(rawURL)
	if err != nil || uerr != nil {
		return nil, errors.New("store: the PostgreSQL URL cannot be read; it looks like postgres://USER@HOST:5432/NAME?sslmode=verify-full") // err may quote a password
	}
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "postreeve"
	}
	c.DialFunc = dialFunc(&c.Config)
	if !u.Query().Has("pool_max_conns") { // jobs have them from the same pool
		cfg.MaxConns = max(8, 2*int32(runtime.NumCPU()))
	}
	if c.ValidateConnect == nil && !u.Query().Has("target_session_attrs") && os.Getenv("PGTARGETSESSIONATTRS") == "" && several(&c.Config) {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	var again renewal
	again.watch(cfg)
	// A 250 is worth a commit on disk, and a transaction of a node that has lost its power must not keep its rows.
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off' UNION ALL
 SELECT set_config('idle_in_transaction_session_timeout', '60s', false) WHERE current_setting('idle_in_transaction_session_timeout') = '0'`)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	again.of(pool)
	both := stdlib.OpenDBFromPool(pool)
	both.SetMaxIdleConns(0) // the pool keeps them
	d := &db{write: both, read: both, pool: pool}
	if err := pool.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: PostgreSQL at %s does not answer: %w", c.Host, err), d.close())
	}
	return d, nil
}

// several says whether there is more than one server to choose from.
func several(c *pgconn.Config) bool {
	return slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != c.Host || f.Port != c.Port })
}

// renewal has all connections of a pool made anew when one of them shows that what is behind them has changed: the
// others would show it one by one, each to somebody who waits for it.
type renewal struct {
	mu   sync.Mutex
	pool *pgxpool.Pool
	last time.Time
}

const readOnlyTransaction = "25006" // PostgreSQL, appendix A

func (r *renewal) watch(cfg *pgxpool.Config) {
	c := cfg.ConnConfig
	was := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		if e.Code == readOnlyTransaction { // it was the primary, or will be: it may be another one now
			r.now()
		}
		return was == nil || was(conn, e)
	}
	patience := cfg.PingTimeout
	if patience <= 0 {
		patience = pingTime
	}
	cfg.ShouldPing = func(ctx context.Context, p pgxpool.ShouldPingParams) bool {
		if p.IdleDuration <= time.Second {
			return false
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it closes the connection when it ends
		defer cancel()
		if p.Conn.Ping(ctx) == nil {
			return false
		}
		if ctx.Err() != nil {
			r.now()
		}
		return true // the pool finds it closed, and lets go of it
	}
}

func (r *renewal) of(pool *pgxpool.Pool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pool = pool
}

// now has what is idle closed, and what is in use when it comes back: once a second at most, since a database may be
// read-only for good reasons.
func (r *renewal) now() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool == nil || time.Since(r.last) < time.Second {
		return
	}
	r.last = time.Now()
	r.pool.Reset()
}
