package m365

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An undoing is the task that takes one setting back.
type undoing struct {
	id   string
	task *task
}

// undoOrder is the order in which settings are taken back: what sends mail to the gateway first, what it
// needs to come back last.
var undoOrder = []string{idRedirect, idHigh, idLow, idSpam, idQuarantine, idReturn, idLock, idOutbound, idInbound,
	idSpoof, idArc, idConnection, idAntispam, idDirectSend, idConsent, idAccessGroup, idAccessApp}

// undoing lists what is ours in the tenant, as tasks that take it away or restore what was there before.
func (t *session) undoing(o *observation) []undoing {
	ids := map[string]kind{}
	for _, k := range []kind{kindRule, kindInbound, kindOutbound, kindRoleGroup} {
		for _, x := range o.objects(k) {
			if id, ok := t.Profile.marked(x.comment); ok {
				ids[id] = k
			}
		}
	}
	for id, m := range t.ledger.objects {
		ids[id] = m.Kind
	}
	for id, k := range t.ledger.kinds {
		ids[id] = k
	}
	rank := func(id string) int {
		if i := slices.Index(undoOrder, id); i >= 0 {
			return i
		}
		return -1 // of another version of this program: a rule, most likely
	}
	sorted := slices.SortedFunc(maps.Keys(ids), func(a, b string) int {
		return (rank(a)-rank(b))*1000 + strings.Compare(a, b)
	})
	var out []undoing
	for _, id := range sorted {
		if k := t.undoTask(o, id, ids[id]); k != nil {
			out = append(out, undoing{id, k})
		}
	}
	return out
}

// undoTask takes one setting back, or is nil if nothing is left of it.
func (t *session) undoTask(o *observation, id string, k kind) *task {
	switch {
	case k.owned():
		return t.removeTask(o, id, k)
	case k == kindPrincipal:
		return t.removeAppTask(o, id)
	case k == kindConsent:
		return t.revokeTask(o, id)
	}
	return t.restoreTask(o, id, k)
}

func (t *session) removeTask(o *observation, id string, k kind) *task {
	x, ours := t.objectOf(o, k, id, "")
	if x == nil || !ours {
		return nil
	}
	s := &setting{kind: k, name: x.name, id: id}
	st := Step{ID: id + ".remove", Title: "Remove " + s.objectName(), Object: s.objectName(), Verb: VerbRemove,
		Fields: []Diff{{Name: "Name", Before: x.name, After: nil}}, Why: "We made it.", Check: "It is no longer listed.",
		Undo: "Plan and apply again.", Roles: []string{roleFor("Remove-" + string(k))}}
	if id == idRedirect {
		st.Wait, st.Needs = "until the trace shows no new hand-offs to the gateway", []string{idRedirect + ".off"}
	}
	return &task{step: st, set: s, kind: k, undo: true, next: func(o *observation) []write { return t.removal(o, k, id, "") }}
}

func (t *session) removeAppTask(o *observation, id string) *task {
	app := t.ledger.added[id]
	if len(app) == 0 {
		return nil
	}
	next := func(o *observation) []write {
		for _, a := range o.apps {
			if strings.EqualFold(a.AppId, app[0]) {
				return []write{{drops: app, call: Call{"Remove-ServicePrincipal", Params{"Identity": first(a.Identity, a.AppId)}, false}}}
			}
		}
		return nil
	}
	if len(next(o)) == 0 {
		return nil
	}
	return &task{kind: kindPrincipal, undo: true, set: &setting{id: id, kind: kindPrincipal, name: app[0]}, next: next,
		step: Step{ID: id + ".remove", Title: "Make Exchange forget the application", Object: "service principal " + app[0], Verb: VerbRemove,
			Why: "We made it known.", Check: "Get-ServicePrincipal does not list it.", Roles: []string{roleFor("Remove-ServicePrincipal")}}}
}

// revokeTask takes back the consent that was not there before us.
func (t *session) revokeTask(o *observation, id string) *task {
	app := first(t.ledger.added[id]...)
	if app == "" || o.consent.known && !o.consent.present {
		return nil
	}
	s := t.Profile.consentSetting()
	st := Step{ID: id + ".revoke", Title: "Revoke the consent of the remediation application", Object: "enterprise application " + app,
		Verb: VerbRemove, Why: "Stopping to use it leaves its rights in the tenant.", Risk: "Delivered mail can no longer be taken back. Kept by Microsoft for 30 days.",
		Check: "Microsoft Entra > Enterprise applications does not list it.", Roles: []string{"the directory role Cloud Application Administrator"}}
	k := &task{step: st, set: s, kind: kindConsent, undo: true, gate: gateRevoke}
	before := t.ledger.first[id]
	if !o.consent.known || before["existed"] == true && before["grants"] == true {
		k.gate = nil
		k.step.Verb = VerbManual
		k.step.Console = &Console{Path: "Microsoft Entra admin center > Enterprise applications > the application > Properties > Delete, or Permissions > Revoke",
			Link:   appsLink,
			Values: []Value{{"Application (client) id", app}}, Expect: "The application is no longer listed, or has the permissions it had before."}
	}
	return k
}

// restoreTask puts back what was there before our first write, field by field: members of ours leave shared
// lists, single values return unless somebody changed them since.
func (t *session) restoreTask(o *observation, id string, k kind) *task {
	s := &setting{id: id, kind: k, name: "Default"}
	members := slices.Clone(t.ledger.added[id])
	restore, diffs, kept := t.compare(o, id, k, nil)
	if drops := t.dropWrites(o, k, members); len(drops) > 0 {
		diffs = append([]Diff{{Name: listOf(k), Before: drops[0].drops, After: []string{}, Note: "entries that we added; those of others stay"}}, diffs...)
	}
	if len(diffs) == 0 && len(kept) == 0 {
		return nil
	}
	st := Step{ID: id + ".restore", Title: "Restore " + s.objectName(), Object: s.objectName(), Verb: VerbRestore, Fields: append(diffs, kept...),
		Why: "This is what the tenant had before us.", Check: "Verify, or read it.", Undo: "Plan and apply again.", Roles: []string{roleFor("Set-" + string(k))}}
	if len(diffs) == 0 {
		st.Verb, st.Roles = VerbKeep, nil
		st.Title = "Leave " + s.objectName() + " as somebody set it"
		return &task{step: st, set: s, kind: k, undo: true}
	}
	return &task{step: st, set: s, kind: k, undo: true, next: func(o *observation) []write { return t.restoreWrites(o, k, members, restore) }}
}

// compare holds what is there against what was there before our first write and what we wrote last, but for the
// fields that are to be kept as we wrote them.
func (t *session) compare(o *observation, id string, k kind, keep []string) (restore map[string]any, diffs, kept []Diff) {
	restore = map[string]any{}
	row := o.single(k)
	for _, name := range slices.Sorted(maps.Keys(t.ledger.first[id])) {
		if slices.Contains(keep, name) {
			continue
		}
		before, last := t.ledger.first[id][name], t.ledger.last[id][name]
		f := plainField(name, before)
		live := f.form.normal(row, name)
		switch {
		case f.form.equal(live, before):
		case f.form.equal(live, last) || t.Force:
			restore[name] = before
			diffs = append(diffs, Diff{Name: name, Before: live, After: before})
		default:
			kept = append(kept, Diff{Name: name, Before: live, After: live,
				Note: fmt.Sprintf("it was %v before us and %v through us; %s", before, last, keptNote)})
		}
	}
	return restore, diffs, kept
}

// keptNote marks a value that offboarding leaves.
const keptNote = "somebody changed it since: force overwrites that"

func plainField(name string, v any) field {
	if _, ok := v.(bool); ok {
		return field{name: name, form: formBool}
	}
	return field{name: name, form: formText}
}

// restoreWrites is what is still to be written for that.
func (t *session) restoreWrites(o *observation, k kind, members []string, restore map[string]any) []write {
	out := t.dropWrites(o, k, members)
	set := Call{Cmdlet: "Set-" + string(k), Params: Params{}}
	if k != kindOrganization {
		set.Params["Identity"] = "Default"
	}
	row, n := o.single(k), 0
	for name, v := range restore {
		if f := plainField(name, v); !f.form.equal(f.form.normal(row, name), v) {
			set.Params[name] = v
			n++
		}
	}
	if n > 0 {
		out = append(out, write{call: set})
	}
	return out
}
