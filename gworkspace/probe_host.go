package gworkspace

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"time"
)

// ErrUnreached is the cause when a host could not be connected to at all, which may be due to where one looks
// from: many networks let nobody out on port 25.
var ErrUnreached = errors.New("it cannot be reached from here")

// A HostCheck connects to a mail host as Google does for a mail route with all its TLS options: STARTTLS, a
// certificate of a public authority, for this name. The zero value is ready.
type HostCheck struct {
	// Dial connects; nil: as the system does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is where roots come from; nil: the system's.
	TLS *tls.Config
}

// CheckSMTPHost is Check of the zero HostCheck.
func CheckSMTPHost(ctx context.Context, host string, port int) error {
	return HostCheck{}.Check(ctx, host, port)
}

// Check connects and looks at the certificate, within 30 seconds. The error wraps [ErrUnreached] where there
// was no connection.
func (c HostCheck) Check(ctx context.Context, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("gworkspace: host %s: %w: %w", host, ErrUnreached, err)
	}
	defer conn.Close()
	return checkSMTP(ctx, conn, host, c.TLS)
}

// checkSMTP talks over a connection. A nil cfg trusts what the system trusts.
func checkSMTP(ctx context.Context, conn net.Conn, host string, cfg *tls.Config) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(30 * time.Second)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return fmt.Errorf("gworkspace: host %s: %w", host, err)
	}
	defer c.Close()
	if ok, _ := c.Extension("STARTTLS"); !ok {
		return fmt.Errorf("gworkspace: host %s: it offers no STARTTLS", host)
	}
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	cfg.ServerName = host
	if err := c.StartTLS(cfg); err != nil {
		return fmt.Errorf("gworkspace: host %s: %w", host, err)
	}
	return nil
}

// probeHost is P1. Nothing without something to connect with, or where mail takes another way.
func (t *Tenant) probeHost(ctx context.Context) []Probe {
	if t.Profile.Mode != Reroute || t.CheckHost == nil {
		return nil
	}
	start := time.Now()
	p := Probe{ID: "P1", Title: titleP1, State: Right}
	var seen []string
	for _, r := range t.Profile.regions() {
		at := fmt.Sprintf("%s port %d", r.SmartHost, r.port())
		err := t.CheckHost(ctx, r.SmartHost, r.port())
		switch {
		case err == nil:
			seen = append(seen, at+": valid certificate")
			continue
		case !errors.Is(err, ErrUnreached):
			p.State, p.Do = Wrong, "give it a certificate of a public authority with this name, or name the host that it has one for: Google sends to no other"
		case p.State == Right:
			p.State, p.Do = Unknown, "look from a machine that may connect to this port: openssl s_client -starttls smtp -verify_return_error -verify_hostname "+
				r.SmartHost+" -connect "+net.JoinHostPort(r.SmartHost, strconv.Itoa(r.port()))
		}
		seen = append(seen, at+": "+oneLine(strings.TrimPrefix(err.Error(), "gworkspace: "), 300))
	}
	p.Detail, p.Took = strings.Join(seen, "; "), time.Since(start)
	return []Probe{p}
}
