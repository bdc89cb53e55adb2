package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// TestFleet: the configuration of the example is one.
func TestFleet(t *testing.T) {
	t.Parallel()
	c, err := config.Load("../../docs/fleet/postreeve.yaml")
	if err != nil || len(c.Warnings) > 0 || !c.Keeps() {
		t.Errorf("%v, %v", err, c)
	}
}

// TestDigestPage: the configuration on the page about digests is one.
func TestDigestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/digest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	c, err := config.Parse("x.yaml", []byte("hostname: mx.gw.example\nlisten: \":25\"\ndomains: {ex.net: {next-hop: 192.0.2.1, verification: waived}}\n"+text))
	if err != nil || len(c.Warnings) > 0 || !ok || c.Digest == nil || c.LinkTLS() == nil {
		t.Errorf("%v, %+v", err, c)
	}
}

// TestRemediationPage: the configuration on the page about taking mail back is one, and the page has every key.
func TestRemediationPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/remediation.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	_, rest, _ := strings.Cut(page, "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	c, err := config.Parse("x.yaml", []byte("hostname: mx.gw.example\nlisten: \":25\"\ndomains: {ex.net: {next-hop: 192.0.2.1, verification: waived}}\n"+text))
	if err != nil || len(c.Warnings) > 0 || !ok || len(c.Remediation) != 2 || c.Remediation[0].M365 == nil || c.Remediation[1].Google == nil {
		t.Errorf("%v, %+v", err, c)
	}
	for product, unknown := range map[string]string{"m365": "zzzzzz", "gworkspace": "zzzzzz"} {
		_, err := config.Parse("x.yaml", []byte("remediation: {profile: p, "+product+": {"+unknown+": 1}}\n"))
		_, list, found := strings.Cut(err.Error(), unknown+": unknown key: use one of: ")
		list, _, _ = strings.Cut(list, "\n")
		for key := range strings.SplitSeq(list, ", ") {
			if !found || !strings.Contains(page, "`"+key+"`") {
				t.Errorf("the page does not have the key %q of %s", key, product)
			}
		}
	}
}

func TestDatabaseRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) config.Secret {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Secret{File: file}
	}
	const whole = "postgres://u:hunter2@db/x?sslmode=disable"
	for name, c := range map[string]struct {
		database config.Database
		want     string
		bad      bool
	}{
		"none":        {},
		"no password": {database: config.Database{URL: "postgres://u@db/x"}, want: "postgres://u@db/x"},
		"password":    {database: config.Database{URL: "postgres://u@db/x?a=b", Password: write("a", "hun/ter@2\n")}, want: "postgres://u:hun%2Fter%402@db/x?a=b"},
		"whole":       {database: config.Database{Whole: write("b", whole+"\n")}, want: whole},
		"no URL":      {database: config.Database{Whole: write("c", "hunter2\n")}, bad: true},
		"no file":     {database: config.Database{URL: "postgres://u@db/x", Password: config.Secret{File: filepath.Join(dir, "none")}}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.database.Read()
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("Read: %q, %v; want %q", got, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error has the secret in it: %v", err)
			}
		})
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"60d": 1440 * time.Hour, "2d": 48 * time.Hour, "24h": 24 * time.Hour, "25h": 25 * time.Hour, "1h30m": 90 * time.Minute, "10m": 10 * time.Minute, "0s": 0,
	} {
		if got := config.Days(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestSizes: sizes may have a blank before their unit.
func TestSizes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"64 MiB": 64 << 20, "64mib": 64 << 20, "2TiB": 2 << 40, "3 TB": 3e12, "1T": 1 << 40, "5 kB": 5000, "7": 7, "none": -1,
		"0": 0, "0 MiB": 0, "1PiB": 0, "1.5GiB": 0, "-1MB": 0, "9999999TiB": 0,
	} {
		c, err := config.Parse("x.yaml", []byte("hostname: mx.gw.example\nlisten: \":25\"\nstate: s\nmin-free: "+s+"\ndomains: {ex.net: {next-hop: 192.0.2.1, verification: waived}}\n"))
		switch {
		case want == 0 && (err == nil || !strings.Contains(err.Error(), "GiB and TiB")):
			t.Errorf("%s: %v", s, err)
		case want != 0 && (err != nil || c.Store.MinFree != want):
			t.Errorf("%s: %v, want %d", s, err, want)
		}
	}
}

// TestDigestTo: whoever is no address and no word for everybody is told what to write.
func TestDigestTo(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"[a@ex.net, b@ex.net]": "wants one address", "recipient": "did you mean recipients?", "Recipients": "did you mean recipients?",
	} {
		_, err := config.Parse("x.yaml", []byte("hostname: mx.gw.example\nlisten: \":25\"\nstate: s\ndigest: {to: "+to+"}\ndomains: {ex.net: {next-hop: 192.0.2.1, verification: waived}}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
	}
}

func TestParseDays(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{"30d": 720 * time.Hour, "0d": 0, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, ok := config.ParseDays(s); !ok || got != want {
			t.Errorf("%s: %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "d", "-1d", "1.5d", "-1h", "7", "99999999d", "yesterday"} {
		if got, ok := config.ParseDays(s); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
}
