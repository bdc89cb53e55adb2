package m365

import (
	"context"
	"time"
)

// PlanOffboard reads the tenant and returns the steps that take out what is ours and restore what was there
// before, in the order that loses no mail. What somebody changed after us stays as it is, unless Force is set.
// Without a journal, connectors and rules are known by their marks; entries of shared lists and single values
// are not, and a note says so.
func (t *Tenant) PlanOffboard(ctx context.Context) (*Plan, error) {
	s, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	o, err := s.observed(ctx)
	if err != nil {
		return nil, err
	}
	p, _ := s.planOffboard(o)
	return p, nil
}

func (t *session) planOffboard(o *observation) (*Plan, []*task) {
	profile := *t.Profile
	// MX stays the question, so that it is asked again when the plan is applied.
	p := &Plan{Version: planVersion, Direction: OffboardPlan, Tenant: o.org.Guid, Observed: o.fingerprint(), Made: time.Now().UTC(),
		MX: t.Tenant.MX, Force: t.Force, Profile: &profile}
	var tasks []*task
	undo := t.undoing(o)
	tasks = append(tasks, t.switchOffTasks(o)...)
	mx := t.mxBackTask(o)
	if mx != nil {
		tasks = append(tasks, mx)
	}
	for _, u := range undo {
		if mx != nil {
			u.task.step.Needs = append(u.task.step.Needs, mx.step.ID)
		}
		if u.id == idRedirect {
			u.task.gate = gateDrain
		} else { // while mail is at the gateway everything it needs to come back stays
			u.task.step.Needs = append(u.task.step.Needs, idRedirect+".remove")
		}
		tasks = append(tasks, u.task)
	}
	p.Problems = t.rights(o, tasks)
	if !t.ledger.open && len(undo) > 0 {
		p.Notes = append(p.Notes, "The journal knows of nothing that was done to this tenant. Connectors and rules are found by their marks; addresses, spoof pairs, "+
			"ARC sealers and changed values cannot be told from those of others and stay: take them off by hand.")
	}
	if len(undo) > 0 {
		p.Notes = append(p.Notes, "Proof of ownership in DNS (the TXT record) may be removed when all is done.")
	}
	p.fill(tasks)
	p.ID = p.sum()
	return p, tasks
}

// switchOffTasks turn off what changes the way of the mail, before anything else is touched.
func (t *session) switchOffTasks(o *observation) []*task {
	var out []*task
	for _, sw := range []struct {
		id, why, risk string
		k             kind
	}{
		{idLock, "Mail that comes in directly again must not be refused.", "From here on Exchange Online takes mail from anywhere.", kindInbound},
		{idRedirect, "No more mail goes to the gateway; what is there comes back while everything it needs still stands.", "Takes up to 30 minutes and more until it has effect.", kindRule},
	} {
		x, ours := t.objectOf(o, sw.k, sw.id, "")
		if x == nil || !ours || field(flag("Enabled", true)).value(o, x) != true {
			continue
		}
		s := &setting{id: sw.id + ".off", kind: sw.k, name: x.name}
		next := func(o *observation) []write {
			x, ours := t.objectOf(o, sw.k, sw.id, "")
			switch {
			case x == nil || !ours || flag("Enabled", true).value(o, x) != true:
				return nil
			case sw.k == kindRule:
				return []write{{call: Call{"Disable-TransportRule", Params{"Identity": first(x.guid, x.name)}, false}}}
			}
			return []write{{call: Call{"Set-InboundConnector", Params{"Identity": first(x.guid, x.name), "Enabled": false}, false}}}
		}
		out = append(out, &task{set: s, kind: sw.k, undo: true, next: next, step: Step{ID: s.id, Title: "Turn off " + s.objectName(), Object: s.objectName(),
			Verb: VerbDisable, Fields: []Diff{{Name: "Enabled", Before: true, After: false}}, Why: sw.why, Risk: sw.risk,
			Check: "It is shown as disabled.", Undo: "Enable it.", Roles: []string{roleFor("Set-" + string(sw.k))}}})
	}
	return out
}

// mxBackTask waits until mail no longer comes through the gateway.
func (t *session) mxBackTask(o *observation) *task {
	if t.Profile.Mode != MXFirst || t.Tenant.MX == MXNo {
		return nil
	}
	if x, ours := t.objectOf(o, kindInbound, idInbound, ""); x == nil || !ours {
		return nil
	}
	return &task{step: t.Profile.mxBackStep(), gate: gateMXBack}
}

// mxBackStep is the step that no cmdlet can do, on the way out.
func (p *Profile) mxBackStep() Step {
	st := p.mxStep()
	st.ID, st.Title, st.Needs = idMX+".back", "Move the MX records back to Exchange Online", []string{idLock + ".off"}
	st.Why, st.Risk = "Mail comes in directly again.", "Put the new record in before the old one goes. Mail that still comes through the gateway needs everything else to stand."
	st.Check, st.Undo = "An MX look-up of each domain names Exchange Online alone.", "Put the MX records of the gateway back."
	for i := range st.Console.Values {
		st.Console.Values[i].Value = "the host that the Microsoft 365 admin center shows under Settings > Domains > DNS records, <domain-with-dashes>.mail.protection.outlook.com"
	}
	st.Console.Expect = "Mail arrives directly."
	return st
}

// Offboard does a plan of [Tenant.PlanOffboard], as Apply does one of Plan. When nothing of ours is left the
// journal is closed and the secret of the loop removed from it.
func (t *Tenant) Offboard(ctx context.Context, p *Plan) (*Outcome, error) {
	return t.Apply(ctx, p)
}
