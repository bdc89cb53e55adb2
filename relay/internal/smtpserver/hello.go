package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// greet admits the peer and says so.
func (c *Conn) greet() {
	if c.server.Admit != nil {
		if err := c.call("connection", func() error { return c.server.Admit(c) }); err != nil {
			c.fail("connection", err)
			c.closing, c.lingers = true, true
			return
		}
	}
	early, err := c.earlyTalker()
	switch {
	case err != nil:
		c.lost(err)
	case early:
		c.reply(554, enhanced{5, 5, 1}, "You spoke before the greeting, closing connection")
		c.log(slog.LevelInfo, "SMTP client spoke before the greeting")
		c.closing, c.lingers = true, true
	default:
		c.welcome()
	}
}

func (c *Conn) welcome() {
	c.reply(220, enhanced{}, c.server.hostname()+" ESMTP")
	c.flush()
}

// earlyTalker says whether the peer sends before it was greeted.
func (c *Conn) earlyTalker() (bool, error) {
	switch d := c.server.GreetDelay; {
	case d < 0:
		return false, nil
	case d == 0:
		return waiting(c.wire.raw), nil
	default:
		c.wire.expect(d, time.Now().Add(d), true)
		var b [1]byte
		n, err := c.wire.Read(b[:])
		if n > 0 || err == nil {
			return n > 0, nil
		}
		if timedOut(err) {
			return false, nil
		}
		return false, err
	}
}

func (c *Conn) doHelo(arg string) { c.hello(arg, false) }
func (c *Conn) doEhlo(arg string) { c.hello(arg, true) }

// hello begins a session (RFC 5321 section 4.1.1.1). Said again, it is also a RSET.
func (c *Conn) hello(arg string, esmtp bool) {
	if !validHelo(arg) {
		c.protest(501, enhanced{5, 5, 4}, "HELO and EHLO need a host name or an address literal")
		return
	}
	c.helo, c.esmtp = arg, esmtp
	if c.session != nil {
		c.reset()
	} else if err := c.call("EHLO", c.newSession); err != nil {
		c.helo = ""
		if c.fail("EHLO", err) {
			c.closing = true // a session was promised that is not there
		}
		return
	}
	c.state = ready
	text := c.server.hostname()
	if esmtp {
		text += "\n" + strings.Join(c.extensions(), "\n")
	}
	c.done(250, enhanced{}, text)
}

func (c *Conn) newSession() error {
	if c.server.NewSession == nil {
		return errors.New("the server has no NewSession")
	}
	s, err := c.server.NewSession(c)
	if err != nil {
		return err
	}
	if s == nil {
		return errors.New("NewSession returned no session")
	}
	c.session = s
	return nil
}

// validHelo takes what hosts call themselves in the wild, as long as it cannot be mistaken for anything
// else in a header or a log.
func validHelo(s string) bool {
	if s == "" || len(s) > maxDomain {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case isAlnum(c), c == '-', c == '.', c == '_':
		case (c == '[' || c == ']' || c == ':') && s[0] == '[' && s[len(s)-1] == ']':
		case c == ':': // an IPv6 address that lacks its brackets
		default:
			return false
		}
	}
	return true
}

// extensions are what EHLO offers.
func (c *Conn) extensions() []string {
	s := c.server
	out := []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"}
	if s.TLSConfig != nil && c.tls == nil {
		out = append(out, "STARTTLS")
	}
	if s.SMTPUTF8 {
		out = append(out, "SMTPUTF8")
	}
	if s.DSN {
		out = append(out, "DSN")
	}
	if s.RequireTLS && c.tls != nil {
		out = append(out, "REQUIRETLS")
	}
	if c.trusted {
		attrs := strings.Join(xattrs[:], " ")
		out = append(out, "XCLIENT "+attrs, "XFORWARD "+attrs)
	}
	return append(out, fmt.Sprintf("SIZE %d", s.maxMessageBytes()), fmt.Sprintf("LIMITS RCPTMAX=%d", s.maxRecipients()))
}

// startTLS goes over to TLS (RFC 3207). Nothing that was said or sent in the clear counts afterwards.
func (c *Conn) startTLS(arg string) {
	switch {
	case c.tls != nil:
		c.protest(503, enhanced{5, 5, 1}, "TLS is on already")
		return
	case c.server.TLSConfig == nil:
		c.protest(502, enhanced{5, 5, 1}, "TLS is not available")
		return
	case !c.bare(arg):
		return
	case c.in.Buffered() > 0:
		// Whoever sent this, it was not protected: it must not be taken for something said under TLS.
		c.reply(554, enhanced{5, 5, 1}, "Nothing may follow STARTTLS before the handshake, closing connection")
		c.log(slog.LevelWarn, "commands in the clear behind STARTTLS", "octets", c.in.Buffered())
		c.closing, c.lingers = true, true
		return
	}
	c.reply(220, enhanced{2, 0, 0}, "Ready to start TLS")
	c.flush()
	if c.werr != nil {
		c.closing = true
		return
	}
	if err := c.handshake(); err != nil {
		c.werr = err // not one more octet in the clear
		c.closing = true
		c.log(slog.LevelInfo, "TLS handshake failed", "error", err)
		return
	}
	c.restart()
}

func (c *Conn) handshake() error {
	ctx, cancel := context.WithTimeout(c.ctx, c.server.tlsTimeout())
	defer cancel()
	raw := c.wire.raw
	if err := raw.SetDeadline(time.Now().Add(c.server.tlsTimeout())); err != nil {
		return err
	}
	t := tls.Server(raw, c.server.TLSConfig)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	st := t.ConnectionState()
	c.tls = &st
	c.wire.replace(t)
	return nil
}

// restart goes back to the beginning: the next thing has to be EHLO, and it gets a new session.
func (c *Conn) restart() {
	c.logout()
	c.helo, c.esmtp = "", false
	c.utf8, c.rcpts, c.refused = false, 0, 0
	c.forward = Forwarded{}
	c.state = fresh
}
