package relay_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// delivered returns the recipients of all messages of a sink.
func delivered(sink *relaytest.Sink) []string {
	var out []string
	for _, m := range sink.Messages() {
		out = append(out, m.To...)
	}
	slices.Sort(out)
	return out
}

// insist sends a message as a mail server does: it tries again with those recipients that have no final
// answer yet. It returns how often it had to.
func insist(c *client, from string, to []string, most int) (tries int, refused []string) {
	c.t.Helper()
	for ; len(to) > 0 && tries < most; tries++ {
		c.say("MAIL FROM:<"+from+">", "250")
		var taken, left []string
		for _, r := range to {
			c.send("RCPT TO:<" + r + ">\r\n")
			switch c.expect("")[0] {
			case '2':
				taken = append(taken, r)
			case '5':
				refused = append(refused, r)
			default:
				left = append(left, r)
			}
		}
		if len(taken) == 0 {
			c.say("RSET", "250")
		} else {
			c.say("DATA", "354")
			c.send(message("hello") + ".\r\n")
			switch c.expect("")[0] {
			case '5':
				refused = append(refused, taken...)
			case '4':
				left = append(left, taken...)
			}
		}
		to = left
	}
	return tries, refused
}

// Whatever the hop has against some recipients, the others get the message at the second attempt, once.
func TestRefusedRecipients(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		full := relaytest.Fault{At: relaytest.AtRcpt, Match: "<full@ex.net>", Reply: "452 4.2.2 mailbox full"}
		gone := relaytest.Fault{At: relaytest.AtRcpt, Match: "<gone@ex.net>", Reply: "550 5.1.1 no such user"}
		for _, tt := range []struct {
			name          string
			sink          *relaytest.Sink
			to            []string
			most          int
			want, refused []string
		}{
			{"one for good", &relaytest.Sink{Faults: []relaytest.Fault{gone}}, []string{"b@ex.net", "gone@ex.net"}, 2, []string{"b@ex.net"}, []string{"gone@ex.net"}},
			{"one for now", &relaytest.Sink{Faults: []relaytest.Fault{full}}, []string{"b@ex.net", "full@ex.net"}, 2, []string{"b@ex.net"}, nil},
			{"the first for now", &relaytest.Sink{Faults: []relaytest.Fault{full}}, []string{"full@ex.net", "b@ex.net", "c@ex.net"}, 2, []string{"b@ex.net", "c@ex.net"}, nil},
			{"a limit of the hop", &relaytest.Sink{Also: []string{"LIMITS RCPTMAX=2"}}, []string{"a@ex.net", "b@ex.net", "c@ex.net", "d@ex.net", "e@ex.net"}, 6,
				[]string{"a@ex.net", "b@ex.net", "c@ex.net", "d@ex.net", "e@ex.net"}, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				c := greeted(t, serve(t, tt.sink, func(s *relay.Server) { s.Engine = e }))
				_, refused := insist(c, "a@ex.org", tt.to, tt.most)
				if d := cmp.Diff(tt.want, delivered(tt.sink)); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff(tt.refused, refused); d != "" {
					t.Error(d)
				}
			})
		}
	})
}

// What the hop has said to one sender about a recipient keeps out nobody else, and not the same sender
// for ever.
func TestRefusalIsOneSenders(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{
		{At: relaytest.AtRcpt, Match: "<victim@ex.net>", Reply: "554 5.7.1 not from you", Times: 1},
	}}
	c := greeted(t, serve(t, sink, nil))
	c.mail(message("hello"), "451 4.5.3", "b@ex.net", "victim@ex.net") // from a@ex.org
	c.say("MAIL FROM:<somebody@else.example>", "250")
	c.say("RCPT TO:<victim@ex.net>", "250")
	c.say("RSET", "250")
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<victim@ex.net>", "554 5.7.1")
	c.say("RCPT TO:<victim@ex.net>", "250") // it has been told; the hop decides anew
}

// A connection that breaks says nothing about the recipients: only what the hop has refused is remembered.
func TestBrokenConnectionIsNoRefusal(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{
		{At: relaytest.AtRcpt, Match: "<gone@ex.net>", Reply: "550 5.1.1 no such user"},
		{At: relaytest.AtRcpt, Match: "<c@ex.net>", Drop: true, Times: 1},
	}}
	c := greeted(t, serve(t, sink, nil))
	c.mail(message("hello"), "451", "b@ex.net", "gone@ex.net", "c@ex.net")
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@ex.net>", "250")
	c.say("RCPT TO:<gone@ex.net>", "550 5.1.1")
	c.say("RCPT TO:<c@ex.net>", "250")
}

// Domains that share a group but not a next hop are split at RCPT, where a sender can do something about
// it; a hop that can promise nothing for several recipients gets them all the same.
func TestByDomainBehindServer(t *testing.T) {
	t.Parallel()
	one, two, three := &relaytest.Sink{}, &relaytest.Sink{}, &relaytest.Sink{}
	bare := newHop(t, three)
	hops := relay.ByDomain{
		"one.net": newHop(t, one), "two.net": newHop(t, two),
		"bare.net": relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
			return bare.Deliver(ctx, e, body)
		}),
	}
	dir := relay.Static{}
	for name := range hops {
		dir[name] = &relay.Domain{Name: name, Group: "all", Next: hops}
	}
	c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) { s.Directory = dir }))
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@one.net>", "250")
	c.say("RCPT TO:<b@two.net>", "452 4.5.3")
	c.say("RSET", "250")
	c.mail(message("hello"), "250", "a@bare.net", "b@bare.net")
	if got := delivered(three); !slices.Equal(got, []string{"a@bare.net", "b@bare.net"}) {
		t.Errorf("delivered to %q", got)
	}
}

// promiseless is an AllOrNone that cannot keep its promise.
type promiseless struct{ relay.NextHop }

func (promiseless) DeliverAll(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
	return nil, relay.ErrNotAllOrNone
}

func TestNotAllOrNone(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	c := greeted(t, serve(t, sink, func(s *relay.Server) {
		d := s.Directory.(relay.Static)["ex.net"]
		d.Next = promiseless{d.Next}
	}))
	c.mail(message("hello"), "250", "b@ex.net", "c@ex.net")
	if got := delivered(sink); len(got) != 2 {
		t.Errorf("delivered to %q", got)
	}
}
