package gworkspace_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// TestUnread: access that was given and cannot be used is not in order, and no scope that is missing.
func TestUnread(t *testing.T) {
	t.Parallel()
	dead := func(op string, status int, reason string) func(s *gworkspacetest.Server) {
		return func(s *gworkspacetest.Server) {
			onboarded(s)
			s.Inject(gworkspacetest.Fault{Op: op, Status: status, Reason: reason, Times: 1000})
		}
	}
	remediation := func(p *gworkspace.Profile) {
		p.Remediation = &gworkspace.Remediator{ClientID: gworkspacetest.ClientID}
	}
	for name, c := range map[string]struct {
		setup  func(s *gworkspacetest.Server)
		change func(p *gworkspace.Profile)
		unread []string // what stands before the colon
		blocks bool
	}{
		"all is read":               {onboarded, nil, nil, false},
		"a dead key":                {dead("token", 400, "invalid_grant"), nil, []string{"access"}, true},
		"a dead key, two steps":     {dead("token", 400, "invalid_grant"), remediation, []string{"access", "remediation"}, true},
		"policies":                  {dead("policies.list", 403, "forbidden"), nil, []string{"policies"}, false},
		"audit log":                 {dead("activities.list", 403, "forbidden"), nil, []string{"audit log"}, false},
		"domains":                   {dead("domains.list", 403, "forbidden"), nil, []string{"domains"}, false},
		"units":                     {dead("orgunits.list", 403, "forbidden"), nil, []string{"policies"}, false},
		"members":                   {dead("groups.get", 403, "forbidden"), func(p *gworkspace.Profile) { p.Protect.Groups = []string{"g@ex.net"} }, []string{"members of the group"}, false},
		"no scope: drift":           {func(s *gworkspacetest.Server) {}, nil, nil, false},
		"access that gives nothing": {func(s *gworkspacetest.Server) {}, func(p *gworkspace.Profile) { p.Access = nil }, []string{"policies", "domains", "audit log"}, false},
		"access that gives a part": {func(s *gworkspacetest.Server) {
			s.AddRules(top, ours(nil))
			s.Grant(slices.DeleteFunc(slices.Clone(readScopes), func(s string) bool { return s == gworkspace.ScopeAudit })...)
		}, func(p *gworkspace.Profile) { p.Access = nil }, []string{"audit log"}, false},
		"access to mailboxes alone": {func(s *gworkspacetest.Server) {
			s.Grant(gworkspace.ScopeModify, gworkspace.ScopeUsers, gworkspace.ScopeGroups)
		}, func(p *gworkspace.Profile) { p.Access = nil; remediation(p) }, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // reads of policies are a second apart
				server := gworkspacetest.New(gworkspacetest.Config{})
				c.setup(server)
				p := reroute()
				if c.change != nil {
					c.change(p)
				}
				tenant := tenantOf(t, server, p)
				r, err := tenant.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var what []string
				for _, s := range r.Unread {
					before, why, _ := strings.Cut(s, ": ")
					what = append(what, before)
					if i := slices.IndexFunc(r.Findings, func(p gworkspace.Problem) bool { return p.Code == "check.unread" && p.Object == before }); i < 0 || why == "" {
						t.Errorf("%q: no finding says so: %v", s, r.Findings)
					}
				}
				if diff := cmp.Diff(c.unread, what); diff != "" {
					t.Errorf("unread (-want +got):\n%s", diff)
				}
				if want := len(r.Drift) == 0 && len(c.unread) == 0; r.OK() != want {
					t.Errorf("OK %v with %q, drift %v", r.OK(), r.Unread, r.Drift)
				}
				plan, err := tenant.Plan(t.Context())
				if err != nil || (plan.Blocked() != nil) != c.blocks {
					t.Errorf("%v: the plan is blocked by %v", err, plan.Blocked())
				}
				back, err := tenant.Offboard(t.Context())
				if err != nil || back.Blocked() != nil {
					t.Errorf("%v: the way out, at whose end the key is dead, is blocked by %v", err, back.Blocked())
				}
				if c.blocks && !strings.Contains(strings.Join(back.Notes, " "), "(HTTP 400, invalid_grant)") {
					t.Errorf("why nothing was read is not said: %q", back.Notes)
				}
			})
		})
	}
}

// TestUnitsUnread: without the units a rule of Sales does not pass for one of the whole organization, on either way.
func TestUnitsUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.AddUnit(salesID, "/Sales")
		server.AddRules(salesID, ours(nil))
		server.Grant(slices.DeleteFunc(slices.Clone(readScopes), func(s string) bool { return s == gworkspace.ScopeUnits })...)
		tenant := tenantOf(t, server, reroute())
		r, err := tenant.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"redirect-rule", "storage"} {
			if c := checkOf(r, step); c.State != gworkspace.Unknown || !strings.Contains(c.Note, "units were not read") {
				t.Errorf("%s: %+v", step, c)
			}
		}
		if r.Scanning {
			t.Errorf("mode %q", r.Mode)
		}
		plan, err := tenant.Offboard(t.Context())
		if err != nil || plan.Steps[0].ID != "redirect-rule.off" {
			t.Errorf("%v: the rule acts in Sales, and the way out begins with %q", err, stepIDs(plan.Steps))
		}
		// What stands for the whole customer counts without them.
		server.ClearPolicies()
		server.AddRules("", ours(nil))
		if r, err = tenant.Verify(t.Context()); err != nil || checkOf(r, "redirect-rule").State != gworkspace.Right {
			t.Errorf("%v: %+v", err, checkOf(r, "redirect-rule"))
		}
	})
}

// TestRemediationScopes: what is asked for is what taking mail back needs of the accounts that are there.
func TestRemediationScopes(t *testing.T) {
	t.Parallel()
	const other = "99887766554433221100"
	mailOnly := []string{gworkspace.ScopeModify}
	for name, c := range map[string]struct {
		access string // client of the profile that reads settings; empty: none
		client string // client of the profile that takes mail back
		grant  []string
		second bool // mail has tokens of its own
		want   gworkspace.State
		lacks  []string
	}{
		"alone, with all":                  {"", gworkspacetest.ClientID, []string{gworkspace.ScopeModify, gworkspace.ScopeUsers, gworkspace.ScopeGroups}, false, gworkspace.Right, nil},
		"alone, without the directory":     {"", gworkspacetest.ClientID, mailOnly, false, gworkspace.Wrong, []string{gworkspace.ScopeUsers, gworkspace.ScopeGroups}},
		"alone, with nothing":              {"", gworkspacetest.ClientID, nil, false, gworkspace.Missing, []string{gworkspace.ScopeModify, gworkspace.ScopeUsers, gworkspace.ScopeGroups}},
		"the one that reads":               {gworkspacetest.ClientID, gworkspacetest.ClientID, mailOnly, false, gworkspace.Right, nil}, // access lacks the rest, and says so
		"its key alone, beside a reader":   {other, gworkspacetest.ClientID, mailOnly, false, gworkspace.Wrong, []string{gworkspace.ScopeUsers, gworkspace.ScopeGroups}},
		"two keys, and the reader has all": {gworkspacetest.ClientID, other, readScopes, true, gworkspace.Right, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.Grant(c.grant...)
			cfg := server.ClientConfig()
			if c.second {
				cfg.MailTokens = gworkspace.StaticToken("mail") // granted whatever it is asked for
			}
			client, err := gworkspace.NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			p := reroute()
			p.Access, p.Remediation = nil, &gworkspace.Remediator{ClientID: c.client}
			if c.access != "" {
				p.Access = &gworkspace.Access{ClientID: c.access, Admin: gworkspacetest.Admin}
			}
			r, err := (&gworkspace.Tenant{Profile: p, Client: client, LookupMX: googleMX}).Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var lacks []string
			for _, d := range r.Drift {
				if d.Step == "remediation" {
					lacks = append(lacks, d.Wanted.(string))
				}
			}
			if got := checkOf(r, "remediation"); got.State != c.want || !slices.Equal(lacks, c.lacks) {
				t.Errorf("%+v, lacks %q", got, lacks)
			}
		})
	}
}

// TestUnreadOnce: the reason why nothing could be read is said among the findings, and elsewhere pointed to.
func TestUnreadOnce(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	server.Inject(gworkspacetest.Fault{Op: "token", Status: 400, Reason: "invalid_grant", Times: 1000})
	p := reroute()
	p.Remediation = &gworkspace.Remediator{ClientID: gworkspacetest.ClientID}
	r, err := tenantOf(t, server, p).Verify(t.Context())
	if err != nil || len(r.Unread) != 2 {
		t.Fatalf("%v: unread %q", err, r.Unread)
	}
	_, reason, _ := strings.Cut(r.Unread[0], "access: ")
	r.Unread = nil // whoever reads the error of a command has it from there
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	quoted, _ := json.Marshal(reason)
	if n := strings.Count(string(raw), strings.Trim(string(quoted), "\"")); n != 1 {
		t.Errorf("%q is said %d times:\n%s", reason, n, raw)
	}
	for _, step := range []string{"access", "storage", "redirect-rule", "remediation"} {
		if c := checkOf(r, step); c.State != gworkspace.Unknown || !strings.Contains(c.Note, "see access") {
			t.Errorf("%+v", c)
		}
	}
}

// TestGroupGone: a rule for a group that does not exist protects nobody.
func TestGroupGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // reads of policies are a second apart
		server := gworkspacetest.New(gworkspacetest.Config{})
		onboarded(server)
		p := reroute()
		p.Protect.Groups = []string{"nobody-made-this@ex.net"}
		tenant := tenantOf(t, server, p)
		plan, err := tenant.Plan(t.Context())
		if err != nil || plan.Blocked() == nil || !slices.Contains(codes(plan.Problems), "group.unknown") {
			t.Errorf("%v: blocked by %v", err, plan.Blocked())
		}
		r, err := tenant.Verify(t.Context())
		if err != nil || r.OK() || checkOf(r, "redirect-rule").State != gworkspace.Wrong {
			t.Errorf("%v: %+v", err, r)
		}
	})
}

// TestRuleByLog: where policies are not read, an entry that says that the rule was turned off does not show that it stands.
func TestRuleByLog(t *testing.T) {
	t.Parallel()
	for want, enabled := range map[gworkspace.State]*bool{gworkspace.Right: nil, gworkspace.Unknown: new(false)} {
		server := gworkspacetest.New(gworkspacetest.Config{})
		server.Grant(gworkspace.ScopeAudit)
		server.AddChange(gworkspace.Change{At: time.Now().Add(-time.Hour), Event: "CHANGE_GMAIL_SETTING", Name: ruleName, Enabled: enabled})
		r, err := tenantOf(t, server, reroute()).Verify(t.Context())
		if c := checkOf(r, "redirect-rule"); err != nil || c.State != want {
			t.Errorf("%v: %+v, want %s", err, c, want)
		}
	}
}
