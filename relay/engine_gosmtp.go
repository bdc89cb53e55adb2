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
// that a session ends at the first read error. Limits on connections do not apply. It may EnableDSN only if Notify is set.
func (s *Server) Backend() smtp.Backend {
	s.init()
	return smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return s.guard(c, s.goSession(context.Background(), c)), nil
	})
}

func (s *Server) goSession(ctx context.Context, c *smtp.Conn) smtp.Session {
	return &session{srv: s, ctx: ctx, conn: goConn{c}}
}

func (goSMTP) serve(ctx context.Context, s *Server, ln net.Listener) error {
	return s.serveGoSMTP(ctx, ln, s.goSession)
}

// serveGoSMTP drives sessions by go-smtp's server behind the guard.
func (s *Server) serveGoSMTP(ctx context.Context, ln net.Listener, newSession func(context.Context, *smtp.Conn) smtp.Session) error {
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return s.guard(c, newSession(hard, c)), nil
	}))
	srv.Domain = s.Hostname
	srv.TLSConfig = s.tlsConfig()
	srv.MaxMessageBytes = s.maxMessage() + 1 // it refuses a message of just that size; guarded sees to the limit
	srv.MaxRecipients = limit(s.Limits.Recipients, 1000)
	srv.MaxLineLength = limit(s.Limits.LineBytes, 64<<10)
	srv.ReadTimeout = s.Timeouts.command()
	srv.WriteTimeout = s.Timeouts.write()
	srv.EnableSMTPUTF8, srv.EnableDSN, srv.EnableREQUIRETLS = true, s.announcesDSN(), true
	srv.ErrorLog = slog.NewLogLogger(s.log().Handler(), slog.LevelWarn)

	guards := &guards{}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(&guardListener{&gateListener{ln, s, hard}, guards}) }()
	select {
	case err := <-done:
		srv.Close() // nobody would end the sessions that are left
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

func (g *guards) close() { g.each(func(c *guardConn) { c.raw.Close() }) }

type guardListener struct {
	*gateListener
	all *guards
}

func (l *guardListener) Accept() (net.Conn, error) {
	c, err := l.gateListener.Accept()
	if err != nil {
		return nil, err
	}
	gated := c.(*gatedConn)
	g := &guardConn{gatedConn: gated, raw: gated.Conn, all: l.all}
	l.all.add(g)
	return g, nil
}

// guardConn stands between go-smtp and a client. After the first read error nothing more is read,
// since go-smtp would go on and take the rest of a message for commands; while a message comes in
// each read has a deadline and the whole has one.
type guardConn struct {
	*gatedConn
	raw net.Conn // what was accepted; the gate may put another in its place at any time
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
		g.raw.SetReadDeadline(earlier(time.Now().Add(g.srv.Timeouts.block()), g.message))
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
	return g.raw.SetReadDeadline(t)
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
		g.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// goConn answers for a connection of go-smtp.
type goConn struct{ c *smtp.Conn }

func (g goConn) addr() netip.Addr { return addrOf(g.c.Conn()) }

func (g goConn) peer() verdict.Client {
	c := verdict.Client{Addr: addrPortOf(g.c.Conn()), Helo: g.c.Hostname()}
	if cs, ok := g.c.TLSConnectionState(); ok {
		c.TLS = tlsText(&cs)
	}
	return c
}

func (g goConn) origin() verdict.Client { return g.peer() }

func (g goConn) protocol(utf8 bool) string {
	p := "ESMTP"
	if utf8 {
		p = "UTF8SMTP"
	}
	if _, ok := g.c.TLSConnectionState(); ok {
		p += "S"
	}
	return p
}

// guarded is a session behind go-smtp, with what go-smtp does not see to.
type guarded struct {
	smtp.Session
	srv  *Server
	conn *guardConn // nil with a server that is not ours
	mail bool       // MAIL was accepted, and there was no reset since
	utf8 bool
	tls  bool
}

func (s *Server) guard(c *smtp.Conn, inner smtp.Session) *guarded {
	nc := c.Conn()
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	g := &guarded{Session: inner, srv: s, tls: nc != c.Conn()}
	g.conn, _ = nc.(*guardConn)
	return g
}

func (g *guarded) Reset() {
	g.mail, g.utf8 = false, false
	g.Session.Reset()
}

func (g *guarded) Mail(from string, opts *smtp.MailOptions) error {
	if g.mail {
		return wire(errNested)
	}
	utf8 := opts != nil && opts.UTF8
	addr, err := requote(from, utf8)
	if err != nil {
		return wire(err)
	}
	if opts != nil && opts.RequireTLS && !g.tls { // RFC 8689 section 4.2.1: it is offered under TLS only
		return wire(&Reply{Code: 530, Enhanced: EnhancedCode{5, 7, 10}, Text: "REQUIRETLS without TLS"})
	}
	if opts != nil && opts.Size > g.srv.maxMessage() {
		return smtp.ErrDataTooLarge
	}
	if err := wire(g.Session.Mail(addr, opts)); err != nil {
		return err
	}
	g.mail, g.utf8 = true, utf8
	return nil
}

func (g *guarded) Rcpt(to string, opts *smtp.RcptOptions) error {
	addr, err := requote(to, g.utf8)
	if err != nil {
		return wire(err)
	}
	return wire(g.Session.Rcpt(addr, opts))
}

// errNoBDAT keeps half a message from being taken for a whole one: when a client goes away in the middle
// of a chunk, go-smtp says that the chunk has ended. Below TLS the guard cannot see that it has not.
var errNoBDAT = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 5}, Text: "BDAT cannot be taken safely here, use DATA",
	Err: errors.New("go-smtp takes a chunk that was cut off for a whole one: use the strict engine")}

func (g *guarded) Data(r io.Reader) error {
	if _, bdat := r.(*io.PipeReader); bdat && (g.conn == nil || g.tls) {
		g.srv.log().Error("message not received", "error", errNoBDAT.Err)
		return wire(errNoBDAT)
	}
	gr := &guardReader{
		r:    smtpwire.NewChecker(r, limit(g.srv.Limits.LineBytes, 64<<10), g.srv.Normalize),
		left: g.srv.maxMessage(), conn: g.conn,
	}
	if g.conn != nil {
		g.conn.begin(g.srv.Timeouts.message())
		defer g.conn.finish()
	}
	err := g.Session.Data(gr)
	if gr.err != nil && gr.err != io.EOF {
		return wire(gr.err) // whatever the session makes of it
	}
	return wire(err)
}

// guardReader makes replies of what is wrong with a message.
type guardReader struct {
	r    io.Reader
	left int64 // octets that may still come
	conn *guardConn
	err  error // sticky
}

func (g *guardReader) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	var fault *smtpwire.ContentError
	switch g.left -= int64(n); {
	case errors.As(err, &fault):
		err = &Reply{Code: 554, Enhanced: EnhancedCode{5, 6, 0}, Text: "message refused: " + fault.Error(), Err: err}
	case errors.Is(err, smtp.ErrTooLongLine):
		err = &Reply{Code: 554, Enhanced: EnhancedCode{5, 6, 0}, Text: "message refused: line too long", Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &Reply{Code: 421, Enhanced: EnhancedCode{4, 4, 2}, Text: "the message did not come in time", Err: err}
	case err == io.EOF && g.conn != nil && g.conn.end != nil:
		err = io.ErrUnexpectedEOF // the connection has ended, not the message
	case g.left < 0:
		err = smtp.ErrDataTooLarge
	}
	if g.err = err; err != nil && err != io.EOF {
		return 0, err
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
