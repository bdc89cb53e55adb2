package app_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/gworkspace"
)

// TestGWorkspacePasted: the settings of the runbook are pasted as they stand, and verify finds the gateway right.
func TestGWorkspacePasted(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]string{
		"reroute":     gworkspaceProfile,
		"own headers": gworkspaceProfile + "headers: {prefix: X-Acme, tenant: X-Acme-Customer}\n",
		"two domains": strings.Replace(gworkspaceProfile, "ex.net", "[ex.net, ex.org]", 1),
		"mx-first":    strings.Replace(strings.Replace(gworkspaceProfile, "reroute", "mx-first", 1), "egress: [192.0.2.10]", "egress: [192.0.2.10], mx: [mx.gw.example]", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newGoogleDesk(t)
			d.GrantAll()
			d.secrets(t)
			if err := os.WriteFile(d.file("p.yaml"), []byte(profile), 0o600); err != nil {
				t.Fatal(err)
			}
			g := lines[gworkspace.Guide](t, exits(t, 0, "gworkspace", "runbook", "--profile", d.file("p.yaml"), "--secrets", d.file("s.json"), "--json").out)[0]
			config := "hostname: mx.gw.example\nlisten: [\"127.0.0.1:2525\"]\nstate: state\n"
			for _, v := range g.Steps[0].Console.Values {
				if strings.Contains(v.Value, "domains:") {
					config += v.Value + "\n"
				}
			}
			if err := os.WriteFile(d.file("postreeve.yaml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			got := run(t, "", slices.Concat([]string{"gworkspace", "verify", "--json", "-c", d.file("postreeve.yaml"), "--secrets", d.file("s.json")}, d.args)...)
			report := lines[gworkspace.Report](t, got.out)
			if len(report) != 1 {
				t.Fatalf("%+v\n%s", got, config)
			}
			seen := 0
			for _, c := range report[0].Checks {
				if c.Step == g.Steps[0].ID {
					seen++
					if c.State != gworkspace.Right {
						t.Errorf("%+v\n%+v\n%s", c, report[0].Drift, config)
					}
				}
			}
			if seen == 0 {
				t.Errorf("the gateway was not compared:\n%s", got.out)
			}
		})
	}
}

// TestGWorkspaceJoined: a gateway that has domains and headers already takes the settings of the runbook where the runbook
// says that they belong.
func TestGWorkspaceJoined(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	d.secrets(t)
	if err := os.WriteFile(d.file("p.yaml"), []byte(gworkspaceProfile+"headers: {prefix: X-Acme}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := lines[gworkspace.Guide](t, exits(t, 0, "gworkspace", "runbook", "--profile", d.file("p.yaml"), "--secrets", d.file("s.json"), "--json").out)[0]
	below, key := map[string]string{}, ""
	for _, v := range g.Steps[0].Console.Values {
		if !strings.Contains(v.Value, "domains:") {
			continue
		}
		if !strings.Contains(v.Name, "where domains: or headers: are there already, join") {
			t.Errorf("pasted below what is there it does not load, and nobody says so: %q", v.Name)
		}
		for line := range strings.Lines(v.Value + "\n") {
			if strings.HasPrefix(line, " ") {
				below[key] += line
			} else {
				key = strings.TrimSpace(line)
			}
		}
	}
	config := "hostname: mx.gw.example\nlisten: [\"127.0.0.1:2525\"]\nstate: state\nheaders:\n" + below["headers:"] +
		"domains:\n  ex.com: {next-hop: \"127.0.0.1:1\"}\n" + below["domains:"]
	if err := os.WriteFile(d.file("postreeve.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "", slices.Concat([]string{"gworkspace", "verify", "--json", "-c", d.file("postreeve.yaml"), "--secrets", d.file("s.json")}, d.args)...)
	report := lines[gworkspace.Report](t, got.out)
	if len(report) != 1 || !slices.ContainsFunc(report[0].Checks, func(c gworkspace.Check) bool { return c.Step == g.Steps[0].ID && c.State == gworkspace.Right }) {
		t.Errorf("%+v\n%s", got, config)
	}
}
