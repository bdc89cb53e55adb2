package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
)

// TLSMode says how connections to a next hop are protected.
type TLSMode uint8

const (
	// TLSOpportunistic, the zero value, uses TLS where it is offered, without asking for whom the
	// certificate is (RFC 7435): it protects from listeners, not from impostors. If TLS fails the message
	// goes over a new connection without it, and so do those of the next ten minutes.
	TLSOpportunistic TLSMode = iota
	// TLSNone never uses TLS.
	TLSNone
	// TLSEncrypt uses TLS with any certificate, or defers with 451 4.7.5. It never falls back.
	TLSEncrypt
	// TLSVerify uses TLS with a certificate that has a valid chain and the name of the host, or defers
	// with 451 4.7.5. It never falls back. With MX the name comes from DNS, which anybody on the way may
	// forge; set TLSConfig.ServerName, or use Hosts, to be sure of whom one talks to.
	TLSVerify
)

var tlsModes = [...]string{"opportunistic", "none", "encrypt", "verify"}

// String returns the name of the mode: opportunistic, none, encrypt or verify.
func (m TLSMode) String() string {
	if int(m) < len(tlsModes) {
		return tlsModes[m]
	}
	return fmt.Sprintf("TLSMode(%d)", uint8(m))
}

// MarshalText returns the name of the mode.
func (m TLSMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name of a mode. Empty is TLSOpportunistic.
func (m *TLSMode) UnmarshalText(text []byte) error {
	for i, name := range tlsModes {
		if string(text) == name || len(text) == 0 {
			*m = TLSMode(i)
			return nil
		}
	}
	return fmt.Errorf("relay: TLS mode %q: want opportunistic, none, encrypt or verify", text)
}

// plainLife is how long it is remembered that TLS with an address is broken.
const plainLife = 10 * time.Minute

// tlsConfig returns what all connections share. The session cache spares most of a handshake.
func tlsConfig(cfg *tls.Config, mode TLSMode) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.InsecureSkipVerify = mode != TLSVerify
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	return cfg
}

var errNoTLS = errors.New("STARTTLS is not offered")

// connect makes a connection to one address that is ready for MAIL. An error is a *smtpclient.Error or
// errSelf.
func (s *SMTP) connect(ctx context.Context, at candidate, timeout time.Duration) (*hopConn, error) {
	c, err := s.greeted(ctx, at, timeout)
	if err != nil || s.TLS == TLSNone {
		return c, err
	}
	opportunistic := s.TLS == TLSOpportunistic
	switch {
	case opportunistic && s.health.plain(at.addr):
		return c, nil
	case !c.Extensions().StartTLS && opportunistic:
		return c, nil
	case !c.Extensions().StartTLS:
		err = &smtpclient.Error{Stage: smtpclient.StartTLS, Err: errNoTLS}
	default:
		cfg := s.tls.Clone()
		cfg.ServerName = cmp.Or(cfg.ServerName, at.name())
		err = c.StartTLS(ctx, cfg)
	}
	if err == nil {
		if s.self.greets(c.Conn) {
			err = errSelf
		} else {
			return c, nil
		}
	}
	s.pool.drop(c)
	if !opportunistic || ctx.Err() != nil || errors.Is(err, errSelf) {
		return nil, tlsFailure(err)
	}
	s.log().Warn("TLS with next hop failed, going on without", "hop", at.String(), "error", err, "for", plainLife)
	s.health.setPlain(at.addr, plainLife)
	return s.greeted(ctx, at, timeout)
}

// tlsFailure makes an error of the handshake or of what follows it one of STARTTLS: it is a matter of
// protection and must be told apart from a hop that is down.
func tlsFailure(err error) error {
	if e, ok := errors.AsType[*smtpclient.Error](err); ok {
		return &smtpclient.Error{Stage: smtpclient.StartTLS, Reply: e.Reply, Err: e.Err}
	}
	return err
}

// greeted makes a connection and says hello on it.
func (s *SMTP) greeted(ctx context.Context, at candidate, timeout time.Duration) (*hopConn, error) {
	nc, err := s.dial(ctx, at, timeout)
	if err != nil {
		return nil, &smtpclient.Error{Stage: smtpclient.Connect, Err: err}
	}
	life := connLife
	if at.rank > 0 {
		life = backupLife
	}
	c := &hopConn{at: at, expires: time.Now().Add(life), Conn: smtpclient.New(nc, smtpclient.Options{
		Hostname: s.Hostname, Timeouts: s.Timeouts.client(), NoChunking: s.NoChunking, Trusted: at.trusted,
	})}
	if !s.pool.add(c) {
		c.Close()
		return nil, &smtpclient.Error{Stage: smtpclient.Connect, Err: ErrClosed}
	}
	if err := c.Hello(ctx); err != nil {
		s.pool.drop(c)
		return nil, err
	}
	if s.self.greets(c.Conn) {
		s.pool.drop(c)
		return nil, errSelf
	}
	return c, nil
}
