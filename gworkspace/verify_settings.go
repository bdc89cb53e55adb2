package gworkspace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkAccess says which scopes of the reading access are missing.
func (t *Tenant) checkAccess(o *observation, f *findings) {
	a := t.Profile.Access
	if a == nil {
		return
	}
	c := Check{Step: idAccess, Object: "delegation client " + a.ClientID}
	if o.accessKey != "" { // whatever that one was granted says nothing about the one of the profile
		c.State, c.How, c.From = Wrong, Read, "the key"
		f.wrong(c, Drift{Field: "Client ID", Wanted: a.ClientID, Found: oneLine(o.accessKey, 40), Note: "the key is of another client than the profile names"})
		f.problem(Problem{Code: problemAdmin, Object: "access", Text: "the key is of the client " + oneLine(o.accessKey, 40) + ", the profile names " + a.ClientID,
			Do: "write the client id of the key into the profile, or give the key of that client: a delegation to the other one would have no effect", Blocks: true})
	} else {
		err := o.accessErr
		if err != nil {
			err = errAccess // the problem of the access has the reason
		}
		f.delegation(c, readScopes, o.missing, err)
	}
	if o.admin != nil && !o.admin.IsAdmin {
		f.problem(Problem{Code: problemAdmin, Object: a.Admin, Text: "this user is no super administrator: policies cannot be read as it", Do: "name a super administrator as admin", Blocks: true})
	}
	if errors.Is(o.accessErr, ErrSubject) {
		f.problem(Problem{Code: problemAdmin, Object: a.Admin, Text: "nobody can act as this user: " + oneLine(o.accessErr.Error(), 300), Do: "name a super administrator that exists and is not suspended", Blocks: true})
	}
}

// checkGaps says what was to be read and did not answer.
func (t *Tenant) checkGaps(o *observation, f *findings) {
	for _, g := range o.gaps() {
		p := Problem{Code: problemUnread, Object: g.what, Text: oneLine(g.err.Error(), 500), Do: "put this right, or check the settings by eye"}
		if g.what == "access" {
			if t.Profile.Access != nil && errors.Is(g.err, ErrSubject) {
				continue // said already, with the name
			}
			p.Text, p.Blocks = "the access that was given cannot be used, so nothing was read: "+p.Text, true
			p.Do = "put it right, or give none and say what is done"
		}
		f.problem(p)
	}
}

// checkMembers finds protected groups that do not exist, and members whose mail the gateway would refuse.
func (t *Tenant) checkMembers(o *observation, f *findings) {
	groups := t.Profile.Protect.Groups
	switch {
	case len(groups) == 0:
	case o.domainErr != nil || o.memberErr != nil:
		f.notes = append(f.notes, "the members of "+strings.Join(groups, ", ")+" were not read: see that all of their addresses are in domains of the profile")
	case len(o.noGroups) > 0:
		none := strings.Join(o.noGroups, ", ")
		f.wrong(Check{Step: idRule, Object: "content compliance rule " + t.Profile.ruleName(), Unit: "group " + none, State: Wrong, How: Read, From: "the directory"},
			Drift{Field: "group", Wanted: none, Note: "there is no such group, so the rule protects nobody"})
		f.problem(Problem{Code: problemGroup, Object: none, Text: "there is no such group: a rule for it protects nobody", Do: "write its address as the directory shows it, or make the group", Blocks: true})
	case len(o.outside) > 0:
		f.problem(Problem{Code: problemOutside, Object: strings.Join(groups, ", "), Blocks: true,
			Text: fmt.Sprintf("%d members have addresses in domains that are not in the profile: the rule would send their mail to the gateway, which refuses it: %s",
				len(o.outside), strings.Join(o.outside[:min(5, len(o.outside))], ", ")),
			Do: "add their domains to the profile and to the gateway, or take these members out of the group"})
	}
}

// checkRemediation does the same for the access to mailboxes.
func (t *Tenant) checkRemediation(o *observation, f *findings) {
	if r := t.Profile.Remediation; r != nil {
		f.delegation(Check{Step: idRemediation, Object: "delegation client " + r.ClientID}, o.remedy, o.purge, o.purgeErr)
	}
}

// delegation judges scopes by the tokens that were had.
func (f *findings) delegation(c Check, wanted, missing []string, err error) {
	c.How, c.From = Read, "a token with each scope"
	switch {
	case err != nil:
		c.State, c.How, c.From, c.Note = Unknown, "", "", oneLine(err.Error(), 500)
		f.check(c)
	case len(missing) == 0:
		c.State = Right
		f.check(c)
	default:
		c.State = Wrong
		if len(missing) == len(wanted) {
			c.State = Missing
		}
		var drifts []Drift
		for _, s := range missing {
			drifts = append(drifts, Drift{Field: "OAuth scopes", Wanted: s, Note: "exactly this text is not among the scopes of the client"})
		}
		f.wrong(c, drifts...)
	}
}

// checkDomains compares the domains of the profile with those of the tenant.
func (t *Tenant) checkDomains(o *observation, f *findings) {
	if o.domainErr != nil {
		f.notes = append(f.notes, "the domains of the tenant were not read: "+o.domainErr.Error())
		return
	}
	for _, d := range t.Profile.Domains {
		i := slices.IndexFunc(o.domains, func(x Domain) bool { return strings.EqualFold(x.Name, d) })
		if i < 0 || !o.domains[i].Verified {
			f.problem(Problem{Code: problemDomain, Object: d, Text: "this is no verified domain of the tenant", Do: "verify it under Account > Domains, or take it out of the profile", Blocks: !t.Profile.accepts(problemDomain)})
		}
	}
	for _, d := range o.domains {
		if !slices.ContainsFunc(t.Profile.Domains, func(x string) bool { return strings.EqualFold(x, d.Name) }) {
			f.problem(Problem{Code: problemOtherDomain, Object: d.Name, Text: "a domain of the tenant that the gateway does not serve: its mail is not scanned, the filter of the rule leaves it out",
				Do: "add it to the profile and prove that it is yours, if it gets mail"})
		}
	}
}

// checkUnits finds organizational units of the profile that do not exist.
func (t *Tenant) checkUnits(o *observation, f *findings) {
	for _, u := range slices.Concat(t.Profile.units(), t.Profile.Protect.Units) {
		if !o.tree.known(u) {
			f.problem(Problem{Code: problemUnit, Object: u, Text: "there is no such organizational unit", Do: "write its path as the directory shows it", Blocks: true})
		}
	}
}

// checkService finds units without Gmail, and actions against mail that comes back.
func (t *Tenant) checkService(o *observation, f *findings) {
	for _, u := range t.Profile.units() {
		if o.tree.value("gmail.service_status", u).text("serviceState") == "DISABLED" {
			f.problem(Problem{Code: problemService, Object: u, Text: "Gmail is off here: no rule acts on its mail", Do: "turn it on, or choose another organizational unit", Blocks: true})
		}
		spoof := o.tree.value("gmail.spoofing_and_authentication", u)
		for _, s := range []struct{ on, action string }{{"detectUnauthenticatedEmails", "unauthenticatedEmailConsequence"}, {"detectDomainSpoofingFromUnauthenticatedSenders", "domainSpoofingConsequence"}} {
			if action := spoof.text(s.action); spoof.on(s.on) && (action == "QUARANTINE" || action == "SPAM_FOLDER") && !t.Profile.accepts(problemSpoofing) {
				f.problem(Problem{Code: problemSpoofing, Object: u, Text: fmt.Sprintf("%s is set to %s: mail that comes back from the gateway may trip it", s.on, action),
					Do: "watch probe P4; set the action to Keep in inbox and show warning if clean mail is caught (Gmail > Safety > Spoofing and authentication)"})
			}
		}
	}
}

// checkSpam looks at the lists that make Gmail overlook what the gateway tagged.
func (t *Tenant) checkSpam(o *observation, f *findings) {
	for _, u := range t.Profile.units() {
		v := o.tree.value("gmail.email_spam_filter_ip_allowlist", u)
		for _, s := range v.texts("allowedIpAddresses") {
			px, err := parseNet(s)
			if err != nil {
				continue
			}
			for _, e := range t.Profile.egress() {
				if ours, err := parseNet(e); err == nil && px.Masked().Overlaps(ours) {
					f.problem(Problem{Code: problemAllowList, Object: oneLine(s, 60), Text: "the email allowlist holds an address of the gateway: beside the inbound gateway setting it has no effect, without it tagged spam would stay in the inbox",
						Do: "take it off (Gmail > Spam, Phishing and Malware > Email allowlist)"})
				}
			}
			if px.Addr().Is4() && px.Bits() < 16 {
				f.problem(Problem{Code: problemWideAllow, Object: oneLine(s, 60), Text: "the email allowlist holds a very large network: none of its mail is ever called spam", Do: "list single addresses"})
			}
		}
		states := o.tree.toggles(u)
		for _, raw := range o.tree.value("gmail.spam_override_lists", u).list("spamOverride") {
			s, _ := asObject(raw)
			if st, ok := states[s.text("ruleId")]; ok && !st.on {
				continue
			}
			if s.on("bypassSelectedSenders") || s.on("bypassInternalSenders") {
				f.problem(Problem{Code: problemSpamBypass, Object: oneLine(s.text("description"), 200), Text: "a spam setting lets approved senders past the spam filter: what the gateway tags of theirs may stay in the inbox",
					Do: "send probe P5 from one of them, or shorten the list"})
			}
		}
	}
}

// checkStorage looks at comprehensive mail storage in every unit of the rule, and below.
func (t *Tenant) checkStorage(o *observation, f *findings) {
	c := Check{Step: idStorage, Object: "setting Comprehensive mail storage", How: Read}
	if o.tree == nil {
		c.Note = o.unreadNote()
		t.conclude(o, f, c, nil, func(ch Change) bool { return ch.Setting == "COMPREHENSIVE_MAIL_STORAGE" }, false)
		return
	}
	for _, unit := range t.Profile.units() {
		top := false
		for i, sub := range o.tree.below(unit) {
			c := c
			c.Unit = sub
			on, from := t.storageOn(o.tree, sub)
			c.From = from
			switch {
			case on && t.Profile.accepts(problemStorage):
				if i == 0 {
					c.State, c.Note = Right, "on, which the profile accepts: a copy of blocked mail stays in the mailbox"
					f.check(c)
					f.problem(Problem{Code: problemStorage, Object: sub, Text: "comprehensive mail storage is on: a copy of mail that the gateway blocks stays in the mailbox", Do: "nothing: the profile accepts it"})
				}
			case on && i == 0:
				top, c.State = true, Wrong
				f.wrong(c, Drift{Field: "Comprehensive mail storage", Wanted: false, Found: true})
			case on && !top:
				c.State = Overridden
				f.wrong(c, Drift{Field: "Comprehensive mail storage", Wanted: false, Found: true, Note: "this unit overrides the one above"})
			case i == 0:
				c.State = Right
				f.check(c)
			}
		}
	}
}

// storageOn says whether copies are kept in a unit. The setting names a rule; one without a state counts as
// on, since leaving it so can lose what the gateway does.
func (t *Tenant) storageOn(tr *tree, unit string) (on bool, from string) {
	states := tr.toggles(unit)
	for _, p := range tr.effective("gmail.comprehensive_mail_storage", unit) {
		o, _ := asObject(p.Value)
		id := o.text("ruleId")
		st, ok := states[id]
		if on = id != "" && (!ok || st.on); on {
			from = first(st.policy, p.Name)
		}
	}
	return on, from
}

// checkHost concludes whether the host is there: no API shows it.
func (t *Tenant) checkHost(o *observation, f *findings, probes []Probe) {
	p := t.Profile
	c := Check{Step: idHost, Object: "mail route " + p.hostName()}
	t.conclude(o, f, c, probeOf(probes, "P2"), func(ch Change) bool {
		return ch.about(p.hostName()) && (ch.Setting == "EMAIL_ROUTE" || ch.Setting == "")
	}, true)
	if x := probeOf(probes, "P1"); x != nil && x.State == Wrong {
		f.wrong(Check{Step: idHost, Object: c.Object, State: Wrong, How: Inferred, From: "probe P1"},
			Drift{Name: p.hostName(), Field: "TLS", Wanted: "a host that answers with a valid certificate", Found: x.Detail, Note: "Google would not send to it"})
	}
}

// gatewayEvent says whether an entry of the log is about the inbound gateway. Its name there is not known for
// sure.
func gatewayEvent(ch Change) bool {
	up := strings.ToUpper(ch.Setting + " " + ch.Text)
	return strings.Contains(up, "INBOUND_GATEWAY") || strings.Contains(up, "INBOUND GATEWAY") || strings.Contains(up, "INBOUNDGATEWAY")
}

func (t *Tenant) checkGateway(o *observation, f *findings, probes []Probe) {
	c := Check{Step: idGateway, Object: "setting Inbound gateway"}
	x := both(probeOf(probes, "P4"), probeOf(probes, "P5"))
	t.conclude(o, f, c, x, gatewayEvent, false)
	if ch := last(o.changes, gatewayEvent); ch != nil && t.answer(idGateway) == nil && x == nil {
		f.problem(Problem{Code: problemInbound, Object: c.Object, Text: "somebody has set an inbound gateway: " + ch.line(), Do: "look at it: if it is of another product, add to its addresses and join the regexps, do not replace them"})
	}
}

// both joins two probes: right if both are, wrong if one is. nil: neither was sent.
func both(a, b *Probe) *Probe {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	out := *a
	out.ID, out.Detail = a.ID+", "+b.ID, strings.Trim(a.Detail+"; "+b.Detail, "; ")
	switch {
	case a.State == Wrong || b.State == Wrong:
		out.State = Wrong
	case a.State == Unknown || b.State == Unknown:
		out.State = Unknown
	}
	return &out
}

// checkPolicyFile can only be told here: package dnsverify reads such policies.
func (t *Tenant) checkPolicyFile(f *findings) {
	c := Check{Step: idPolicyFile, Object: "MTA-STS policy of " + strings.Join(t.Profile.Domains, ", ")}
	t.conclude(nil, f, c, nil, nil, false)
}

// checkReject is about mode MXFirst: once the MX records have moved, direct mail has to be refused.
func (t *Tenant) checkReject(o *observation, f *findings, probes []Probe) {
	if !t.Profile.MXMoved {
		return
	}
	c := Check{Step: idReject, Object: "setting Inbound gateway, " + labelReject}
	lock, known := t.wantsLock(o.mxState(t.Profile))
	if lock && known {
		t.conclude(o, f, c, probeOf(probes, "P3"), gatewayEvent, false)
		return
	}
	if x := probeOf(probes, "P3"); x != nil && x.State == Wrong {
		c.State, c.How, c.From = Wrong, Inferred, "probe P3"
		f.wrong(c, Drift{Field: labelReject, Wanted: false, Found: true, Note: "MX records lead to Google, and it refuses mail from the internet: turn the tick off at once. " + x.Detail})
		return
	}
	c.State, c.Note = Unknown, "MX records lead to Google: it has to be off until they name the gateway alone"
	if !known {
		c.Note = "DNS could not be asked: whether it has to be on is not known"
	}
	f.check(c)
}

// checkNoReject is about mode Reroute: there direct mail is all there is.
func (t *Tenant) checkNoReject(f *findings, probes []Probe) {
	if x := probeOf(probes, "P3"); x != nil && x.State == Wrong {
		f.wrong(Check{Step: idGateway, Object: "setting Inbound gateway", State: Wrong, How: Inferred, From: "probe P3"},
			Drift{Field: labelReject, Wanted: false, Found: true, Note: "mail from the internet is refused: turn the tick off at once. " + x.Detail})
	}
}

// conclude judges what no API shows: by a probe, then by the log, then by what a person said. byLog says that
// an entry of the log about it shows that it is there. The note of the check says why no API does.
func (t *Tenant) conclude(o *observation, f *findings, c Check, x *Probe, about func(Change) bool, byLog bool) {
	var ch *Change
	if o != nil && about != nil {
		ch = last(o.changes, about)
	}
	a := t.answer(c.Step)
	why := first(c.Note, "no API shows it: send the probes, or say what you see")
	c.Note = ""
	switch {
	case x != nil && x.State == Right:
		c.State, c.How, c.From = Right, Inferred, "probe "+x.ID
		f.check(c)
	case x != nil && x.State == Wrong:
		c.State, c.How, c.From = Wrong, Inferred, "probe "+x.ID
		f.wrong(c, Drift{Field: "effect", Wanted: "as the step says", Found: x.Detail})
	case ch != nil && ch.removes() && (a == nil || a.At.Before(ch.At)):
		c.State, c.How, c.From = Missing, Inferred, ch.line()
		f.wrong(c, Drift{Field: "Name", Wanted: c.Object, Found: nil, Note: "the audit log says that it was deleted"})
	case a != nil && !a.Done:
		c.State, c.How, c.From = Missing, Told, said(a)
		f.wrong(c, Drift{Field: "done", Wanted: true, Found: false})
	case a != nil && ch != nil && ch.At.After(a.At):
		c.State, c.From, c.Note = Unknown, ch.line(), "it was changed after somebody said that it is done: look again"
		f.check(c)
		f.problem(Problem{Code: problemLog, Object: c.Object, Text: "changed after it was seen to be right: " + ch.line(), Do: "look at it and say again what it is"})
	case a != nil:
		c.State, c.How, c.From = Right, Told, said(a)
		f.check(c)
	case ch != nil && byLog && !ch.turnsOff():
		c.State, c.How, c.From, c.Note = Right, Inferred, ch.line(), "the log shows that it was made, not what stands in it"
		f.check(c)
	default:
		c.State, c.How, c.Note = Unknown, "", why
		if ch != nil {
			c.From = ch.line()
		}
		f.check(c)
	}
}

// unreadNote says why policies say nothing; empty: nobody was to read them.
func (o *observation) unreadNote() string {
	if o.treeErr == nil || errors.Is(o.treeErr, errNoClient) {
		return ""
	}
	return "policies were not read: " + oneLine(o.treeErr.Error(), 300)
}

func said(a *Answer) string {
	return strings.TrimSpace(first(a.By, "somebody") + " " + a.At.UTC().Format(time.RFC3339))
}
