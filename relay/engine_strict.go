package relay

import (
	"context"
	"net"
	"net/netip"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpserver"
	"github.com/postreeve/postreeve/verdict"
)

type strict struct{}

func (strict) serve(ctx context.Context, s *Server, ln net.Listener) error {
	srv := &smtpserver.Server{
		Hostname: s.Hostname,
		NewSession: func(c *smtpserver.Conn) (smtp.Session, error) {
			return &session{srv: s, ctx: c.Context(), conn: strictConn{c}}, nil
		},
		Admit: func(c *smtpserver.Conn) error {
			if g, ok := c.NetConn().(*gatedConn); ok && g.refused != nil {
				return wire(g.refused)
			}
			return nil
		},
		TLSConfig: s.tlsConfig(),
		Logger:    s.Logger,

		DSN: s.announcesDSN(), SMTPUTF8: true, RequireTLS: true,
		MaxMessageBytes: s.maxMessage(),
		MaxRecipients:   limit(s.Limits.Recipients, 1000),
		MaxLineLength:   limit(s.Limits.LineBytes, 64<<10),
		MaxErrors:       limit(s.Limits.Errors, 100),
		Normalize:       s.Normalize,

		GreetDelay:     s.Timeouts.Greeting,
		CommandTimeout: s.Timeouts.command(),
		DataTimeout:    s.Timeouts.block(),
		MessageTimeout: s.Timeouts.message(),
		WriteTimeout:   s.Timeouts.write(),
		DrainTimeout:   s.Timeouts.drain(),
	}
	if len(s.XClient) > 0 {
		srv.XClient = func(a netip.Addr) bool { return contains(s.XClient, a) }
	}
	return srv.Serve(ctx, &gateListener{ln, s, ctx})
}

// strictConn answers for a connection of the strict engine.
type strictConn struct{ c *smtpserver.Conn }

func (s strictConn) addr() netip.Addr { return s.peer().Addr.Addr() }

func (s strictConn) peer() verdict.Client {
	c := verdict.Client{Addr: s.c.Peer(), Helo: s.c.Helo()}
	if t := s.c.TLS(); t != nil {
		c.TLS = tlsText(t)
	}
	return c
}

// origin is who a listed peer said it speaks for, by XFORWARD or XCLIENT. What it left out it does not
// know: the peer's own is not put in its place.
func (s strictConn) origin() verdict.Client {
	f := s.c.Forwarded()
	if !f.Addr.IsValid() {
		return s.peer()
	}
	return verdict.Client{Addr: f.Addr, Helo: f.Helo, Name: f.Name}
}

func (s strictConn) protocol(bool) string { return s.c.Protocol() }
