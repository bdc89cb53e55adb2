package dnsverify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Planner writes plans and checks their steps. It changes nothing anywhere. It may be used by many goroutines at
// once, each with a plan of its own.
type Planner struct {
	Verifier *Verifier // required; its Client asks all questions
	Own      Own       // required: the gateway's hosts
	// Prober looks whether the next hop takes mail from strangers. Nil leaves that to people.
	Prober *Prober
}

// Move says what is wanted.
type Move struct {
	Claim   Claim
	Gateway []string // the gateway's MX hosts for this domain, best first
	NextHop string   // where the gateway will deliver; empty takes the one that Discover proposes
}

// Plan looks at the domain as it is and writes the plan of the cutover. It fails with a *Problem where there can be
// none: null MX, a next hop that is none, a domain that is connected already. What people can put right becomes a step.
func (pl *Planner) Plan(ctx context.Context, m Move) (*Plan, error) {
	if pl.Verifier == nil || pl.Verifier.Challenge == nil || len(m.Gateway) == 0 {
		return nil, errors.New("dnsverify: a plan needs Planner.Verifier and Move.Gateway")
	}
	record, err := pl.Verifier.Challenge.Record(m.Claim)
	if err != nil {
		return nil, err
	}
	p := &Plan{Version: planVersion, Direction: In, Made: time.Now().UTC().Truncate(time.Second), Claim: m.Claim, Record: record, NextHop: canonical(m.NextHop)}
	for i, h := range m.Gateway {
		n, err := normalize(h)
		if err != nil {
			return nil, err
		}
		if !pl.Own.host(n) {
			return nil, fmt.Errorf("dnsverify: %s is not among Planner.Own.Hosts", n)
		}
		p.Gateway = append(p.Gateway, MXRecord{n, uint16(i * preferenceGap), shortTTL})
	}
	c := pl.Verifier.client()
	d, err := c.Discover(ctx, m.Claim.Domain, pl.Own)
	if err != nil {
		return nil, err
	}
	if err := p.take(d); err != nil {
		return nil, err
	}
	if err := c.CheckNextHop(ctx, p.NextHop, pl.Own); err != nil {
		return nil, err
	}
	sts, err := c.MTASTS(ctx, m.Claim.Domain)
	if err != nil {
		return nil, fmt.Errorf("the MTA-STS policy decides when the MX records may change, and cannot be had: %w", err)
	}
	p.Policy = sts.Policy
	p.stepsIn(d)
	return p, nil
}

// take keeps the old MX set and the next hop.
func (p *Plan) take(d *Discovery) error {
	p.Problems = d.Problems
	switch {
	case d.Connection == Connected:
		return errors.New("dnsverify: all MX records are the gateway's already")
	case d.Platform == PlatformNone:
		return &Problem{Code: NullMX, Name: d.Domain, Detail: "There is no mail to move."}
	}
	for _, mx := range d.MX {
		if mx.Platform != PlatformOurs && !d.Implicit {
			p.Old = append(p.Old, MXRecord{mx.Host, mx.Preference, d.TTL})
		}
	}
	if p.NextHop == "" {
		p.NextHop = d.NextHop
	}
	if p.NextHop == "" {
		return &Problem{Code: NextHopRefused, Name: d.Domain, Detail: "No next hop follows from the MX records: name it in Move.NextHop."}
	}
	return nil
}

func (p *Plan) stepsIn(d *Discovery) {
	domain := p.Claim.Domain
	if len(p.Old) > 0 && d.TTL > shortTTL {
		p.step(Step{ID: StepTTL, Title: "Lower the TTL of the MX records", Actor: Customer, Wait: d.TTL,
			Why: "Until the old TTL has passed, senders keep the old records: a mistake could not be taken back in minutes.",
			Add: lines(domain, withTTL(p.Old, shortTTL)), Remove: lines(domain, p.Old)})
	}
	p.step(Step{ID: StepProof, Title: "Prove the domain", Actor: Customer, Add: []string{p.Record.ZoneLine()},
		Why: "The gateway defers mail for a domain that was not proven. The record stays for as long as the domain is connected."})
	p.step(Step{ID: StepHop, Title: "Check the next hop " + p.NextHop, Actor: Operator,
		Why: "The gateway delivers to this host by its name, not by the MX records, which will name the gateway."})
	p.step(Step{ID: StepAllow, Title: "Let the gateway in at " + p.NextHop, Actor: Customer, Ask: true,
		Why: "All mail will come from the addresses of the gateway: rate limits and reputation filters there must not hold it back."})
	needs := []string{StepProof, StepHop, StepAllow}
	if p.blocked() {
		p.Problems = append(p.Problems, &Problem{Code: MTASTSBlocksSwitch, Name: domain, Found: p.policyLines(), Wait: p.Policy.MaxAge,
			Detail: "Senders keep it for up to " + span(p.Policy.MaxAge) + ": the MX records must not change before the step for it is done."})
		p.step(Step{ID: StepPolicy, Title: "Add the gateway to the MTA-STS policy", Actor: Customer, Wait: p.Policy.MaxAge, Add: p.policyLines(),
			Why: "Senders that have the policy refuse a host that it does not list, until their copy runs out (RFC 8461). Keep the old " +
				"lines, and change the id of the record."})
		needs = append(needs, StepPolicy)
	}
	if p.Step(StepTTL) != nil {
		needs = append(needs, StepTTL)
	}
	// The old records go behind ours; they are removed when ours are seen everywhere.
	moved := behind(withTTL(p.Old, shortTTL), p.Gateway)
	p.step(Step{ID: StepMX, Title: "Put the gateway in front", Actor: Customer, Needs: needs,
		Add: lines(domain, append(slices.Clone(p.Gateway), moved...)), Remove: lines(domain, changed(withTTL(p.Old, shortTTL), moved)),
		Why: "Senders try the lowest preference first."})
	p.step(Step{ID: StepWatch, Title: "Watch all name servers and resolvers", Actor: Nobody, Needs: []string{StepMX}, Wait: shortTTL,
		Why: "A server that lags behind still sends mail past the gateway."})
	if len(p.Old) > 0 {
		p.step(Step{ID: StepOld, Title: "Remove the old MX records", Actor: Customer, Needs: []string{StepWatch}, Remove: lines(domain, moved),
			Why: "Spam is sent to the worst preference on purpose."})
	}
	last := p.Steps[len(p.Steps)-1].ID
	p.step(Step{ID: StepDrain, Title: "Leave the old way open", Actor: Nobody, Needs: []string{last}, Wait: drainTime,
		Why: "Senders that kept old records go on for days. Nothing is locked before they have come to an end."})
	p.step(Step{ID: StepExposure, Title: "Look for ways past the gateway", Actor: Customer, Needs: []string{last},
		Why: "A wildcard MX record or another MX host leads past it."})
	p.step(Step{ID: StepLock, Title: "Lock " + p.NextHop, Actor: Customer, Ask: true, Needs: []string{StepDrain, StepExposure},
		Why: "Who knows the name of the next hop can deliver to it directly. It has to refuse mail that does not come from the gateway."})
}

func (p *Plan) step(s Step) { p.Steps = append(p.Steps, s) }

// blocked says whether senders that enforce the policy would refuse one of the gateway's hosts.
func (p *Plan) blocked() bool {
	return p.Policy != nil && slices.ContainsFunc(p.Gateway, func(m MXRecord) bool { return p.Policy.Blocks(m.Host) })
}

func (p *Plan) policyLines() []string {
	var out []string
	for _, m := range p.Gateway {
		if !p.Policy.Allows(m.Host) {
			out = append(out, "mx: "+m.Host)
		}
	}
	return out
}

// changed returns the records of a set that another set does not have as they are.
func changed(set, other []MXRecord) []MXRecord {
	return slices.DeleteFunc(slices.Clone(set), func(m MXRecord) bool { return slices.Contains(other, m) })
}

// Back returns the plan of the way back: the old set comes in before the gateway goes out, and the gateway
// goes on taking mail for 72 hours. Without an old set it fails: then the first MX record was the gateway's.
// [Planner.Back] looks at the MTA-STS policy as well.
func (p *Plan) Back() (*Plan, error) {
	if p.Direction != In || len(p.Old) == 0 {
		return nil, errors.New("dnsverify: there is a way back only from a cutover, and only to an old MX set")
	}
	b := &Plan{Version: planVersion, Direction: Back, Made: time.Now().UTC().Truncate(time.Second), Claim: p.Claim, Record: p.Record,
		Gateway: p.Gateway, Old: p.Old, NextHop: p.NextHop, Policy: p.Policy}
	d := p.Claim.Domain
	b.step(Step{ID: StepKeep, Title: "Keep the gateway running", Actor: Operator, Ask: true,
		Why: "It takes and delivers mail for this domain until 72 hours after its MX records are gone."})
	b.step(Step{ID: StepUnlock, Title: "Unlock " + p.NextHop, Actor: Customer, Ask: true,
		Why: "It has to take mail from everybody again before the MX records send it there."})
	needs := []string{StepKeep, StepUnlock}
	if p.Policy != nil && p.Policy.Mode == "enforce" {
		b.step(Step{ID: StepPolicy, Title: "Keep the old hosts in the MTA-STS policy", Actor: Customer, Wait: p.Policy.MaxAge,
			Why: "Senders that have the policy refuse a host that it does not list, until their copy runs out (RFC 8461)."})
		needs = append(needs, StepPolicy)
	}
	old := withTTL(p.Old, shortTTL)
	ours := behind(p.Gateway, old)
	b.step(Step{ID: StepMX, Title: "Put the old MX records in front", Actor: Customer, Needs: needs,
		Add: lines(d, append(slices.Clone(old), ours...)), Remove: lines(d, changed(p.Gateway, ours)),
		Why: "The old records come in before the gateway's go out: at no moment is there none."})
	b.step(Step{ID: StepWatch, Title: "Watch all name servers and resolvers", Actor: Nobody, Needs: []string{StepMX}, Wait: shortTTL,
		Why: "A server that lags behind still sends mail to the gateway, which delivers it."})
	b.step(Step{ID: StepOurs, Title: "Remove the gateway's MX records", Actor: Customer, Needs: []string{StepWatch}, Remove: lines(d, ours),
		Why: "From now on nobody new is sent to the gateway."})
	b.step(Step{ID: StepDrain, Title: "Go on taking mail", Actor: Operator, Needs: []string{StepOurs}, Wait: drainTime,
		Why: "Senders that kept old records go on for days. The gateway delivers what they send."})
	b.step(Step{ID: StepCleanup, Title: "Remove what names the gateway", Actor: Customer, Needs: []string{StepDrain}, Remove: b.leftovers(),
		Why: "A record that names a host one does not use any more can be taken over by others."})
	b.step(Step{ID: StepRecord, Title: "Remove the TXT record and revoke the claim", Actor: Customer, Ask: true, Needs: []string{StepCleanup},
		Remove: []string{p.Record.ZoneLine()}, Why: "It goes last. Its token is spent: a record that stays proves nothing any more."})
	return b, nil
}

// Back returns the way back as [Plan.Back] does, for the MTA-STS policy as it is now: one that was published after
// the cutover need not list the old hosts. If it cannot be had, the plan says so among its problems.
func (pl *Planner) Back(ctx context.Context, in *Plan) (*Plan, error) {
	if pl.Verifier == nil {
		return nil, errors.New("dnsverify: the way back needs Planner.Verifier")
	}
	now := *in
	sts, failed := pl.Verifier.client().MTASTS(ctx, in.Claim.Domain)
	known := time.Duration(-1) // how long senders keep the policy that the plan knows
	if in.Policy != nil && in.Policy.Mode == "enforce" {
		known = in.Policy.MaxAge
	}
	if s := sts.Policy; s != nil && s.Mode == "enforce" && s.MaxAge > known {
		now.Policy = s
	}
	b, err := now.Back()
	if err == nil && failed != nil {
		pr := *asProblem(in.Claim.Domain, failed)
		pr.Detail = strings.TrimSpace("An MTA-STS policy that does not list the old hosts would make senders refuse them. " + pr.Detail)
		b.Problems = append(b.Problems, &pr)
	}
	return b, err
}

func (p *Plan) leftovers() []string {
	if p.Policy == nil {
		return nil
	}
	var out []string
	for _, m := range p.Gateway {
		out = append(out, "mx: "+m.Host)
	}
	return out
}

// names returns the hosts of a set.
func names(set []MXRecord) []string {
	var out []string
	for _, m := range set {
		out = append(out, strings.ToLower(m.Host))
	}
	return out
}
