package gworkspace

import (
	"context"
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
		p.Notes = append(p.Notes, "Policies were not read ("+o.treeErr.Error()+"): say which steps are done.")
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
	if o.tree != nil && t.Profile.Mode == Reroute {
		rules := t.ourRules(o.tree.allRules())
		done[idRuleGone] = len(rules) == 0
		done[idRuleOff] = !t.anyOn(o.tree, rules)
	}
	host := func(c Change) bool { return c.Setting == "EMAIL_ROUTE" && c.about(t.Profile.hostName()) }
	if ch, a := last(o.changes, host), t.answer(idHostGone); ch != nil && (a == nil || ch.At.After(a.At)) {
		done[idHostGone] = ch.removes() // what happened after it was said counts
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

// ruleOffSince is when the rule went off: the last entry of the log about it, or what was told after that. logged says
// that the log knows the rule at all. An entry that says that it was made or turned on is no time at which it went off,
// and whatever was told before it is about an earlier time.
func (t *Tenant) ruleOffSince(o *observation) (at time.Time, known, logged bool) {
	ours := func(c Change) bool { return c.about(t.Profile.ruleStem()) }
	ch := last(o.changes, func(c Change) bool { return ours(c) || c.ruleState() })
	if ch != nil && !ch.turnsOn() {
		at = ch.At
	}
	for _, id := range []string{idRuleOff, idRuleGone} {
		if a := t.answer(id); a != nil && a.Done && a.At.After(at) && (ch == nil || a.At.After(ch.At)) {
			at = a.At
		}
	}
	return at, !at.IsZero(), last(o.changes, ours) != nil
}
