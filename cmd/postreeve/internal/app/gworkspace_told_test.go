package app_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

// TestGWorkspaceTold: what was said can be taken back, and what nobody has to say is refused.
func TestGWorkspaceTold(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	state := func(step string, args ...string) gworkspace.Check {
		t.Helper()
		got := run(t, "", slices.Concat([]string{"gworkspace", "verify", "--json"}, d.args, args)...)
		for _, c := range lines[gworkspace.Report](t, got.out)[0].Checks {
			if c.Step == step {
				return c
			}
		}
		t.Fatalf("no check of %s:\n%s", step, got.out)
		return gworkspace.Check{}
	}
	told := []string{"--told", d.file("told.json")}
	if c := state("host", append(told, "--done", "host", "--by", "anna")...); c.State != gworkspace.Right || c.How != gworkspace.Told {
		t.Errorf("said to be done: %+v", c)
	}
	if c := state("host", append(told, "--not-done", "host", "--by", "ben")...); c.State != gworkspace.Missing || !strings.Contains(c.From, "ben") {
		t.Errorf("taken back: %+v", c)
	}
	if c := state("host", told...); c.State != gworkspace.Missing {
		t.Errorf("it is not kept: %+v", c)
	}
	for _, c := range []struct{ args, want string }{
		{"--not-done hots", "--not-done hots: there is no such step: did you mean host?"},
		{"--done host --not-done host", "one of them"},
		{"--done access", "--done access: nobody has to say it: that a token is given"},
	} {
		before, _ := os.ReadFile(d.file("told.json"))
		got := d.run(t, 64, "plan", append(told, strings.Fields(c.args)...)...)
		if after, _ := os.ReadFile(d.file("told.json")); !strings.Contains(got.err, c.want) || string(before) != string(after) {
			t.Errorf("%s: %s, and keeps %s", c.args, got.err, after)
		}
	}
}

// TestGWorkspaceToldLast: a command that is refused keeps nothing of what was said, and one without a file says so.
func TestGWorkspaceToldLast(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.GrantAll()
	d.secrets(t)
	told := []string{"--told", d.file("told.json"), "--done", "redirect-rule.off"}
	for _, c := range []struct {
		code int
		verb string
		args string
	}{
		{64, "plan", "--dns nowhere"},
		{1, "plan", "--key-file " + d.file("none.json")},
		{1, "plan", "-c " + d.file("none.yaml")},
		{64, "plan", "--token-file " + d.file("key.json")},
		{1, "verify", "--secrets " + d.file("none.json")},
		{64, "verify", "--probe-by-hand"},
		{64, "offboard", "--wait 1m"},
		{64, "remediate", "--message-id <1@evil.example> --our-id q --to anna@ex.net --yes --auth none"},
	} {
		d.run(t, c.code, c.verb, append(strings.Fields(c.args), told...)...)
		if raw, err := os.ReadFile(d.file("told.json")); err == nil {
			t.Fatalf("%s %s: refused, and keeps %s", c.verb, c.args, raw)
		}
	}
	if got := d.run(t, 2, "plan", told[2:]...); !strings.Contains(got.err, "for this call alone") || !strings.Contains(got.err, "--told FILE") {
		t.Errorf("nothing is kept, and nobody says so: %s", got.err)
	}
	if got := d.run(t, 2, "plan", told...); strings.Contains(got.err, "--told FILE") {
		t.Errorf("it is kept: %s", got.err)
	}
	if raw, err := os.ReadFile(d.file("told.json")); err != nil || !strings.Contains(string(raw), "redirect-rule.off") {
		t.Errorf("nothing was kept: %s, %v", raw, err)
	}
	if got := run(t, "", "gworkspace", "offboard", "--help"); !strings.Contains(strings.Join(strings.Fields(got.out), " "), "--done STEP --told FILE") {
		t.Errorf("who waits does not read where to keep it:\n%s", got.out)
	}
}

// TestGWorkspaceInTheWay: the last line does not forbid the step that takes the problem away, and names what can be accepted.
func TestGWorkspaceInTheWay(t *testing.T) {
	t.Parallel()
	moved := strings.Replace(strings.Replace(gworkspaceProfile, "reroute", "mx-first", 1), "egress: [192.0.2.10]", "egress: [192.0.2.10], mx: [mx.gw.example]", 1) + "mx-moved: true\n"
	for _, c := range []struct {
		name, verb, profile, want string
		foreign                   bool
	}{
		{"mail is refused", "offboard", moved, "see what is in the way first\n", false},
		{"a rule of others", "plan", gworkspaceProfile, "see what is in the way first; if it is known and meant, add accept: [rule.route] to the profile\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newGoogleDesk(t)
			d.GrantAll()
			if c.foreign {
				d.AddRules(gworkspacetest.TopUnit, []map[string]any{gworkspacetest.RedirectRule("r9", "Acme Redirect", "X-Acme-Token: x")})
			}
			if err := os.WriteFile(d.file("p.yaml"), []byte(c.profile), 0o600); err != nil {
				t.Fatal(err)
			}
			got := d.run(t, 1, c.verb)
			if !strings.Contains(got.out, "in the way: ") || !strings.HasSuffix(got.err, c.want) || strings.Contains(got.err, "nothing") {
				t.Errorf("%s\n%s", got.err, got.out)
			}
			if !c.foreign {
				return
			}
			if err := os.WriteFile(d.file("p.yaml"), []byte(c.profile+"accept: [rule.route]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			d.run(t, 2, c.verb) // what the line says helps
		})
	}
}
