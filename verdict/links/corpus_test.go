package links_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/links"
)

// corpusDir returns the shared test data beside the module. Without it the test is skipped.
func corpusDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the test data is not beside the module")
	}
	return path
}

// sample is one labelled message.
type sample struct{ path, set, label string }

func samples(t testing.TB, dir string, labels ...string) []sample {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(f) < 2 || !slices.Contains(labels, f[1]) || strings.HasPrefix(f[0], "att-") {
			continue
		}
		set, _, _ := strings.Cut(f[0], "/")
		out = append(out, sample{f[0], set, f[1]})
	}
	return out
}

// received are fields that the receiving side of whoever collected a message has added.
func received(name string) bool {
	name = strings.ToLower(name)
	for _, p := range []string{"received", "authentication-results", "arc-", "x-ms-exchange-", "x-forefront-", "x-microsoft-antispam", "x-sid-", "x-message-", "x-incomingtopheadermarker", "x-incomingheadercount", "x-eop", "x-spam", "x-originating", "x-store-info", "x-auth-result"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// clean returns a message without the fields that collecting it left there.
func clean(t testing.TB, path string) *verdict.Message {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := verdict.NewMessage(verdict.Bytes(raw)).Header()
	var b []byte
	for f := range h.All() {
		if !received(f.Name) {
			b = append(b, f.Raw()...)
		}
	}
	b = append(b, raw[min(int64(len(raw)), h.BodyOffset()-sep(raw, h)):]...)
	return verdict.NewMessage(verdict.Bytes(b))
}

// sep is the length of the empty line before the body.
func sep(raw []byte, h verdict.Header) int64 {
	n := h.BodyOffset()
	switch {
	case n >= 2 && n <= int64(len(raw)) && string(raw[n-2:n]) == "\r\n":
		return 2
	case n >= 1:
		return 1
	}
	return 0
}

// TestCorpus prints, with -v, how often each code is found in mail of each label, and how much of it the scanner alone flags.
// It holds the share of ham that the scanner alone would call spam.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dir := corpusDir(t)
	sc := &links.Scanner{}
	total := map[string]int{}
	flagged := map[string]int{}
	sums := map[string]float64{}
	hits := map[string]map[string]int{}
	for _, s := range samples(t, dir, "phish", "spam", "ham", "bounce", "report") {
		m := clean(t, filepath.Join(dir, s.path))
		found, err := sc.Scan(t.Context(), m)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
			continue
		}
		total[s.label]++
		seen := map[string]bool{}
		for _, f := range found {
			if f.Class != verdict.Unknown {
				t.Errorf("%s: %s has a class", s.path, f.Code)
			}
			if !seen[f.Code] {
				seen[f.Code] = true
				if hits[f.Code] == nil {
					hits[f.Code] = map[string]int{}
				}
				hits[f.Code][s.label]++
			}
		}
		for i := range found {
			found[i].Scanner = sc.Name()
		}
		score := verdict.TotalScore(found)
		sums[s.label] += score
		if score >= verdict.DefaultSpamScore {
			flagged[s.label]++
		}
		if want := os.Getenv("LINKS_SHOW"); want != "" && strings.HasPrefix(s.label, want) {
			t.Logf("%5.1f %s %s", score, s.path, describe(found))
		}
	}
	for _, code := range slices.SortedFunc(maps.Keys(hits), func(a, b string) int {
		return cmp.Or(cmp.Compare(hits[b]["phish"], hits[a]["phish"]), cmp.Compare(a, b))
	}) {
		n := hits[code]
		t.Logf("%-26s %4.1f  phish %3d  spam %3d  ham %3d  bounce %3d", code, verdict.Found(code).Score, n["phish"], n["spam"], n["ham"], n["bounce"])
	}
	for _, label := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%-7s %4d messages, %4d flagged by links alone (%.1f %%), mean score %.2f",
			label, total[label], flagged[label], 100*float64(flagged[label])/float64(total[label]), sums[label]/float64(total[label]))
	}
	if n := flagged["ham"]; n*200 > total["ham"] {
		t.Errorf("%d of %d ham messages flagged", n, total["ham"])
	}
}

func describe(found []verdict.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "\n      %s: %.120s", f.Code, f.Detail)
	}
	return b.String()
}
