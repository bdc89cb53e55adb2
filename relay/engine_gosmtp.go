package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
	"github.com/postreeve/postreeve/verdict"
)

type goSMTP struct{}

// Backend hands out the sessions of the server for an smtp.Server of go-smtp that the caller runs
// himself. The caller then has to see to what the guard of the GoSMTP engine sees to: deadlines, and
// that a session ends at the first read error. Limits on connections do not apply.
func (s *Server) Backend() smtp.Backend {
	s.init()
	return smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return newGuarded(context.Background(), s, c), nil
	})
}

func (goSMTP) serve(ctx context.Context, s *Server, ln net.Listener) error {
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return newGuarded(hard, s, c), nil
	}))
	srv.Domain = s.Hostname
	srv.TLSConfig = s.tlsConfig()
	srv.MaxMessageBytes = s.maxMessage() + 1 // it refuses a message of just that size; guarded sees to the limit
	srv.MaxRecipients = limit(s.Limits.Recipients, 1000)
	srv.MaxLineLength = limit(s.Limits.LineBytes, 64<<10)
	srv.ReadTimeout = s.Timeouts.command()
	srv.WriteTimeout = s.Timeouts.write()
	srv.EnableSMTPUTF8, srv.EnableDSN, srv.EnableREQUIRETLS = true, true, true
	srv.ErrorLog = slog.NewLogLogger(s.log().Handler(), slog.LevelWarn)

	guards := &guards{}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(&guardListener{&gateListener{ln, s, hard}, guards}) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(hard, s.Timeouts.drain())
	defer cancel()
	guards.nudge()
	if err := srv.Shutdown(drain); errors.Is(err, context.DeadlineExceeded) {
		stop()
		guards.close()
	}
	<-done
	return nil
}

func (s *Server) tlsConfig() *tls.Config {
	if s.TLSConfig == nil {
		return nil
	}
	c := s.TLSConfig.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

// guards are the connections that are open.
type guards struct {
	mu    sync.Mutex
	conns map[*guardConn]struct{}
}

func (g *guards) add(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns == nil {
		g.conns = map[*guardConn]struct{}{}
	}
	g.conns[c] = struct{}{}
}

func (g *guards) remove(c *guardConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *guards) each(f func(*guardConn)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		f(c)
	}
}

// nudge ends the wait of idle clients, which go-smtp's Shutdown would wait for.
func (g *guards) nudge() { g.each((*guardConn).nudge) }

func (g *guards) close() { g.each(func(c *guardConn) { c.gatedConn.Conn.Close() }) }

type guardListener struct {
	*gateListener
	all *guards
}

func (l *guardListener) Accept() (net.Conn, error) {
	c, err := l.gateListener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guardConn{gatedConn: c.(*gatedConn), all: l.all}
	l.all.add(g)
	return g, nil
}

// guardConn stands between go-smtp and a client. After the first read error nothing more is read,
// since go-smtp would go on and take the rest of a message for commands; while a message comes in
// each read has a deadline and the whole has one.
type guardConn struct {
	*gatedConn
	all *guards
	end error // of reading

	mu      sync.Mutex
	message time.Time // when the message must be here; zero between messages
	drained bool      // the server is going down: no more waiting for commands
}

func (g *guardConn) Read(p []byte) (int, error) {
	if g.end != nil {
		return 0, g.end
	}
	g.mu.Lock()
	if !g.message.IsZero() {
		g.Conn.SetReadDeadline(earlier(time.Now().Add(g.srv.Timeouts.block()), g.message))
	}
	g.mu.Unlock()
	n, err := g.gatedConn.Read(p)
	g.end = err
	return n, err
}

// Write puts the gate's refusal in the place of the greeting, which is the first that go-smtp writes.
func (g *guardConn) Write(p []byte) (int, error) {
	g.open()
	if g.refused != nil {
		if g.end == nil {
			g.end = g.err
			io.WriteString(g.Conn, g.refused.line())
		}
		return 0, g.err
	}
	return g.gatedConn.Write(p)
}

func (g *guardConn) Close() error {
	g.all.remove(g)
	return g.gatedConn.Close()
}

// SetReadDeadline is what go-smtp calls before each command.
func (g *guardConn) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drained {
		t = time.Unix(1, 0)
	}
	return g.Conn.SetReadDeadline(t)
}

func (g *guardConn) begin(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.message = time.Now().Add(d)
}

func (g *guardConn) finish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.message = time.Time{}
}

func (g *guardConn) nudge() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drained = true
	if g.message.IsZero() {
		g.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// guarded is a session behind go-smtp, with what go-smtp does not see to.
type guarded struct {
	session
	c     *smtp.Conn
	guard *guardConn // nil with a server that is not ours
}

func newGuarded(ctx context.Context, s *Server, c *smtp.Conn) *guarded {
	nc := c.Conn()
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	g := &guarded{c: c}
	g.guard, _ = nc.(*guardConn)
	g.session = session{srv: s, ctx: ctx, conn: g}
	return g
}

func (g *guarded) addr() netip.Addr { return addrOf(g.c.Conn()) }

func (g *guarded) peer() verdict.Client {
	t := ""
	if cs, ok := g.c.TLSConnectionState(); ok {
		t = tlsText(&cs)
	}
	return verdict.Client{Addr: addrPortOf(g.c.Conn()), Helo: g.c.Hostname(), TLS: t}
}

func (g *guarded) origin() verdict.Client { return g.peer() }

func (g *guarded) protocol(utf8 bool) string {
	p := "ESMTP"
	if utf8 {
		p = "UTF8SMTP"
	}
	if _, ok := g.c.TLSConnectionState(); ok {
		p += "S"
	}
	return p
}

func (g *guarded) Mail(from string, opts *smtp.MailOptions) error {
	addr, err := requote(from, opts != nil && opts.UTF8)
	if err != nil {
		return wire(err)
	}
	if opts != nil && opts.Size > g.srv.maxMessage() {
		return smtp.ErrDataTooLarge
	}
	return g.session.Mail(addr, opts)
}

func (g *guarded) Rcpt(to string, opts *smtp.RcptOptions) error {
	addr, err := requote(to, g.tx != nil && g.tx.envelope.UTF8)
	if err != nil {
		return wire(err)
	}
	return g.session.Rcpt(addr, opts)
}

func (g *guarded) Data(r io.Reader) error {
	if g.guard != nil {
		g.guard.begin(g.srv.Timeouts.message())
		defer g.guard.finish()
	}
	return g.session.Data(&guardReader{
		r:    smtpwire.NewChecker(r, limit(g.srv.Limits.LineBytes, 64<<10), g.srv.Normalize),
		left: g.srv.maxMessage(),
	})
}

// guardReader makes replies of what is wrong with a message.
type guardReader struct {
	r    io.Reader
	left int64 // octets that may still come
}

func (g *guardReader) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	var fault *smtpwire.ContentError
	switch {
	case errors.As(err, &fault):
		return 0, &Reply{Code: 554, Enhanced: EnhancedCode{5, 6, 0}, Text: "message refused: " + fault.Error(), Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, &Reply{Code: 421, Enhanced: EnhancedCode{4, 4, 2}, Text: "the message did not come in time", Err: err}
	}
	if g.left -= int64(n); g.left < 0 {
		return 0, smtp.ErrDataTooLarge
	}
	return n, err
}

// requote undoes what go-smtp did to a quoted local part, and refuses what it lets pass: control
// characters, and UTF-8 that was not asked for (RFC 6531 section 3.5).
func requote(addr string, utf8 bool) (string, error) {
	bad := &Reply{Code: 553, Enhanced: EnhancedCode{5, 1, 3}, Text: "bad address"}
	for _, c := range []byte(addr) {
		if c < ' ' || c == 0x7f {
			return "", bad
		}
		if c >= 0x80 && !utf8 {
			return "", &Reply{Code: 553, Enhanced: EnhancedCode{5, 6, 7}, Text: "an address with UTF-8 needs SMTPUTF8"}
		}
	}
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 || at > 64 || len(addr) > 320 || strings.ContainsAny(addr[at+1:], " \t<>\"") {
		if addr == "" || strings.EqualFold(addr, "postmaster") {
			return addr, nil
		}
		return "", bad
	}
	if !strings.ContainsAny(addr[:at], " \t\"\\@<>()[],;:") && !strings.Contains(addr[:at], "..") && addr[0] != '.' && addr[at-1] != '.' {
		return addr, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(addr[:at]) + `"` + addr[at:], nil
}
