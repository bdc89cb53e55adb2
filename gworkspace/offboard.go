package gworkspace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Offboard reads the tenant and returns the steps that are left of the way out, in the order that loses no
// mail: what sends mail to the gateway first, what it needs to come back next, the access that confirms it
// last. Steps that are seen to be done, or told, are in InOrder. While mail may still be at the gateway the
// plan is blocked, and says until when.
//
// With [Tenant.Probes] that have a Gateway one message is sent, to see whether mail still goes there.
func (t *Tenant) Offboard(ctx context.Context) (*Plan, error) {
	if t.Probes != nil {
		if err := t.Probes.check(); err != nil {
			return nil, err
		}
	}
	o, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	if t.observeStates(ctx, o); ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p := t.newPlan(OffboardPlan, o)
	done := t.undone(o)
	for _, s := range t.Profile.back() {
		if done[s.ID] {
			p.InOrder = append(p.InOrder, s.Title)
			continue
		}
		if o.tree != nil && (s.ID == idRuleOff || s.ID == idRuleGone) {
			s.Console.Values[0] = unitValue(t.rulePlaces(o.tree))
		}
		p.Steps = append(p.Steps, s)
	}
	if o.tree != nil && t.Profile.Mode == Reroute {
		p.Problems = append(p.Problems, t.renamed(o.tree)...)
	}
	p.Problems = append(p.Problems, t.lockedOut(o, nil)...)
	t.drain(ctx, o, p, done)
	// Of a chain whose middle is done, each step needs the one that is left before it.
	for i := range p.Steps {
		p.Steps[i].Needs = nil
		if i > 0 {
			p.Steps[i].Needs = []string{p.Steps[i-1].ID}
		}
	}
	if o.tree == nil {
		why := o.treeErr
		if errors.Is(why, errAccess) {
			why = o.accessErr
		}
		p.Notes = append(p.Notes, "Policies were not read ("+oneLine(why.Error(), 500)+"): say which steps are done.")
	}
	if s := o.mxState(t.Profile); s.err != nil && t.Profile.Mode == MXFirst {
		p.Notes = append(p.Notes, "DNS could not be asked ("+oneLine(s.err.Error(), 500)+"): whether the MX records are back is not known.")
	}
	p.Notes = append(p.Notes, t.unheard()...)
	p.Notes = append(p.Notes, "Addresses and regexps of others under Inbound gateway stay. Hosts and the inbound gateway are shown by no API: a person has to see that they are gone.")
	h := t.hider()
	h.problems(p.Problems)
	h.list(p.Notes)
	p.finish()
	return p, nil
}

// undone says which steps of the way out are done.
func (t *Tenant) undone(o *observation) map[string]bool {
	done := map[string]bool{}
	for _, s := range t.Profile.back() {
		if a := t.answer(s.ID); a != nil && a.Done {
			done[s.ID] = true
		}
	}
	ours := t.ofRule(o)
	on := last(o.changes, func(c Change) bool { return ours(c) && c.turnsOn() })
	for _, id := range ruleSteps { // whoever said so before the log shows it on was speaking of an earlier time
		if a := t.answer(id); a != nil && on != nil && on.At.After(a.At) {
			delete(done, id)
		}
	}
	host := func(c Change) bool { return c.Setting == "EMAIL_ROUTE" && c.about(t.Profile.hostName()) }
	if ch, a := last(o.changes, host), t.answer(idHostGone); ch != nil && (a == nil || ch.At.After(a.At)) {
		done[idHostGone] = ch.removes() // what happened after it was said counts
	}
	switch {
	case t.Profile.Mode != Reroute:
	case o.tree != nil:
		rules := t.ourRules(o.tree.allRules())
		done[idRuleGone] = len(rules) == 0
		done[idRuleOff] = !t.anyOn(o.tree, rules)
	case o.auditErr != nil && done[idGatewayGone] && (done[idAccessGone] || done[idKeyGone]):
		// Nobody can read any more, as is right at this point of the chain. What was read so far was not told, and
		// stands before what was.
		for _, id := range []string{idRuleOff, idDrain, idRuleGone, idHostGone} {
			a := t.answer(id)
			done[id] = a == nil || a.Done
		}
	}
	if s := o.mxState(t.Profile); t.Profile.Mode == MXFirst && s.err == nil {
		done[idMXBack] = s.google
	}
	return done
}

// rulePlaces are the units in which our rules stand, or were turned on: the profile may have named others since.
func (t *Tenant) rulePlaces(tr *tree) []string {
	var out []string
	for _, r := range t.ourRules(tr.allRules()) {
		out = append(out, r.at)
		for _, u := range tr.units {
			if st, ok := tr.toggles(u.Path)[r.id]; ok && st.on && over(r.at, u.Path) {
				out = append(out, st.at)
			}
		}
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 {
		return t.Profile.units()
	}
	return out
}

// renamed finds rules of another name that look for our header, and so send mail to the gateway as ours does. To
// go on while one acts would take away what its mail needs to come back.
func (t *Tenant) renamed(tr *tree) []Problem {
	var out []Problem
	header := strings.ToLower(t.Profile.Headers.token())
	for _, r := range tr.allRules() {
		mine := slices.ContainsFunc(leaves(r.raw("matchExpressions")), func(s string) bool { return strings.Contains(strings.ToLower(s), header) })
		if t.ours(r) || !mine || !r.reroutes() || !t.anyOn(tr, []rule{r}) {
			continue
		}
		out = append(out, Problem{Code: problemForeignRoute, Object: r.name, Blocks: !t.Profile.accepts(problemForeignRoute),
			Text: "this rule (in " + r.at + ") has another name than ours and looks for " + t.Profile.Headers.token() + ": it still sends mail to the gateway",
			Do:   "if it is ours and was renamed, turn it off there and wait 24 hours; if it is of another installation, which has other hosts and addresses, accept the problem " + problemForeignRoute})
	}
	return out
}

// anyOn says whether a rule acts in any unit or group. One without a state may.
func (t *Tenant) anyOn(tr *tree, rules []rule) bool {
	units := []string{"/"}
	for _, u := range tr.units {
		units = append(units, u.Path)
	}
	for _, u := range units {
		states := tr.toggles(u)
		for _, r := range rules {
			if st, ok := states[r.id]; over(r.at, u) && (!ok || st.on) {
				return true
			}
		}
	}
	for _, states := range tr.groupToggles() {
		for _, r := range rules {
			if states[r.id].on {
				return true
			}
		}
	}
	return false
}

// ofRule says whether an entry of the log is about our rule: by its name, or by the beginning of its id, which is what
// the log mostly has.
func (t *Tenant) ofRule(o *observation) func(Change) bool {
	var ids []string
	if o.tree != nil {
		for _, r := range t.ourRules(o.tree.allRules()) {
			begin, _, _ := strings.Cut(r.id, "-")
			ids = append(ids, begin, r.id)
		}
	}
	return func(c Change) bool {
		return c.about(t.Profile.ruleStem()) || c.Name != "" && slices.Contains(ids, c.Name)
	}
}

// ruleOffSince is when the rule went off; zero: nobody can tell. It is known in two ways alone: the last entry of the
// log about each of its places says that it was turned off or deleted there, or a person said so after all of them.
// Edits, the states of rules that have no name, and what was said before prove nothing. Silent: the log was read, and
// does not know the rule.
func (t *Tenant) ruleOffSince(o *observation, gone bool) (at time.Time, silent bool) {
	places := map[[2]string]Change{} // the last of each name and unit
	var newest time.Time
	ours := t.ofRule(o)
	for _, c := range o.changes {
		if ours(c) {
			places[[2]string{c.Name, c.Unit}], newest = c, c.At
		}
	}
	proven := 0
	for _, c := range places {
		switch {
		case c.turnsOff() || c.removes() && gone:
			proven++
			at = later(at, c.At)
		case c.removes(): // of another one: this one stands
		default:
			return t.saidOffSince(newest), false
		}
	}
	if proven == 0 || proven < t.switches(o.tree) {
		at = t.saidOffSince(newest)
	}
	return at, o.auditErr == nil && len(places) == 0
}

// saidOffSince is from when on people say that the rule is off, of what they said after a time; zero: they do not.
func (t *Tenant) saidOffSince(after time.Time) time.Time {
	off, gone := t.since(idRuleOff, after), t.since(idRuleGone, after)
	if off.IsZero() || !gone.IsZero() && gone.Before(off) {
		return gone
	}
	return off
}

// switches counts the places in which policies turn our rules on or off.
func (t *Tenant) switches(tr *tree) int {
	if tr == nil {
		return 0
	}
	n := 0
	rules := t.ourRules(tr.allRules())
	for _, p := range tr.policies {
		states := map[string]toggle{}
		if p.Setting == "gmail.rule_states" {
			tr.readToggles(p, states)
		}
		if slices.ContainsFunc(rules, func(r rule) bool { _, ok := states[r.id]; return ok }) {
			n++
		}
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
