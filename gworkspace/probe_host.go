package gworkspace

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"strconv"
	"time"
)

// CheckSMTPHost connects to a mail host as Google does for a mail route with all its TLS options: STARTTLS, a
// certificate of a public authority, for this name.
func CheckSMTPHost(ctx context.Context, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("gworkspace: host: %w", err)
	}
	defer conn.Close()
	return checkSMTP(ctx, conn, host, nil)
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
