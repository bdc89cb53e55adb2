package m365

import (
	"fmt"
	"slices"
	"strings"
)

// A Vendor is a product whose guide makes objects with these names in a tenant.
type Vendor struct {
	Name     string   // as a profile and the command line name it
	Title    string   // as people do
	Outbound []string // connectors
	Inbound  []string
	Redirect []string     // rules that route to one of the outbound connectors
	Verdicts []VendorRule // rules that read a header
}

// A VendorRule is a rule known by its name and by the header it looks at.
type VendorRule struct{ Name, Header string }

// Vendors lists the products that are known.
func Vendors() []Vendor {
	return []Vendor{{
		Name: "perception-point", Title: "Perception Point",
		Outbound: []string{"Perception Point Scanning"},
		Inbound:  []string{"Disable IP Throttling on Perception Point Connector", "Inbound from Perception Point Only"},
		Redirect: []string{"Perception Point Redirect Rule"},
		Verdicts: []VendorRule{{highName, "X-PP-Forefront-Antispam-Report"}, {lowName, "X-PP-Forefront-Antispam-Report"},
			{"Perception Point Spam Rule", "X-PERCEPTION-POINT-SPAM"}, {"PerceptionPoint Quarantine Rule", "X-PERCEPTION-POINT-VERDICT"},
			{"Perception Point Quarantine Rule", "X-PERCEPTION-POINT-VERDICT"}},
	}, {
		Name: "mailprotector", Title: "Mailprotector",
		Inbound: []string{"Inbound from Mailprotector Only"},
	}}
}

// VendorByName returns the product of that name.
func VendorByName(name string) (Vendor, error) {
	var known []string
	for _, v := range Vendors() {
		if strings.EqualFold(v.Name, name) {
			return v, nil
		}
		known = append(known, v.Name)
	}
	return Vendor{}, fmt.Errorf("m365: unknown vendor %q: use one of %s", name, strings.Join(known, ", "))
}

// leftovers is what a vendor left in a tenant.
type leftovers struct {
	redirect, verdicts []object
	outbound, inbound  []object
	ips, pairs         []string // allow-listed addresses; identities of spoof pairs
	unlike             []Problem
}

// leftBy recognises what a vendor left: by name and by what the object does. One that has the name and does
// something else is left alone.
func (t *session) leftBy(o *observation, v Vendor, pr *Predecessor) leftovers {
	var l leftovers
	egress := normIPs(pr.Egress)
	ours := map[string]bool{}
	for _, s := range t.keptNames() {
		ours[strings.ToLower(s)] = true
	}
	sort := func(k kind, names []string, is func(object) bool, to *[]object) {
		for _, x := range o.objects(k) {
			_, marked := t.Profile.marked(x.comment)
			if marked || ours[strings.ToLower(x.name)] || !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, x.name) }) {
				continue
			}
			if !is(x) && !t.Force {
				l.unlike = append(l.unlike, Problem{Code: "vendor.unlike", Object: x.name,
					Text: "it has a name that " + v.Title + " uses, but is not what its guide makes with these addresses and this smart host",
					Do:   "it is left alone: check the addresses and the smart host, or remove it by hand, or force it"})
				continue
			}
			*to = append(*to, x)
		}
	}
	sort(kindOutbound, v.Outbound, func(x object) bool {
		return pr.SmartHost == "" || slices.Contains(normWords(x.row.Strings("SmartHosts")), strings.ToLower(pr.SmartHost))
	}, &l.outbound)
	sort(kindInbound, append(locksOf(o, egress), v.Inbound...), func(x object) bool {
		return len(egress) == 0 || len(without(normIPs(x.row.Strings("SenderIPAddresses")), egress)) == 0
	}, &l.inbound)
	sort(kindRule, v.Redirect, func(x object) bool {
		ref, _ := x.row.Text("RouteMessageOutboundConnector")
		name := o.connectorName(ref)
		return slices.ContainsFunc(v.Outbound, func(n string) bool { return strings.EqualFold(n, name) })
	}, &l.redirect)
	var names []string
	for _, r := range v.Verdicts {
		names = append(names, r.Name)
	}
	sort(kindRule, names, func(x object) bool { return v.verdict(x) }, &l.verdicts)
	l.ips = without(intersect(egress, normIPs(o.connection().IPAllowList)), t.ledger.added[idConnection])
	l.ips = without(l.ips, t.keptIPs())
	for _, s := range o.spoof {
		if s.Identity != "" && s.SpoofedUser == "*" && strings.EqualFold(s.Action, "Allow") && !t.ownPair(s) && slices.ContainsFunc(egress, func(ip string) bool {
			have := s.SendingInfrastructure
			return normIP(have) == ip || strings.Contains(have, "/") && normInfrastructure(have) == normInfrastructure(ip)
		}) {
			l.pairs = append(l.pairs, s.Identity)
		}
	}
	return l
}

// locksOf names the locks for exactly these addresses, whatever product the name was filled in for.
func locksOf(o *observation, egress []string) []string {
	var out []string
	for _, c := range o.inbound {
		low, ips := strings.ToLower(c.Name), normIPs(c.SenderIPAddresses)
		if strings.HasPrefix(low, "inbound from ") && strings.HasSuffix(low, " only") && len(ips) > 0 && len(without(ips, egress)) == 0 {
			out = append(out, c.Name)
		}
	}
	return out
}

// verdict says whether a rule reads the header that the vendor's guide names.
func (v Vendor) verdict(x object) bool {
	header, _ := x.row.Text("HeaderMatchesMessageHeader")
	return slices.ContainsFunc(v.Verdicts, func(r VendorRule) bool {
		return strings.EqualFold(r.Name, x.name) && strings.EqualFold(r.Header, header)
	})
}

// keptNames are names of the vendor that our own settings take over.
func (t *session) keptNames() []string {
	if t.Profile.Replaces == nil {
		return nil
	}
	var out []string
	for _, s := range t.Profile.settings(facts{}) {
		out = append(out, s.name)
	}
	return out
}

func (t *session) keptIPs() []string {
	if t.Profile.Replaces == nil {
		return nil
	}
	return t.Profile.egress()
}

// ownPair says whether the journal knows a spoof pair as ours.
func (t *session) ownPair(s SpoofItem) bool {
	for _, pair := range t.ledger.added[idSpoof] {
		if user, infra, typ := splitPair(pair); user == s.SpoofedUser && strings.EqualFold(typ, s.SpoofType) && normInfrastructure(infra) == normInfrastructure(s.SendingInfrastructure) {
			return true
		}
	}
	return false
}

// adoptable says whether an object that stands under one of our names is one that the product before made, and
// that we were asked to take over.
func (t *session) adoptable(o *observation, s *setting) bool {
	if t.Profile.Replaces == nil || s.kind != kindRule {
		return false
	}
	v, err := VendorByName(t.Profile.Replaces.Vendor)
	x, _ := t.objectOf(o, s.kind, s.id, s.name)
	return err == nil && x != nil && v.verdict(*x)
}
