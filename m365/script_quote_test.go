package m365

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// quotations are strings that end a literal early where quoting is careless.
var quotations = []string{"plain", "", "it's", "''", "'; Remove-TransportRule x #", "\u2018a\u2019b\u201ac\u201b", "$(calc)", "$env:PATH", "`n", "a\"b", "@'", "{0}", "--%", "naïve 日本"}

// What is quoted is one literal that stands for the string, in the eyes of a real parser.
func TestQuote(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for _, s := range quotations {
		q, err := psQuote(s)
		if err != nil {
			t.Fatalf("psQuote(%q): %v", s, err)
		}
		if got := unquotePS(q); got != s {
			t.Errorf("psQuote(%q) = %s, which stands for %q", s, q, got)
		}
		file.WriteString("Write-Host " + q + "\n")
	}
	for _, s := range []string{"a\nb", "a\rb", "\x00", "\u2028", "\u0085"} {
		if q, err := psQuote(s); err == nil {
			t.Errorf("psQuote(%q) = %s, want an error", s, q)
		}
	}
	literals, problems := parsePowerShell(t, map[string]string{"quote.ps1": file.String()})
	if len(problems) > 0 {
		t.Fatalf("not PowerShell: %q", problems)
	}
	for i, s := range quotations {
		if i >= len(literals) || unquotePS(literals[i]) != s {
			t.Errorf("the parser reads %q, want %q", literals, quotations)
			break
		}
	}
}

// unquotePS reads a verbatim string as PowerShell does: a doubled mark stands for itself.
func unquotePS(q string) string {
	const marks = "'\u2018\u2019\u201a\u201b"
	in := []rune(q)
	if len(in) < 2 || !strings.ContainsRune(marks, in[0]) || !strings.ContainsRune(marks, in[len(in)-1]) {
		return "not quoted: " + q
	}
	var out []rune
	for i := 1; i < len(in)-1; i++ {
		if strings.ContainsRune(marks, in[i]) {
			if i++; i >= len(in)-1 || !strings.ContainsRune(marks, in[i]) {
				return "ends early: " + q
			}
		}
		out = append(out, in[i])
	}
	return string(out)
}

// The script of every combination is PowerShell, and what stands in it in quotes is data.
func TestScriptsParse(t *testing.T) {
	t.Parallel()
	scripts := map[string]string{}
	for _, mode := range []Mode{EOPFirst, MXFirst} {
		for _, posture := range []Posture{Hardened, Classic} {
			for scope, protect := range map[string]Scope{"domain": {}, "group": {Groups: []string{"o'brien$x@ex.net"}}, "user": {Users: []string{"a`b@ex.net", "c{d}@ex.net"}}} {
				for _, second := range []string{"", "us"} {
					p := &Profile{Product: "Müller & Söhne", Mark: "m-s", Domains: []string{"ex.net", "ex.org"}, Mode: mode, Posture: posture, Protect: protect, ARCSealer: "gw.example", Region: "eu", SecondRegion: second,
						IncidentReport: "o'hara@ex.net", RemediationApp: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
						Access:  &Access{AppID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", ObjectID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeef"},
						Regions: map[string]Region{"eu": {SmartHost: "in.gw.example", Egress: []string{"192.0.2.1", "198.51.100.0/25"}}, "us": {SmartHost: "us.gw.example", Egress: []string{"203.0.113.1"}}}}
					p.RejectDirectSend = mode == MXFirst
					apply, offboard, err := Script(p)
					if err != nil {
						t.Fatal(err)
					}
					name := strings.Join([]string{string(mode), string(posture), scope, second}, "-")
					scripts[name+"-apply.ps1"], scripts[name+"-offboard.ps1"] = string(apply), string(offboard)
				}
			}
		}
	}
	literals, problems := parsePowerShell(t, scripts)
	if len(problems) > 0 {
		t.Errorf("%d places are not PowerShell: %q", len(problems), problems[:min(5, len(problems))])
	}
	seen := map[string]bool{}
	for _, l := range literals {
		seen[unquotePS(l)] = true
	}
	for _, want := range []string{"o'brien$x@ex.net", "a`b@ex.net", "c{d}@ex.net", "o'hara@ex.net", "Müller & Söhne Redirect Rule", "198.51.100.0/25", "203.0.113.1"} {
		if !seen[want] {
			t.Errorf("no literal stands for %q", want)
		}
	}
}

// parsePowerShell gives what a real parser says: the verbatim strings in the files, and the places that are not
// PowerShell. It needs node and two packages of npm.
func parsePowerShell(t *testing.T, files map[string]string) (literals, problems []string) {
	t.Helper()
	const how = "npm install --ignore-scripts --prefix %s web-tree-sitter@0.25.10 tree-sitter-powershell@0.26.4"
	dir := os.Getenv("POSTREEVE_NODE")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "postreeve-node")
	}
	modules := filepath.Join(dir, "node_modules")
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(modules, "tree-sitter-powershell")); err != nil || missing != nil {
		why := "no parser of PowerShell: install node, then " + strings.Replace(how, "%s", dir, 1)
		if os.Getenv("POSTREEVE_PEERS") == "required" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	tmp := t.TempDir()
	// Without the optimising compiler of V8, which spends ten seconds on the grammar.
	args := []string{"--liftoff-only", "testdata/parse-powershell.cjs", modules}
	for name, text := range files {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), node, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		_, text, _ := strings.Cut(rest, "\t")
		switch kind {
		case "string":
			literals = append(literals, text)
		case "error":
			problems = append(problems, rest)
		}
	}
	return literals, problems
}
