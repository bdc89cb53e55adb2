package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
)

// TestMain lets the test binary be the program, for what needs a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("POSTREEVE_TEST_MAIN") != "" {
		os.Exit(app.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// run runs a command to its end.
func run(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out, errw bytes.Buffer
	code := app.Run(ctx, args, strings.NewReader(stdin), &out, &errw)
	if ctx.Err() != nil {
		t.Fatalf("%q did not end: %s%s", args, out.String(), errw.String())
	}
	return result{code, out.String(), errw.String()}
}

// exits is run for a command whose exit code is known.
func exits(t testing.TB, code int, args ...string) result {
	t.Helper()
	got := run(t, "", args...)
	if got.code != code {
		t.Fatalf("%q: exit %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	return got
}

// buffer is a stream that a test can wait on.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newBuffer() *buffer { return &buffer{more: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	select {
	case b.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wait waits until so many occurrences of text have been written, and returns all there is.
func (b *buffer) wait(t testing.TB, text string, times int) string {
	t.Helper()
	end := time.After(time.Minute)
	for {
		if all := b.String(); strings.Count(all, text) >= times {
			return all
		}
		select {
		case <-b.more:
		case <-end:
			t.Fatalf("%q was not written %d times, but:\n%s", text, times, b.String())
		}
	}
}

// lines reads an object a line.
func lines[T any](t testing.TB, out string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q is no JSON: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

func TestHelp(t *testing.T) {
	t.Parallel()
	if got := run(t, ""); got.code != 0 || !strings.Contains(got.out, "Begin with: postreeve try") {
		t.Errorf("without arguments: %+v", got)
	}
	for _, command := range []string{
		"try", "serve", "check", "scan", "version", "domain", "domain add", "domain list", "domain show", "domain verify",
		"domain discover", "domain cutover", "domain remove",
		"quarantine", "quarantine list", "quarantine show", "quarantine release", "quarantine delete",
		"queue", "queue list", "queue show", "queue retry", "queue drop", "message", "message list", "message show", "message explain",
		"message condemn", "message absolve",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", append(strings.Fields(command), "--help")...)
			if got.code != 0 || !strings.Contains(got.out, "Example") || !strings.Contains(got.out, "postreeve "+command) {
				t.Errorf("the help has no example or is none: %+v", got)
			}
			for line := range strings.Lines(got.out) {
				if len(line) > 81 {
					t.Errorf("longer than 80 columns: %q", line)
				}
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string // on standard error
	}{
		"unknown command": {[]string{"srve"}, `did you mean "serve"?`},
		"unknown flag":    {[]string{"scan", "--jsn", "x"}, "did you mean"},
		"no config":       {[]string{"serve"}, "postreeve serve --help"},
		"no path":         {[]string{"scan"}, "postreeve scan --help"},
		"hostile flag":    {[]string{"scan", "--\x1b[31m"}, `\x1b[31m`},
		"bad port":        {[]string{"try", "--port", "70000"}, "65535"},
		"no domain":       {[]string{"domain", "add", "-c", "x"}, "postreeve domain add --help"},
		"bad class":       {[]string{"message", "list", "-c", "x", "--class", "spma"}, "--class wants"},
		"bad action":      {[]string{"message", "list", "-c", "x", "--action", "\x1b"}, "--action wants"},
		"bad moment":      {[]string{"queue", "list", "-c", "x", "--since", "yesterday"}, "--since wants"},
		"bad limit":       {[]string{"quarantine", "list", "-c", "x", "--limit", "0"}, "--limit wants"},
		"nothing to try":  {[]string{"queue", "retry", "-c", "x"}, "wants ids, or --all"},
		"bad timeout":     {[]string{"check", "-c", "x", "--timeout", "-1s"}, "--timeout"},
		"config errors":   {[]string{"serve", "-c", "../config/testdata/bad_keys.yaml"}, "bad_keys.yaml:1:1: hostnam: unknown key: did you mean hostname?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", c.args...)
			if got.code != 64 || !strings.Contains(got.err, c.want) || strings.Contains(got.err, "\x1b") {
				t.Errorf("got %d %q, want 64 and %q", got.code, got.err, c.want)
			}
		})
	}
	if got := run(t, "", "serve", "-c", "testdata/none.yaml"); got.code != 1 || !strings.Contains(got.err, "no such file") {
		t.Errorf("a configuration that is not there: %+v", got)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := run(t, "", "--version"); got.code != 0 || got.out != run(t, "", "version").out {
		t.Errorf("--version: %+v", got)
	}
	if got := run(t, "", "version"); got.code != 0 || !strings.HasPrefix(got.out, "postreeve ") || !strings.Contains(got.out, "\ngo1.") {
		t.Errorf("version: %+v", got)
	}
	got := lines[struct{ Version, Go, Platform string }](t, run(t, "", "version", "--json").out)
	if len(got) != 1 || got[0].Version == "" || !strings.HasPrefix(got[0].Go, "go1.") || !strings.Contains(got[0].Platform, "/") {
		t.Errorf("version --json: %+v", got)
	}
}
