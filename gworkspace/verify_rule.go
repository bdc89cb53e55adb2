package gworkspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ourRules are the content compliance rules with our name among some.
func (t *Tenant) ourRules(all []rule) []rule {
	return slices.DeleteFunc(slices.Clone(all), func(r rule) bool { return !t.ours(r) })
}

// ours knows a rule by the beginning and the end of its name: people put a note between them.
func (t *Tenant) ours(r rule) bool {
	name := strings.TrimSpace(r.name)
	return r.setting == "gmail.content_compliance" && strings.HasPrefix(name, t.Profile.ruleStem()) && strings.HasSuffix(name, t.Profile.mark())
}

// checkRule looks at the redirect rule in every organizational unit that it shall act in, and below.
func (t *Tenant) checkRule(o *observation, f *findings, probes []Probe) {
	p := t.Profile
	c := Check{Step: idRule, Object: "content compliance rule " + p.ruleName(), How: Read}
	if o.tree == nil {
		c.Note = o.unreadNote()
		t.conclude(o, f, c, probeOf(probes, "P2"), func(ch Change) bool { return ch.about(p.ruleStem()) }, true)
		return
	}
	var here []string
	for _, unit := range p.units() {
		c := c
		c.Unit = unit
		t.checkRuleIn(o.tree, f, c, unit)
		for _, r := range t.ourRules(o.tree.rules(unit)) {
			here = append(here, r.id)
		}
	}
	for _, r := range t.ourRules(o.tree.allRules()) {
		if !slices.Contains(here, r.id) {
			f.problem(Problem{Code: problemDuplicate, Object: r.name, Text: "a rule of this name also stands in " + r.at + ", where the profile wants none: of the pilot, or of units that were protected before",
				Do: "delete it there when the other has effect: two of them handle the same mail"})
		}
	}
}

func (t *Tenant) checkRuleIn(tr *tree, f *findings, c Check, unit string) {
	rules := t.ourRules(tr.rules(unit))
	if len(rules) == 0 {
		c.State = Missing
		f.wrong(c, Drift{Name: t.Profile.ruleName(), Field: "Name", Wanted: t.Profile.ruleName(), Note: "it is not there"})
		return
	}
	if len(rules) > 1 {
		f.problem(Problem{Code: problemDuplicate, Object: t.Profile.ruleName(), Text: fmt.Sprintf("%d rules of this name act in %s: mail is handled by one of them, nobody can say which", len(rules), unit),
			Do: "delete all but one"})
	}
	r := rules[0]
	c.From = r.policy
	state, known := tr.toggles(unit)[r.id]
	switch {
	case known && !state.on:
		c.State = Disabled
		f.wrong(c, Drift{Name: r.name, Field: "Enabled", Wanted: true, Found: false, Note: "turned off in " + state.at})
		return
	case !known:
		c.State, c.Note = Wrong, "no state of the rule is shown: it counts as off until it is seen to be on"
		f.wrong(c, Drift{Name: r.name, Field: "Enabled", Wanted: true, Found: nil})
		return
	}
	drifts := t.ruleDrifts(r)
	if len(drifts) > 0 {
		c.State = Wrong
		f.wrong(c, drifts...)
	} else {
		c.State = Right
		f.check(c)
	}
	t.checkRuleBelow(tr, f, c, unit, r)
}

// checkRuleBelow finds units and groups under the unit in which the rule does not act as it does there.
func (t *Tenant) checkRuleBelow(tr *tree, f *findings, c Check, unit string, r rule) {
	for _, sub := range tr.below(unit)[1:] {
		c := c
		c.Unit, c.State, c.Note = sub, Overridden, ""
		state := tr.toggles(sub)[r.id]
		here := tr.rules(sub)
		i := slices.IndexFunc(here, func(x rule) bool { return x.id == r.id })
		switch {
		case !state.on && t.Profile.accepts(problemSubunit):
			f.problem(Problem{Code: problemSubunit, Object: sub, Text: "the rule is off here: mail of this unit is not scanned", Do: "nothing: the profile accepts it"})
		case !state.on:
			c.From = state.policy
			f.wrong(c, Drift{Name: r.name, Field: "Enabled", Wanted: true, Found: false, Note: "turned off in " + state.at})
		case i >= 0 && here[i].at != r.at && len(t.ruleDrifts(here[i])) > 0:
			c.From = here[i].policy
			f.wrong(c, t.ruleDrifts(here[i])...)
		}
	}
	groups := tr.groupToggles()
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		if s, ok := groups[group][r.id]; ok && !s.on {
			c := c
			c.Unit, c.State, c.From = "group "+group, Overridden, s.policy
			f.wrong(c, Drift{Name: r.name, Field: "Enabled", Wanted: true, Found: false, Note: "turned off for this group"})
		}
	}
}

// ruleDrifts compares the fields of the rule that are shown.
func (t *Tenant) ruleDrifts(r rule) []Drift {
	p := t.Profile
	var out []Drift
	flag := func(o object, name, label string, want bool) {
		got := o.flag(name)
		if got == nil && !want || got != nil && *got == want {
			return
		}
		d := Drift{Name: r.name, Field: label, Wanted: want}
		if got != nil {
			d.Found = *got
		}
		out = append(out, d)
	}
	cond := r.sub("condition")
	flag(cond, "affectInboundMessages", "Email messages to affect: Inbound", true)
	flag(cond, "affectOutboundMessages", "Email messages to affect: Outbound", false)
	flag(cond, "affectInternalSendingMessages", "Email messages to affect: Internal - Sending", false)
	flag(cond, "affectInternalReceivingMessages", "Email messages to affect: Internal - Receiving", false)
	flag(cond, "accountTypeUser", "Account types: Users", true)
	flag(cond, "accountTypeGroup", "Account types: Groups", !p.SkipGroups)
	flag(cond, "accountTypeUnrecognized", "Account types: Unrecognized / Catch-all", !p.SkipUnrecognized)
	flag(r.object, "matchAnyExpression", "Expressions: ANY of them", false)
	out = append(out, t.expressionDrifts(r)...)
	if got := r.sub("consequence").text("ruleConsequenceType"); got != "MODIFY_MESSAGE" {
		out = append(out, Drift{Name: r.name, Field: "Action", Wanted: "MODIFY_MESSAGE", Found: textOrNil(got)})
	}
	d := r.delivery()
	flag(d, "changeDefaultRoute", "Change route", true)
	flag(d, "rerouteSpam", "Also reroute spam", !p.LeaveGmailSpam)
	flag(d, "addXGmOriginalToHeader", "Add X-Gm-Original-To header", true)
	flag(d, "addXGmSpamHeader", "Add X-Gm-Spam and X-Gm-Phishy headers", true)
	flag(d, "addCustomHeaders", "Add custom headers", true)
	flag(d, "requireTls", "Require secure transport (TLS)", true)
	flag(d, "removeAttachments", "Remove attachments from message", false)
	flag(d, "changeEnvelopeRecipient", "Change envelope recipient", false)
	flag(d, "bypassSpamFilter", "Bypass spam filter for this message", false)
	flag(r.sub("consequence"), "deliverToAdditionalRecipients", "Also deliver to", false)
	return out
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// expressionDrifts looks for what stops the loop. How Google names the kinds of advanced matches is not
// documented, so the text is looked for wherever it stands, and what is known to be the opposite is refused.
func (t *Tenant) expressionDrifts(r rule) []Drift {
	name := t.Profile.Headers.token()
	var found []string // texts with the header in them
	var out []Drift
	for _, raw := range r.list("matchExpressions") {
		e, _ := asObject(raw)
		mine := false
		for _, leaf := range leaves(raw) {
			if strings.Contains(strings.ToLower(leaf), strings.ToLower(name)) {
				found, mine = append(found, leaf), true
			}
		}
		if !mine {
			out = append(out, Drift{Name: r.name, Field: "Expressions", Wanted: nil, Found: e.text("matchExpressionType"), Note: "an expression that is not ours: mail that does not match it goes around the gateway"})
		}
		if mine && positiveMatch(e, raw) {
			out = append(out, Drift{Name: r.name, Field: "Match type", Wanted: "Not contains text", Found: e.text("matchExpressionType"),
				Note: "as it stands the rule sends only what was scanned already: a loop, and nothing is protected"})
		}
	}
	if len(found) == 0 {
		return append(out, Drift{Name: r.name, Field: "Content", Wanted: name + ": " + shownLoop, Note: "nothing stops the loop"})
	}
	if t.Secrets == nil {
		return out
	}
	missing := false
	for _, secret := range t.Secrets.Loop {
		if d := loopDrift(r, name+": "+secret, secret, found); d != nil {
			d.Wanted, missing = name+": "+shownLoop, true
			out = append(out, *d)
		}
	}
	if missing {
		return out
	}
	for _, s := range found {
		if !slices.ContainsFunc(t.Secrets.Loop, func(secret string) bool { return strings.Contains(s, secret) }) {
			out = append(out, Drift{Name: r.name, Field: "Content", Found: "(a secret that is good no more)",
				Note: "mail that carries it goes around the gateway: take this expression out of the rule"})
		}
	}
	return out
}

// loopDrift says how a secret is not among what the rule looks for; nil: it is.
func loopDrift(r rule, want, secret string, found []string) *Drift {
	near := ""
	for _, s := range found {
		switch {
		case s == want, strings.Contains(s, secret) && strings.Contains(s, `\s`): // pasted text, or the regexp of the guide
			return nil
		case strings.TrimSpace(s) == want:
			near = "there are blanks around it: the rule never sees that a message was scanned, which makes a loop"
		case strings.Contains(s, secret):
			near = "it is not written as the gateway writes it"
		}
	}
	d := &Drift{Name: r.name, Field: "Content", Found: "(another secret)", Note: "the rule looks for another secret: what the gateway has scanned is sent to it again"}
	if near != "" {
		d.Found, d.Note = "(the secret, not as wanted)", near
	}
	return d
}

// positiveMatch says whether an expression is known to match what contains the text.
func positiveMatch(e object, raw []byte) bool {
	if e.text("matchExpressionType") == "SIMPLE_CONTENT" {
		return true
	}
	for _, leaf := range leaves(raw) {
		if up := strings.ToUpper(leaf); up == leaf && strings.Contains(up, "CONTAINS") && !strings.Contains(up, "NOT") {
			return true
		}
	}
	return false
}
