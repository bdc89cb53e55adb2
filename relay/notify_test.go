package relay_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// notifier is a Notifier that takes down what it is told.
type notifier struct {
	err error

	mu  sync.Mutex
	got []string
}

func (n *notifier) Relayed(_ context.Context, d *relay.Domain, m *verdict.Message, e verdict.Envelope, receipts []relay.Receipt) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, err := m.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(body), "hello") {
		n.got = append(n.got, "no body")
	}
	for i, to := range e.To {
		n.got = append(n.got, strings.Join([]string{d.Name, e.From, e.ID, to.Address, receipts[i].Recipient, receipts[i].Reply.Text}, " "))
	}
	if n.err != nil && n.err.Error() == "panic" {
		panic("notifier")
	}
	return n.err
}

// DSN is offered by a server that has somebody to send the notices, and by no other: not by one that was only
// given a queue, either.
func TestDSNAnnounced(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, with := range []bool{false, true} {
			c := dial(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				s.Engine, s.Queue = e, &queue{}
				if with {
					s.Notify = new(notifier)
				}
			}))
			c.expect("220")
			if got := c.say("EHLO client.example", "250"); strings.Contains(got+"\n", "DSN\n") != with {
				t.Errorf("with %v:\n%s", with, got)
			}
			mail, rcpt := "5", "5"
			if with {
				mail, rcpt = "250", "250"
			}
			c.say("MAIL FROM:<a@ex.org> RET=HDRS ENVID=1", mail)
			if !with {
				c.say("MAIL FROM:<a@ex.org>", "250")
			}
			c.say("RCPT TO:<b@ex.net> NOTIFY=SUCCESS", rcpt)
		}
	})
}

// Who asked to be told of the delivery is told that the message was relayed, where the hop does not do it: when all
// recipients have it and the client is about to be told so.
func TestNotifyRelayed(t *testing.T) {
	t.Parallel()
	both := []string{"ex.net a@ex.org e+1 b@ex.net b@ex.net taken", "ex.net a@ex.org e+1 d@ex.net d@ex.net taken"}
	none := []string{"DSN"}
	for _, tt := range []struct {
		name    string
		from    string
		without []string
		fault   *relaytest.Fault
		mode    relay.Mode
		err     error
		want    string
		told    []string
	}{
		{"hop without DSN", "a@ex.org", none, nil, relay.Synchronous, nil, "250 2.0.0 accepted", both},
		{"hop with DSN", "a@ex.org", nil, nil, relay.Synchronous, nil, "250 2.0.0 accepted", nil},
		{"null sender", "", none, nil, relay.Synchronous, nil, "250 2.0.0 accepted", nil},
		{"first try of continuity", "a@ex.org", none, nil, relay.Continuity, nil, "250 2.0.0 accepted", both},
		{"queued after it", "a@ex.org", none, &relaytest.Fault{At: relaytest.AtDot, Reply: "451 4.3.0 later"}, relay.Continuity, nil, "250 2.0.0 queued", nil},
		{"all queued", "a@ex.org", none, nil, relay.StoreAndForward, nil, "250 2.0.0 queued", nil},
		{"refused", "a@ex.org", none, &relaytest.Fault{At: relaytest.AtDot, Reply: "554 5.6.0 no"}, relay.Synchronous, nil, "554", nil},
		{"one is refused", "a@ex.org", none, &relaytest.Fault{At: relaytest.AtRcpt, Match: "<c@ex.net>", Reply: "550 5.1.1 no"}, relay.Synchronous, nil, "451", nil},
		{"it cannot", "a@ex.org", none, nil, relay.Synchronous, errors.New("disk full"), "250 2.0.0 accepted", both},
		{"it panics", "a@ex.org", none, nil, relay.Synchronous, errors.New("panic"), "250 2.0.0 accepted", both},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := &notifier{err: tt.err}
			sink := &relaytest.Sink{Without: tt.without}
			if tt.fault != nil {
				sink.Faults = []relaytest.Fault{*tt.fault}
			}
			c := greeted(t, serve(t, sink, func(s *relay.Server) {
				s.Notify, s.Queue = n, &queue{}
				s.Directory.(relay.Static)["ex.net"].Mode = tt.mode
			}))
			c.say("MAIL FROM:<"+tt.from+"> ENVID=e+2B1", "250")
			c.say("RCPT TO:<b@ex.net> NOTIFY=SUCCESS,FAILURE", "250")
			c.say("RCPT TO:<c@ex.net> NOTIFY=FAILURE", "250")
			c.say("RCPT TO:<d@ex.net> NOTIFY=SUCCESS", "250")
			c.say("RCPT TO:<e@ex.net>", "250")
			c.say("DATA", "354")
			c.send(message("hello") + ".\r\n")
			c.expect(tt.want)
			n.mu.Lock()
			defer n.mu.Unlock()
			if d := cmp.Diff(tt.told, n.got); d != "" {
				t.Error(d)
			}
		})
	}
}

// The client does not wait long for a notice: its message has been delivered.
func TestNotifyInTime(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	c := greeted(t, serve(t, &relaytest.Sink{Without: []string{"DSN"}}, func(s *relay.Server) {
		s.Notify = relay.NotifierFunc(func(ctx context.Context, _ *relay.Domain, _ *verdict.Message, _ verdict.Envelope, _ []relay.Receipt) error {
			until, ok := ctx.Deadline()
			if !ok {
				t.Error("no deadline")
			}
			left <- time.Until(until)
			return nil
		})
	}))
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@ex.net> NOTIFY=SUCCESS", "250")
	c.say("DATA", "354")
	c.send(message("hello") + ".\r\n")
	c.expect("250")
	if got := <-left; got > 5*time.Second {
		t.Errorf("it may take %v", got)
	}
}

// What the client refuses in the name of a hop is told apart from what the hop has said.
func TestLacking(t *testing.T) {
	t.Parallel()
	e := hopEnvelope("b@ex.net")
	for name, tt := range map[string]struct {
		sink    *relaytest.Sink
		change  func(*verdict.Envelope)
		body    string
		code    relay.EnhancedCode
		lacking bool
	}{
		"8BITMIME":            {&relaytest.Sink{Without: []string{"8BITMIME"}}, func(e *verdict.Envelope) { e.Body = "8BITMIME" }, "Subject: x\r\n\r\n\xe4\r\n", relay.EnhancedCode{5, 6, 3}, true},
		"SMTPUTF8":            {&relaytest.Sink{Without: []string{"SMTPUTF8"}}, func(e *verdict.Envelope) { e.From = "\xc3\xa4@ex.org" }, crlfBody, relay.EnhancedCode{5, 6, 7}, true},
		"REQUIRETLS":          {&relaytest.Sink{}, func(e *verdict.Envelope) { e.RequireTLS = true }, crlfBody, relay.EnhancedCode{5, 7, 30}, true},
		"SIZE":                {&relaytest.Sink{Size: 10}, func(*verdict.Envelope) {}, crlfBody, relay.EnhancedCode{5, 3, 4}, true},
		"the hop says so":     {&relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtMail, Reply: "550 5.6.7 no"}}}, func(*verdict.Envelope) {}, crlfBody, relay.EnhancedCode{5, 6, 7}, false},
		"the message is none": {&relaytest.Sink{Without: []string{"CHUNKING"}}, func(*verdict.Envelope) {}, "Subject: x\r\n\r\na\rb\r\n", relay.EnhancedCode{5, 6, 0}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := e
			tt.change(&e)
			_, err := newHop(t, tt.sink).Deliver(t.Context(), e, verdict.Bytes(tt.body))
			var r *relay.Reply
			if !errors.As(err, &r) || r.Enhanced != tt.code || errors.Is(err, relay.ErrLacking) != tt.lacking {
				t.Errorf("%v", err)
			}
		})
	}
}

// A hop that takes a message for some of its recipients leaves the client to try again for all of them: nobody is told
// of anything before that.
func TestNotifyPartly(t *testing.T) {
	t.Parallel()
	n := new(notifier)
	c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
		s.Notify = n
		s.Directory.(relay.Static)["ex.net"].Next = relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			return []relay.Receipt{{Recipient: e.To[0].Address, Reply: &relay.Reply{Code: 250}}, {Recipient: e.To[1].Address, Reply: &relay.Reply{Code: 451}}}, nil
		})
	}))
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@ex.net> NOTIFY=SUCCESS", "250")
	c.say("RCPT TO:<c@ex.net> NOTIFY=SUCCESS", "250")
	c.say("DATA", "354")
	c.send(message("hello") + ".\r\n")
	c.expect("451")
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.got) != 0 {
		t.Errorf("told: %q", n.got)
	}
}
