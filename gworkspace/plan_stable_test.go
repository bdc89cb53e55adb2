package gworkspace_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// TestPlanStable: the same tenant makes the same plan, whatever order things come in.
func TestPlanStable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // reads of policies are a second apart
		server := gworkspacetest.New(gworkspacetest.Config{})
		onboarded(server)
		for i := range 12 {
			server.AddPolicy(gworkspacetest.Policy{Unit: top, Group: fmt.Sprint("group", i), SortOrder: 399, Setting: "gmail.rule_states", Value: map[string]any{"ruleStates": []any{gworkspacetest.State(ruleID, false)}}})
		}
		tenant := tenantOf(t, server, reroute())
		want := ""
		for i := range 6 {
			tenant.LookupMX = func(context.Context, string) ([]string, error) {
				hosts := []string{"alt1.aspmx.l.google.com", "alt2.aspmx.l.google.com"}
				if i%2 == 1 {
					slices.Reverse(hosts)
				}
				return hosts, nil
			}
			plan, err := tenant.Plan(t.Context())
			if err != nil || want != "" && plan.ID != want {
				t.Fatalf("%v: plan %s, before it %s", err, plan.ID, want)
			}
			want = plan.ID
		}
	})
}

// TestRunbookWords: what stands in the document is what can be run, and what is known.
func TestRunbookWords(t *testing.T) {
	t.Parallel()
	p := reroute()
	p.Protect.Groups = []string{"g@ex.net"}
	p.Remediation = &gworkspace.Remediator{ClientID: "99887766554433221100"}
	guide, err := gworkspace.Runbook(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	md := guide.Markdown()
	for _, want := range []string{"postreeve message list -c postreeve.yaml --to PILOT@ex.net", "Google names no limit of expressions", "All addresses of the members of g@ex.net, aliases too, have to be in ex.net",
		"A token is asked for with " + gworkspace.ScopeModify + ", and with " + gworkspace.ScopeUsers + " and " + gworkspace.ScopeGroups + " where only the key of this client is given"} {
		if !strings.Contains(md, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
	if strings.Contains(md, "10 expressions for one rule") {
		t.Error("a limit that nobody has confirmed stands there as one")
	}
}

// TestGroupOutside: a member whose domain the gateway does not serve would get a bounce.
func TestGroupOutside(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	server.AddDomain("other.example", true)
	server.AddUser(gworkspacetest.User{Email: "ann@ex.net"}, gworkspacetest.User{Email: "ben@other.example"})
	server.AddGroup("fine@ex.net", "ann@ex.net", "guest@elsewhere.example")
	server.AddGroup("mixed@ex.net", "ann@ex.net", "inner@ex.net")
	server.AddGroup("inner@ex.net", "ben@other.example")
	for group, want := range map[string]bool{"fine@ex.net": false, "mixed@ex.net": true} {
		p := reroute()
		p.Protect.Groups = []string{group}
		plan, err := tenantOf(t, server, p).Plan(t.Context())
		if err != nil || slices.Contains(codes(plan.Problems), "protect.outside") != want || (plan.Blocked() != nil) != want {
			t.Errorf("%s: %v: %v", group, err, plan.Problems)
		}
		if want && !strings.Contains(plan.Blocked().Error(), "ben@other.example") {
			t.Errorf("%s: %v", group, plan.Blocked())
		}
	}
	// Without access that is a matter of the people.
	p := reroute()
	p.Access, p.Protect.Groups = nil, []string{"mixed@ex.net"}
	r, err := (&gworkspace.Tenant{Profile: p, LookupMX: googleMX}).Verify(t.Context())
	if err != nil || !r.OK() || !slices.ContainsFunc(r.Skipped, func(s string) bool { return strings.HasPrefix(s, "the members of mixed@ex.net were not read") }) {
		t.Errorf("%v: %q", err, r.Skipped)
	}
}
