package m365

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// acceptable are the codes of problems that a profile may accept, each a thing that can be meant.
var acceptable = []string{"preset.in-force", "hybrid.connectors", "gateway.other", "lock.other"}

// preflight finds what is in the way before the first write.
func (t *session) preflight(ctx context.Context, o *observation, b *build) []Problem {
	var out []Problem
	if len(b.tasks) > 0 {
		out = t.rights(o, b.tasks)
		out = append(out, t.cmdletRights(ctx, b.tasks)...)
	}
	out = append(out, t.tenantProblems(o)...)
	out = append(out, t.limits(o, b)...)
	out = append(out, t.foreign(o)...)
	out = append(out, t.policyProblems(o)...)
	if slices.ContainsFunc(b.tasks, func(k *task) bool { return k.step.ID == idRedirect }) {
		out = append(out, t.recipientProblems(ctx)...)
	}
	out = append(out, t.above(o, b.facts.priority)...)
	for i := range out {
		if out[i].Blocks && slices.Contains(acceptable, out[i].Code) {
			if t.Profile.accepts(out[i].Code) {
				out[i].Blocks = false
			} else {
				out[i].Do += "; if it is meant like this, name " + out[i].Code + " under accept in the profile"
			}
		}
	}
	return out
}

// rights names the rights whose lack already showed when the tenant was read.
func (t *session) rights(o *observation, _ []*task) []Problem {
	var out []Problem
	for _, e := range o.denied {
		out = append(out, Problem{Code: "rights.missing", Object: e.Cmdlet, Blocks: true, Text: "whoever signed in may not run " + e.Cmdlet,
			Do: "give " + first(roleFor(e.Cmdlet), "the directory role Exchange Administrator") + ", and sign in again: a new role takes minutes to hours to count"})
	}
	return out
}

// cmdletRights asks which cmdlets may be run at all, so that a missing right shows before the first write.
func (t *session) cmdletRights(ctx context.Context, tasks []*task) []Problem {
	may, err := t.Exchange.Cmdlets(ctx)
	if err != nil || len(may) == 0 {
		t.skipped = append(t.skipped, "Which cmdlets may be run could not be asked beforehand: a missing right shows at the step that needs it, and the run stops there.")
		return nil
	}
	var out []Problem
	var asked []string
	for _, k := range tasks {
		if !k.step.Verb.writes() {
			continue
		}
		for _, c := range cmdletsFor(k.kind, k.step.Verb) {
			if slices.Contains(asked, c) {
				continue
			}
			asked = append(asked, c)
			if !slices.ContainsFunc(may, func(m string) bool { return strings.EqualFold(m, c) }) {
				out = append(out, Problem{Code: "rights.missing", Object: c, Blocks: true, Text: "whoever signed in may not run " + c,
					Do: "give " + first(roleFor(c), "the directory role Exchange Administrator") + ", and sign in again: a new role takes minutes to hours to count"})
			}
		}
	}
	return out
}

func (t *session) tenantProblems(o *observation) []Problem {
	var out []Problem
	if o.org.IsDehydrated != nil && *o.org.IsDehydrated && !t.Profile.EnableCustomization {
		out = append(out, Problem{Code: "tenant.dehydrated", Blocks: true, Text: "the policies of this tenant cannot be edited yet",
			Do: "run Enable-OrganizationCustomization, which cannot be undone, and wait from minutes to hours; or set enable-customization in the profile"})
	}
	if len(o.domains) == 0 {
		return out // not readable: said elsewhere
	}
	for _, d := range t.Profile.Domains {
		if !o.accepts(d) {
			out = append(out, Problem{Code: "domain.unknown", Object: d, Blocks: true, Text: "this is no accepted domain of the tenant",
				Do: "add it in the Microsoft 365 admin center, or take it out of the profile"})
		}
	}
	if t.Profile.Mode != MXFirst {
		return out
	}
	for _, d := range o.domains {
		if !strings.HasSuffix(d.DomainName, ".onmicrosoft.com") && !t.Profile.covers(d.DomainName) {
			out = append(out, Problem{Code: "mx.subset", Object: d.DomainName, Text: "this domain of the tenant is not in the profile; the lock is for the tenant as a whole and would refuse its mail",
				Do: "put it behind the gateway too; the lock stays off while its mail is seen coming in directly"})
		}
	}
	if len(t.Profile.Protect.Groups)+len(t.Profile.Protect.Users) > 0 {
		out = append(out, Problem{Code: "mx.scope", Text: "protect has no effect in mode " + string(MXFirst) + ": the MX records send everybody's mail to the gateway",
			Do: "narrow it in the policy of the gateway, or use mode " + string(EOPFirst)})
	}
	return out
}

// accepts says whether a domain is the tenant's.
func (o *observation) accepts(domain string) bool {
	domain = strings.ToLower(domain)
	return slices.ContainsFunc(o.domains, func(d AcceptedDomain) bool {
		sub := d.MatchSubDomains != nil && *d.MatchSubDomains && strings.HasSuffix(domain, "."+d.DomainName)
		return d.DomainName == domain || sub
	})
}

// limits compares what will be with what the service allows.
func (t *session) limits(o *observation, b *build) []Problem {
	var out []Problem
	check := func(code, what string, have, more, most int) {
		switch {
		case more > 0 && have+more > most:
			out = append(out, Problem{Code: code, Blocks: true, Text: fmt.Sprintf("%d %s are there and %d more are needed; the service allows %d", have, what, more, most),
				Do: "remove some that are no longer used"})
		case (have+more)*100 >= most*95:
			out = append(out, Problem{Code: code, Text: fmt.Sprintf("%d of at most %d %s", have+more, most, what), Do: "remove some that are no longer used"})
		}
	}
	rules, pairs, ips := 0, 0, 0
	for _, k := range b.tasks {
		switch {
		case k.kind == kindRule && k.step.Verb == VerbCreate:
			rules++
		case k.undo || len(k.step.Fields) == 0:
		case k.kind == kindSpoof, k.kind == kindConnection && k.step.Fields[0].Name == "IPAllowList":
			before, _ := k.step.Fields[0].Before.([]string)
			after, _ := k.step.Fields[0].After.([]string)
			if k.kind == kindSpoof {
				pairs = len(after) - len(before)
			} else {
				ips = len(after) - len(before)
			}
		}
	}
	check("rules.limit", "mail flow rules", len(o.rules), rules, maxRules)
	check("spoof.limit", "spoof pairs", len(o.spoof), pairs, maxSpoofPairs)
	check("allow-list.limit", "allowed addresses", len(o.connection().IPAllowList), ips, maxFilterIPs)
	return out
}

// foreign finds objects of others that do not go together with ours.
func (t *session) foreign(o *observation) []Problem {
	var out []Problem
	vendor := t.vendorNames(o)
	for _, r := range o.rules {
		on, _ := r.Row.Text("State")
		if !t.foreignRule(r) || vendor[strings.ToLower(r.Name)] || !strings.EqualFold(on, "Enabled") {
			continue
		}
		if r.RouteMessageOutboundConnector != "" && t.Profile.Mode == EOPFirst {
			out = append(out, Problem{Code: "gateway.other", Object: r.Name, Blocks: true, Text: "this rule sends mail through the connector " + o.connectorName(r.RouteMessageOutboundConnector) + ": another gateway or service is in the way of the mail",
				Do: "find out which one comes first; if it is one of " + vendorList() + " and shall go, name it under replaces"})
		}
		if r.SetSCL != nil && *r.SetSCL == -1 {
			out = append(out, Problem{Code: "rule.bypass", Object: r.Name, Text: "this rule lets mail past the spam filter (SCL -1)", Do: "check whether it is still needed"})
		}
	}
	for _, c := range o.inbound {
		_, marked := t.Profile.marked(c.Comment)
		yes := func(b *bool) bool { return b != nil && *b }
		if marked || vendor[strings.ToLower(c.Name)] {
			continue
		}
		if hybrid(c.Name, "Inbound from ", c.ConnectorType, c.ConnectorSource, yes(c.CloudServicesMailEnabled)) {
			out = append(out, hybridProblem(c.Name))
		}
		locked := yes(c.Enabled) && (yes(c.RestrictDomainsToIPAddresses) || yes(c.RestrictDomainsToCertificate)) && slices.Contains(c.SenderDomains, "*")
		if locked && len(without(t.Profile.egress(), normIPs(c.SenderIPAddresses))) > 0 {
			out = append(out, Problem{Code: "lock.other", Object: c.Name, Blocks: true, Text: "this connector refuses mail from everywhere but its own addresses: what the gateway sends back would be refused (5.7.51)",
				Do: "turn it off, or add the addresses of the gateway to it"})
		}
		if strings.EqualFold(c.ConnectorType, "OnPremises") && yes(c.Enabled) && len(intersect(t.Profile.egress(), normIPs(c.SenderIPAddresses))) > 0 {
			out = append(out, Problem{Code: "allow-list.ineffective", Object: c.Name, Text: "this on-premises connector has addresses of the gateway: the allow list has no effect for them",
				Do: "take them off the connector"})
		}
	}
	for _, c := range o.outbound {
		_, marked := t.Profile.marked(c.Comment)
		cloud := c.CloudServicesMailEnabled != nil && *c.CloudServicesMailEnabled
		if !marked && hybrid(c.Name, "Outbound to ", c.ConnectorType, c.ConnectorSource, cloud) {
			out = append(out, hybridProblem(c.Name))
		}
	}
	return out
}

func vendorList() string {
	var out []string
	for _, v := range Vendors() {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}

// vendorNames are the names of objects that the plan takes over from the product before.
func (t *session) vendorNames(o *observation) map[string]bool {
	out := map[string]bool{}
	if t.Profile.Replaces == nil {
		return out
	}
	v, err := VendorByName(t.Profile.Replaces.Vendor)
	if err != nil {
		return out
	}
	l := t.leftBy(o, v, t.Profile.Replaces)
	for _, x := range slices.Concat(l.redirect, l.verdicts, l.outbound, l.inbound) {
		out[strings.ToLower(x.name)] = true
	}
	return out
}

// hybrid recognises the connectors of a tenant that is joined with servers of its own.
func hybrid(name, prefix, typ, source string, cloud bool) bool {
	onPremises := strings.EqualFold(typ, "OnPremises")
	return strings.EqualFold(source, "HybridWizard") || onPremises && (cloud || strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)))
}

func hybridProblem(name string) Problem {
	return Problem{Code: "hybrid.connectors", Object: name, Blocks: true, Text: "this connector joins the tenant with servers of its own; where mail goes through them as well it can go round in circles",
		Do: "find out whether mail from outside takes the way through these servers (central mail transport), and protect it there instead if so"}
}

// policyProblems are about policies that outrank ours or judge what comes back.
func (t *session) policyProblems(o *observation) []Problem {
	var out []Problem
	classic := t.Profile.posture() == Classic && t.Profile.Mode == EOPFirst
	for _, r := range o.policies {
		if !strings.EqualFold(r.State, "Enabled") {
			continue
		}
		code, what := "policy.custom", "a custom anti-spam policy"
		preset := r.Preset || strings.Contains(r.Name, "Preset Security Policy")
		if preset {
			code, what = "preset.in-force", "a preset security policy"
		}
		p := Problem{Code: code, Object: r.Name, Blocks: classic && preset, Text: what + " is in force: for whom it is meant, it outranks the default policy",
			Do: "mail that it quarantines never reaches the gateway: leave those whom the gateway protects out of it, or live with it"}
		if classic {
			p.Text += ", so junk instead of quarantine will not apply to them"
		}
		out = append(out, p)
	}
	if t.Profile.Mode == EOPFirst && o.org.RejectDirectSend != nil && *o.org.RejectDirectSend {
		out = append(out, Problem{Code: "direct-send.rejected", Text: "the tenant refuses direct send: mail in the name of its own domains comes back only because the inbound connector matches the gateway",
			Do: "leave the inbound connector on"})
	}
	if blocked := intersect(t.Profile.egress(), normIPs(o.connection().IPBlockList)); len(blocked) > 0 {
		out = append(out, Problem{Code: "block-list.ours", Object: strings.Join(blocked, ", "), Text: "addresses of the gateway are on the block list of the connection filter",
			Do: "take them off it; the allow list outranks it"})
	}
	for _, ph := range o.phish {
		if ph.HonorDmarcPolicy != nil && *ph.HonorDmarcPolicy && ph.IsDefault != nil && *ph.IsDefault && t.Profile.posture() == Classic {
			out = append(out, Problem{Code: "dmarc.honoured", Object: ph.Name, Text: "the tenant honours DMARC policies: mail that comes back altered may be refused or quarantined for it",
				Do: "let the gateway leave bodies as they are, or use posture " + string(Hardened)})
		}
	}
	return out
}

// recipientProblems finds groups and users that are not there: a rule for them does nothing and says nothing.
func (t *session) recipientProblems(ctx context.Context) []Problem {
	if t.Profile.Mode != EOPFirst {
		return nil
	}
	groups := slices.Clone(t.Profile.Protect.Groups)
	if t.Profile.stage() == StagePilot {
		groups = t.Profile.Pilot
	}
	var out []Problem
	for _, a := range slices.Concat(groups, t.Profile.Protect.Users) {
		found, err := t.Exchange.Recipients(ctx, a)
		if err != nil {
			t.skipped = append(t.skipped, "Whether the groups and users that the profile names exist could not be asked.")
			return out
		}
		group := slices.Contains(groups, a)
		switch {
		case len(found) == 0:
			out = append(out, Problem{Code: "recipient.unknown", Object: a, Text: "the tenant does not know this address", Do: "check it: a rule for a group that is gone does nothing, and says nothing"})
		case group && !found[0].IsGroup():
			out = append(out, Problem{Code: "recipient.no-group", Object: a, Text: "this is no mail-enabled group", Do: "name it under protect.users"})
		}
	}
	return out
}

// notes says what the posture means, and on which facts that no document settles the plan leans.
func (t *session) notes(b *build) []string {
	out := slices.Clone(t.skipped)
	if t.Profile.posture() == Hardened {
		out = append(out, "Posture hardened: the tenant trusts the ARC seal of the gateway. SPF, DKIM and DMARC of the true sender keep counting; no sender is let in unchecked.")
	} else {
		out = append(out, "Posture classic: mail from the gateway's addresses is neither filtered for spam again nor checked for forged senders. Baselines (CIS, SCuBA, Secure Score) object to the allow list, the safe list and junk instead of quarantine.")
	}
	facts := map[string]string{
		idSpoof:      "How the service keeps an address in a spoof pair, alone or as its /24, is not documented: each is read back. It may not match at all where the address has a PTR record: then name the PTR domain under spoof-infrastructure.",
		idRedirect:   "In what form the service returns the connector and the size in a rule is not documented: both are compared in normal form. Rules take 30 minutes and more to have effect, and nothing says when.",
		idInbound:    "Whether enhanced filtering looks past the hops of Exchange Online itself in the loop is not documented: a canary message shows it.",
		idOutbound:   "The order in which several smart hosts are used is not documented: one is set.",
		idDirectSend: "Refused direct mail is not in the message trace.",
	}
	for _, k := range b.tasks {
		if text, ok := facts[k.step.ID]; ok && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
