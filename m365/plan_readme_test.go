package m365

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tables of the README name every setting and every code that the package knows, and no other.
func TestReadme(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	rows := map[string]string{} // number of the row: text
	for line := range strings.Lines(doc) {
		if m := regexp.MustCompile(`^\| (\d+) \|`).FindStringSubmatch(line); m != nil {
			rows[m[1]] = line
		}
	}
	if len(rows) != 14 {
		t.Errorf("%d rows of the baseline, want 14", len(rows))
	}
	for _, mode := range []Mode{EOPFirst, MXFirst} {
		for _, posture := range []Posture{Classic, Hardened} {
			p := &Profile{Domains: []string{"ex.net"}, Mode: mode, Posture: posture, ARCSealer: "gw.example", QuarantineRule: true, RejectDirectSend: mode == MXFirst,
				RemediationApp: "x", Access: &Access{}, Regions: map[string]Region{"eu": {SmartHost: "in.gw.example", Egress: []string{"192.0.2.1"}}}}
			for _, s := range p.settings(facts{}) {
				if !strings.Contains(doc, "`"+s.id+"`") {
					t.Errorf("the README does not name %s", s.id)
				}
				for _, n := range regexp.MustCompile(`\d+`).FindAllString(s.seed, -1) {
					if !strings.Contains(rows[n], s.id) {
						t.Errorf("row %s does not name %s", n, s.id)
					}
				}
			}
		}
	}
	_, example, _ := strings.Cut(doc, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	if _, err := ReadProfile(strings.NewReader(example)); err != nil {
		t.Errorf("the profile in the README: %v", err)
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		src, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:Code: |code, what := |code, what = |check\()"([a-z.-]+)"`).FindAllStringSubmatch(string(src), -1) {
			codes = append(codes, m[1])
		}
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	if len(codes) < 20 {
		t.Errorf("only %d codes were found in the source", len(codes))
	}
	for _, c := range codes {
		if !strings.Contains(doc, "`"+c+"`") {
			t.Errorf("the README does not name the code %s", c)
		}
	}
}
