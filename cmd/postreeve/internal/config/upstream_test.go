package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// The secrets of a tenant are read when mail comes. One that is not there is left out, and a short one is none.
func TestTenantToken(t *testing.T) {
	t.Parallel()
	const fresh, old = "FRESHFRESHFRESHFRESH", "OLDOLDOLDOLDOLDOLDOLD"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"both":     {map[string]string{"new": fresh + "\n", "old": old}, []string{fresh, old}},
		"one":      {map[string]string{"new": fresh}, []string{fresh}},
		"none":     {nil, nil},
		"short":    {map[string]string{"new": "short", "old": old}, []string{old}},
		"an empty": {map[string]string{"new": ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := config.Parse(filepath.Join(dir, "x.yaml"), fmt.Appendf(nil, "hostname: mx.gw.example\nlisten: [\":25\"]\nstate: %s\ndomains:\n  ex.net: {next-hop: smtp.google.com, connection: gworkspace, upstream: {tenant-token: [\"file:new\", \"file:old\"]}}\n", dir))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, cfg.Domains[0].Upstream.Proof.Tokens()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The field of the proof is one that is taken off what is delivered.
func TestTenantHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ prefix, header, want, bad string }{
		{want: "X-Postreeve-Tenant"},
		{header: "x-postreeve-ours", want: "x-postreeve-ours"},
		{prefix: "X-Gate", want: "X-Gate-Tenant"},
		{prefix: "X-Gate", header: "X-Gate-Who", want: "X-Gate-Who"},
		{prefix: "X-Gate", header: "X-Postreeve-Tenant", bad: "has to begin with X-Gate-"},
		{header: "X-Postreeve", bad: "has to begin with X-Postreeve-"},
		{header: "x-postreeve-SPAM", bad: "the gateway writes itself"},
		{prefix: "X-Gate", header: "X-Gate-Token", bad: "use another name, as in X-Gate-Tenant"},
		{header: "X-Postreeve-", bad: "has to begin with X-Postreeve-"},
	} {
		header, prefix := "", ""
		if c.header != "" {
			header = ", tenant-header: " + c.header
		}
		if c.prefix != "" {
			prefix = "headers: {prefix: " + c.prefix + "}\n"
		}
		cfg, err := config.Parse("x.yaml", fmt.Appendf(nil, "hostname: mx.gw.example\nlisten: [\":25\"]\n%sdomains:\n  ex.net: {next-hop: smtp.google.com, verification: waived, connection: gworkspace, upstream: {tenant-token: \"file:new\"%s}}\n", prefix, header))
		switch {
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
			t.Errorf("%+v: %v", c, err)
		case c.bad != "":
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case cfg.Domains[0].Upstream.Proof.Header != c.want:
			t.Errorf("%+v: %s", c, cfg.Domains[0].Upstream.Proof.Header)
		}
	}
}
