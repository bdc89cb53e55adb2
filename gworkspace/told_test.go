package gworkspace_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// ago is an answer of so many hours ago.
func ago(step string, hours int, done bool) gworkspace.Answer {
	return gworkspace.Answer{Step: step, Done: done, By: "ann", At: time.Now().Add(-time.Duration(hours) * time.Hour)}
}

// TestToldPairs: of what was said about a step and about the ones that undo it the newest counts.
func TestToldPairs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		profile *gworkspace.Profile
		told    []gworkspace.Answer
		step    string
		want    gworkspace.State
	}{
		"done":                             {reroute(), []gworkspace.Answer{ago("host", 2, true)}, "host", gworkspace.Right},
		"deleted after it":                 {reroute(), []gworkspace.Answer{ago("host", 2, true), ago("host.remove", 1, true)}, "host", gworkspace.Missing},
		"and made again":                   {reroute(), []gworkspace.Answer{ago("host", 2, true), ago("host.remove", 1, true), ago("host", 0, true)}, "host", gworkspace.Right},
		"in another order of the file":     {reroute(), []gworkspace.Answer{ago("host.remove", 1, true), ago("host", 2, true)}, "host", gworkspace.Missing},
		"the removal was taken back":       {reroute(), []gworkspace.Answer{ago("host", 3, true), ago("host.remove", 2, true), ago("host.remove", 1, false)}, "host", gworkspace.Right},
		"taken back":                       {reroute(), []gworkspace.Answer{ago("host", 2, true), ago("host", 1, false)}, "host", gworkspace.Missing},
		"the gateway is not trusted":       {reroute(), []gworkspace.Answer{ago("inbound-gateway", 2, true), ago("inbound-gateway.remove", 1, true)}, "inbound-gateway", gworkspace.Missing},
		"the rule is off":                  {reroute(), []gworkspace.Answer{ago("redirect-rule", 2, true), ago("redirect-rule.off", 1, true)}, "redirect-rule", gworkspace.Missing},
		"the rule is on again":             {reroute(), []gworkspace.Answer{ago("redirect-rule.off", 2, true), ago("redirect-rule", 1, true)}, "redirect-rule", gworkspace.Right},
		"the policy names Google again":    {movedMX(), []gworkspace.Answer{ago("mta-sts", 2, true), ago("mta-sts.back", 1, true)}, "mta-sts", gworkspace.Missing},
		"reject is off":                    {movedMX(), []gworkspace.Answer{ago("inbound-gateway.reject", 2, true), ago("inbound-gateway.reject-off", 1, true)}, "inbound-gateway.reject", gworkspace.Missing},
		"reject went with all the setting": {movedMX(), []gworkspace.Answer{ago("inbound-gateway.reject", 2, true), ago("inbound-gateway.remove", 1, true)}, "inbound-gateway.reject", gworkspace.Missing},
	} {
		c.profile.Access = nil
		mx := googleMX
		if c.profile.MXMoved {
			mx = ourMX
		}
		r, err := (&gworkspace.Tenant{Profile: c.profile, LookupMX: mx, Told: c.told}).Verify(t.Context())
		if got := checkOf(r, c.step); err != nil || got.State != c.want || got.How != gworkspace.Told {
			t.Errorf("%s: %v: %+v, want %s, told", name, err, got, c.want)
		}
	}
}

// TestToldOffboard: a tenant that went and came back has the whole way out in front of it again.
func TestToldOffboard(t *testing.T) {
	t.Parallel()
	var first []gworkspace.Answer
	for i, id := range []string{"redirect-rule.off", "redirect-rule.drain", "redirect-rule.remove", "inbound-gateway.remove", "host.remove", "storage.restore", "ownership.remove"} {
		first = append(first, ago(id, 1000-i, true))
	}
	again := append(slices.Clone(first), ago("storage", 101, true), ago("host", 100, true), ago("inbound-gateway", 99, true))
	p := reroute()
	p.Access = nil
	want := []string{"redirect-rule.off", "redirect-rule.drain", "redirect-rule.remove", "inbound-gateway.remove", "host.remove", "storage.restore", "ownership.remove"}
	plan, err := (&gworkspace.Tenant{Profile: p, LookupMX: googleMX, Told: again}).Offboard(t.Context())
	if err != nil || !slices.Equal(stepIDs(plan.Steps), want) {
		t.Errorf("%v: %q, in order %q", err, stepIDs(plan.Steps), plan.InOrder)
	}
	if plan, err = (&gworkspace.Tenant{Profile: p, LookupMX: googleMX, Told: first}).Offboard(t.Context()); err != nil || len(plan.Steps) != 0 {
		t.Errorf("%v: it did not come back, and there is something left: %q", err, stepIDs(plan.Steps))
	}

	// What the log says after it was told counts.
	logged := gworkspacetest.New(gworkspacetest.Config{})
	logged.GrantAll()
	logged.AddChange(gworkspace.Change{At: time.Now().Add(-time.Hour), Event: "CREATE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner"})
	seen := tenantOf(t, logged, reroute())
	seen.Told = first
	if plan, err = seen.Offboard(t.Context()); err != nil || !slices.Contains(stepIDs(plan.Steps), "host.remove") {
		t.Errorf("%v: the host was made again: %q", err, stepIDs(plan.Steps))
	}

	// The rule is read to be off; that it was turned off at the first time says nothing about since when.
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddRules(top, ours(nil), ruleID)
	tenant := tenantOf(t, server, reroute())
	tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) { return gworkspace.Backlog{}, nil }
	tenant.Told = again
	if plan, err = tenant.Offboard(t.Context()); err != nil || !slices.Equal(codes(plan.Problems), []string{"drain.wait"}) || plan.Blocked() == nil {
		t.Errorf("%v: %v: an answer of a year ago is over the 24 hours", err, plan.Problems)
	}
}

// TestToldUnheard: what a person says about what tokens and DNS show counts for nothing, and that is said.
func TestToldUnheard(t *testing.T) {
	t.Parallel()
	p := reroute()
	p.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"}
	tenant := &gworkspace.Tenant{Profile: p, LookupMX: googleMX, Told: []gworkspace.Answer{ago("access", 1, true), ago("remediation", 1, true)}}
	r, err := tenant.Verify(t.Context())
	said := func(lines []string) bool {
		return slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, "access, remediation has no effect") })
	}
	if err != nil || checkOf(r, "access").State != gworkspace.Unknown || !said(r.Skipped) {
		t.Errorf("%v: %+v, skipped %q", err, checkOf(r, "access"), r.Skipped)
	}
	plan, err := tenant.Plan(t.Context())
	if err != nil || !slices.Contains(stepIDs(plan.Steps), "access") || !said(plan.Notes) {
		t.Errorf("%v: %q, notes %q", err, stepIDs(plan.Steps), plan.Notes)
	}
}

// TestOffboardLog: which entries of the log, and which answers, tell since when the rule is off.
func TestOffboardLog(t *testing.T) {
	t.Parallel()
	entry := func(event string, hours int, setting, name, text string) gworkspace.Change {
		return gworkspace.Change{At: time.Now().Add(-time.Duration(hours) * time.Hour), Who: "admin@ex.net", Event: event, Setting: setting, Name: name, Text: text}
	}
	created := entry("CREATE_GMAIL_SETTING", 60*24, "MESSAGE_SECURITY_RULE", ruleName, "")
	edited := func(hours int) gworkspace.Change { return entry("CHANGE_GMAIL_SETTING", hours, "", ruleName, "") }
	deleted := func(hours int) gworkspace.Change { return entry("DELETE_GMAIL_SETTING", hours, "", ruleName, "") }
	turned := func(on bool, hours int) gworkspace.Change {
		c := edited(hours)
		c.Enabled = &on
		return c
	}
	in := func(unit string, c gworkspace.Change) gworkspace.Change {
		c.Unit = unit
		return c
	}
	state := func(hours int, app, value string) gworkspace.Change {
		return entry("CHANGE_APPLICATION_SETTING", hours, "RuleState rule_state[0] enabled", app, value)
	}
	off := func(hours ...int) []gworkspace.Answer {
		var out []gworkspace.Answer
		for _, h := range hours {
			out = append(out, ago("redirect-rule.off", h, true))
		}
		return out
	}
	const nobody, drain = "nobody can tell since when", "turned off at"
	for name, c := range map[string]struct {
		log  []gworkspace.Change
		told []gworkspace.Answer
		gone bool   // the rule was deleted
		text string // what is in the way; empty: nothing
	}{
		"made, and nothing since":       {[]gworkspace.Change{created}, nil, false, nobody},
		"made, gone, and nothing since": {[]gworkspace.Change{created}, nil, true, nobody},

		// An edit and the state of a rule without a name prove nothing.
		"edited two days ago":             {[]gworkspace.Change{created, edited(48)}, nil, false, nobody},
		"edited an hour ago":              {[]gworkspace.Change{created, edited(1)}, nil, false, nobody},
		"a state changed two days ago":    {[]gworkspace.Change{created, state(48, "Gmail", "false")}, nil, false, nobody},
		"a state changed an hour ago":     {[]gworkspace.Change{created, state(1, "Gmail", "false")}, nil, false, nobody},
		"a state changed, unreadable":     {[]gworkspace.Change{created, state(60*24-1, "Gmail", "REDACTED")}, nil, false, nobody},
		"a state turned on two days ago":  {[]gworkspace.Change{created, state(48, "Gmail", "true")}, nil, false, nobody},
		"gone, another rule turned on":    {[]gworkspace.Change{state(1, "Gmail", "true")}, nil, true, ""},
		"gone, and the log knows nothing": {nil, nil, true, ""},

		// The log says so by name.
		"turned off two days ago":              {[]gworkspace.Change{created, turned(false, 48)}, nil, false, ""},
		"turned off an hour ago":               {[]gworkspace.Change{created, turned(false, 1)}, nil, false, drain},
		"turned off two days ago, by its id":   {[]gworkspace.Change{entry("CREATE_GMAIL_SETTING", 60*24, "MESSAGE_SECURITY_RULE", "fb580", ""), {At: time.Now().Add(-48 * time.Hour), Event: "CHANGE_GMAIL_SETTING", Name: "fb580", Enabled: new(false)}}, nil, false, ""},
		"another one was turned off":           {[]gworkspace.Change{{At: time.Now().Add(-48 * time.Hour), Event: "CHANGE_GMAIL_SETTING", Name: "fb581", Enabled: new(false)}}, nil, false, nobody},
		"off, and on again":                    {[]gworkspace.Change{created, turned(false, 48), turned(true, 30)}, nil, false, nobody},
		"off, and edited":                      {[]gworkspace.Change{created, turned(false, 48), edited(30)}, nil, false, nobody},
		"off in Sales alone":                   {[]gworkspace.Change{created, in("/Sales", turned(false, 48))}, nil, false, nobody},
		"deleted two days ago":                 {[]gworkspace.Change{created, deleted(48)}, nil, true, ""},
		"deleted an hour ago":                  {[]gworkspace.Change{created, deleted(1)}, nil, true, drain},
		"that of the pilot was deleted":        {[]gworkspace.Change{created, in("/Pilot", deleted(48))}, nil, true, nobody},
		"deleted, and it stands":               {[]gworkspace.Change{deleted(48)}, nil, false, nobody},
		"off for long, a state an hour ago":    {[]gworkspace.Change{created, turned(false, 240), state(1, "Gmail", "true")}, nil, false, "it may be ours"},
		"off for long, a state two days ago":   {[]gworkspace.Change{created, turned(false, 240), state(48, "Gmail", "true")}, nil, false, ""},
		"off for long, a state of another app": {[]gworkspace.Change{created, turned(false, 240), state(1, "Google Chat", "true")}, nil, false, ""},

		// A person says so.
		"told before it was made":            {[]gworkspace.Change{created}, off(61 * 24), false, nobody},
		"told before it was made, by its id": {[]gworkspace.Change{entry("CREATE_GMAIL_SETTING", 60*24, "MESSAGE_SECURITY_RULE", "fb580", "")}, off(61 * 24), false, nobody},
		"told after it was made":             {[]gworkspace.Change{created}, off(25), false, ""},
		"told an hour ago":                   {[]gworkspace.Change{created}, off(1), false, drain},
		"told before the last edit":          {[]gworkspace.Change{created, edited(1)}, off(25), false, nobody},
		"told before and after it":           {[]gworkspace.Change{created, edited(26)}, off(50, 25), false, ""},
		"told, and said again":               {[]gworkspace.Change{created}, off(25, 1), false, ""},
		"told, taken back, and again":        {[]gworkspace.Change{created}, append(off(50, 1), ago("redirect-rule.off", 30, false)), false, drain},
		"told, a state an hour ago":          {[]gworkspace.Change{created, state(1, "Gmail", "true")}, off(30), false, "it may be ours"},
		"told, a state before it":            {[]gworkspace.Change{created, state(31, "Gmail", "true")}, off(30), false, ""},
		"empty, told before it came":         {[]gworkspace.Change{created}, []gworkspace.Answer{ago("redirect-rule.drain", 61*24, true)}, false, nobody},
		"empty, told after it":               {[]gworkspace.Change{created}, []gworkspace.Answer{ago("redirect-rule.drain", 1, true)}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.GrantAll()
			if !c.gone {
				server.AddRules(top, ours(nil), ruleID)
			}
			server.AddChange(c.log...)
			tenant := tenantOf(t, server, reroute())
			tenant.Told = c.told
			tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) { return gworkspace.Backlog{}, nil }
			plan, err := tenant.Offboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blocked := plan.Blocked()
			if (blocked != nil) != (c.text != "") || blocked != nil && !strings.Contains(blocked.Error(), c.text) {
				t.Errorf("blocked by %v, want %q", blocked, c.text)
			}
			if drains := slices.Contains(stepIDs(plan.Steps), "redirect-rule.drain"); drains != (c.text != "") {
				t.Errorf("steps %q", stepIDs(plan.Steps))
			}
		})
	}
}

// TestOffboardSwitches: a unit that turned the rule off for itself says nothing about the one above.
func TestOffboardSwitches(t *testing.T) {
	t.Parallel()
	log := gworkspace.Change{At: time.Now().Add(-240 * time.Hour), Event: "CHANGE_GMAIL_SETTING", Name: ruleName, Unit: "/Sales", Enabled: new(false)}
	for name, c := range map[string]struct {
		units []string
		want  string
	}{"off there alone": {[]string{top}, ""}, "off in two places": {[]string{top, salesID}, "nobody can tell since when"}} {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		server.AddUnit(salesID, "/Sales")
		server.AddRules(top, ours(nil), ruleID)
		server.AddChange(log)
		for _, u := range c.units[1:] {
			server.SetStates(u, gworkspacetest.State(ruleID, false))
		}
		tenant := tenantOf(t, server, reroute())
		tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) { return gworkspace.Backlog{}, nil }
		plan, err := tenant.Offboard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if blocked := plan.Blocked(); (blocked != nil) != (c.want != "") || blocked != nil && !strings.Contains(blocked.Error(), c.want) {
			t.Errorf("%s: blocked by %v, want %q", name, blocked, c.want)
		}
	}
}

// TestToldConfirmed: who says on the way out that a setting still stands, as Verify asks for, takes nothing back.
func TestToldConfirmed(t *testing.T) {
	t.Parallel()
	out := []gworkspace.Answer{ago("host", 900, true), ago("inbound-gateway", 900, true), ago("redirect-rule.off", 48, true), ago("redirect-rule.drain", 20, true)}
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddRules(top, ours(nil), ruleID)
	server.AddChange(gworkspace.Change{At: time.Now().Add(-2 * time.Hour), Event: "CHANGE_GMAIL_SETTING", Setting: "INBOUND_GATEWAY", Name: "x"})
	told := reroute()
	told.Access = nil
	for name, tenant := range map[string]*gworkspace.Tenant{"read": tenantOf(t, server, reroute()), "told": {Profile: told, LookupMX: googleMX}} {
		for what, c := range map[string]struct {
			more []gworkspace.Answer
			next string
		}{
			"nothing":                      {nil, "redirect-rule.remove"},
			"both stand":                   {[]gworkspace.Answer{ago("host", 1, true), ago("inbound-gateway", 1, true)}, "redirect-rule.remove"},
			"deleted by mistake, and back": {[]gworkspace.Answer{ago("host.remove", 3, true), ago("host", 1, true)}, "back"},
			"a deletion that was none":     {[]gworkspace.Answer{ago("host.remove", 3, true), ago("host.remove", 2, false), ago("host", 1, true)}, "redirect-rule.remove"},
			"the rule is on again":         {[]gworkspace.Answer{ago("redirect-rule", 1, true)}, "back"},
		} {
			next := c.next
			if next == "back" { // what is read stands; that the gateway was empty does not
				next = map[string]string{"read": "redirect-rule.drain", "told": "redirect-rule.off"}[name]
			}
			tenant.Told = slices.Concat(out, c.more)
			if plan, err := tenant.Offboard(t.Context()); err != nil || plan.Steps[0].ID != next {
				t.Errorf("%s, %s: %v: next %q, want %s (%v)", name, what, err, stepIDs(plan.Steps), next, plan.Blocked())
			}
		}
	}
}

// TestOffboardLast: once the access is gone nobody can read that the rule is off and deleted: what was done after it says so.
func TestOffboardLast(t *testing.T) {
	t.Parallel()
	rest := []gworkspace.Answer{ago("redirect-rule.drain", 60, true), ago("inbound-gateway.remove", 9, true), ago("storage.restore", 8, true)}
	end := []gworkspace.Answer{ago("access.remove", 7, true)}
	for name, c := range map[string]struct {
		told []gworkspace.Answer
		want []string // what is left
	}{
		"the access is gone":           {slices.Concat(rest, end), []string{"key.remove", "ownership.remove"}},
		"its queue was read":           {slices.Concat(rest[1:], end), []string{"key.remove", "ownership.remove"}},
		"the access stands":            {rest, []string{"redirect-rule.off", "redirect-rule.remove", "host.remove", "access.remove", "key.remove", "ownership.remove"}},
		"it went first":                {end, []string{"redirect-rule.off", "redirect-rule.drain", "redirect-rule.remove", "inbound-gateway.remove", "host.remove", "storage.restore", "key.remove", "ownership.remove"}},
		"somebody says it is on":       {slices.Concat(rest, end, []gworkspace.Answer{ago("redirect-rule.off", 1, false)}), []string{"redirect-rule.off", "key.remove", "ownership.remove"}},
		"it came back since":           {slices.Concat(rest, end, []gworkspace.Answer{ago("inbound-gateway", 1, true)}), []string{"redirect-rule.off", "redirect-rule.drain", "redirect-rule.remove", "inbound-gateway.remove", "host.remove", "key.remove", "ownership.remove"}},
		"said in the end all the same": {slices.Concat(rest, end, []gworkspace.Answer{ago("redirect-rule.off", 0, true), ago("redirect-rule.remove", 0, true)}), []string{"key.remove", "ownership.remove"}},
	} {
		tenant := &gworkspace.Tenant{Profile: reroute(), LookupMX: googleMX, Told: c.told}
		plan, err := tenant.Offboard(t.Context())
		if diff := cmp.Diff(c.want, stepIDs(plan.Steps)); err != nil || diff != "" || plan.Blocked() != nil {
			t.Errorf("%s: %v, blocked by %v (-want +got):\n%s", name, err, plan.Blocked(), diff)
		}
	}
	// What is read counts.
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	tenant := tenantOf(t, server, reroute())
	tenant.Told = slices.Concat(rest, end)
	if plan, err := tenant.Offboard(t.Context()); err != nil || plan.Steps[0].ID != "redirect-rule.off" {
		t.Errorf("%v: the rule is on, and next is %q", err, stepIDs(plan.Steps))
	}
}

// TestOffboardAsk: who is to say something is told to say it at once, how, and what to say where there is nothing to wait for.
func TestOffboardAsk(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddRules(top, ours(nil), ruleID)
	moved := mxFirst()
	moved.Access = nil
	back := ago("mx.back", 1, true)
	for name, c := range map[string]struct {
		tenant *gworkspace.Tenant
		told   []gworkspace.Answer
		want   []string
	}{
		"rule":           {tenantOf(t, server, reroute()), nil, []string{"say now that the step redirect-rule.off is done (--done redirect-rule.off --told FILE): 24 hours count", "say that the step redirect-rule.drain is done"}},
		"MX":             {&gworkspace.Tenant{Profile: moved, LookupMX: googleMX}, nil, []string{"say now that the step mx.back is done (--done mx.back --told FILE): 72 hours count", "If the records never led to it", "the step gateway.keep is done"}},
		"MX, since when": {&gworkspace.Tenant{Profile: moved, LookupMX: googleMX}, []gworkspace.Answer{back}, []string{"the step gateway.keep and all that follow it wait until " + back.At.Add(72*time.Hour).UTC().Format(time.RFC3339)}},
	} {
		c.tenant.Told = c.told
		plan, err := c.tenant.Offboard(t.Context())
		if err != nil || plan.Blocked() == nil {
			t.Fatalf("%s: %v: nothing is in the way", name, err)
		}
		for _, want := range c.want {
			if got := plan.Blocked().Error(); !strings.Contains(got, want) || strings.Contains(got, "nothing else") {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}
