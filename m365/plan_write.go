package m365

import (
	"slices"
	"strings"
)

// A write is one call that changes the tenant, with what the journal has to know of it.
type write struct {
	call   Call
	adds   []string       // members of a shared list that become ours
	drops  []string       // and that cease to be
	values map[string]any // single values that are set, in normal form
	before map[string]any // what they were
	clear  string         // a list parameter to be emptied
}

// A task is a step together with how it is done: next says which writes are still to be made, given what
// stands. It is asked again after every round, so that a lost reply, a crash and a write that was made
// already all end in the same place.
type task struct {
	step Step
	set  *setting
	kind kind
	next func(*observation) []write
	// gate, if set, waits for what has to be. A *leftError leaves the task for a later run.
	gate func(*run) error
	// after, if set, is done once the task stands.
	after func(*run) error
	undo  bool
}

// writes says what has to be written for a setting to stand.
func (t *session) writes(o *observation, s *setting) []write {
	h := t.find(o, s)
	diffs := t.diff(s, h)
	if len(diffs) == 0 && h.exists {
		return nil
	}
	switch {
	case s.kind == kindSpoof:
		return t.pairWrites(s, h)
	case s.kind == kindArc:
		return t.arcWrites(o, s, h)
	case s.kind == kindPrincipal:
		return []write{{adds: []string{t.Profile.Access.AppID}, call: Call{"New-ServicePrincipal", Params{"AppId": t.Profile.Access.AppID, "ObjectId": t.Profile.Access.ObjectID,
			"DisplayName": t.Profile.product()}, false}}}
	case s.kind.owned():
		return t.ownedWrites(s, h, diffs)
	}
	return t.singleWrites(s, h, diffs)
}

func (t *session) pairWrites(s *setting, h found) []write {
	have, _ := h.values["Allow"].([]string)
	var out []write
	for _, pair := range without(s.fields[0].normal().([]string), have) {
		user, infra, typ := splitPair(pair)
		out = append(out, write{adds: []string{pair}, call: Call{"New-TenantAllowBlockListSpoofItems",
			Params{"Identity": "Default", "SpoofedUser": user, "SendingInfrastructure": infra, "SpoofType": typ, "Action": "Allow"}, false}})
	}
	return out
}

func (t *session) arcWrites(o *observation, s *setting, h found) []write {
	have, _ := h.values["ArcTrustedSealers"].([]string)
	adds := without(s.fields[0].normal().([]string), have)
	all := slices.Concat(o.sealers(), adds)
	return []write{{adds: adds, call: Call{"Set-ArcConfig", Params{"Identity": "Default", "ArcTrustedSealers": all}, false}}}
}

// singleWrites edits an object that exists once: single values are set, shared lists get our members.
func (t *session) singleWrites(s *setting, h found, diffs []Diff) []write {
	w := write{call: Call{Cmdlet: "Set-" + string(s.kind), Params: Params{}}, values: map[string]any{}, before: map[string]any{}}
	if s.kind != kindOrganization {
		w.call.Params["Identity"] = s.name
	}
	for _, f := range s.fields {
		if !slices.ContainsFunc(diffs, func(d Diff) bool { return d.Name == f.name }) {
			continue
		}
		if f.shared {
			have, _ := h.values[f.name].([]string)
			w.adds = without(f.normal().([]string), have)
			w.call.Params[f.name] = Edit{Add: w.adds}
			continue
		}
		w.call.Params[f.name] = f.param()
		w.values[f.name], w.before[f.name] = f.normal(), h.values[f.name]
	}
	return []write{w}
}

// ownedWrites makes or changes an object that carries our mark.
func (t *session) ownedWrites(s *setting, h found, diffs []Diff) []write {
	switch {
	case !h.exists && s.of != "":
		return nil // its maker failed, and says so
	case !h.exists:
		return []write{{call: t.newCall(s, s.made)}}
	case s.kind == kindRoleGroup:
		return []write{{call: Call{"Remove-RoleGroup", Params{"Identity": h.id}, false}}, {call: t.newCall(s, s.made)}}
	case s.clears(diffs):
		// The new one is off as any new one of its kind; the step that turns it on comes later.
		return []write{{call: Call{"Remove-" + string(s.kind), Params{"Identity": h.id}, false}}, {call: t.newCall(s, s.made)}}
	}
	var out []write
	set := Call{Cmdlet: "Set-" + string(s.kind), Params: Params{"Identity": h.id}}
	for _, f := range s.fields {
		if !slices.ContainsFunc(diffs, func(d Diff) bool { return d.Name == f.name }) {
			continue
		}
		switch {
		case s.kind == kindRule && f.name == "Enabled":
			verb := "Disable"
			if f.want == true {
				verb = "Enable"
			}
			out = append(out, write{call: Call{verb + "-TransportRule", Params{"Identity": h.id}, false}})
		case f.empty() && f.form != formText && f.form != formExact:
			out = append(out, write{call: Call{set.Cmdlet, Params{"Identity": h.id}, false}, clear: f.name})
		case f.empty():
			set.Params[f.name] = EmptyNull
		default:
			set.Params[f.name] = f.param()
		}
	}
	if c := s.kind.commentField(); slices.ContainsFunc(diffs, func(d Diff) bool { return d.Name == c }) {
		set.Params[c] = t.Profile.markText(s.id)
	}
	if len(set.Params) > 1 {
		out = append([]write{{call: set}}, out...)
	}
	return out
}

// newCall makes an object with everything that is wanted of it.
func (t *session) newCall(s *setting, made []field) Call {
	c := Call{Cmdlet: "New-" + string(s.kind), Params: Params{"Name": s.name, s.kind.commentField(): t.Profile.markText(s.id)}}
	for _, f := range slices.Concat(s.fields, made) {
		if !f.empty() {
			c.Params[f.name] = f.param()
		}
	}
	if _, ok := c.Params["Priority"]; s.kind == kindRule && !ok {
		c.Params["Priority"] = s.place
	}
	return c
}

// removal is what takes an object of ours away. Objects of others are never the answer.
func (t *session) removal(o *observation, k kind, id, name string) []write {
	x, ours := t.objectOf(o, k, id, name)
	if x == nil || !ours {
		return nil
	}
	return []write{{call: Call{"Remove-" + string(k), Params{"Identity": first(x.guid, x.name)}, false}}}
}

// cmdletsFor lists the cmdlets that a write to a kind may need.
func cmdletsFor(k kind, v Verb) []string {
	switch {
	case k == kindRule && (v == VerbEnable || v == VerbDisable):
		return []string{strings.ToUpper(string(v[:1])) + string(v[1:]) + "-TransportRule"}
	case k == kindSpoof && v == VerbRemove:
		return []string{"Remove-TenantAllowBlockListSpoofItems"}
	case k == kindSpoof:
		return []string{"New-TenantAllowBlockListSpoofItems"}
	case k == kindPrincipal && v != VerbRemove:
		return []string{"New-ServicePrincipal"}
	case k == kindConsent || k == kindProbe:
		return nil
	case !k.owned() && k != kindPrincipal, v == VerbUpdate, v == VerbAdopt, v == VerbEnable, v == VerbDisable:
		return []string{"Set-" + string(k)}
	case v == VerbRemove:
		return []string{"Remove-" + string(k)}
	case v == VerbReplace:
		return []string{"Remove-" + string(k), "New-" + string(k)}
	}
	return []string{"New-" + string(k)}
}
