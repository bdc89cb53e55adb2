package gworkspace

import "strings"

// The ids of the steps of the way back.
const (
	idRejectOff       = "inbound-gateway.reject-off"
	idPolicyFileBack  = "mta-sts.back"
	idMXBack          = "mx.back"
	idKeep            = "gateway.keep"
	idRuleOff         = "redirect-rule.off"
	idDrain           = "redirect-rule.drain"
	idRuleGone        = "redirect-rule.remove"
	idGatewayGone     = "inbound-gateway.remove"
	idHostGone        = "host.remove"
	idStorageBack     = "storage.restore"
	idRemediationGone = "remediation.remove"
	idAccessGone      = "access.remove"
	idKeyGone         = "key.remove"
	idProofGone       = "ownership.remove"
)

// back is the way out: what sends mail to the gateway first, what it needs to come back next, and what lets us
// see that all of it is done last. Guides that revoke the access first cannot confirm what follows.
func (p *Profile) back() []Step {
	var out []Step
	if p.Mode == MXFirst {
		out = append(out, p.mxBack()...)
	} else {
		out = append(out, p.ruleBack()...)
	}
	out = append(out, p.settingsBack()...)
	out = append(out, p.accessBack()...)
	for i := range out {
		if i > 0 {
			out[i].Needs = []string{out[i-1].ID}
		}
	}
	return out
}

func (p *Profile) ruleBack() []Step {
	rule := "content compliance rule " + p.ruleName()
	unit := unitValue(p.units())
	return []Step{
		{ID: idRuleOff, Title: "Turn off the rule", Object: rule, Verb: VerbDisable, Roles: []string{roleSettings},
			Why:   "No more mail goes to the gateway; what is there comes back while everything it needs still stands.",
			Risk:  "From here on mail is not scanned by " + p.product() + ".",
			Wait:  waitDay,
			Check: "Policy API: gmail.rule_states says that it is off.", Undo: "Turn it on.",
			Console: &Console{Path: pathCompliance + " > Content compliance > " + p.ruleName() + " > Disable", Link: linkCompliance,
				Values: []Value{unit, {"Rule", p.ruleName()}}, Expect: "It is shown as disabled."}},
		{ID: idDrain, Title: "Wait until the gateway is empty", Object: "gateway", Verb: VerbManual,
			Why:  "Rules lose their effect little by little. Mail that is still at the gateway has to be taken back by Google.",
			Wait: "24 hours without a message from this tenant, and an empty queue", Undo: "Turn the rule on again.",
			Check:   "The gateway saw no message of the tenant for 24 hours, and its queue is empty; a probe from outside comes to the mailbox past the gateway.",
			Console: &Console{Path: "the machine of the gateway", Values: p.emptyCommands(), Expect: "Nothing is held or queued for " + strings.Join(p.Domains, ", ") + "."}},
		{ID: idRuleGone, Title: "Delete the rule", Object: rule, Verb: VerbRemove, Why: "It has no effect any more, and its host goes next.", Roles: []string{roleSettings},
			Wait: waitDay, Check: "Policy API: no rule of this name is left.", Undo: "Make it again from the runbook.",
			Console: &Console{Path: pathCompliance + " > Content compliance > " + p.ruleName() + " > Delete", Link: linkCompliance,
				Values: []Value{unit, {"Rule", p.ruleName()}}, Expect: "It is no longer in the list."}},
	}
}

func (p *Profile) mxBack() []Step {
	steps := []Step{
		{ID: idRejectOff, Title: "Take mail from anywhere again", Object: "setting Inbound gateway", Verb: VerbDisable, Roles: []string{roleSettings},
			Why:  "Mail that comes in directly again must not be refused. This comes before anything else.",
			Risk: "From here on mail can go around the gateway.", Wait: "24 hours",
			Check: "Probe P3: a message sent to Google directly is accepted.", Undo: "Turn it on.",
			Console: &Console{Path: pathSpam + " > Inbound gateway > Edit (top organizational unit)", Link: linkSpam, Values: []Value{{labelReject, "off"}},
				Expect: "The setting is shown with this option off."}},
	}
	file, mx := p.policyFileStep(), p.mxStep()
	file.Why = "Senders that have seen a policy in mode enforce deliver to Google only if it names Google's hosts (RFC 8461 section 5)."
	file.Undo = "Put the policy back that was there, with another id."
	file.Limits = []string{"Leave the names of the gateway in until the gateway is needed no more, then take them out, with another id. If the domain has no TXT record at _mta-sts, leave this step out."}
	file.ID, file.Title = idPolicyFileBack, "Name Google in the MTA-STS policy"
	file.Console.Values = append([]Value{{"Lines that have to be in the policy", "mx: smtp.google.com\nmx: aspmx.l.google.com\nmx: *.aspmx.l.google.com"}}, p.policyRecord("back to Google")...)
	mx.ID, mx.Title = idMXBack, "Move the MX records back to Google"
	mx.Why, mx.Risk = "Mail comes in at Google directly.", "Put the new record in with the same change that takes the old ones out: without any, mail goes to the address of the domain itself."
	mx.Console.Values = []Value{{"MX", "1 smtp.google.com."}, {"Remove in the same change", strings.Join(p.mxHosts(), ".\n") + "."}}
	mx.Console.Expect, mx.Undo, mx.Check = "Mail arrives directly.", "Put the records of the gateway back.", "An MX look-up of each domain names hosts of Google alone."
	keep := Step{ID: idKeep, Title: "Keep the gateway running", Object: "gateway", Verb: VerbManual, Why: "Senders keep the old records, and retry what they could not deliver.",
		Wait: "72 hours", Check: "The gateway gets no more mail of the domains, and its queue is empty.",
		Console: &Console{Path: "the machine of the gateway", Values: p.emptyCommands(), Expect: "Nothing is held or queued for " + strings.Join(p.Domains, ", ") + "."}}
	return append(steps, file, mx, keep)
}

func (p *Profile) settingsBack() []Step {
	steps := []Step{{ID: idGatewayGone, Title: "Stop trusting the gateway", Object: "setting Inbound gateway", Verb: VerbUpdate, Roles: []string{roleSettings},
		Why: "Nothing of ours comes from these addresses any more.", Wait: waitDay,
		Check: "Seen by a person, and in the audit log: no API shows this setting.", Undo: "Make it again from the runbook.",
		Console: &Console{Path: pathSpam + " > Inbound gateway > Edit (top organizational unit)", Link: linkSpam,
			Values: []Value{{"Gateway IPs > remove these, and no others", strings.Join(p.egress(), "\n")}, {"Regexp: clear, if it is this one", p.spamPattern()},
				{"Enable", "off, if no address is left; else unchanged"}, {labelReject, "off"}},
			Expect: "The addresses and the regexp are gone; those of others are untouched."}}}
	if p.Mode != Reroute {
		return steps
	}
	return append(steps,
		Step{ID: idHostGone, Title: "Delete the host", Object: "mail route " + p.hostName(), Verb: VerbRemove, Roles: []string{roleSettings}, Why: "No rule names it any more.",
			Wait: waitDay, Check: "Seen by a person, and in the audit log (EMAIL_ROUTE).", Undo: "Make it again from the runbook.",
			Console: &Console{Path: pathHosts + " > " + p.hostName() + " > Delete", Link: linkHosts, Values: []Value{{"Host", p.hostName()}}, Expect: "It is no longer in the list."}},
		Step{ID: idStorageBack, Title: "Put comprehensive mail storage back", Object: "setting Comprehensive mail storage", Verb: VerbUpdate, Roles: []string{roleSettings},
			Why: "It was turned off for the gateway, if it was on before.", Wait: waitDay, Check: "Policy API: gmail.comprehensive_mail_storage.", Undo: "Turn it off again.",
			Console: &Console{Path: pathCompliance + " > Comprehensive mail storage", Link: linkCompliance,
				Values: valuesPerUnit(p.units(), Value{"Ensure that a copy of all sent and received mail is stored in associated users' mailboxes", "as it was before; off, if that is not known"}),
				Expect: "It is as it was before the gateway came."}})
}

func (p *Profile) accessBack() []Step {
	var steps []Step
	grant := func(id, title, client string) {
		steps = append(steps, Step{ID: id, Title: title, Object: "delegation client " + client, Verb: VerbRemove, Roles: []string{roleSuper},
			Why: "It is needed no more. It goes after the steps that it was needed to confirm.", Wait: waitDay, Check: "A token is refused.", Undo: "Add it again from the runbook.",
			Console: &Console{Path: pathDelegation + " > the client > Delete", Link: linkDelegation, Values: []Value{{"Client ID", client}}, Expect: "It is no longer in the list."}})
	}
	if p.Remediation != nil && (p.Access == nil || p.Remediation.ClientID != p.Access.ClientID) {
		grant(idRemediationGone, "Revoke the access to mailboxes", p.Remediation.ClientID)
	}
	if p.Access != nil {
		grant(idAccessGone, "Revoke the access to the settings", p.Access.ClientID)
	}
	if p.Access != nil || p.Remediation != nil {
		steps = append(steps, Step{ID: idKeyGone, Title: "Delete the keys of the service account", Object: "service account", Verb: VerbManual,
			Why: "A key that nobody needs can only be stolen.", Wait: "none", Check: "The list of keys is empty. Without keys (keyless signing): take away Token Creator.",
			Console: &Console{Path: "Google Cloud console > IAM & Admin > Service accounts > Keys", Link: linkKeys, Values: []Value{{"Service account", accountName(p)}}, Expect: "No key is left."}})
	}
	return append(steps, Step{ID: idProofGone, Title: "Remove the proof of ownership", Object: "TXT record of " + strings.Join(p.Domains, ", "), Verb: VerbManual,
		Why: "It comes last: without it the gateway takes no mail of the domain any more.", Wait: "none", Check: "A TXT look-up does not show it.",
		Console: &Console{Path: "DNS of " + strings.Join(p.Domains, ", "), Link: "https://admin.google.com/ac/domains/manage",
			Values: p.proofCommands(), Expect: "Only the record of the gateway is gone; google-site-verification, SPF and DKIM are untouched."}})
}

// emptyCommands say whether the gateway still has something.
func (p *Profile) emptyCommands() []Value {
	var queued, held, came []string
	for _, d := range p.Domains {
		queued = append(queued, "postreeve queue list -c postreeve.yaml --domain "+d)
		held = append(held, "postreeve quarantine list -c postreeve.yaml --domain "+d)
		came = append(came, "postreeve message list -c postreeve.yaml --domain "+d+" --limit 1")
	}
	return []Value{{"What is queued: nothing", strings.Join(queued, "\n")}, {"What is held: release what is wanted", strings.Join(held, "\n")},
		{"When the last message came: before the time that is waited", strings.Join(came, "\n")}}
}

// proofCommands give the domains up.
func (p *Profile) proofCommands() []Value {
	var show, gone []string
	for _, d := range p.Domains {
		show = append(show, "postreeve domain show -c postreeve.yaml "+d)
		gone = append(gone, "postreeve domain remove -c postreeve.yaml "+d)
	}
	return []Value{{"At the gateway: see the name of the record", strings.Join(show, "\n")}, {"Give the domain up", strings.Join(gone, "\n")},
		{"Then delete in DNS, if the gateway has no brand of its own", "_postreeve-challenge." + strings.Join(p.Domains, "\n_postreeve-challenge.")}}
}

func accountName(p *Profile) string {
	var names []string
	if p.Access != nil && p.Access.ServiceAccount != "" {
		names = append(names, p.Access.ServiceAccount)
	}
	if p.Remediation != nil && p.Remediation.ServiceAccount != "" && (len(names) == 0 || names[0] != p.Remediation.ServiceAccount) {
		names = append(names, p.Remediation.ServiceAccount)
	}
	if len(names) == 0 {
		return "the one of the delegation"
	}
	return strings.Join(names, "\n")
}
