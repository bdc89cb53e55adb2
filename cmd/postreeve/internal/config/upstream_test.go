package config_test

import (
	"fmt"
	"os"
	"path/filepath"
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
