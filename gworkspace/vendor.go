package gworkspace

import (
	"fmt"
	"strings"
)

// vendors are what rules of other products are known by: a part of the name of the rule, or of a header that
// it looks for. Their own guides name them.
var vendors = []struct{ name, mark string }{
	{"Perception Point (also sold by Acronis and Fortinet)", "perception point"},
	{"Perception Point (also sold by Acronis and Fortinet)", "x-perception-point"},
	{"Palo Alto Networks Enterprise DLP", "x-panw-inspected"},
	{"Nightfall", "nightfall"},
	{"Check Point Harmony Email (Avanan)", "x-cloud-sec-av"},
}

// checkForeign finds rules of others that also send inbound mail elsewhere.
func (t *Tenant) checkForeign(o *observation, f *findings) {
	seen := map[string]bool{}
	for _, unit := range t.Profile.units() {
		for _, sub := range o.tree.below(unit) {
			states := o.tree.toggles(sub)
			for _, r := range o.tree.rules(sub) {
				st, known := states[r.id]
				if t.ours(r) || seen[r.id+r.name] || known && !st.on || !r.reroutes() {
					continue
				}
				seen[r.id+r.name] = true
				f.problem(t.foreign(r, sub))
			}
		}
	}
}

func (t *Tenant) foreign(r rule, unit string) Problem {
	p := Problem{Code: problemForeignRoute, Object: r.name, Blocks: t.Profile.Mode == Reroute && !t.Profile.accepts(problemForeignRoute),
		Text: fmt.Sprintf("a rule of somebody else (%s, in %s) sends inbound mail or copies of it elsewhere: two such rules make loops, copies, or mail that goes around the gateway", r.setting, unit),
		Do:   "delete or narrow it after asking whoever made it, or accept the problem " + problemForeignRoute}
	if strings.HasPrefix(r.name, t.Profile.ruleStem()) {
		p.Text = fmt.Sprintf("a rule with our name and another mark (in %s) sends inbound mail elsewhere: another installation, or one from before", unit)
		p.Do = "if nobody uses it, delete it; else give this installation other organizational units"
		return p
	}
	if v := vendorOf(r); v != "" {
		p.Text = fmt.Sprintf("a rule that %s left, or still uses (in %s), sends inbound mail elsewhere", v, unit)
		p.Do = "if that product is gone: turn the rule off, wait 24 hours, delete it, then its host and its addresses under Inbound gateway, and its delegation client last. If it stays, only one of the two can reroute"
	}
	return p
}

// vendorOf names the product that a rule is of, or is empty.
func vendorOf(r rule) string {
	texts := append(leaves(r.raw("matchExpressions")), r.name)
	for _, v := range vendors {
		for _, s := range texts {
			if strings.Contains(strings.ToLower(s), v.mark) {
				return v.name
			}
		}
	}
	return ""
}
