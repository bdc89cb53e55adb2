package peertest

import (
	"context"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	clam "github.com/postreeve/postreeve/verdict/clamd"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// guardedGateway is a gateway that asks the ClamAV at engine about mail for ex.net, behind all guards, and nobody about mail
// for other.example.
type guardedGateway struct {
	t     *testing.T
	addr  string
	opens atomic.Int64 // messages that found the breaker open
	sink  *relaytest.Sink
}

const breakerPause = 200 * time.Millisecond

func newGuardedGateway(t *testing.T, engine net.Addr) *guardedGateway {
	t.Helper()
	g := &guardedGateway{t: t, sink: &relaytest.Sink{}}
	next := &relay.SMTP{Hosts: []string{g.sink.Start(t)}, Hostname: "mx.gw.example"}
	t.Cleanup(func() { next.Close() })
	av := verdict.Breaker(verdict.Deadline(&clam.Scanner{Address: engine.Network() + ":" + engine.String()}, time.Second), 3, breakerPause)
	av = verdict.MaxSize(av, 20<<20, verdict.Unknown)
	srv := &relay.Server{
		Hostname:  "mx.gw.example",
		Directory: relay.Static{"ex.net": {Name: "ex.net", Next: next}, "other.example": {Name: "other.example", Next: next}},
		Judge: &verdict.Engine{
			Scanners: []verdict.Scanner{verdict.Nothing, verdict.When(av, func(m *verdict.Message) bool {
				return verdict.Domain(m.Envelope.To[0].Address) == "ex.net"
			})},
			Trace: verdict.Trace{ScanDone: func(_ *verdict.Message, run verdict.Run, _ []verdict.Finding) {
				if errors.Is(run.Err, verdict.ErrBreakerOpen) {
					g.opens.Add(1)
				}
			}},
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	g.addr = ln.Addr().String()
	return g
}

// send sends a message and returns the code of the reply and its text.
func (g *guardedGateway) send(to string, raw []byte) (code int, text string) {
	g.t.Helper()
	err := smtp.SendMail(g.addr, nil, "ann@example.org", []string{to}, raw)
	var refused *textproto.Error
	switch {
	case err == nil:
		return 250, ""
	case errors.As(err, &refused):
		return refused.Code, refused.Msg
	}
	g.t.Fatal(err)
	return 0, ""
}

// secrets are words that say to a sender what stands behind the gateway.
var secrets = []string{"clam", "scanner", "engine", "virus", "signature", "breaker", "socket", "unix", "tcp", "127.0.0.1:", "connection", "reset", "timeout", "deadline", "/tmp", "eof"}

// quiet fails the test if a reply says too much.
func (g *guardedGateway) quiet(code, want int, text, what string) {
	g.t.Helper()
	if code != want {
		g.t.Errorf("%s: %d %s, want %d", what, code, text, want)
	}
	said, _, _ := strings.Cut(strings.ToLower(text), " (") // the id of the message is any letters
	for _, s := range secrets {
		if strings.Contains(said, s) {
			g.t.Errorf("%s: the sender is told %q", what, text)
		}
	}
}

// broken sends mail while the engine is broken: that for it is deferred without a word about why, other mail goes
// through, and the breaker opens.
func (g *guardedGateway) broken(what string) {
	g.t.Helper()
	clean := verdicttest.Mail{}.Bytes()
	g.opens.Store(0)
	for range 5 {
		code, text := g.send("b@ex.net", clean)
		g.quiet(code, 451, text, what)
	}
	if g.opens.Load() == 0 {
		g.t.Errorf("%s: the breaker did not open", what)
	}
	start := time.Now()
	if code, text := g.send("b@other.example", clean); code != 250 {
		g.t.Errorf("%s: other mail: %d %s", what, code, text)
	}
	if took := time.Since(start); took > 30*time.Second {
		g.t.Errorf("%s: other mail took %v", what, took)
	}
}

// recovers waits until mail goes through again, and EICAR does not.
func (g *guardedGateway) recovers(after string) {
	g.t.Helper()
	clean := verdicttest.Mail{}.Bytes()
	end := time.Now().Add(time.Minute)
	for ; ; time.Sleep(breakerPause / 4) {
		code, text := g.send("b@ex.net", clean)
		if code == 250 {
			break
		}
		g.quiet(code, 451, text, after)
		if time.Now().After(end) {
			g.t.Fatalf("after %s: nothing goes through: %d %s", after, code, text)
		}
	}
	m := verdicttest.Malicious(g.t)
	raw := make([]byte, m.Size())
	r, _ := m.Open()
	r.Read(raw)
	r.Close()
	code, text := g.send("b@ex.net", raw)
	for code == 451 && time.Now().Before(end) { // the engine has had no second on a busy machine
		time.Sleep(breakerPause / 4)
		code, text = g.send("b@ex.net", raw)
	}
	g.quiet(code, 550, text, "EICAR after "+after)
}

// A real ClamAV that breaks in every way in front of a real gateway.
func TestGatewayBrokenEngine(t *testing.T) {
	t.Parallel()
	needEngine(t, "clamd")
	dir := clamav(t, "")
	socket, stop := clamd(t, dir)
	server := verdicttest.NewFaultServer(t, socket)
	g := newGuardedGateway(t, server.Addr())
	g.recovers("the start")
	for _, f := range []verdicttest.Fault{
		{Kind: verdicttest.Refuse}, {Kind: verdicttest.Close}, {Kind: verdicttest.Hang}, {Kind: verdicttest.Late, Delay: time.Hour},
		{Kind: verdicttest.Drip, Delay: time.Second}, {Kind: verdicttest.Cut, After: 5}, {Kind: verdicttest.Reset, After: 5},
		{Kind: verdicttest.Noise, After: 5}, {Kind: verdicttest.Flood, After: 5},
	} {
		server.Set(f)
		g.broken(f.String())
		server.Set(verdicttest.Fault{})
		g.recovers(f.String())
	}
	stop()
	g.broken("death")
	clamd(t, dir)
	g.recovers("death")
}
