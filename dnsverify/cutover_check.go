package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Progress is what Check says about a step.
type Progress string

const (
	StepDone   Progress = "done"
	StepNotYet Progress = "not_yet" // waiting, or somebody has still to act
	StepWrong  Progress = "wrong"   // waiting does not help: something is there that should not be
)

// StepState is where a step stands.
type StepState struct {
	Step     string    `json:"step"`
	Progress Progress  `json:"progress"`
	Until    time.Time `json:"until,omitzero"` // not yet: not before then; zero if somebody has to act
	Detail   string    `json:"detail"`
	Servers  []string  `json:"servers,omitempty"` // those that say otherwise
}

// Check looks at one step and notes in the plan when it was first seen in place and when it was done. A step that
// is done is looked at again: it may have been undone. The caller stores the plan afterwards. When nothing can be
// learnt, the error says so, and the plan is unchanged.
func (pl *Planner) Check(ctx context.Context, p *Plan, id string) (StepState, error) {
	s := p.Step(id)
	if s == nil || pl.Verifier == nil {
		return StepState{}, errors.New("dnsverify: Check needs a step of the plan, and Planner.Verifier")
	}
	if p.Version != planVersion {
		return StepState{}, fmt.Errorf("dnsverify: the plan has version %d, and this is version %d: make a new one", p.Version, planVersion)
	}
	for _, n := range s.Needs {
		if before := p.Step(n); before != nil && before.Done.IsZero() {
			return StepState{Step: id, Progress: StepNotYet, Detail: "First comes: " + before.Title + "."}, nil
		}
	}
	ctx = pl.Verifier.client().withBudget(ctx)
	st, err := pl.look(ctx, p, s)
	if err != nil {
		return StepState{}, err
	}
	st.Step = id
	now := time.Now().UTC()
	switch {
	case st.Progress != StepDone:
		s.Seen, s.Done = time.Time{}, time.Time{}
		return st, nil
	case s.Seen.IsZero():
		s.Seen = now
	}
	if until := s.Seen.Add(s.Wait); s.Done.IsZero() && now.Before(until) {
		return StepState{Step: id, Progress: StepNotYet, Until: until, Detail: "It is in place since " + s.Seen.Format(time.RFC3339) +
			"; wait until " + until.Format(time.RFC3339) + "."}, nil
	}
	if s.Done.IsZero() {
		s.Done = now
	}
	return st, nil
}

func notYet(format string, args ...any) StepState {
	return StepState{Progress: StepNotYet, Detail: fmt.Sprintf(format, args...)}
}

func wrong(format string, args ...any) StepState {
	return StepState{Progress: StepWrong, Detail: fmt.Sprintf(format, args...)}
}

func done(format string, args ...any) StepState {
	return StepState{Progress: StepDone, Detail: fmt.Sprintf(format, args...)}
}

// look says whether a step is in place now, whatever time it needs afterwards.
func (pl *Planner) look(ctx context.Context, p *Plan, s *Step) (StepState, error) {
	switch s.ID {
	case StepProof:
		return pl.lookProof(ctx, p)
	case StepHop:
		return pl.lookHop(ctx, p)
	case StepPolicy:
		return pl.lookPolicy(ctx, p)
	case StepAllow, StepKeep:
		return asked(s), nil
	case StepLock, StepUnlock:
		return pl.lookLock(ctx, p, s)
	case StepExposure:
		return pl.lookExposure(ctx, p)
	case StepCleanup:
		return pl.lookCleanup(ctx, p)
	case StepRecord:
		return pl.lookRecord(ctx, p, s)
	}
	if s.ID == StepTTL && !s.Done.IsZero() {
		return done("The old TTL has run out."), nil // it may be raised again
	}
	v, err := pl.views(ctx, p.Claim.Domain, s.ID == StepWatch || s.ID == StepDrain)
	if err != nil {
		return StepState{}, err
	}
	return p.lookMX(s, v), nil
}

func asked(s *Step) StepState {
	if s.Confirmed == "" {
		return notYet("Somebody has to confirm it.")
	}
	return done("Confirmed by %s.", s.Confirmed)
}

func (pl *Planner) lookProof(ctx context.Context, p *Plan) (StepState, error) {
	r, err := pl.Verifier.Verify(ctx, p.Claim)
	if err != nil {
		return StepState{}, err
	}
	switch r.Status {
	case Verified:
		return done("All name servers have the record."), nil
	case Failed:
		return StepState{}, r.Problem
	case Wrong:
		return wrong("%s %s", r.Problem.Code.Info().Sentence, r.Problem.Detail), nil
	}
	st := notYet("%s %s", r.Problem.Code.Info().Sentence, r.Problem.Detail)
	st.Servers = r.Problem.Servers
	return st, nil
}

func (pl *Planner) lookHop(ctx context.Context, p *Plan) (StepState, error) {
	err := pl.Verifier.client().CheckNextHop(ctx, p.NextHop, pl.Own)
	if err == nil {
		return done("%s can be a next hop.", p.NextHop), nil
	}
	if pr := asProblem(p.NextHop, err); !pr.Code.failure() {
		return wrong("%s %s", pr.Code.Info().Sentence, pr.Detail), nil
	}
	return StepState{}, err
}

func (pl *Planner) lookPolicy(ctx context.Context, p *Plan) (StepState, error) {
	sts, err := pl.Verifier.client().MTASTS(ctx, p.Claim.Domain)
	if err != nil {
		return StepState{}, err
	}
	switch {
	case sts.Policy == nil:
		// Copies that senders hold go on counting: the time runs from now.
		return done("There is no policy any more."), nil
	case sts.Policy.Mode != "enforce":
		return done("The policy is in mode %s.", sts.Policy.Mode), nil
	}
	for _, h := range slices.Concat(names(p.Gateway), names(p.Old)) {
		if !sts.Policy.Allows(h) {
			return notYet("The policy does not list %s.", h), nil
		}
	}
	return done("The policy lists the gateway and the old hosts."), nil
}

// lookLock lets the probe decide where it can, and a person where it cannot.
func (pl *Planner) lookLock(ctx context.Context, p *Plan, s *Step) (StepState, error) {
	if pl.Prober == nil || pl.Prober.Recipient == "" {
		return asked(s), nil
	}
	h, err := pl.Prober.Probe(ctx, p.NextHop)
	if err != nil {
		return StepState{}, err
	}
	open := s.ID == StepUnlock
	switch {
	case h.Strangers == StrangersUnknown:
		return asked(s), nil
	case h.Strangers == StrangersYes && open:
		return asked(s), nil // the gateway is let in by a locked host too: a yes that it hears proves nothing
	case h.Strangers == StrangersNo && !open:
		return done("%s says %s to mail from strangers.", p.NextHop, h.Strangers), nil
	}
	return notYet("%s says %s to mail from strangers.", p.NextHop, h.Strangers), nil
}

func (pl *Planner) lookExposure(ctx context.Context, p *Plan) (StepState, error) {
	d, err := pl.Verifier.client().Discover(ctx, p.Claim.Domain, pl.Own)
	switch {
	case err != nil:
		return StepState{}, err
	case d.Connection != Connected:
		return wrong("These MX hosts are not the gateway's: %s.", strings.Join(d.strangers(), ", ")), nil
	case d.Wildcard:
		return wrong("A wildcard MX record lets mail for names below %s past the gateway: remove it or point it at the gateway.", p.Claim.Domain), nil
	}
	return done("All MX records lead to the gateway."), nil
}

// lookCleanup looks for records that still name the gateway.
func (pl *Planner) lookCleanup(ctx context.Context, p *Plan) (StepState, error) {
	c, d := pl.Verifier.client(), p.Claim.Domain
	v, err := pl.views(ctx, d, false)
	if err != nil {
		return StepState{}, err
	}
	for _, set := range v {
		if i := slices.IndexFunc(set.mx, func(m MXRecord) bool { return pl.Own.host(m.Host) }); i >= 0 {
			return wrong("There is an MX record for %s.", set.mx[i].Host), nil
		}
	}
	for _, name := range []string{d, "_mta-sts." + d, "mta-sts." + d, "_smtp._tls." + d, "_dmarc." + d} {
		values, f, err := c.texts(ctx, name)
		if err != nil {
			return StepState{}, err
		}
		if pl.Own.host(f.name) {
			return notYet("%s is an alias for %s.", name, show(f.name, 80)), nil
		}
		if host := pl.mentioned(values); host != "" {
			return notYet("A TXT record at %s names %s.", name, host), nil
		}
	}
	sts, err := c.MTASTS(ctx, d)
	if err != nil && asProblem(d, err).Code.failure() {
		return StepState{}, err
	}
	if sts.Policy != nil {
		for _, m := range p.Gateway {
			if slices.Contains(sts.Policy.MX, m.Host) {
				return notYet("The MTA-STS policy lists %s.", m.Host), nil
			}
		}
	}
	return done("Nothing names the gateway."), nil
}

func (pl *Planner) mentioned(values []string) string {
	for _, v := range values {
		words := strings.FieldsFunc(asciiLower(v), func(r rune) bool { return !isLDH(r) && r != '.' && r != '_' })
		for _, w := range words {
			if pl.Own.host(canonical(w)) {
				return show(w, 80)
			}
		}
	}
	return ""
}

func (pl *Planner) lookRecord(ctx context.Context, p *Plan, s *Step) (StepState, error) {
	values, _, err := pl.Verifier.client().texts(ctx, p.Record.Name)
	if err != nil {
		return StepState{}, err
	}
	if slices.ContainsFunc(values, func(v string) bool { return tokenOf(v) == tokenOf(p.Record.Value) }) {
		return notYet("The record is still there."), nil
	}
	return asked(s), nil
}

// view is the MX set of one server.
type view struct {
	server string
	mx     []MXRecord
	cached bool // a resolver: it may have an older set for as long as its TTL says
}

// views asks every authoritative server for the MX records, and the resolvers too if asked to. A server that does
// not answer is left out as long as at least half of the name servers do.
func (pl *Planner) views(ctx context.Context, domain string, resolvers bool) ([]view, error) {
	c := pl.Verifier.client()
	at, err := c.locate(ctx, domain)
	if err != nil {
		return nil, err
	}
	servers, _ := c.servers(ctx, at.zone)
	heard := map[string]bool{}
	out := make([]view, len(servers))
	each(maxServers, len(servers), func(i int) {
		out[i].server = servers[i].String()
		r, err := c.ask(ctx, servers[i].addr, domain, dns.TypeMX, 0)
		if err != nil || !r.aa || r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
			out[i].server = ""
			return
		}
		out[i].mx = mxSet(r, domain)
	})
	for i, v := range out {
		if v.server != "" {
			heard[servers[i].host] = true
		}
	}
	out = slices.DeleteFunc(out, func(v view) bool { return v.server == "" })
	if 2*len(heard) < len(at.zone.hosts) || len(heard) == 0 {
		return nil, &Problem{Code: UnreachableServers, Name: domain,
			Detail: fmt.Sprintf("%d of %d name servers gave an answer that counts.", len(heard), len(at.zone.hosts))}
	}
	if resolvers {
		for _, res := range c.resolvers() {
			r, err := c.ask(ctx, res, domain, dns.TypeMX, recursive)
			if err == nil && (r.rcode == dns.RcodeSuccess || r.rcode == dns.RcodeNameError) {
				out = append(out, view{"resolver " + addrText(res), mxSet(r, domain), true})
			}
		}
	}
	return out, nil
}

// longest is the longest time for which a set may still be in a cache.
func longest(set []MXRecord) (ttl time.Duration) {
	for _, m := range set {
		ttl = max(ttl, m.TTL)
	}
	return ttl
}

func mxSet(r *reply, domain string) (out []MXRecord) {
	for _, mx := range of[*dns.MX](r, domain) {
		if len(out) < maxMX {
			out = append(out, MXRecord{mxHost(mx.Mx), mx.Preference, time.Duration(mx.Hdr.Ttl) * time.Second})
		}
	}
	slices.SortFunc(out, func(a, b MXRecord) int { return cmp.Compare(a.Preference, b.Preference) })
	return out
}

// lookMX judges the MX sets of all servers. The worst one decides; servers that differ are named.
func (p *Plan) lookMX(s *Step, views []view) StepState {
	front, back := names(p.Gateway), names(p.Old)
	if p.Direction == Back {
		front, back = back, front
	}
	worst := done("All %d servers agree.", len(views))
	for _, v := range views {
		var st StepState
		switch s.ID {
		case StepTTL:
			st = lookTTL(v)
		case StepMX, StepWatch:
			st = lookFront(v, front, back)
		default: // old, ours, drain
			st = lookGone(v, front, back)
		}
		if st.Progress == StepDone {
			continue
		}
		if v.cached && st.Progress == StepWrong { // what is wrong in the zone itself shows at its servers
			st = notYet("A resolver has another set in its cache: %s", st.Detail)
			st.Until = time.Now().Add(longest(v.mx))
		}
		if worst.Progress == StepDone || worst.Progress == StepNotYet && st.Progress == StepWrong {
			st.Servers = worst.Servers
			worst = st
		}
		worst.Servers = append(worst.Servers, v.server)
	}
	return worst
}

func lookTTL(v view) StepState {
	for _, m := range v.mx {
		if m.TTL > shortTTL {
			return notYet("The MX record for %s has a TTL of %s.", m.Host, span(m.TTL))
		}
	}
	return done("The TTL is low.")
}

// lookFront wants all hosts that shall be in front, better than all others.
func lookFront(v view, front, back []string) StepState {
	worstFront, bestOther, other := -1, 1<<16, ""
	have := 0
	for _, m := range v.mx {
		if slices.Contains(front, m.Host) {
			have++
			worstFront = max(worstFront, int(m.Preference))
		} else if int(m.Preference) < bestOther {
			bestOther, other = int(m.Preference), m.Host
		}
	}
	switch {
	case have > 0 && bestOther <= worstFront:
		return wrong("%s has preference %d, which is not behind %d.", other, bestOther, worstFront)
	case have < len(front):
		return notYet("%d of %d new MX records are there.", have, len(front))
	case other != "" && !slices.Contains(back, other):
		return wrong("%s is an MX host that belongs to neither side.", other)
	}
	return done("The new MX records are in front.")
}

// lookGone wants only the hosts that shall be there.
func lookGone(v view, front, back []string) StepState {
	if len(v.mx) == 0 {
		return wrong("There is no MX record at all: mail goes to the address of the domain itself.")
	}
	for _, m := range v.mx {
		switch {
		case slices.Contains(front, m.Host):
		case slices.Contains(back, m.Host):
			return notYet("There is still an MX record for %s.", m.Host)
		default:
			return wrong("%s is an MX host that belongs to neither side.", m.Host)
		}
	}
	if len(v.mx) < len(front) {
		return wrong("%d of %d MX records are there.", len(v.mx), len(front))
	}
	return done("The other MX records are gone.")
}
