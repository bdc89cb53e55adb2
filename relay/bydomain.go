package relay

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
)

// ByDomain is a NextHop that hands each recipient to the hop of its domain, by its name in lower case.
// Recipients of a domain that is not listed get 550 5.1.2. It must not be changed while it is in use.
//
// Domains are served one after the other in the order in which they first appear. If one of them fails
// the others are served all the same, so Deliver never returns an error. Domains that have the same hop
// still get a transaction each: they need not have been told apart by whoever set it up.
type ByDomain map[string]NextHop

// Deliver gives each domain its part of the envelope.
func (b ByDomain) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	out := make([]Receipt, len(e.To))
	for _, g := range b.groups(e) {
		receipts, err := g.hop.Deliver(ctx, g.envelope, body)
		g.fill(out, receipts, err)
	}
	return out, nil
}

// DeliverAll is for envelopes whose recipients all have the same domain, with a hop that is an AllOrNone
// unless there is only one: nothing can be promised otherwise, and the error is ErrNotAllOrNone. If some
// are of unknown domains, they are refused and the others get nothing.
func (b ByDomain) DeliverAll(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	groups := b.groups(e)
	if len(groups) == 1 && len(e.To) == 1 {
		return groups[0].hop.Deliver(ctx, groups[0].envelope, body)
	}
	if len(groups) == 1 {
		all, ok := groups[0].hop.(AllOrNone)
		if !ok {
			return nil, fmt.Errorf("%w: the next hop of %q", ErrNotAllOrNone, groups[0].domain)
		}
		return all.DeliverAll(ctx, groups[0].envelope, body)
	}
	out := make([]Receipt, len(e.To))
	known := 0
	for _, g := range groups {
		if _, ok := g.hop.(noRoute); ok {
			g.fill(out, refuseAll(g.envelope.To, unknownDomain), nil)
			continue
		}
		known++
		g.fill(out, refuseAll(g.envelope.To, &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "not sent, try again", Err: ErrNotSent}), nil)
	}
	if known == len(groups) {
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 5, 3}, Text: "recipients of one domain at a time",
			Err: fmt.Errorf("%w: %d domains in one message", ErrNotAllOrNone, known)}
	}
	return out, nil
}

// noRoute is the hop of domains that have none.
type noRoute struct{}

var unknownDomain = &Reply{Code: 550, Enhanced: EnhancedCode{5, 1, 2}, Text: "no mail for this domain here"}

func (noRoute) Deliver(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]Receipt, error) {
	return refuseAll(e.To, unknownDomain), nil
}

func (n noRoute) DeliverAll(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	return n.Deliver(ctx, e, body)
}

// domainGroup are the recipients of one domain.
type domainGroup struct {
	domain   string
	hop      NextHop
	envelope verdict.Envelope
	at       []int // where they stand in the whole envelope
}

// groups splits an envelope in order of first appearance.
func (b ByDomain) groups(e verdict.Envelope) []*domainGroup {
	var out []*domainGroup
	byName := map[string]*domainGroup{}
	for i, r := range e.To {
		name := verdict.Domain(r.Address)
		g := byName[name]
		if g == nil {
			g = &domainGroup{domain: name, hop: b[name], envelope: e}
			if g.hop == nil {
				g.hop = noRoute{}
			}
			g.envelope.To = nil
			byName[name] = g
			out = append(out, g)
		}
		g.envelope.To = append(g.envelope.To, r)
		g.at = append(g.at, i)
	}
	return out
}

// fill puts the receipts of a group where they belong. A hop that does not keep to its contract, and
// answers for other than its recipients, has said nothing.
func (g *domainGroup) fill(out, receipts []Receipt, err error) {
	if err == nil && len(receipts) != len(g.at) {
		err = fmt.Errorf("relay: the next hop of %q gave %d receipts for %d recipients", g.domain, len(receipts), len(g.at))
	}
	if err != nil {
		receipts = refuseAll(g.envelope.To, asReply(err))
	}
	for i, at := range g.at {
		out[at] = receipts[i]
	}
}
