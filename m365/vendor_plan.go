package m365

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// PlanVendorRemoval returns the steps that take out what another product left in the tenant, recognised by
// the names and shapes of its guide, in the order that loses no mail. It needs no journal and no profile. Its
// plan is for Offboard.
func (t *Tenant) PlanVendorRemoval(ctx context.Context, pr Predecessor) (*Plan, error) {
	if t.Exchange == nil {
		return nil, errors.New("m365: a tenant needs a client")
	}
	if len(pr.Egress) == 0 && pr.SmartHost == "" {
		return nil, errors.New("m365: name the addresses or the smart host of the product: without them nothing tells its objects from others")
	}
	use := *t
	if use.Profile == nil {
		use.Profile = &Profile{}
	}
	s, err := use.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := VendorByName(pr.Vendor); err != nil {
		return nil, err
	}
	o, err := s.observed(ctx)
	if err != nil {
		return nil, err
	}
	p, _ := s.planVendor(o, &pr)
	p.Profile = t.Profile
	p.ID = p.sum()
	return p, nil
}

func (t *session) planVendor(o *observation, pr *Predecessor) (*Plan, []*task) {
	p := &Plan{Version: planVersion, Direction: VendorRemoval, Tenant: o.org.Guid, Observed: o.fingerprint(), Made: time.Now().UTC(),
		Force: t.Force, Vendor: pr, MX: t.moved}
	v, err := VendorByName(pr.Vendor)
	if err != nil {
		p.Problems = []Problem{{Code: "vendor.unknown", Object: pr.Vendor, Text: err.Error(), Do: "name a known one", Blocks: true}}
		return p, nil
	}
	l := t.leftBy(o, v, pr)
	off, rest := t.vendorTasks(o, v, l, pr.SmartHost)
	p.Problems = append(l.unlike, t.rights(o, append(slices.Clone(off), rest...))...)
	tasks := append(off, rest...)
	p.fill(tasks)
	return p, tasks
}

// vendorTasks take the leftovers out: first what changes the way of the mail, then the rest.
func (t *session) vendorTasks(o *observation, v Vendor, l leftovers, host string) (off, rest []*task) {
	for _, x := range slices.Concat(l.inbound, l.redirect) {
		restricts, _ := x.row.Bool("RestrictDomainsToIPAddresses")
		if flag("Enabled", true).value(o, &x) == true && (x.kind == kindRule || restricts) {
			off = append(off, t.vendorOff(v, x))
		}
	}
	for _, x := range slices.Concat(l.redirect, l.verdicts, l.outbound, l.inbound) {
		rest = append(rest, t.vendorRemove(v, x))
	}
	step := func(id, object, field string, gone []string, role string) Step {
		return Step{ID: id, Title: "Take off what " + v.Title + " left: " + object, Object: object, Verb: VerbRemove,
			Fields: []Diff{{Name: field, Before: gone, After: []string{}, Note: "entries of others stay"}}, Why: "They let in mail of a service that is no longer used.",
			Roles: []string{roleFor(role)}}
	}
	if len(l.pairs) > 0 {
		rest = append(rest, &task{kind: kindSpoof, undo: true, step: step("vendor.spoof-pairs", "spoofed senders of the tenant allow/block list", "Ids", l.pairs, "Remove-TenantAllowBlockListSpoofItems"),
			next: func(o *observation) []write {
				var ids []string
				for _, s := range o.spoof {
					if slices.Contains(l.pairs, s.Identity) {
						ids = append(ids, s.Identity)
					}
				}
				if len(ids) == 0 {
					return nil
				}
				return []write{{call: Call{"Remove-TenantAllowBlockListSpoofItems", Params{"Identity": "Default", "Ids": ids}, false}}}
			}})
	}
	if k := t.vendorList(o, l, step); k != nil {
		rest = append(rest, k)
	}
	if len(off) > 0 || len(l.redirect) > 0 { // what it needs to send mail back stays while it has some
		rest[0].gate = func(r *run) error {
			return r.drain(rest[0].step, host, func() (bool, string, error) { return true, "", nil })
		}
		rest[0].step.Wait = "until the trace shows no new hand-offs to " + v.Title
		for _, k := range rest[1:] {
			k.step.Needs = append(k.step.Needs, rest[0].step.ID)
		}
	}
	return off, rest
}

// vendorList takes addresses off the allow list, and turns the safe list off if nothing is left on it, as the
// guides do.
func (t *session) vendorList(o *observation, l leftovers, step func(id, object, field string, gone []string, role string) Step) *task {
	if len(l.ips) == 0 {
		return nil
	}
	st := step("vendor.connection-filter", "connection filter policy Default", "IPAllowList", l.ips, "Set-HostedConnectionFilterPolicy")
	f := o.connection()
	empty := len(without(normIPs(f.IPAllowList), l.ips)) == 0 && f.EnableSafeList != nil && *f.EnableSafeList
	if empty {
		st.Fields = append(st.Fields, Diff{Name: "EnableSafeList", Before: true, After: false})
	}
	return &task{kind: kindConnection, undo: true, step: st, next: func(o *observation) []write {
		out := t.dropWrites(o, kindConnection, l.ips)
		if on := o.connection().EnableSafeList; empty && on != nil && *on {
			out = append(out, write{call: Call{"Set-HostedConnectionFilterPolicy", Params{"Identity": "Default", "EnableSafeList": false}, false}})
		}
		return out
	}}
}

func (t *session) vendorOff(v Vendor, x object) *task {
	s := &setting{kind: x.kind, name: x.name}
	next := func(o *observation) []write {
		live := o.byGuid(x)
		switch {
		case live == nil || flag("Enabled", true).value(o, live) != true:
			return nil
		case x.kind == kindRule:
			return []write{{call: Call{"Disable-TransportRule", Params{"Identity": first(x.guid, x.name)}, false}}}
		}
		return []write{{call: Call{"Set-InboundConnector", Params{"Identity": first(x.guid, x.name), "Enabled": false}, false}}}
	}
	return &task{kind: x.kind, undo: true, next: next, step: Step{ID: "vendor.off." + first(x.guid, x.name), Title: "Turn off " + s.objectName(), Object: s.objectName(),
		Verb: VerbDisable, Fields: []Diff{{Name: "Enabled", Before: true, After: false}},
		Why: v.Title + " is taken out of the way of the mail before anything it needs is removed.", Undo: "Enable it.", Roles: []string{roleFor("Set-" + string(x.kind))}}}
}

func (t *session) vendorRemove(v Vendor, x object) *task {
	s := &setting{kind: x.kind, name: x.name}
	return &task{kind: x.kind, undo: true, step: Step{ID: "vendor.remove." + first(x.guid, x.name), Title: "Remove " + s.objectName(), Object: s.objectName(),
		Verb: VerbRemove, Fields: []Diff{{Name: "Name", Before: x.name, After: nil}}, Why: v.Title + " made it and is no longer used.",
		Roles: []string{roleFor("Remove-" + string(x.kind))}},
		next: func(o *observation) []write {
			if o.byGuid(x) == nil {
				return nil
			}
			return []write{{call: Call{"Remove-" + string(x.kind), Params{"Identity": first(x.guid, x.name)}, false}}}
		}}
}

// byGuid finds an object again.
func (o *observation) byGuid(x object) *object {
	for _, y := range o.objects(x.kind) {
		if strings.EqualFold(first(y.guid, y.name), first(x.guid, x.name)) {
			return &y
		}
	}
	return nil
}

// replaceVendor adds to a plan what takes the product before out: off before ours goes on, removed at the end.
func (t *session) replaceVendor(o *observation, b *build) {
	v, err := VendorByName(t.Profile.Replaces.Vendor)
	if err != nil {
		return // the profile has been checked
	}
	l := t.leftBy(o, v, t.Profile.Replaces)
	b.problems = append(b.problems, l.unlike...)
	off, rest := t.vendorTasks(o, v, l, t.Profile.Replaces.SmartHost)
	at := slices.IndexFunc(b.tasks, func(k *task) bool { return k.step.ID == idRedirectOn || k.step.ID == idMX })
	if at < 0 {
		at = len(b.tasks)
	}
	b.tasks = slices.Insert(b.tasks, at, off...)
	b.tasks = append(b.tasks, rest...)
}
