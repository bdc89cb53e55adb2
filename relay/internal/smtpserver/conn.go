package smtpserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// Conn is one connection, as a session may ask about it. Its methods are for the goroutine that calls the
// session; what they return may be kept.
type Conn struct {
	server *Server
	ctx    context.Context
	cancel context.CancelFunc
	remote net.Addr
	wire   wire
	in     *smtpwire.Reader
	out    *[]byte // replies that were not sent yet; nil if there are none
	werr   error   // writing has failed: nobody hears us any more

	session smtp.Session
	state   state
	helo    string
	esmtp   bool
	tls     *tls.ConnectionState
	trusted bool // may use XCLIENT and XFORWARD
	client  Forwarded
	forward Forwarded

	// Of the transaction.
	utf8    bool
	rcpts   int // accepted
	refused int // recipients the session did not want
	body    body
	next    *command // read in the middle of BDAT and still to be obeyed

	errors   int  // protocol errors so far
	idling   int  // commands since the last message
	closing  bool // nothing more is read
	lingers  bool // the peer may be sending still
	panicked bool
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *Conn {
	c := &Conn{server: s}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.wire.raw, c.wire.nc, c.wire.writeTimeout = nc, nc, s.writeTimeout()
	return c
}

// Context ends with the connection, or when the server has to end and the time to drain is over.
func (c *Conn) Context() context.Context { return c.ctx }

// RemoteAddr is the address of who connected, as the listener's connections report it.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is the address that was connected to.
func (c *Conn) LocalAddr() net.Addr { return c.wire.raw.LocalAddr() }

// Peer is RemoteAddr as an IP address with port; IPv4 addresses are never mapped into IPv6. It is the
// zero value if RemoteAddr is something else.
func (c *Conn) Peer() netip.AddrPort { return addrPort(c.remote) }

func addrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Helo is the argument of the last HELO or EHLO.
func (c *Conn) Helo() string { return c.helo }

// TLS returns the state of TLS, or nil if the connection is in the clear. It must not be changed.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Protocol is how the message arrives, for the with clause of Received: SMTP, ESMTP, ESMTPS (RFC 3848),
// UTF8SMTP or UTF8SMTPS (RFC 6531). It is final as soon as Mail is called.
func (c *Conn) Protocol() string {
	p := "SMTP"
	switch {
	case c.utf8:
		p = "UTF8SMTP"
	case c.esmtp:
		p = "ESMTP"
	}
	if c.tls != nil && p != "SMTP" {
		p += "S"
	}
	return p
}

// Forwarded is what a listed peer said about the client it speaks for: by XCLIENT for the rest of the
// connection, and by XFORWARD for the next transaction, which comes first. The zero value means nothing.
func (c *Conn) Forwarded() Forwarded {
	if c.forward != (Forwarded{}) {
		return c.forward
	}
	return c.client
}

// log writes one record about this connection.
func (c *Conn) log(level slog.Level, msg string, args ...any) {
	l := c.server.log()
	if !l.Enabled(c.ctx, level) {
		return
	}
	remote := ""
	if c.remote != nil {
		remote = c.remote.String()
	}
	l.With("peer", remote).Log(c.ctx, level, msg, args...)
}
