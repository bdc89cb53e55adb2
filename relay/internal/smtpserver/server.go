package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Server speaks SMTP with those who connect. It is configured by its fields, which must not change once
// Serve was called; Serve may be called for several listeners at once. The zero value of every field is
// safe: a server without NewSession takes no mail.
type Server struct {
	// Hostname is the name of this host in the greeting. Empty means "localhost".
	Hostname string
	// NewSession is called after HELO or EHLO, and again after the EHLO that follows STARTTLS or XCLIENT.
	// Logout is called exactly once for each session it returns. All methods of a session are called by one
	// goroutine, one at a time. An error is answered as those of a session are. Nil refuses everybody.
	//
	// Where a method of a session returns a *smtp.SMTPError, its code, enhanced code and text are the reply;
	// a code of class 2 from Data means success with that text; 421 also closes the connection. Any other
	// error is answered with 451 4.3.0 and a text that says nothing, and logged. When the message itself was
	// at fault, or its end never came, that decides the reply whatever Data returns.
	NewSession func(*Conn) (smtp.Session, error)
	// Admit is asked before the greeting. Its error takes the place of the greeting, and the connection is
	// closed. Nil admits everybody.
	Admit func(*Conn) error
	// TLSConfig is for STARTTLS. Nil means that STARTTLS is not offered.
	TLSConfig *tls.Config
	// XClient says which peers may use XCLIENT and XFORWARD. Nil means nobody.
	XClient func(netip.Addr) bool
	// Logger gets what an operator should know of: failed handshakes, refused content, panics, causes of
	// temporary errors. If nil, nothing is logged.
	Logger *slog.Logger

	DSN        bool // offer DSN (RFC 3461)
	SMTPUTF8   bool // offer SMTPUTF8 (RFC 6531)
	RequireTLS bool // offer REQUIRETLS (RFC 8689), under TLS only

	MaxMessageBytes int64 // of one message, before doubled dots are removed; 0 means 64 MiB
	MaxRecipients   int   // of one transaction; 0 means 1000
	MaxCommandLine  int   // octets with CRLF; 0 means 4096, which is also the most
	MaxLineLength   int   // of a line of a message, octets with CRLF; 0 means 64 KiB
	MaxErrors       int   // commands refused for their syntax or order until the session is ended; 0 means 100
	MaxCommands     int   // commands between two messages that bring neither nearer; 0 means 1000
	// Normalize turns bare CR and bare LF in messages into CRLF instead of refusing them.
	Normalize bool

	// GreetDelay is how long the server waits before its greeting. Who speaks in this time is refused
	// (RFC 5321 section 3.1). 0 means no wait: only what has already arrived is looked for, where the
	// system allows that. Negative means not even that.
	GreetDelay     time.Duration
	CommandTimeout time.Duration // for a whole command line, from the reply before; 0 means 5 min
	DataTimeout    time.Duration // for each read of message data; 0 means 3 min
	MessageTimeout time.Duration // for the whole of a message's data; 0 means 30 min
	WriteTimeout   time.Duration // for each write; 0 means 1 min
	TLSTimeout     time.Duration // for the handshake; 0 means 1 min
	// DrainTimeout is how long transactions may go on when Serve has to end. 0 means 30 s.
	DrainTimeout time.Duration
}

func orDefault[T ~int | ~int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

func (s *Server) hostname() string {
	if s.Hostname == "" {
		return "localhost"
	}
	return s.Hostname
}

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return discard
	}
	return s.Logger
}

var discard = slog.New(slog.DiscardHandler)

func (s *Server) maxMessageBytes() int64        { return orDefault(s.MaxMessageBytes, 64<<20) }
func (s *Server) maxRecipients() int            { return orDefault(s.MaxRecipients, 1000) }
func (s *Server) maxErrors() int                { return orDefault(s.MaxErrors, 100) }
func (s *Server) maxCommands() int              { return orDefault(s.MaxCommands, 1000) }
func (s *Server) commandTimeout() time.Duration { return orDefault(s.CommandTimeout, 5*time.Minute) }
func (s *Server) dataTimeout() time.Duration    { return orDefault(s.DataTimeout, 3*time.Minute) }
func (s *Server) messageTimeout() time.Duration { return orDefault(s.MessageTimeout, 30*time.Minute) }
func (s *Server) writeTimeout() time.Duration   { return orDefault(s.WriteTimeout, time.Minute) }
func (s *Server) tlsTimeout() time.Duration     { return orDefault(s.TLSTimeout, time.Minute) }
func (s *Server) drainTimeout() time.Duration   { return orDefault(s.DrainTimeout, 30*time.Second) }

// Serve takes connections from ln until ctx ends, and closes ln. Then who is idle is told 421 and
// disconnected at once; who is in a transaction may finish it within DrainTimeout and is then cut off,
// and the contexts of the connections end. Serve returns when the last connection is done: nil after ctx
// has ended, else the error of ln. Values of ctx are visible in Conn.Context.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	g := &group{conns: make(map[*Conn]struct{})}
	err := s.accept(ctx, ln, func(nc net.Conn) {
		c := newConn(hard, s, nc)
		g.add(c)
		g.wg.Go(func() {
			defer g.remove(c)
			c.serve()
		})
	})
	ln.Close()
	g.drain(s.drainTimeout(), cut)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("smtpserver: accepting connections: %w", err)
}

// accept hands on connections until the listener fails for good. A failure that may pass, such as too
// many open files, is waited out.
func (s *Server) accept(ctx context.Context, ln net.Listener, start func(net.Conn)) error {
	const first, most = 5 * time.Millisecond, time.Second
	wait := first
	for {
		nc, err := ln.Accept()
		if err == nil {
			wait = first
			start(nc)
			continue
		}
		var t interface{ Temporary() bool }
		if ctx.Err() != nil || !errors.As(err, &t) || !t.Temporary() {
			return err
		}
		s.log().Warn("accepting a connection failed", "error", err, "retry", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
		wait = min(2*wait, most)
	}
}

// group is the connections of one listener.
type group struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[*Conn]struct{}
}

func (g *group) add(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
}

func (g *group) remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// drain ends all connections. cut ends their contexts.
func (g *group) drain(timeout time.Duration, cut func()) {
	g.each(func(c *Conn) { c.wire.drain() })
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	cut()
	g.each(func(c *Conn) { c.wire.cut() })
	<-done
}

func (g *group) each(f func(*Conn)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		f(c)
	}
}
