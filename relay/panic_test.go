package relay_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

type panicking struct{}

func (panicking) Judge(context.Context, *verdict.Message) *verdict.Report { panic("judge") }

func (panicking) Deliver(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
	panic("hop")
}

func (panicking) Hold(context.Context, *relay.Domain, *verdict.Message, *verdict.Report) (string, error) {
	panic("hold")
}

func (panicking) Enqueue(context.Context, *relay.Domain, *verdict.Message, verdict.Envelope, verdict.Source, string) error {
	panic("queue")
}

func (panicking) Lookup(context.Context, string) (*relay.Domain, error) { panic("directory") }

type panickingEnvelope struct{ *verdict.Engine }

func (panickingEnvelope) JudgeEnvelope(context.Context, *verdict.Message) *verdict.Report {
	panic("envelope")
}

// A panic in what a service has plugged in defers the message at hand. The session goes on, and the
// outcome is told like any other.
func TestPanicInPlugIn(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		away := relaytest.Fault{At: relaytest.AtConnect, Drop: true}
		for _, tt := range []struct {
			name       string
			change     func(s *relay.Server, d *relay.Domain)
			faults     []relaytest.Fault
			rcpt, want string
		}{
			{"judge", func(s *relay.Server, _ *relay.Domain) { s.Judge = panicking{} }, nil, "250", "451 4.7.1"},
			{"next hop", func(_ *relay.Server, d *relay.Domain) { d.Next = panicking{} }, nil, "250", "451 4."},
			{"holder", func(s *relay.Server, d *relay.Domain) { s.Hold, d.Policy.Spam = panicking{}, relay.Hold }, nil, "250", "451 4.3.0"},
			{"queue", func(s *relay.Server, d *relay.Domain) { s.Queue, d.Mode = panicking{}, relay.Continuity }, []relaytest.Fault{away}, "250", "451 4."},
			{"directory", func(s *relay.Server, _ *relay.Domain) { s.Directory = panicking{} }, nil, "451 4.3.0", ""},
			{"envelope judge", func(s *relay.Server, _ *relay.Domain) { s.Judge = panickingEnvelope{subject} }, nil, "451 4.7.1", ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{Faults: tt.faults}
				var done atomic.Int32
				c := greeted(t, serve(t, sink, func(s *relay.Server) {
					s.Engine = e
					s.Trace.Done = func(relay.Outcome) { done.Add(1) }
					tt.change(s, s.Directory.(relay.Static)["ex.net"])
				}))
				for range 2 { // the session lives on
					c.say("MAIL FROM:<a@ex.org>", "250")
					c.say("RCPT TO:<b@ex.net>", tt.rcpt)
					if tt.want == "" {
						c.say("RSET", "250")
						continue
					}
					c.say("DATA", "354")
					c.send(message("spam") + ".\r\n")
					c.expect(tt.want)
				}
				if tt.want != "" && done.Load() != 2 {
					t.Errorf("%d outcomes were told, want 2", done.Load())
				}
				if n := len(sink.Messages()); n != 0 {
					t.Errorf("%d messages delivered", n)
				}
			})
		}
	})
}

// A hook that panics costs nobody a message: what was delivered is answered with 250, or the sender would
// send it again, and the process lives.
func TestPanicInTrace(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{}
		addr := serve(t, sink, func(s *relay.Server) {
			s.Engine = e
			s.Limits.PerAddress = 1
			s.Trace = relay.Trace{
				Connected:    func(netip.Addr) { panic("connected") },
				Disconnected: func(netip.Addr) { panic("disconnected") },
				Refused:      func(netip.Addr, *relay.Reply) { panic("refused") },
				Done:         func(relay.Outcome) { panic("done") },
			}
			s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Nothing}, Trace: verdict.Trace{
				ScanDone: func(*verdict.Message, verdict.Run, []verdict.Finding) { panic("scan done") },
				Judged:   func(*verdict.Message, *verdict.Report) { panic("judged") },
			}}
		})
		c := greeted(t, addr)
		dial(t, addr).expect("421 4.7.0")
		c.mail(message("hello"), "250", "b@ex.net")
		c.say("QUIT", "221")
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("%d messages delivered, want 1", n)
		}
	})
}
