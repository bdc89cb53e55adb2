package app_test

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/webhook"
)

var update = flag.Bool("update", false, "write the golden files anew")

// CODES.md is what the table of codes says.
func TestCodesPage(t *testing.T) {
	t.Parallel()
	const page = "../../CODES.md"
	got := run(t, "", "codes", "--markdown")
	if *update {
		if err := os.WriteFile(page, []byte(got.out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.out); d != "" || got.code != 0 {
		t.Errorf("exit %d; run go test -update if this is meant (-want +got):\n%s", got.code, d)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	type code struct {
		Code, Meaning, Reason, Class string
		Score                        float64
	}
	all := lines[code](t, run(t, "", "codes", "--json").out)
	if len(all) != len(verdict.Codes()) {
		t.Errorf("%d codes, the table has %d", len(all), len(verdict.Codes()))
	}
	file := filepath.Join(write(t, map[string]string{"c.yaml": configFor("192.0.2.1", "weights: {auth.nothing: 3.5, auth.dmarc.reject: unknown}")}), "c.yaml")
	got := lines[code](t, run(t, "", "codes", "--json", "-c", file, "auth.").out)
	for _, c := range got {
		if !strings.HasPrefix(c.Code, "auth.") || c.Meaning == "" || c.Reason == "" ||
			c.Code == "auth.nothing" && c.Score != 3.5 || c.Code == "auth.dmarc.reject" && (c.Class != "unknown" || c.Score != 5) {
			t.Errorf("%+v", c)
		}
	}
	if plain := run(t, "", "codes", "auth.dmarc"); plain.code != 0 || !strings.Contains(plain.out, "auth.dmarc.reject") || strings.Contains(plain.out, "auth.spf") {
		t.Errorf("%+v", plain)
	}
	if none := run(t, "", "codes", "zzz"); none.code != 1 {
		t.Errorf("%+v", none)
	}
}

// scanWith scans one message with a configuration, and returns its line and the exit code.
func scanWith(t *testing.T, more, msg string) (row, result) {
	t.Helper()
	dir := write(t, map[string]string{"c.yaml": configFor("192.0.2.1", more), "a.eml": msg})
	got := run(t, "", "scan", "--json", "--no-dns", "-c", filepath.Join(dir, "c.yaml"), filepath.Join(dir, "a.eml"))
	all := lines[row](t, got.out)
	if len(all) != 1 {
		t.Fatalf("%+v", got)
	}
	return all[0], got
}

func TestWeights(t *testing.T) {
	t.Parallel()
	spam := message("x", teststring.Spam)
	for more, want := range map[string]string{
		"scanners: [teststring]":                                                                            "spam",
		"scanners: [teststring]\nweights: {test.spam: clean}":                                               "clean",
		"scanners: [teststring]\nweights: {test.spam: {class: clean, score: 4}}":                            "clean",
		"scanners: [teststring]\nweights: {test.spam: {class: clean, score: 5}}":                            "spam",
		"scanners: [teststring]\nweights: {test.spam: {class: clean, score: 5}}\nscan: {spam-score: never}": "clean",
		"scanners: [teststring]\nweights: {test.spam: 9}\nscan: {malicious-score: 8}":                       "malicious",
		"scanners: [{name: teststring, max-size: 10}]":                                                      "unknown",
		"scanners: [{name: teststring, max-size: {size: 10, class: clean}}]":                                "clean",
		"scanners: [{name: teststring, breaker: {failures: 1, pause: 1m}, cache: 1m, timeout: 30s}]":        "spam",
	} {
		if got, _ := scanWith(t, more, spam); got.Class != want {
			t.Errorf("%s: %s, want %s: %+v", more, got.Class, want, got.Findings)
		}
	}
}

// What is spam by score alone says which findings weigh most.
func TestScanByScore(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"c.yaml": configFor("192.0.2.1", "scanners: [teststring]\nweights: {test.spam: {class: unknown, score: 6.5}}"),
		"a.eml":  message("x", teststring.Spam),
	})
	got := run(t, "", "scan", "-c", filepath.Join(dir, "c.yaml"), filepath.Join(dir, "a.eml"))
	if got.code != 1 || !strings.Contains(got.out, "score 6.5: test.spam 6.5") {
		t.Errorf("%+v", got)
	}
}

// Scanners that ask somebody else are made of the configuration, with secrets from files, under names of their own,
// and never let anything pass that they could not ask about.
func TestAdapters(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123"
	hook := httptest.NewServer(&webhook.Handler{Scanner: teststring.Scanner{}, Key: []byte(key)})
	t.Cleanup(hook.Close)
	files := write(t, map[string]string{
		"key": key, "wrong": key + "x", "word": "short", "judge": "#!/bin/sh\ngrep -q SPAM-VERDICT && exit 1\nexit 0\n",
	})
	judge := filepath.Join(files, "judge")
	if err := os.Chmod(judge, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ scanner, want, name string }{
		{fmt.Sprintf("{name: webhook, url: %q, key: \"file:%s/key\"}", hook.URL, files), "spam", "webhook"},
		{fmt.Sprintf("{name: webhook, as: crm, url: %q, key: \"file:%s/key\", cache: 1m}", hook.URL, files), "spam", "crm"},
		{fmt.Sprintf("{name: webhook, url: %q, key: \"file:%s/wrong\"}", hook.URL, files), "unknown", "webhook"},
		{fmt.Sprintf("{name: webhook, url: %q, key: \"file:%s/wrong\", on-error: clean}", hook.URL, files), "clean", "webhook"},
		{fmt.Sprintf("{name: exec, path: %s}", judge), "spam", "exec"},
		{fmt.Sprintf("{name: exec, as: own, path: %s, monitor: true}", judge), "unknown", "own"},
		{fmt.Sprintf("{name: clamd, address: %q}", closed), "unknown", "clamd"},
		{fmt.Sprintf("{name: rspamd, url: \"http://%s\", password: \"file:%s/word\"}", closed, files), "unknown", "rspamd"},
		{fmt.Sprintf("{name: spamd, address: %q}", closed), "unknown", "spamd"},
		{fmt.Sprintf("{name: icap, url: \"icap://%s/x\"}", closed), "unknown", "icap"},
		{fmt.Sprintf("{name: milter, address: %q}", closed), "unknown", "milter"},
	} {
		got, res := scanWith(t, "scanners: ["+c.scanner+"]", message("x", teststring.Spam))
		named := slices.ContainsFunc(got.Findings, func(f struct{ Scanner, Code, Class, Part, Error string }) bool { return f.Scanner == c.name })
		if got.Class != c.want || !named {
			t.Errorf("%s: %s, want %s: %+v", c.scanner, got.Class, c.want, got.Findings)
		}
		if strings.Contains(res.out+res.err, key) {
			t.Errorf("%s: the secret is shown: %+v", c.scanner, res)
		}
	}
	for _, scanner := range []string{
		fmt.Sprintf("{name: webhook, url: %q, key: \"file:%s/none\"}", hook.URL, files),
		fmt.Sprintf("{name: webhook, url: %q, key: \"file:%s/word\"}", hook.URL, files),
		fmt.Sprintf("{name: exec, path: %s/none}", files),
		fmt.Sprintf("{name: exec, path: %s/key}", files),
		fmt.Sprintf("{name: rspamd, url: \"https://x\", tls: {roots: %s/key}}", files),
		fmt.Sprintf("{name: spamd, address: %q, tls: {cert: %s/key, key: %s/key}}", closed, files, files),
	} {
		dir := write(t, map[string]string{"c.yaml": configFor("192.0.2.1", "scanners: ["+scanner+"]")})
		file := filepath.Join(dir, "c.yaml")
		if got := run(t, "", "scan", "-c", file, file); got.code != 64 || strings.Contains(got.err, key) {
			t.Errorf("%s: %+v", scanner, got)
		}
		if got := run(t, "", "check", "-c", file, "--timeout", "1s"); got.code != 1 || !strings.Contains(got.out, "scanner") {
			t.Errorf("%s: check: %+v", scanner, got)
		}
	}
}
