package gworkspace

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// tree is what policies mean for organizational units.
type tree struct {
	units    []Unit   // all, sorted by path
	policies []Policy // in the order in which they override each other, weakest first
	paths    map[string]string
}

// unknownUnit stands in paths for a unit that the directory does not know.
const unknownUnit = "?"

func newTree(policies []Policy, units []Unit) *tree {
	t := &tree{units: slices.Clone(units), policies: slices.Clone(policies), paths: map[string]string{"": "/"}}
	slices.SortFunc(t.units, func(a, b Unit) int { return strings.Compare(a.Path, b.Path) })
	for _, u := range t.units {
		t.paths[u.ID] = u.Path
	}
	slices.SortStableFunc(t.policies, func(a, b Policy) int {
		return cmp.Or(depth(t.path(a))-depth(t.path(b)), side(a)-side(b), cmp.Compare(a.SortOrder, b.SortOrder))
	})
	return t
}

// side puts what an administrator set above the defaults of Google.
func side(p Policy) int {
	if p.System {
		return 0
	}
	return 1
}

func depth(path string) int {
	if path == "/" {
		return 0
	}
	return strings.Count(path, "/")
}

// path is where a policy stands.
func (t *tree) path(p Policy) string {
	if path, ok := t.paths[p.Unit]; ok {
		return path
	}
	return unknownUnit + p.Unit
}

// over says whether a policy at path has effect on a unit.
func over(path, unit string) bool {
	return path == "/" || path == unit || strings.HasPrefix(unit, path+"/")
}

// below lists a unit and all units under it.
func (t *tree) below(unit string) []string {
	out := []string{unit}
	for _, u := range t.units {
		if u.Path != unit && over(unit, u.Path) {
			out = append(out, u.Path)
		}
	}
	return out
}

// known says whether the directory knows the unit, or cannot be asked.
func (t *tree) known(unit string) bool {
	return unit == "/" || len(t.units) == 0 || slices.ContainsFunc(t.units, func(u Unit) bool { return u.Path == unit })
}

// effective are the policies of a setting that count for a unit, weakest first. Those of groups are not among
// them.
func (t *tree) effective(setting, unit string) []Policy {
	var out []Policy
	for _, p := range t.policies {
		if p.Setting == setting && p.Group == "" && over(t.path(p), unit) {
			out = append(out, p)
		}
	}
	return out
}

// value joins the fields of a setting: each has the value of the strongest policy that sets it.
func (t *tree) value(setting, unit string) object {
	out := object{}
	for _, p := range t.effective(setting, unit) {
		o, _ := asObject(p.Value)
		for k, v := range o {
			out[k] = v
		}
	}
	return out
}

// A toggle is whether a rule is on in a unit, and where that was said.
type toggle struct {
	on     bool
	at     string // path of the unit
	policy string
}

// toggles are the states of all rules in a unit, by the id of the rule.
func (t *tree) toggles(unit string) map[string]toggle {
	out := map[string]toggle{}
	for _, p := range t.effective("gmail.rule_states", unit) {
		t.readToggles(p, out)
	}
	return out
}

func (t *tree) readToggles(p Policy, into map[string]toggle) {
	o, _ := asObject(p.Value)
	for _, raw := range o.list("ruleStates") {
		s, _ := asObject(raw)
		if on := s.flag("enabled"); on != nil && s.text("ruleId") != "" {
			into[s.text("ruleId")] = toggle{on: *on, at: t.path(p), policy: p.Name}
		}
	}
}

// groupToggles are the states that a group has for itself, by group and rule.
func (t *tree) groupToggles() map[string]map[string]toggle {
	out := map[string]map[string]toggle{}
	for _, p := range t.policies {
		if p.Setting == "gmail.rule_states" && p.Group != "" {
			if out[p.Group] == nil {
				out[p.Group] = map[string]toggle{}
			}
			t.readToggles(p, out[p.Group])
		}
	}
	return out
}

// A rule is one rule of the compliance settings.
type rule struct {
	id, name string
	setting  string // the setting it is of
	at       string // path of the unit
	policy   string
	object
}

// ruleLists are the settings that hold rules which can send mail elsewhere, and the field they are in.
var ruleLists = []struct{ setting, field string }{
	{"gmail.content_compliance", "contentComplianceRules"},
	{"gmail.attachment_compliance", "attachmentComplianceRules"},
	{"gmail.objectionable_content", "objectionableContentRules"},
}

// rules are those that act in a unit. Units inherit the rules of the ones above and may add their own; one of
// the same id further down replaces it.
func (t *tree) rules(unit string) []rule {
	var out []rule
	for _, l := range ruleLists {
		for _, p := range t.effective(l.setting, unit) {
			out = addRules(out, l.setting, l.field, t.path(p), p)
		}
	}
	return out
}

// allRules are the rules of all units.
func (t *tree) allRules() []rule {
	var out []rule
	for _, l := range ruleLists {
		for _, p := range t.policies {
			if p.Setting == l.setting && p.Group == "" {
				out = append(out, addRules(nil, l.setting, l.field, t.path(p), p)...)
			}
		}
	}
	return out
}

func addRules(out []rule, setting, field, at string, p Policy) []rule {
	o, _ := asObject(p.Value)
	for _, raw := range o.list(field) {
		r, ok := asObject(raw)
		if !ok {
			continue
		}
		one := rule{id: r.text("ruleId"), name: oneLine(r.text("description"), 300), setting: setting, at: at, policy: p.Name, object: r}
		if i := slices.IndexFunc(out, func(x rule) bool { return x.id != "" && x.id == one.id }); i >= 0 {
			out[i] = one
			continue
		}
		out = append(out, one)
	}
	return out
}

// delivery is what a rule does with the message itself.
func (r rule) delivery() object { return r.sub("consequence").sub("primaryDelivery") }

// reroutes says whether a rule sends inbound mail, or a copy of it, elsewhere.
func (r rule) reroutes() bool {
	d := r.delivery()
	return r.sub("condition").on("affectInboundMessages") &&
		(d.on("changeDefaultRoute") || d.on("changeEnvelopeRecipient") || r.sub("consequence").on("deliverToAdditionalRecipients"))
}

// raw is a part of the rule as it came.
func (r rule) raw(name string) json.RawMessage { return r.object[plainKey(name)] }
