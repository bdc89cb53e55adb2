package m365

import (
	"slices"
	"strings"
)

const rulesLink = "https://admin.exchange.microsoft.com/#/transportrules"

// rule fills in what all rules of ours share.
func (p *Profile) rule(id, name, title string, fields ...field) *setting {
	return &setting{
		id: id, kind: kindRule, name: name, title: title, fields: fields,
		wait:  "up to 30 minutes, sometimes more, until it has effect",
		check: "Get-TransportRule shows the rule enabled.",
		undo:  "Remove the rule.",
		console: Console{Path: "Exchange admin center > Mail flow > Rules > Add a rule > Create a new rule", Link: rulesLink,
			Expect: "The rule " + name + " is in the list."},
	}
}

// verdictRules turn what the gateway found into what Exchange Online does. All of them ask who sent the mail:
// anybody can write a header.
func (p *Profile) verdictRules() []*setting {
	var out []*setting
	if p.Mode == EOPFirst {
		high := p.verdictRule(idHigh, highName, p.Headers.report(), []string{"SCL:9", "SCL:8", "SCL:7"}, number("SetSCL", 9))
		high.seed, high.why = "7", "What the first pass found to be spam with high confidence goes to junk; the second pass no longer sees what the first one saw."
		low := p.verdictRule(idLow, lowName, p.Headers.report(), []string{"SCL:6", "SCL:5"}, number("SetSCL", 6))
		low.seed, low.why = "8", "What the first pass found to be spam goes to junk."
		out = append(out, high, low)
	}
	spam := p.verdictRule(idSpam, p.spamName(), p.Headers.spam(), []string{"FAIL"}, number("SetSCL", 6))
	spam.seed, spam.why = "9", "What the gateway found to be spam goes to junk."
	out = append(out, spam)
	if p.quarantine() {
		q := p.verdictRule(idQuarantine, p.quarantineName(), p.Headers.verdict(), []string{"MAL"}, flag("Quarantine", true))
		q.seed, q.why = "10", "Malicious mail that the gateway lets through, because its policy says so, is held in the tenant's quarantine."
		q.risk = "On release the rules that come later are not run."
		if p.IncidentReport != "" {
			q.fields = append(q.fields, text("GenerateIncidentReport", p.IncidentReport),
				words("IncidentReportContent", "Sender", "Recipients", "Subject", "RuleDetections"))
			q.console.Values = append(q.console.Values, Value{"Generate incident report and send it to", p.IncidentReport})
		}
		out = append(out, q)
	}
	return out
}

func (p *Profile) verdictRule(id, name, header string, pats []string, action field) *setting {
	s := p.rule(id, name, "Rule "+name, exact("HeaderMatchesMessageHeader", header), patterns("HeaderMatchesPatterns", pats...),
		networks("SenderIpRanges", p.egress()), action, text("Mode", "Enforce"), flag("Enabled", true))
	s.console.Values = []Value{{"Name", name}, {"Apply this rule if: the message headers match these text patterns", header + " matches each of\n" + strings.Join(pats, "\n")},
		{"and: the sender IP address is in", strings.Join(p.egress(), ", ")}, {"Do the following", actionText(action)}, {"Rule mode", "Enforce"}}
	s.risk = "The spam level is a request: the service may judge otherwise."
	return s
}

func actionText(f field) string {
	switch f.want {
	case 9:
		return "Modify the message properties > set the spam confidence level to 9"
	case 6:
		return "Modify the message properties > set the spam confidence level to 6"
	}
	return "Redirect the message to > hosted quarantine"
}

// returnSetting takes the secret off what is delivered, so that replies and forwards do not carry it away.
func (p *Profile) returnSetting() *setting {
	s := p.rule(idReturn, p.returnName(), "Rule "+p.returnName(), networks("SenderIpRanges", p.egress()),
		exact("RemoveHeader", p.Headers.token()), text("Mode", "Enforce"), flag("Enabled", true))
	s.why = "The secret that keeps mail from going round in circles is taken off before delivery: who learns it could send mail past the gateway."
	s.console.Values = []Value{{"Name", p.returnName()}, {"Apply this rule if: the sender IP address is in", strings.Join(p.egress(), ", ")},
		{"Do the following: modify the message properties > remove a message header", p.Headers.token()}, {"Rule mode", "Enforce"}}
	return s
}

func (p *Profile) redirectSetting(f facts) *setting {
	mode, scope, whom := "Enforce", p.scopeField(), p.scopeText()
	switch p.stage() {
	case StageAudit:
		mode = "Audit"
	case StagePilot:
		scope, whom = words("SentToMemberOf", p.Pilot...), "is a member of "+strings.Join(p.Pilot, " or ")
	}
	fields := []field{scope, text("FromScope", "NotInOrganization"), text("RouteMessageOutboundConnector", p.outboundName()),
		exact("SetHeaderName", p.Headers.token()), hidden("SetHeaderValue", first(f.tokens...)),
		exact("ExceptIfHeaderContainsMessageHeader", p.Headers.token()), hiddenSet("ExceptIfHeaderContainsWords", f.tokens),
		networks("ExceptIfSenderIpRanges", p.egress()), size("ExceptIfMessageSizeOver", maxScannedSize),
		flag("StopRuleProcessing", true), text("SenderAddressLocation", "Header"), text("Mode", mode), number("Priority", f.priority)}
	s := p.rule(idRedirect, p.redirectName(), "Rule "+p.redirectName(), fields...)
	s.seed = "6"
	s.made = []field{flag("Enabled", false)}
	s.why = "Mail from outside for those who are protected goes to the gateway before it is delivered. Mail that carries the secret, comes from the gateway or is larger than 40000 KB goes on."
	s.risk = "Rules below this one see such mail only when it comes back. While the gateway is down, mail waits at Exchange Online for about a day."
	s.needs = []string{idOutbound, idInbound, idReturn}
	s.check = "Get-TransportRule shows the rule, first but for the tenant's own rules that block addresses."
	s.console.Values = []Value{{"Name", p.redirectName()}, {"Apply this rule if: the recipient", whom},
		{"and: the sender is external/internal", "Outside the organization"}, {"Do the following: redirect the message to the following connector", p.outboundName()},
		{"and: set a message header", p.Headers.token() + " to " + shownSecret}, {"Except if: the message headers include", p.Headers.token() + " with " + shownSecret},
		{"Except if: the sender IP address is in", strings.Join(p.egress(), ", ")}, {"Except if: the message size is greater than or equal to", "40000 KB"},
		{"Stop processing more rules", "on"}, {"Match sender address in message", "Header"}, {"Priority", "0, or right below the rules that block addresses"},
		{"Rule mode", mode}}
	return s
}

func (p *Profile) redirectOnSetting() *setting {
	s := p.rule(idRedirectOn, p.redirectName(), "Turn on "+p.redirectName(), flag("Enabled", true))
	s.of = idRedirect
	s.seed = "6"
	s.why = "From here on mail goes through the gateway: everything it needs stands."
	s.risk = "This is the step that changes the way of the mail. Disable-TransportRule takes it back, within about 30 minutes."
	if p.stage() == StageAudit {
		s.why = "The rule logs what it would redirect, and redirects nothing."
		s.risk = ""
	}
	s.undo = "Disable the rule."
	s.needs = []string{idRedirect}
	s.console.Path = "Exchange admin center > Mail flow > Rules > " + p.redirectName() + " > Enable"
	s.console.Values = nil
	s.console.Expect = "The rule is enabled; a message from outside shows the header " + p.Headers.verdict() + " some 30 minutes later."
	return s
}

func (p *Profile) scopeField() field {
	switch {
	case len(p.Protect.Groups) > 0:
		return words("SentToMemberOf", p.Protect.Groups...)
	case len(p.Protect.Users) > 0:
		return words("SentTo", p.Protect.Users...)
	}
	return words("RecipientDomainIs", p.Domains...)
}

func (p *Profile) scopeText() string {
	switch {
	case len(p.Protect.Groups) > 0:
		return "is a member of " + strings.Join(p.Protect.Groups, " or ")
	case len(p.Protect.Users) > 0:
		return "is " + strings.Join(p.Protect.Users, " or ")
	}
	return "domain is " + strings.Join(p.Domains, " or ")
}

func (p *Profile) lockSetting(f facts) *setting {
	s := &setting{
		id: idLock, kind: kindInbound, name: p.lockName(), seed: "11",
		title:  "Inbound connector " + p.lockName() + ", off",
		fields: append(p.inboundShape(), flag("RestrictDomainsToIPAddresses", true)),
		made:   []field{flag("Enabled", false)},
		why:    "Once it is on, Exchange Online takes mail from the gateway only: nobody goes around it.",
		risk:   "On too early it refuses mail that still comes directly (5.7.51), of every domain of the tenant. That is why it is made disabled.",
		check:  "Get-InboundConnector shows it.", undo: "Disable it before the MX moves back, then remove it.",
		console: p.inboundConsole(p.lockName(), "Tick: Reject email messages if they aren't sent from within this IP address range. Leave the connector turned off"),
		needs:   []string{idInbound},
	}
	if f.moved == MXNo {
		s.fields = append(s.fields, flag("Enabled", false))
	}
	return s
}

func (p *Profile) lockOnSetting(f facts) *setting {
	s := &setting{
		id: idLockOn, kind: kindInbound, name: p.lockName(), of: idLock, seed: "11",
		title:  "Turn on " + p.lockName(),
		fields: []field{flag("Enabled", true)},
		why:    "The MX records name the gateway and no mail comes in directly any more: what still would is refused.",
		risk:   "Mail that reaches Exchange Online by another way is refused, for every domain of the tenant, some mail of Microsoft's own services too.",
		wait:   "the MX records name the gateway, their old TTL is over, and the message trace shows no mail that came in directly",
		check:  "Get-InboundConnector shows it enabled.", undo: "Disable it.",
		needs: []string{idLock, idMX},
		console: Console{Path: "Exchange admin center > Mail flow > Connectors > " + p.lockName() + " > turn on", Link: "https://admin.exchange.microsoft.com/#/connectors",
			Expect: "The connector is on."},
	}
	if f.moved != MXYes {
		s.blocked = "the MX records do not name the gateway yet"
	}
	return s
}

// mxStep is the step that no cmdlet can do.
func (p *Profile) mxStep() Step {
	hosts := p.mxHosts()
	values := []Value{}
	for _, d := range p.Domains {
		values = append(values, Value{"MX of " + d, strings.Join(hosts, ", ")})
	}
	return Step{
		ID: idMX, Title: "Move the MX records to the gateway", Object: "DNS of " + strings.Join(p.Domains, ", "), Verb: VerbManual,
		Why:   "Mail comes to the gateway first.",
		Risk:  "Prove the domains to the gateway before, or it refuses their mail. Lower the TTL a day ahead.",
		Needs: slices.DeleteFunc([]string{idConnection, idArc, idInbound, idLock}, func(id string) bool { return id == idArc && p.posture() != Hardened }),
		Wait:  "the old TTL of the MX records",
		Check: "An MX look-up of each domain names the gateway alone.", Undo: "Put the old MX records back, after the lock is off.",
		Console: &Console{Path: "The DNS provider of the domains", Values: values, Expect: "Mail arrives through the gateway."},
	}
}
