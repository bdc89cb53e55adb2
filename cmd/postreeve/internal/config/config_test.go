package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func files(t testing.TB) []string {
	found, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	return found
}

// TestGolden compares what is read of each file, or everything that is wrong with it.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := render(t, file, data)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run go test -update if this is meant (-want +got):\n%s", diff)
			}
			if bad := strings.HasPrefix(filepath.Base(file), "bad_"); bad != strings.HasPrefix(got, file) {
				t.Errorf("whether the file is refused does not fit its name:\n%s", got)
			}
		})
	}
}

// render shows the errors, or else the configuration and its warnings.
func render(t *testing.T, file string, data []byte) string {
	c, err := config.Parse(filepath.Join("/etc/postreeve", filepath.Base(file)), data)
	if err != nil {
		var errs config.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("the error is %T %v, want Errors", err, err)
		}
		return strings.ReplaceAll(err.Error(), "/etc/postreeve/", "testdata/") + "\n"
	}
	warnings := c.Warnings
	c.Warnings = nil
	js, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out := string(js) + "\n"
	if len(warnings) > 0 {
		out += warnings.Error() + "\n"
	}
	return out
}

func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/bad_secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("x", data); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error must not repeat what may be a secret: %v", err)
	}
}

func TestSecretRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const good = "0123456789abcdef0123"
	for name, c := range map[string]struct {
		secret config.Secret
		want   string
		bad    bool
	}{
		"none":      {},
		"file":      {secret: config.Secret{File: write("a", good)}, want: good},
		"line end":  {secret: config.Secret{File: write("b", good+"\r\n")}, want: good},
		"short":     {secret: config.Secret{File: write("c", "secret")}, bad: true},
		"long":      {secret: config.Secret{File: write("d", strings.Repeat("s", 300))}, bad: true},
		"two lines": {secret: config.Secret{File: write("e", good+"\n"+good+"\n")}, bad: true},
		"missing":   {secret: config.Secret{File: filepath.Join(dir, "none")}, bad: true},
		"unset":     {secret: config.Secret{Env: "POSTREEVE_TEST_UNSET_VARIABLE"}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.secret.Read()
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("Read: %q, %v", got, err)
			}
			if err != nil && (strings.Contains(err.Error(), "secret\n") || strings.Contains(err.Error(), good)) {
				t.Errorf("the error has the secret in it: %v", err)
			}
		})
	}
}

func TestSecretFromEnvironment(t *testing.T) {
	t.Setenv("POSTREEVE_TEST_TOKEN", "0123456789abcdef")
	if got, err := (config.Secret{Env: "POSTREEVE_TEST_TOKEN"}).Read(); got != "0123456789abcdef" || err != nil {
		t.Errorf("Read: %q, %v", got, err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	c, err := config.Load("testdata/least.yaml")
	if err != nil || c.Hostname != "mx.gw.example" {
		t.Errorf("Load: %+v, %v", c, err)
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 5<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(big); err == nil {
		t.Error("a file of 5 MiB was read")
	}
}

// FuzzConfig checks that no bytes crash the reader, and that everything it refuses has a reason on one
// line each that cannot speak to a terminal.
func FuzzConfig(f *testing.F) {
	for _, file := range files(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("x.yaml", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse: %v, %v", c, err)
		}
		if err == nil {
			return
		}
		for _, e := range err.(config.Errors) {
			if e.Text == "" || strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("unfit to be shown: %q", e.Error())
			}
		}
	})
}
