package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/m365"
)

// hostileProfiles are bytes that are no profile. Table test and fuzzer share them.
var hostileProfiles = []string{
	"", "\x00", "{", "- a", "a", "domains", "domains: &a [x]\nmode: *a", "!!binary a: b", "<<: {a: b}", "? [a]\n: b", "domains: [[[[a]]]]", "domains: null",
	"regions: {eu: null}", "regions: {eu: {egress: [1, true, 2.5]}}", "regions: [a]", "mode: \"\x1b[31m\"", "\x1b[31m: a", "domains: [ex.net]\n---\nmode: x",
	"domains: [ex.net]\ndomains: [ex.org]", "quarantine-rule: yes", "quarantine-rule: 1", strings.Repeat("{a: ", 200), "protect: {users: {a: b}}", "access: 5",
}

func TestHostileProfiles(t *testing.T) {
	t.Parallel()
	for _, text := range hostileProfiles {
		hold(t, []byte(text))
	}
}

// hold checks that bytes give a profile or errors, each in one line that cannot speak to a terminal.
func hold(t *testing.T, data []byte) {
	t.Helper()
	for _, err := range []error{
		errOf(config.ParseProfile("p.yaml", data, (*m365.Profile).Check)),
		errOf(config.ParseProfile("p.yaml", data, (*gworkspace.Profile).Check)),
	} {
		if err == nil {
			continue
		}
		bad, ok := errors.AsType[config.Errors](err)
		if !ok || len(bad) == 0 {
			t.Fatalf("%q: %T %v, want Errors", data, err, err)
		}
		for _, b := range bad {
			if b.Text == "" || strings.ContainsAny(b.Error(), "\n\x1b") {
				t.Errorf("%q: unfit to be shown: %q", data, b.Error())
			}
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func FuzzProfile(f *testing.F) {
	for _, text := range hostileProfiles {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { hold(t, data) })
}

// JSON is YAML: the same profile in both forms is the same.
func TestProfileForms(t *testing.T) {
	t.Parallel()
	yes := func(*gworkspace.Profile) error { return nil }
	a, err := config.ParseProfile("a", []byte("domains: ex.net\nmode: reroute\nregions:\n  eu: {smart-host: in.gw.example, port: 2525, egress: 192.0.2.1}\naccess:\n  client-id: 112233445566778899001\n  admin: a@ex.net\nskip-groups: true\n"), yes)
	if err != nil {
		t.Fatal(err)
	}
	b, err := config.ParseProfile("b", []byte(`{"domains": ["ex.net"], "mode": "reroute", "regions": {"eu": {"smart-host": "in.gw.example", "port": 2525, "egress": ["192.0.2.1"]}},
		"access": {"client-id": "112233445566778899001", "admin": "a@ex.net"}, "skip-groups": true}`), yes)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, b); d != "" || a.Regions["eu"].Port != 2525 || a.Access.ClientID != "112233445566778899001" {
		t.Errorf("(-YAML +JSON):\n%s", d)
	}
}
