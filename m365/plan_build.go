package m365

import (
	"slices"
	"strings"
)

// A build is the list of tasks that lead to what is wanted, and what was noticed on the way.
type build struct {
	facts    facts
	settings []*setting
	tasks    []*task
	inOrder  []string
	problems []Problem
}

// build compares every setting with what stands.
func (t *session) build(o *observation) *build {
	b := &build{facts: t.facts(o)}
	b.settings = t.Profile.settings(b.facts)
	if o.org.IsDehydrated != nil && *o.org.IsDehydrated && t.Profile.EnableCustomization {
		b.tasks = append(b.tasks, t.customizeTask())
	}
	x, _ := t.objectOf(o, kindInbound, idInbound, t.Profile.inboundName())
	if left, ours := t.objectOf(o, kindInbound, idProbe, ""); x == nil || left != nil && ours {
		b.tasks = append(b.tasks, t.probeTask())
	}
	remade := map[string]bool{}
	for _, s := range b.settings {
		t.buildSetting(o, b, s, remade)
	}
	lock, rest := t.retire(o, b.settings)
	b.tasks = slices.Concat(lock, b.tasks, rest)
	if t.Profile.Replaces != nil {
		t.replaceVendor(o, b)
	}
	return b
}

// facts finds out what the settings depend on.
func (t *session) facts(o *observation) facts {
	if len(t.secrets.Tokens) == 0 {
		if token := t.liveToken(o); token != "" {
			t.secrets.Tokens = []string{token}
		}
	}
	f := facts{moved: t.moved, tokens: t.secrets.Tokens}
	if len(f.tokens) == 0 {
		f.tokens = []string{shownSecret} // Apply makes one
	}
	f.priority = t.redirectPlace(o)
	f.below = f.priority
	if x, ours := t.objectOf(o, kindRule, idRedirect, ""); x != nil && ours {
		f.below = x.priority + 1
	}
	return f
}

// liveToken is the secret that a redirect rule of ours holds, when the journal has none.
func (t *session) liveToken(o *observation) string {
	if x, ours := t.objectOf(o, kindRule, idRedirect, ""); x != nil && ours {
		if v, _ := x.row.Text("SetHeaderValue"); tokenForm.MatchString(v) {
			return v
		}
	}
	return ""
}

// redirectPlace is where the redirect rule belongs: first, but below the rules of the tenant that block
// addresses, since the connecting address is another one when the mail comes back.
func (t *session) redirectPlace(o *observation) int {
	self, _ := t.objectOf(o, kindRule, idRedirect, t.Profile.redirectName())
	place, n := 0, 0
	for _, r := range o.rules {
		if self != nil && self.guid == r.Guid && self.name == r.Name {
			continue
		}
		n++
		if t.foreignRule(r) && blocksAddresses(r) {
			place = n
		}
	}
	return place
}

// foreignRule says whether a rule is not ours.
func (t *session) foreignRule(r TransportRule) bool {
	if _, ok := t.Profile.marked(r.Comments); ok {
		return false
	}
	for _, m := range t.ledger.objects {
		if m.Guid != "" && strings.EqualFold(m.Guid, r.Guid) {
			return false
		}
	}
	return true
}

// blocksAddresses says whether a rule refuses or holds mail by the address it comes from.
func blocksAddresses(r TransportRule) bool {
	if len(r.SenderIpRanges) == 0 {
		return false
	}
	yes := func(b *bool) bool { return b != nil && *b }
	if yes(r.DeleteMessage) || yes(r.Quarantine) {
		return true
	}
	for _, name := range []string{"RejectMessageReasonText", "RejectMessageEnhancedStatusCode", "SmtpRejectMessageRejectText", "SmtpRejectMessageRejectStatusCode", "Disconnect"} {
		if meaningful(r.Row, name) != nil {
			return true
		}
	}
	return r.SetSCL != nil && *r.SetSCL >= 5
}

// buildSetting adds the task that makes a setting stand, if it does not.
func (t *session) buildSetting(o *observation, b *build, s *setting, remade map[string]bool) {
	if s.kind == kindConsent {
		t.buildConsent(o, b, s)
		return
	}
	if s.blocked != "" {
		b.tasks = append(b.tasks, &task{step: t.Profile.mxStep()})
		return
	}
	h := t.find(o, s)
	verb := VerbUpdate
	switch {
	case remade[s.of]:
		h = found{}
	case h.exists && !h.ours && t.adoptable(o, s):
		verb = VerbAdopt
	case h.exists && !h.ours:
		b.problems = append(b.problems, Problem{Code: "name.taken", Object: s.name, Blocks: true,
			Text: "the " + s.objectName() + " exists and is not ours: it has no mark of ours and the journal does not know it",
			Do:   "rename or remove it, use another product name, or name the product that made it under replaces; if the journal directory is another one, use that"})
		return
	}
	diffs := t.diff(s, h)
	if len(diffs) == 0 && h.exists {
		b.inOrder = append(b.inOrder, s.title)
		if s.of == "" && s.kind.owned() && t.ledger.objects[s.id].Guid != h.id {
			b.inOrder[len(b.inOrder)-1] += " (found by its mark)"
		}
		return
	}
	switch {
	case s.of != "":
		verb = VerbEnable
		if h.values == nil {
			diffs = []Diff{{Name: "Enabled", Before: false, After: true}}
		}
	case !h.exists:
		verb, remade[s.id] = VerbCreate, true
	case s.clears(diffs), s.kind == kindRoleGroup:
		verb, remade[s.id] = VerbReplace, true
	}
	b.tasks = append(b.tasks, t.settingTask(s, verb, diffs))
}

// settingTask is the task that makes a setting stand.
func (t *session) settingTask(s *setting, verb Verb, diffs []Diff) *task {
	k := &task{step: s.step(verb, diffs), set: s, kind: s.kind, next: func(o *observation) []write { return t.writes(o, s) }}
	switch s.id {
	case idLockOn:
		k.gate = gateLock
	case idRedirectOn:
		k.after = afterRedirect
	case idOutbound:
		k.after = afterOutbound
	}
	return k
}

// step turns a setting into data.
func (s *setting) step(verb Verb, diffs []Diff) Step {
	out := Step{ID: s.id, Title: s.title, Object: s.objectName(), Verb: verb, Fields: diffs, Why: s.why, Risk: s.risk,
		Needs: s.needs, Wait: s.wait, Check: s.check, Undo: s.undo}
	if verb == VerbReplace {
		out.Risk = strings.TrimSpace(out.Risk + " It is removed and made again, since what has to go from it cannot be cleared reliably.")
	}
	for _, c := range cmdletsFor(s.kind, verb) {
		out.Roles = append(out.Roles, roleFor(c))
	}
	slices.Sort(out.Roles)
	out.Roles = slices.Compact(out.Roles)
	return out
}

// buildConsent asks a person for consent when it is missing, or when nobody can tell.
func (t *session) buildConsent(o *observation, b *build, s *setting) {
	if o.consent.present {
		b.inOrder = append(b.inOrder, s.title)
		return
	}
	st := s.step(VerbManual, nil)
	st.Roles = []string{"the directory role Privileged Role Administrator or Global Administrator"}
	k := &task{step: st, set: s, kind: kindConsent}
	if o.consent.known {
		k.step.Verb, k.gate = VerbCreate, gateGrant
		k.step.Fields = []Diff{{Name: "Permissions", Before: []string{}, After: RemediationPermissions()}}
	} else {
		c := s.console
		k.step.Console = &c
		k.step.Wait = "whether it was given cannot be told without access to Microsoft Graph"
	}
	b.tasks = append(b.tasks, k)
}

// customizeTask opens a tenant whose policies cannot be edited yet.
func (t *session) customizeTask() *task {
	st := Step{ID: idCustomize, Title: "Allow customization of the organization", Object: "organization configuration", Verb: VerbEnable,
		Fields: []Diff{{Name: "IsDehydrated", Before: true, After: false}},
		Why:    "The policies of a new tenant are shared and cannot be edited.", Risk: "This cannot be undone: offboarding leaves it.",
		Wait: "from minutes to hours", Check: "Get-OrganizationConfig: IsDehydrated is False.", Undo: "There is none.",
		Roles: []string{roleFor("Enable-OrganizationCustomization")}}
	return &task{step: st, kind: kindOrganization, gate: gateCustomize, next: func(o *observation) []write { return nil }}
}

// probeTask is the step that shows whether the tenant can have inbound connectors at all. It is done before
// any other, so that nothing is left half done where the answer is no.
func (t *session) probeTask() *task {
	return &task{kind: kindProbe, step: Step{ID: idProbe, Title: "See whether the tenant can have inbound connectors", Object: "inbound connector " + t.Profile.product() + " Probe",
		Verb: VerbProbe, Why: "Developer and some new tenants cannot have any. A disabled one is made and removed again, before anything else is changed.",
		Check: "It is not listed.", Undo: "Remove it, should it be listed."}}
}

// retire takes away what is ours and no longer wanted: a lock before anything else, since it refuses mail; the way
// through the loop only once mail comes to the gateway by the MX records.
func (t *session) retire(o *observation, wanted []*setting) (lock, rest []*task) {
	for _, u := range t.undoing(o) {
		loop := slices.Contains([]string{idRedirect, idReturn, idHigh, idLow, idOutbound}, u.id)
		switch {
		case byID(wanted, u.id) != nil, u.id == idProbe:
		case u.id == idLock:
			lock = append(lock, u.task)
		case loop && t.Profile.Mode == MXFirst && t.moved != MXYes:
			if u.id == idRedirect {
				t.skipped = append(t.skipped, "The redirect rule and what it needs stay until the MX records name the gateway: plan again when they do.")
			}
		default:
			rest = append(rest, u.task)
		}
	}
	for _, s := range wanted {
		if k := t.leftOver(o, s); k != nil {
			rest = append(rest, k)
		}
	}
	return lock, rest
}

// leftOver takes back what we did to an object beyond what its setting still asks for: members of a shared list and
// single values. It is the last thing that is done, since mail may still come from an old address.
func (t *session) leftOver(o *observation, s *setting) *task {
	if s.kind.owned() || s.kind == kindConsent || s.kind == kindPrincipal {
		return nil
	}
	old := slices.Clone(t.ledger.added[s.id])
	var keep []string
	for _, f := range s.fields {
		if f.shared {
			old = without(old, f.normal().([]string))
		} else {
			keep = append(keep, f.name)
		}
	}
	restore, diffs, kept := t.compare(o, s.id, s.kind, keep)
	if len(t.dropWrites(o, s.kind, old)) > 0 {
		diffs = append([]Diff{{Name: listOf(s.kind), Before: old, After: []string{}, Note: "entries that we added; those of others stay"}}, diffs...)
	}
	if len(diffs) == 0 {
		return nil
	}
	return &task{kind: s.kind, undo: true, next: func(o *observation) []write { return t.restoreWrites(o, s.kind, old, restore) },
		step: Step{ID: s.id + ".old", Title: "Take back what is no longer wanted: " + s.objectName(), Object: s.objectName(), Verb: VerbRestore,
			Fields: append(diffs, kept...), Why: "The profile no longer asks for it.", Risk: "Mail that is still on its way from an old address is judged like any other.",
			Roles: []string{roleFor("Set-" + string(s.kind))}, Check: "It is as it was before us.", Undo: "Put it in the profile again."}}
}

// listOf names the list of a kind that is shared with others.
func listOf(k kind) string {
	return map[kind]string{kindConnection: "IPAllowList", kindSpoof: "Allow", kindArc: "ArcTrustedSealers"}[k]
}

// dropWrites takes members off a shared list.
func (t *session) dropWrites(o *observation, k kind, members []string) []write {
	switch k {
	case kindConnection:
		if gone := intersect(members, normIPs(o.connection().IPAllowList)); len(gone) > 0 {
			return []write{{drops: gone, call: Call{"Set-HostedConnectionFilterPolicy", Params{"Identity": "Default", "IPAllowList": Edit{Remove: rawIPs(o.connection().IPAllowList, gone)}}, false}}}
		}
	case kindArc:
		live := o.sealers()
		if gone := intersect(members, normWords(live)); len(gone) > 0 {
			rest := slices.DeleteFunc(live, func(d string) bool { return slices.Contains(gone, strings.ToLower(d)) })
			if len(rest) == 0 {
				rest = []string{" "} // the documented way to empty this list
			}
			return []write{{drops: gone, call: Call{"Set-ArcConfig", Params{"Identity": "Default", "ArcTrustedSealers": rest}, false}}}
		}
	case kindSpoof:
		var ids, gone []string
		for _, m := range members {
			if got := t.pairIDs(o, m, false); len(got) > 0 {
				ids, gone = append(ids, got...), append(gone, m)
			}
		}
		if len(ids) > 0 {
			slices.Sort(ids)
			return []write{{drops: gone, call: Call{"Remove-TenantAllowBlockListSpoofItems", Params{"Identity": "Default", "Ids": slices.Compact(ids)}, false}}}
		}
	}
	return nil
}

// rawIPs returns the entries of a list as the service wrote them.
func rawIPs(list, normal []string) []string {
	var out []string
	for _, s := range list {
		if slices.Contains(normal, normIP(strings.TrimSpace(s))) {
			out = append(out, s)
		}
	}
	return out
}
