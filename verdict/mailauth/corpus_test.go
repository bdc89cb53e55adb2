package mailauth_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// corpus returns a folder of the shared test data beside the module. Without it the test is skipped.
func corpus(t testing.TB, name string) string {
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
	path := filepath.Join(dir, "..", "shared", "corpus", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the test data %s is not beside the module", name)
	}
	return path
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// globs returns the files that match any of the patterns below dir, by name.
func globs(t testing.TB, dir string, patterns ...string) []string {
	t.Helper()
	var out []string
	for _, p := range patterns {
		m, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m...)
	}
	slices.Sort(out)
	if len(out) == 0 {
		t.Fatalf("no test data in %s", dir)
	}
	return out
}

// yamlDocument reads a file with one document, with sequences and mappings as Go has them.
func yamlDocument(t testing.TB, path string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal(readFile(t, path), &out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return out
}

// tally counts how many cases of a suite do as they should. A case that is excused by name must fail:
// when it begins to pass, the excuse has to go.
type tally struct {
	suite   string
	excused map[string]string // case: reason
	passed  int
	total   int
	met     map[string]bool
}

func newTally(suite string, excused map[string]string) *tally {
	return &tally{suite: suite, excused: excused, met: map[string]bool{}}
}

// check counts one case. problem is "" if it did as it should.
func (c *tally) check(t *testing.T, name, problem string) {
	t.Helper()
	c.total++
	reason, excused := c.excused[name]
	c.met[name] = true
	switch {
	case problem == "":
		c.passed++
		if excused {
			t.Errorf("%s: passes, but is excused: %s", name, reason)
		}
	case excused:
		t.Logf("%s: %s; excused: %s", name, problem, reason)
	default:
		t.Errorf("%s: %s", name, problem)
	}
}

func (c *tally) report(t *testing.T) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(c.excused)) {
		if !c.met[name] {
			t.Errorf("%s: excused, but not in the suite", name)
		}
	}
	t.Logf("suite %s: %d of %d pass", c.suite, c.passed, c.total)
}

// strs makes a list of one value or a list of them.
func strs(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// zoneOf adds one record, in the notation of the OpenSPF suite, to what is at a name.
func addRecord(r *mailauthtest.Records, spf *[]string, entry any) {
	temp := fmt.Errorf("%w: test", mailauth.ErrTemporary)
	m, ok := entry.(map[string]any)
	if !ok {
		r.Err = temp // TIMEOUT
		return
	}
	for kind, v := range m {
		switch kind {
		case "A":
			r.A = append(r.A, strs(v)...)
		case "AAAA":
			r.AAAA = append(r.AAAA, strs(v)...)
		case "PTR":
			for _, n := range strs(v) {
				r.PTR = append(r.PTR, strings.TrimSuffix(n, "."))
			}
		case "MX":
			r.MX = append(r.MX, strings.TrimSuffix(strs(v)[1], "."))
		case "TXT":
			r.TXT = append(r.TXT, strings.Join(strs(v), ""))
		case "SPF":
			*spf = append(*spf, strings.Join(strs(v), ""))
		case "CNAME":
			r.CNAME = strs(v)[0]
		default: // TIMEOUT, SERVFAIL, CNAMELOOP
			r.Err = temp
		}
	}
}

// spfZone reads zonedata of the OpenSPF suite: records of type SPF are published as TXT too, unless there
// are TXT records already.
func spfZone(t testing.TB, doc map[string]any) mailauthtest.Zone {
	t.Helper()
	zone := mailauthtest.Zone{}
	data, _ := doc["zonedata"].(map[string]any)
	for name, entries := range data {
		var (
			r   mailauthtest.Records
			spf []string
		)
		list, _ := entries.([]any)
		for _, e := range list {
			if s, ok := e.(string); ok && s == "TIMEOUT" && len(list) > 1 {
				continue // of what is not listed: records of a type that nobody asks for
			}
			addRecord(&r, &spf, e)
		}
		if r.TXT == nil {
			r.TXT = spf
		}
		if len(r.TXT) == 1 && r.TXT[0] == "NONE" {
			r.TXT = nil
		}
		zone[strings.ToLower(strings.TrimSuffix(name, "."))] = r
	}
	return zone
}
