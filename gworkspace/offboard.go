package gworkspace

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// drainTime is how long a rule may still act after it was turned off.
const drainTime = 24 * time.Hour

// Offboard reads the tenant and returns the steps that are left of the way out, in the order that loses no
// mail: what sends mail to the gateway first, what it needs to come back next, the access that confirms it
// last. Steps that are seen to be done, or told, are in InOrder. While mail may still be at the gateway the
// plan is blocked, and says until when.
func (t *Tenant) Offboard(ctx context.Context) (*Plan, error) {
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
		p.Steps = append(p.Steps, s)
	}
	// Of a chain whose middle is done, each step needs the one that is left before it.
	for i := range p.Steps {
		p.Steps[i].Needs = nil
		if i > 0 {
			p.Steps[i].Needs = []string{p.Steps[i-1].ID}
		}
	}
	if t.Profile.Mode == Reroute && done[idRuleOff] && !done[idDrain] {
		p.Problems = append(p.Problems, t.draining(ctx, o)...)
		if len(p.Problems) == 0 { // nothing is left to wait for
			p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.ID == idDrain })
			p.InOrder = append(p.InOrder, "Wait until the gateway is empty")
		}
	}
	if o.tree == nil {
		p.Notes = append(p.Notes, "Policies were not read ("+o.treeErr.Error()+"): say which steps are done.")
	}
	p.Notes = append(p.Notes, "Addresses and regexps of others under Inbound gateway stay. Hosts and the inbound gateway are shown by no API: a person has to see that they are gone.")
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
		if len(rules) == 0 {
			if off, known := t.ruleOffSince(o); !known || time.Since(off) >= drainTime {
				done[idDrain] = true
			}
		}
	}
	if ch := last(o.changes, func(c Change) bool { return c.Setting == "EMAIL_ROUTE" && c.about(t.Profile.hostName()) }); ch != nil && ch.removes() {
		done[idHostGone] = true
	}
	if t.Profile.Mode == MXFirst {
		google, _, _ := o.mxState(t.Profile)
		done[idMXBack] = google
	}
	return done
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

// ruleOffSince is when the rule was turned off or deleted: the last entry of the log about it, or what was
// told.
func (t *Tenant) ruleOffSince(o *observation) (time.Time, bool) {
	var at time.Time
	if ch := last(o.changes, func(c Change) bool { return c.about(t.Profile.ruleStem()) }); ch != nil {
		at = ch.At
	}
	for _, id := range []string{idRuleOff, idRuleGone} {
		if a := t.answer(id); a != nil && a.Done && a.At.After(at) {
			at = a.At
		}
	}
	return at, !at.IsZero()
}

// draining says what is waited for before the rest can go.
func (t *Tenant) draining(ctx context.Context, o *observation) []Problem {
	var out []Problem
	off, known := t.ruleOffSince(o)
	switch {
	case !known:
		out = append(out, Problem{Code: problemDrain, Object: t.Profile.ruleName(), Text: "the rule is off, and nobody can tell since when", Do: "wait 24 hours, and say when it was turned off", Blocks: true})
	case time.Since(off) < drainTime:
		out = append(out, Problem{Code: problemDrain, Object: t.Profile.ruleName(), Text: "the rule was turned off at " + off.UTC().Format(time.RFC3339) + ": it may still act in some places",
			Do: "do nothing else before " + off.Add(drainTime).UTC().Format(time.RFC3339), Blocks: true})
	}
	if t.QueueEmpty == nil {
		out = append(out, Problem{Code: problemQueue, Object: "gateway", Text: "nobody can tell whether the gateway still holds mail of the tenant", Do: "look at its queue and its quarantine, and say that the step " + idDrain + " is done", Blocks: true})
		return out
	}
	empty, err := t.QueueEmpty(ctx)
	switch {
	case err != nil:
		out = append(out, Problem{Code: problemQueue, Object: "gateway", Text: fmt.Sprintf("whether the gateway still holds mail cannot be told: %v", err), Do: "look at its queue", Blocks: true})
	case !empty:
		out = append(out, Problem{Code: problemQueue, Object: "gateway", Text: "the gateway still holds mail of the tenant", Do: "wait until its queue is empty: what is there comes back only while the other settings stand", Blocks: true})
	}
	return out
}
