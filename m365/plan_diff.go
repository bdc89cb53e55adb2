package m365

import (
	"fmt"
	"slices"
	"strings"
)

// A found is what stands in the tenant where a setting belongs.
type found struct {
	exists  bool
	ours    bool // it carries our mark, or the journal says that we made it
	id      string
	comment string
	values  map[string]any // of the setting's fields, in normal form
	extra   []Diff         // what somebody added to a rule of ours
}

// find looks for what a setting is about.
func (t *session) find(o *observation, s *setting) found {
	switch {
	case s.kind.owned():
		return t.findOwned(o, s)
	case s.kind == kindSpoof:
		return found{exists: true, ours: true, values: map[string]any{"Allow": t.pairsPresent(o, s.fields[0].normal().([]string))}}
	case s.kind == kindArc:
		return found{exists: true, ours: true, values: map[string]any{"ArcTrustedSealers": intersect(s.fields[0].normal().([]string), normWords(o.arc.ArcTrustedSealers))}}
	case s.kind == kindPrincipal:
		known := slices.ContainsFunc(o.apps, func(a ServicePrincipal) bool { return strings.EqualFold(a.AppId, s.name) })
		return found{exists: known, ours: true}
	case s.kind == kindConsent:
		return found{exists: o.consent.present, ours: true}
	}
	row := o.single(s.kind)
	h := found{exists: true, ours: true, values: map[string]any{}}
	for _, f := range s.fields {
		v := f.form.normal(row, f.name)
		if f.shared {
			v = intersect(f.normal().([]string), v.([]string))
		}
		h.values[f.name] = v
	}
	return h
}

func (t *session) findOwned(o *observation, s *setting) found {
	x, ours := t.objectOf(o, s.kind, s.maker(), s.name)
	if x == nil {
		return found{}
	}
	h := found{exists: true, ours: ours, id: first(x.guid, x.name), comment: x.comment, values: map[string]any{}}
	for _, f := range s.fields {
		h.values[f.name] = f.value(o, x)
	}
	if s.kind == kindRule && s.of == "" {
		h.extra = t.extras(x.row, s)
	}
	return h
}

// objectOf finds the object of a setting: by the GUID the journal holds, by our mark, and by its name, in
// this order. One that is found by its name alone is not ours.
func (t *session) objectOf(o *observation, k kind, id, name string) (x *object, ours bool) {
	all := o.objects(k)
	made := t.ledger.objects[id]
	for i := range all {
		if made.Guid != "" && strings.EqualFold(made.Guid, all[i].guid) {
			return &all[i], true
		}
	}
	for i := range all {
		if got, ok := t.Profile.marked(all[i].comment); ok && got == id {
			return &all[i], true
		}
	}
	for i := range all {
		if strings.EqualFold(all[i].name, name) {
			return &all[i], false
		}
	}
	return nil, false
}

// value reads a field of an object that can carry our mark.
func (f field) value(o *observation, x *object) any {
	switch {
	case x.kind == kindRule && f.name == "Enabled":
		state, _ := x.row.Text("State")
		return strings.EqualFold(state, "Enabled")
	case x.kind == kindRule && f.name == "Priority":
		return x.priority
	case f.name == "RouteMessageOutboundConnector":
		ref, _ := x.row.Text(f.name)
		return o.connectorName(ref)
	}
	return f.form.normal(x.row, f.name)
}

// extras lists conditions, exceptions and actions of a rule of ours that we did not put there.
func (t *session) extras(r Row, s *setting) []Diff {
	var out []Diff
	params := t.Exchange.schema["New-TransportRule"]
	for _, name := range r.Fields() {
		if slices.ContainsFunc(s.fields, func(f field) bool { return f.name == name }) {
			continue
		}
		_, exception := params["ExceptIf"+name]
		_, known := params[name]
		if !known || !exception && !strings.HasPrefix(name, "ExceptIf") && !slices.Contains(strongActions, name) {
			continue
		}
		if v := meaningful(r, name); v != nil {
			note := "somebody added this to our rule"
			if name == "RecipientDomainIs" || strings.HasPrefix(name, "SentTo") {
				note = "the scope is another one"
			}
			out = append(out, Diff{Name: name, Before: v, After: nil, Note: note})
		}
	}
	return out
}

// strongActions are what a rule could do that ours do not, beside conditions and exceptions.
var strongActions = []string{"DeleteMessage", "RedirectMessageTo", "RejectMessageReasonText", "BlindCopyTo", "CopyTo", "AddToRecipients",
	"ModerateMessageByUser", "ModerateMessageByManager", "Quarantine", "SetSCL", "RouteMessageOutboundConnector", "SetHeaderName", "RemoveHeader",
	"PrependSubject", "ApplyHtmlDisclaimerText", "ActivationDate", "ExpiryDate", "StopRuleProcessing"}

// meaningful returns the value of a field unless it is one of the many forms of nothing.
func meaningful(r Row, name string) any {
	s, ok := r.Text(name)
	if !ok {
		if list := r.Strings(name); len(list) > 0 {
			return formExact.set(list)
		}
		return nil
	}
	switch strings.ToLower(s) {
	case "", "false", "none", "0", "0 b (0 bytes)":
		return nil
	}
	return s
}

// diff says what has to change for the setting to be as wanted.
func (t *session) diff(s *setting, h found) []Diff {
	var out []Diff
	for _, f := range s.fields {
		have, want := h.values[f.name], f.normal()
		if h.exists && f.form.equal(have, want) {
			continue
		}
		if !h.exists {
			if f.empty() {
				continue
			}
			have = nil
		}
		d := Diff{Name: f.name, Before: f.show(have, t.secrets.Tokens), After: f.show(want, t.secrets.Tokens)}
		if f.shared {
			d.Note = "our part of the list; entries of others stay"
		}
		if h.exists && t.ledger.changedSince(s, f, have) {
			d.Note = strings.TrimPrefix(d.Note+"; somebody changed it after we did", "; ")
		}
		out = append(out, d)
	}
	if h.exists {
		out = append(out, h.extra...)
		if s.kind.owned() && s.of == "" {
			if id, ok := t.Profile.marked(h.comment); !ok || id != s.id {
				out = append(out, Diff{Name: s.kind.commentField(), Before: h.comment, After: t.Profile.markText(s.id)})
			}
		}
	}
	return out
}

// clears says whether a difference asks for a condition of a rule to go, which no form of a value does
// reliably: the rule is made anew instead.
func (s *setting) clears(diffs []Diff) bool {
	if s.kind != kindRule {
		return false
	}
	return slices.ContainsFunc(diffs, func(d Diff) bool {
		if d.After == nil {
			return true
		}
		list, ok := d.After.([]string)
		return ok && len(list) == 0
	})
}

// pairsPresent tells which of the wanted spoof pairs stand. The service may keep an address as its /24.
func (t *session) pairsPresent(o *observation, want []string) []string {
	out := []string{}
	for _, w := range want {
		if len(t.pairIDs(o, w, true)) > 0 {
			out = append(out, w)
		}
	}
	return out
}

// pairIDs returns the identities of the entries that stand for a pair: the pair itself, else its /24. Where the
// service makes no difference within a /24 and wide is asked for, a neighbour stands for it too.
func (t *session) pairIDs(o *observation, pair string, wide bool) []string {
	user, infra, typ := splitPair(pair)
	var same, network, near []string
	for _, s := range o.spoof {
		if !strings.EqualFold(s.SpoofedUser, user) || !strings.EqualFold(s.SpoofType, typ) || !strings.EqualFold(s.Action, "Allow") {
			continue
		}
		have := strings.ToLower(strings.TrimSpace(s.SendingInfrastructure))
		around := normInfrastructure(have) == normInfrastructure(infra)
		switch {
		case have == infra, normIP(have) == normIP(infra):
			same = append(same, s.Identity)
		case around && strings.Contains(have, "/"):
			network = append(network, s.Identity)
		case around && wide && t.ledger.wideSpoof:
			near = append(near, s.Identity)
		}
	}
	for _, found := range [][]string{same, network} {
		if len(found) > 0 {
			return found
		}
	}
	return near
}

func splitPair(pair string) (user, infra, typ string) {
	parts := strings.SplitN(pair, ", ", 3)
	if len(parts) != 3 {
		return "", "", ""
	}
	return parts[0], parts[1], strings.ToUpper(parts[2][:1]) + parts[2][1:]
}

// intersect returns the members of want that are in have.
func intersect(want, have []string) []string {
	out := []string{}
	for _, w := range want {
		if slices.Contains(have, w) {
			out = append(out, w)
		}
	}
	return out
}

// without returns the members of a that are not in b.
func without(a, b []string) []string {
	out := []string{}
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// objectName names what a setting is about for people.
func (s *setting) objectName() string {
	switch s.kind {
	case kindRule:
		return fmt.Sprintf("mail flow rule %q", s.name)
	case kindInbound:
		return fmt.Sprintf("inbound connector %q", s.name)
	case kindOutbound:
		return fmt.Sprintf("outbound connector %q", s.name)
	case kindConnection:
		return "connection filter policy Default"
	case kindContent:
		return "anti-spam policy Default"
	case kindOrganization:
		return "organization configuration"
	case kindSpoof:
		return "spoofed senders of the tenant allow/block list"
	case kindArc:
		return "trusted ARC sealers"
	case kindRoleGroup:
		return fmt.Sprintf("role group %q", s.name)
	case kindPrincipal:
		return "service principal " + s.name
	case kindConsent:
		return "enterprise application " + s.name
	}
	return s.name
}
