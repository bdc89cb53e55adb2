package relay_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// cached is a judge that gives the same report for every message, as one with a cache does.
type cached struct{ *verdict.Report }

func (c cached) Judge(context.Context, *verdict.Message) *verdict.Report { return c.Report }

// What the policy of one domain makes of a report stays with that message: the judge's own is not changed.
func TestReportBelongsToTheJudge(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	clean := &verdict.Report{Class: verdict.Clean, Findings: make([]verdict.Finding, 0, 8)}
	c := greeted(t, serve(t, sink, func(s *relay.Server) {
		s.Judge = cached{clean}
		d := s.Directory.(relay.Static)
		d["strict.net"] = &relay.Domain{Name: "strict.net", Next: d["ex.net"].Next, Policy: relay.Policy{Block: []relay.Sender{{Address: "ex.org"}}}}
	}))
	c.mail(message("hello"), "550 5.7.1", "b@strict.net")
	c.mail(message("hello"), "250", "b@ex.net")
	if clean.Class != verdict.Clean || len(clean.Findings) != 0 {
		t.Errorf("the judge's report is now %v with %v", clean.Class, clean.Findings)
	}
}

// atMail is a scanner that looks at the sender only once, at MAIL.
type atMail struct {
	verdict.Scanner
	err error
}

func (s atMail) ScanEnvelope(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if len(m.Envelope.To) == 0 {
		return []verdict.Finding{{Code: "trap.sender", Class: verdict.Malicious}}, s.err
	}
	return nil, nil
}

// An objection made at MAIL is answered at RCPT, also if it is not made again there.
func TestObjectionAtMail(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			name       string
			policy     relay.Policy
			rcpt, data string
		}{
			{"refused", relay.Policy{Malicious: relay.Reject}, "550 5.7.1", ""},
			{"held, without a holder", relay.Policy{}, "250", "550 5.7.1"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
					s.Engine = e
					s.Directory.(relay.Static)["ex.net"].Policy = tt.policy
					s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{atMail{Scanner: verdict.Nothing}}}
				}))
				c.say("MAIL FROM:<a@ex.org>", "250")
				c.say("RCPT TO:<b@ex.net>", tt.rcpt)
				if tt.data != "" {
					c.say("RCPT TO:<c@ex.net>", tt.rcpt)
					c.say("DATA", "354")
					c.send(message("hello") + ".\r\n")
					c.expect(tt.data)
				}
			})
		}
	})
}

// deaf keeps messages as slowly as its context allows.
type deaf struct{}

func (deaf) Hold(ctx context.Context, _ *relay.Domain, _ *verdict.Message, _ *verdict.Report) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func (deaf) Enqueue(ctx context.Context, _ *relay.Domain, _ *verdict.Message, _ verdict.Envelope, _ verdict.Source, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func (deaf) RecordMessage(ctx context.Context, _ *relay.Domain, _ *verdict.Message, _ relay.Outcome) error {
	<-ctx.Done()
	return ctx.Err()
}

// A holder or a queue that hangs is given up before the sender's patience ends.
func TestStoreDeadline(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Drop: true}}}
		c := greeted(t, serve(t, sink, func(s *relay.Server) {
			s.Engine, s.Hold, s.Queue = e, deaf{}, deaf{}
			s.Timeouts.Judge, s.Timeouts.Deliver = 5*time.Minute, 5*time.Minute-50*time.Millisecond
			d := s.Directory.(relay.Static)["ex.net"]
			d.Mode, d.Policy.Spam = relay.Continuity, relay.Hold
		}))
		c.mail(message("spam"), "451 4.3.0", "b@ex.net")
		c.mail(message("hello"), "451", "b@ex.net")
	})
}

// A message that was deferred is not told as refused.
func TestOutcomeOfUnreadable(t *testing.T) {
	t.Parallel()
	outcomes := make(chan relay.Outcome, 1)
	c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
		s.Directory.(relay.Static)["ex.net"].Policy.Unknown = relay.Defer
		s.Judge = cached{nil}
		s.Trace.Done = func(o relay.Outcome) { outcomes <- o }
	}))
	c.mail(message("hello"), "451 4.7.1", "b@ex.net")
	o := <-outcomes
	if d := cmp.Diff([]any{relay.Defer, 451, "ex.net", 1}, []any{o.Action, o.Reply.Code, o.Domain, o.Recipients}); d != "" {
		t.Error(d)
	}
}
