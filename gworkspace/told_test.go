package gworkspace_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

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
		r, err := (&gworkspace.Tenant{Profile: c.profile, LookupMX: googleMX, Told: c.told}).Verify(t.Context())
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
	state := func(hours int, app, value string) gworkspace.Change {
		return entry("CHANGE_APPLICATION_SETTING", hours, "RuleState rule_state[0] enabled", app, value)
	}
	for name, c := range map[string]struct {
		log    []gworkspace.Change
		told   []gworkspace.Answer
		gone   bool // the rule was deleted
		blocks bool
		text   string
	}{
		"made, and nothing since":                 {[]gworkspace.Change{created}, nil, false, true, "nobody can tell since when"},
		"made, gone, and nothing since":           {[]gworkspace.Change{created}, nil, true, true, "nobody can tell since when"},
		"changed two days ago":                    {[]gworkspace.Change{created, entry("CHANGE_GMAIL_SETTING", 48, "", ruleName, "")}, nil, false, false, ""},
		"changed an hour ago":                     {[]gworkspace.Change{created, entry("CHANGE_GMAIL_SETTING", 1, "", ruleName, "")}, nil, false, true, "turned off at"},
		"state changed an hour ago":               {[]gworkspace.Change{created, entry("CHANGE_GMAIL_SETTING", 48, "", ruleName, ""), state(1, "Gmail", "false")}, nil, false, true, "turned off at"},
		"state changed, unreadable":               {[]gworkspace.Change{created, state(1, "Gmail", "REDACTED")}, nil, false, true, "turned off at"},
		"state changed two days ago":              {[]gworkspace.Change{created, state(48, "Gmail", "false")}, nil, false, false, ""},
		"turned on two days ago":                  {[]gworkspace.Change{created, state(48, "Gmail", "true")}, nil, false, true, "nobody can tell since when"},
		"state of another application":            {[]gworkspace.Change{state(1, "Google Chat", "false"), entry("CHANGE_GMAIL_SETTING", 48, "", ruleName, "")}, nil, false, false, ""},
		"told before it was made":                 {[]gworkspace.Change{created}, []gworkspace.Answer{ago("redirect-rule.off", 61*24, true)}, false, true, "nobody can tell since when"},
		"told after it was made":                  {[]gworkspace.Change{created}, []gworkspace.Answer{ago("redirect-rule.off", 25, true)}, false, false, ""},
		"told before the last change":             {[]gworkspace.Change{created, entry("CHANGE_GMAIL_SETTING", 1, "", ruleName, "")}, []gworkspace.Answer{ago("redirect-rule.off", 25, true)}, false, true, "turned off at"},
		"deleted two days ago":                    {[]gworkspace.Change{created, entry("DELETE_GMAIL_SETTING", 48, "", ruleName, "")}, nil, true, false, ""},
		"gone for months, another rule turned on": {[]gworkspace.Change{state(1, "Gmail", "true")}, nil, true, false, ""},
		"gone, and the log knows nothing of it":   {nil, nil, true, false, ""},
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
			if (blocked != nil) != c.blocks || blocked != nil && !strings.Contains(blocked.Error(), c.text) {
				t.Errorf("blocked by %v, want %v %q", blocked, c.blocks, c.text)
			}
			if drains := slices.Contains(stepIDs(plan.Steps), "redirect-rule.drain"); drains != c.blocks {
				t.Errorf("steps %q", stepIDs(plan.Steps))
			}
		})
	}
}
