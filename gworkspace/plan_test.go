package gworkspace_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.Grant(readScopes...)
	storageOn(server, top, storage1, true)
	server.AddRules(top, ours(nil), ruleID)
	p := reroute()
	p.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"}
	tenant := tenantOf(t, server, p)
	plan, err := tenant.Plan(t.Context())
	if err != nil || plan.Blocked() != nil {
		t.Fatal(err, plan.Blocked())
	}
	if diff := cmp.Diff([]string{"storage", "host", "inbound-gateway", "redirect-rule", "remediation"}, stepIDs(plan.Steps)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Let Postreeve read the settings"}, plan.InOrder); diff != "" {
		t.Errorf("in order (-want +got):\n%s", diff)
	}
	rule := plan.Steps[3]
	if want := []gworkspace.Diff{{Name: "/: Enabled", Before: false, After: true, Note: "turned off in /"}}; rule.Verb != gworkspace.VerbEnable || !cmp.Equal(want, rule.Fields) {
		t.Errorf("rule: %s %+v", rule.Verb, rule.Fields)
	}
	raw, err := json.Marshal(plan)
	if err != nil || strings.Contains(string(raw), loop) || strings.Contains(string(raw), "TENANTTENANT") {
		t.Errorf("the plan holds a secret, %v", err)
	}
	tenant.Reveal = true
	again, err := tenant.Plan(t.Context())
	if err != nil || again.Observed != plan.Observed || again.ID == plan.ID {
		t.Errorf("%v: observed %s and %s, id %s and %s", err, plan.Observed, again.Observed, plan.ID, again.ID)
	}
	if raw, _ := json.Marshal(again); !bytes.Contains(raw, []byte(content)) {
		t.Error("nothing to paste in a plan that may show the secrets")
	}
}

// TestPlanForms: the JSON of a step has the keys of package m365, and one more.
func TestPlanForms(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(gworkspace.Step{Fields: []gworkspace.Diff{{}}, Risk: "r", Needs: []string{"n"}, Roles: []string{"r"}, Wait: "w", Check: "c", Undo: "u",
		Console: &gworkspace.Console{Values: []gworkspace.Value{{}}}, Limits: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"","title":"","object":"","verb":"","fields":[{"name":"","before":null,"after":null}],"why":"","risk":"r","needs":["n"],"roles":["r"],"wait":"w","check":"c","undo":"u",` +
		`"console":{"path":"","link":"","values":[{"name":"","value":""}],"expect":""},"limits":["l"]}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

// TestPlanWithoutAccess: nothing is read, everything is a step, nothing is in the way.
func TestPlanWithoutAccess(t *testing.T) {
	t.Parallel()
	p := reroute()
	p.Access = nil
	tenant := &gworkspace.Tenant{Profile: p, LookupMX: googleMX, Told: []gworkspace.Answer{{Step: "host", Done: true, At: time.Now()}}}
	plan, err := tenant.Plan(t.Context())
	if err != nil || plan.Blocked() != nil {
		t.Fatal(err, plan.Blocked())
	}
	if diff := cmp.Diff([]string{"storage", "inbound-gateway", "redirect-rule"}, stepIDs(plan.Steps)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	r, err := tenant.Verify(t.Context())
	if err != nil || !r.OK() || r.Sure() || checkOf(r, "redirect-rule").State != gworkspace.Unknown {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestPlanProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		profile func(p *gworkspace.Profile)
		setup   func(s *gworkspacetest.Server)
		mx      []string
		code    string
	}{
		{"MX elsewhere", nil, nil, []string{"mx.other.example"}, "mx.elsewhere"},
		{"MX of consumer Gmail", nil, nil, []string{"gmail-smtp-in.l.google.com"}, "mx.elsewhere"},
		{"no MX", nil, nil, []string{}, "mx.elsewhere"},
		{"legacy MX", nil, nil, []string{"ASPMX.L.GOOGLE.COM.", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"}, ""},
		{"no such unit", func(p *gworkspace.Profile) { p.Protect.Units = []string{"/Nowhere"} }, nil, nil, "unit.unknown"},
		{"not our domain", func(p *gworkspace.Profile) { p.Domains = []string{"ex.net", "stranger.example"} }, nil, nil, "domain.unknown"},
		{"unverified domain", func(p *gworkspace.Profile) { p.Domains = []string{"ex.net", "new.example"} }, func(s *gworkspacetest.Server) { s.AddDomain("new.example", false) }, nil, "domain.unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			onboarded(server)
			if c.setup != nil {
				c.setup(server)
			}
			p := reroute()
			if c.profile != nil {
				c.profile(p)
			}
			tenant := tenantOf(t, server, p)
			if c.mx != nil {
				tenant.LookupMX = func(context.Context, string) ([]string, error) { return slices.Clone(c.mx), nil }
			}
			plan, err := tenant.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var problem gworkspace.Problem
			if errors.As(plan.Blocked(), &problem); problem.Code != c.code {
				t.Errorf("blocked by %q (%v), want %q", problem.Code, plan.Blocked(), c.code)
			}
		})
	}
}

// TestAdminIsNotSuper: the plan says so, and what cannot be read stays unknown.
func TestAdminIsNotSuper(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	server.AddUser(gworkspacetest.User{Email: "helpdesk@ex.net"})
	for admin, want := range map[string]string{"helpdesk@ex.net": "no super administrator", "gone@ex.net": "nobody can act as this user"} {
		cfg := server.ClientConfig()
		cfg.Admin = admin
		client, err := gworkspace.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := reroute()
		p.Access.Admin = admin
		plan, err := (&gworkspace.Tenant{Profile: p, Client: client, LookupMX: googleMX}).Plan(t.Context())
		if err != nil || plan.Blocked() == nil || !strings.Contains(plan.Blocked().Error(), want) {
			t.Errorf("%s: %v, %v: want %q", admin, err, plan.Blocked(), want)
		}
	}
}

// TestNoRejectInReroute: in no form of a profile does mode Reroute ask for mail from elsewhere to be refused.
func TestNoRejectInReroute(t *testing.T) {
	t.Parallel()
	bools := []bool{false, true}
	for _, stage := range []gworkspace.Stage{"", gworkspace.StagePilot, gworkspace.StageAll} {
		for _, a := range bools {
			for _, b := range bools {
				p := reroute()
				p.Stage, p.Pilot = stage, []string{"/Pilot"}
				p.TrustVerdict, p.LeaveGmailSpam, p.SkipGroups, p.SkipUnrecognized = a, b, a, b
				guide, err := gworkspace.Runbook(p, secrets())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range slices.Concat(guide.Steps, guide.Back) {
					for _, v := range s.Console.Values {
						if v.Name == "Reject all mail not from gateway IPs" && v.Value != "off" {
							t.Fatalf("step %s asks for %q: %q", s.ID, v.Name, v.Value)
						}
					}
					if s.ID == "inbound-gateway.reject" {
						t.Fatal("mode reroute has the step", s.ID)
					}
				}
				p.MXMoved = true
				if err := p.Check(); err == nil {
					t.Fatal("mode reroute with moved MX records passes the check")
				}
			}
		}
	}
}

func TestMXFirstOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		p := mxFirst()
		tenant := tenantOf(t, server, p)
		plan, err := tenant.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"inbound-gateway", "mta-sts", "mx"}, stepIDs(plan.Steps)); diff != "" {
			t.Errorf("before the MX records moved (-want +got):\n%s", diff)
		}
		p.MXMoved = true
		if plan, err = tenant.Plan(t.Context()); err != nil || slices.Contains(stepIDs(plan.Steps), "inbound-gateway.reject") {
			t.Errorf("%v: mail is to be refused that DNS still sends to Google: %q", err, stepIDs(plan.Steps))
		}
		tenant.LookupMX = func(context.Context, string) ([]string, error) {
			return []string{"MX1.gw.example.", "mx2.gw.example"}, nil
		}
		tenant.Told = []gworkspace.Answer{{Step: "inbound-gateway", Done: true, At: time.Now()}, {Step: "mta-sts", Done: true, At: time.Now()}}
		if plan, err = tenant.Plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"inbound-gateway.reject"}, stepIDs(plan.Steps)); diff != "" {
			t.Errorf("after it (-want +got):\n%s", diff)
		}
	})
}

func TestRunbook(t *testing.T) {
	t.Parallel()
	full := reroute()
	full.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100", Purge: true}
	full.Regions["us"] = gworkspace.Region{SmartHost: "us.gw.example", Port: 2525, Egress: []string{"198.51.100.0/28"}}
	full.Region, full.SecondRegion = "eu", "us"
	mx := mxFirst()
	mx.Remediation = full.Remediation
	for name, p := range map[string]*gworkspace.Profile{"reroute": full, "mx-first": mx} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guide, err := gworkspace.Runbook(p, secrets())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range slices.Concat(guide.Steps, guide.Back) {
				c := s.Console
				if s.Title == "" || s.Why == "" || s.Check == "" || s.Wait == "" || c == nil || c.Path == "" || !strings.HasPrefix(c.Link, "https://") && c.Path != "the machine of the gateway" || c.Expect == "" || len(c.Values) == 0 {
					t.Errorf("step %s leaves something open: %+v %+v", s.ID, s, c)
				}
				for _, v := range c.Values {
					if v.Name == "" || v.Value == "" || v.Value != strings.TrimSpace(v.Value) || strings.Contains(v.Value, "(the ") {
						t.Errorf("step %s: %q cannot be pasted: %q", s.ID, v.Name, v.Value)
					}
				}
			}
			var probes []string
			for _, x := range guide.Probes {
				probes = append(probes, x.ID)
				if x.Title == "" || x.From == "" || x.Expect == "" || len(x.Values) == 0 {
					t.Errorf("%s leaves something open: %+v", x.ID, x)
				}
			}
			if probes = slices.Compact(probes); len(probes) != 7 && name == "reroute" || len(probes) != 6 && name == "mx-first" {
				t.Errorf("probes %q", probes)
			}
			md := guide.Markdown()
			for _, want := range []string{"https://www.googleapis.com/auth/cloud-identity.policies.readonly", "## The way out", "192.0.2.10"} {
				if !strings.Contains(md, want) {
					t.Errorf("the document lacks %q", want)
				}
			}
			if name == "reroute" {
				for _, want := range []string{"`" + content + "`", "`X-Postreeve-Tenant`", "`TENANTTENANTTENANT`", "`^X-Postreeve-Spam: FAIL$`", "- **Secondary: host name:** `us.gw.example`", "`" + ruleName + "`", "`(?i)@(ex\\.net)$`", "Unrecognized"} {
					if !strings.Contains(md, want) {
						t.Errorf("the document lacks %q", want)
					}
				}
			}
			plain, err := gworkspace.Runbook(p, nil)
			if err != nil || strings.Contains(plain.Markdown(), loop) {
				t.Errorf("without secrets: %v", err)
			}
		})
	}
}

// TestRunbookPaste: what is copied from the text of the document, and not from what it is shown as, is right too.
func TestRunbookPaste(t *testing.T) {
	t.Parallel()
	p := reroute()
	p.Domains = []string{"ex.net", "ex.org"}
	p.Protect.Units = []string{"/A`B", "/Sales | ``EU``"}
	guide, err := gworkspace.Runbook(p, secrets())
	if err != nil {
		t.Fatal(err)
	}
	md := guide.Markdown()
	for _, s := range slices.Concat(guide.Steps, guide.Back) {
		for _, v := range s.Console.Values {
			for line := range strings.SplitSeq(v.Value, "\n") {
				if !strings.Contains(md, line) {
					t.Errorf("step %s: %q does not stand there as it is", s.ID, line)
				}
			}
		}
	}
	if !strings.Contains(md, "`(?i)@(ex\\.net|ex\\.org)$`") {
		t.Error("the filter of the rule does not stand there as it is")
	}
}

// TestOneClient: a delegation holds one entry a client, so a client for both needs all scopes in it.
func TestOneClient(t *testing.T) {
	t.Parallel()
	p := reroute()
	p.Remediation = &gworkspace.Remediator{ClientID: p.Access.ClientID, Purge: true}
	guide, err := gworkspace.Runbook(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := guide.Steps[len(guide.Steps)-1].Console.Values[1].Value
	want := strings.Join(append(slices.Clone(readScopes), gworkspace.ScopeModify, gworkspace.ScopePurge), ",")
	if last != want {
		t.Errorf("got %s\nwant %s", last, want)
	}
}

func TestOffboardOrder(t *testing.T) {
	t.Parallel()
	full := reroute()
	full.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"}
	for _, c := range []struct {
		p    *gworkspace.Profile
		want []string
	}{
		{full, []string{"redirect-rule.off", "redirect-rule.drain", "redirect-rule.remove", "inbound-gateway.remove", "host.remove", "storage.restore", "remediation.remove", "access.remove", "key.remove", "ownership.remove"}},
		{mxFirst(), []string{"inbound-gateway.reject-off", "mta-sts.back", "mx.back", "gateway.keep", "inbound-gateway.remove", "access.remove", "key.remove", "ownership.remove"}},
	} {
		server := gworkspacetest.New(gworkspacetest.Config{})
		onboarded(server)
		tenant := tenantOf(t, server, c.p)
		if c.p.Mode == gworkspace.MXFirst {
			tenant.LookupMX = func(context.Context, string) ([]string, error) { return []string{"mx1.gw.example"}, nil }
		}
		plan, err := tenant.Offboard(t.Context())
		if err != nil || plan.Blocked() != nil {
			t.Fatal(err, plan.Blocked())
		}
		if diff := cmp.Diff(c.want, stepIDs(plan.Steps)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.p.Mode, diff)
		}
		for i, s := range plan.Steps[1:] {
			if !slices.Equal(s.Needs, []string{plan.Steps[i].ID}) {
				t.Errorf("%s needs %q", s.ID, s.Needs)
			}
		}
	}
}

// TestOffboardRenamed: a rule of another name that looks for our header still sends mail to the gateway.
func TestOffboardRenamed(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddRules(top, ours(func(r map[string]any) { r["description"] = "Old scanner, ask Bob" }))
	tenant := tenantOf(t, server, reroute())
	offboard := func() *gworkspace.Plan {
		t.Helper()
		plan, err := tenant.Offboard(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if plan := offboard(); plan.Blocked() == nil || plan.Problems[0].Object != "Old scanner, ask Bob" {
		t.Errorf("the way out goes on although a rule acts: %+v", plan.Problems)
	}
	tenant.Profile.Accept = []string{"rule.route"}
	if plan := offboard(); plan.Blocked() != nil {
		t.Errorf("accepted, and still in the way: %v", plan.Blocked())
	}
	tenant.Profile.Accept = nil
	server.SetStates(top, gworkspacetest.State(ruleID, false))
	if plan := offboard(); plan.Blocked() != nil {
		t.Errorf("off, and still in the way: %v", plan.Blocked())
	}
}

// TestOffboardPlaces: the rule is turned off where it stands, which may be where the profile no longer says.
func TestOffboardPlaces(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	server.AddUnit(salesID, "/Pilot")
	server.AddRules(salesID, []map[string]any{gworkspacetest.RedirectRule("pilot", ruleName, content)})
	tenant := tenantOf(t, server, reroute())
	plan, err := tenant.Offboard(t.Context())
	if err != nil || plan.Steps[0].ID != "redirect-rule.off" {
		t.Fatalf("%v: %q", err, stepIDs(plan.Steps))
	}
	for _, i := range []int{0, 2} {
		if got := plan.Steps[i].Console.Values[0].Value; got != "the top one, named after the organization\n/Pilot" {
			t.Errorf("%s: in %q", plan.Steps[i].ID, got)
		}
	}
	if plan, err = tenant.Plan(t.Context()); err != nil || !slices.Contains(codes(plan.Problems), "rule.duplicate") {
		t.Errorf("%v: nobody says that the rule of the pilot is still there: %q", err, codes(plan.Problems))
	}
}

// TestOffboardUnseen: a rule that is gone, nobody knows since when, says nothing about what the gateway holds.
func TestOffboardUnseen(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	tenant := tenantOf(t, server, reroute())
	plan, err := tenant.Offboard(t.Context())
	if err != nil || plan.Steps[0].ID != "redirect-rule.drain" {
		t.Fatalf("%v: %q", err, stepIDs(plan.Steps))
	}
	tenant.Told = []gworkspace.Answer{{Step: "redirect-rule.drain", Done: true, At: time.Now()}}
	if plan, err = tenant.Offboard(t.Context()); err != nil || plan.Steps[0].ID != "inbound-gateway.remove" {
		t.Errorf("%v: %q", err, stepIDs(plan.Steps))
	}
}

// TestOffboardDrain: once the rule is off nothing else goes until a day is over and the gateway is empty.
func TestOffboardDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.GrantAll()
		server.AddRules(top, ours(nil), ruleID)
		tenant := tenantOf(t, server, reroute())
		empty := false
		blocked := func(want ...string) {
			t.Helper()
			plan, err := tenant.Offboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := codes(plan.Problems)
			if !slices.Equal(got, want) {
				t.Errorf("problems %q, want %q", got, want)
			}
			if slices.Contains(stepIDs(plan.Steps), "redirect-rule.off") {
				t.Error("the rule is off, and the step is still there")
			}
			if next := plan.Steps[0].ID; len(want) == 0 && next != "redirect-rule.remove" || len(want) > 0 && next != "redirect-rule.drain" {
				t.Errorf("next step %s", next)
			}
		}
		blocked("drain.queue", "drain.wait") // nobody knows since when, nobody can look at the queue
		server.AddChange(gworkspace.Change{At: time.Now(), Who: "admin@ex.net", Event: "CHANGE_GMAIL_SETTING", Name: ruleName, Enabled: new(false)})
		tenant.Backlog = func(context.Context) (gworkspace.Backlog, error) {
			if empty {
				return gworkspace.Backlog{}, nil
			}
			return gworkspace.Backlog{Queued: 1}, nil
		}
		blocked("drain.queue", "drain.wait")
		time.Sleep(25 * time.Hour)
		blocked("drain.queue")
		empty = true
		blocked()
		server.ClearPolicies()
		plan, err := tenant.Offboard(t.Context())
		if err != nil || plan.Steps[0].ID != "inbound-gateway.remove" {
			t.Errorf("%v: %q after the rule is gone", err, stepIDs(plan.Steps))
		}
		tenant.Told = []gworkspace.Answer{{Step: "inbound-gateway.remove", Done: true, At: time.Now()}}
		server.AddChange(gworkspace.Change{At: time.Now(), Event: "DELETE_GMAIL_SETTING", Setting: "EMAIL_ROUTE", Name: "Postreeve Scanner"})
		plan, err = tenant.Offboard(t.Context())
		if diff := cmp.Diff([]string{"storage.restore", "access.remove", "key.remove", "ownership.remove"}, stepIDs(plan.Steps)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
