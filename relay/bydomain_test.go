package relay_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

func TestByDomain(t *testing.T) {
	t.Parallel()
	one, two := &relaytest.Sink{}, &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Match: "<no@", Reply: "550 5.1.1 who"}}}
	hops := relay.ByDomain{
		"one.example": newHop(t, one),
		"two.example": newHop(t, two),
		"down.example": relay.NextHopFunc(func(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
			return nil, errors.New("x")
		}),
		"short.example": relay.NextHopFunc(func(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) { return nil, nil }),
	}
	e := hopEnvelope("a@two.example", "b@one.example", "c@down.example", "no@TWO.example", "d@nowhere.example", "e@short.example", "f@two.example", "nobody")
	receipts, err := hops.Deliver(t.Context(), e, verdict.Bytes(crlfBody))
	want := []string{"250 2.0.0", "250 2.0.0", "451 4.3.0", "550 5.1.1", "550 5.1.2", "451 4.3.0", "250 2.0.0", "550 5.1.2"}
	if d := cmp.Diff(want, codes(receipts, err)); d != "" {
		t.Error(d)
	}
	for i, r := range receipts {
		if r.Recipient != e.To[i].Address {
			t.Errorf("receipt %d is for %s, want %s", i, r.Recipient, e.To[i].Address)
		}
	}
	if d := cmp.Diff([]string{"a@two.example", "f@two.example"}, two.Messages()[0].To); d != "" {
		t.Error(d)
	}
}

func TestByDomainAll(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Match: "<no@", Reply: "550 5.1.1 who"}}}
	hop := newHop(t, s)
	bare := relay.NextHopFunc(hop.Deliver)
	hops := relay.ByDomain{"one.example": hop, "two.example": hop, "bare.example": bare}
	for _, c := range []struct {
		to    []string
		want  []string
		taken int
	}{
		{[]string{"a@one.example", "b@one.example"}, []string{"250 2.0.0", "250 2.0.0"}, 1},
		{[]string{"a@one.example", "no@one.example"}, []string{"451 4.3.0", "550 5.1.1"}, 0},
		{[]string{"a@one.example", "b@two.example"}, []string{"error 451 4.5.3"}, 0},
		{[]string{"a@one.example", "b@nowhere"}, []string{"451 4.3.0", "550 5.1.2"}, 0},
		{[]string{"a@nowhere", "b@nowhere"}, []string{"550 5.1.2", "550 5.1.2"}, 0},
		{[]string{"a@nowhere", "b@nothing"}, []string{"550 5.1.2", "550 5.1.2"}, 0},
		{[]string{"a@bare.example"}, []string{"250 2.0.0"}, 1},
		{[]string{"a@bare.example", "b@bare.example"}, []string{`error: relay: the next hop cannot promise all or none: the next hop of "bare.example"`}, 0},
	} {
		before := len(s.Messages())
		got := codes(hops.DeliverAll(t.Context(), hopEnvelope(c.to...), verdict.Bytes(crlfBody)))
		if d := cmp.Diff(c.want, got); d != "" || len(s.Messages())-before != c.taken {
			t.Errorf("%q: %d taken, want %d; %s", c.to, len(s.Messages())-before, c.taken, d)
		}
	}
}
