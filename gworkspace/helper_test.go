package gworkspace_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

const (
	loop     = "LOOPLOOPLOOPLOOP26"
	ruleName = "Postreeve Redirect Rule (do not edit) postreeve"
	ruleID   = "fb580-02rvqlb32nzzmh1:00gjdgxs3dy6vkm"
	content  = "X-Postreeve-Token: " + loop
)

var readScopes = []string{gworkspace.ScopePolicies, gworkspace.ScopeAudit, gworkspace.ScopeDomains, gworkspace.ScopeUnits, gworkspace.ScopeUsers, gworkspace.ScopeGroups}

func reroute() *gworkspace.Profile {
	return &gworkspace.Profile{Domains: []string{"ex.net"}, Mode: gworkspace.Reroute,
		Regions: map[string]gworkspace.Region{"eu": {SmartHost: "in.gw.example", Egress: []string{"192.0.2.10", "2001:db8:1::/64"}}},
		Access:  &gworkspace.Access{ClientID: gworkspacetest.ClientID, ServiceAccount: gworkspacetest.ServiceAccount, Admin: gworkspacetest.Admin}}
}

func mxFirst() *gworkspace.Profile {
	p := reroute()
	p.Mode = gworkspace.MXFirst
	p.Regions = map[string]gworkspace.Region{"eu": {Egress: []string{"192.0.2.10"}, MX: []string{"mx1.gw.example", "mx2.gw.example"}}}
	return p
}

func secrets() *gworkspace.Secrets {
	return &gworkspace.Secrets{Loop: []string{loop}, Tenant: []string{"TENANTTENANTTENANT"}}
}

func googleMX(context.Context, string) ([]string, error) { return []string{"smtp.google.com."}, nil }

// onboarded is a tenant in which all that can be read is right.
func onboarded(server *gworkspacetest.Server) {
	server.GrantAll()
	server.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule(ruleID, ruleName, content)})
}

func tenantOf(t testing.TB, server *gworkspacetest.Server, p *gworkspace.Profile) *gworkspace.Tenant {
	t.Helper()
	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m := server.Misuse(); len(m) > 0 {
			t.Errorf("misuse of the service: %q", m)
		}
	})
	return &gworkspace.Tenant{Profile: p, Secrets: secrets(), Client: client, LookupMX: googleMX}
}

// corpus is the folder of captures beside the module.
func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		t.Skip("no module around the test")
	}
	rel := filepath.Join(dir, "..", "shared", "corpus", "cloud-google")
	if _, err := os.Stat(rel); err != nil {
		t.Skip("the captures are not beside the module")
	}
	return rel
}

func stepIDs(steps []gworkspace.Step) []string {
	out := []string{}
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return out
}

func codes(all []gworkspace.Problem) []string {
	out := []string{}
	for _, p := range all {
		out = append(out, p.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func checkOf(r *gworkspace.Report, step string) gworkspace.Check {
	var out gworkspace.Check
	for _, c := range r.Checks {
		if c.Step == step && (out.Step == "" || c.State != gworkspace.Right) {
			out = c
		}
	}
	return out
}
