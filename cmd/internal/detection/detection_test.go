package detection_test

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
)

// kind is what a label asks for.
func kind(label string) string {
	switch {
	case label == "ham", label == "spam", label == "phish", label == "benign-attachment", label == "bounce", label == "report":
		return label
	case strings.HasPrefix(label, "malicious-type:"):
		return "malicious-type"
	}
	return ""
}

// TestDetection judges all labelled mail and holds the goals. With -v it prints the tables.
func TestDetection(t *testing.T) {
	dir := corpusDir(t)
	all := judge(t, labelled(t, dir, func(l string) bool { return kind(l) != "" }))
	printSets(t, all)
	printCodes(t, all)
	printMistakes(t, all)
	dump(t, all)
	share := func(label string, flagged func(verdict.Class) bool) (hit, n int) {
		for _, j := range all {
			if kind(j.label) == label {
				n++
				if flagged(j.Class) {
					hit++
				}
			}
		}
		return hit, n
	}
	caught := func(c verdict.Class) bool { return c == verdict.Spam || c == verdict.Malicious }
	if hit, n := share("phish", caught); hit*100 < n*90 {
		t.Errorf("%d of %d phishing messages are flagged, want 90 %%", hit, n)
	}
	if hit, n := share("spam", caught); hit*100 < n*60 {
		t.Errorf("%d of %d spam messages are flagged, want 60 %%", hit, n)
	}
	for _, label := range []string{"bounce", "report"} {
		if hit, n := share(label, caught); hit*100 > n*2 {
			t.Errorf("%d of %d with label %s are flagged, want at most 2 %%", hit, n, label)
		}
	}
	if hit, n := share("ham", caught); hit*1000 > n*5 {
		t.Errorf("%d of %d honest messages are flagged, want at most 0.5 %%", hit, n)
	}
	for _, j := range all {
		if kind(j.label) == "malicious-type" && !recognised(j) {
			t.Errorf("%s: %s/%s is not recognised: %v", j.label, j.set, filepath.Base(j.path), codesOf(j))
		}
	}
	malicious := func(c verdict.Class) bool { return c == verdict.Malicious }
	for _, label := range []string{"ham", "benign-attachment"} {
		if hit, n := share(label, malicious); hit > 0 {
			t.Errorf("%d of %d with label %s are called malicious", hit, n, label)
		}
	}
}

// recognised says whether a scanner that looks into files has something to say about one.
func recognised(j judged) bool {
	return slices.ContainsFunc(j.Findings, func(f verdict.Finding) bool {
		return f.Scanner == "attach" || f.Scanner == "teststring" || strings.HasPrefix(f.Code, "link.qr")
	})
}

func codesOf(j judged) (out []string) {
	for _, f := range j.Findings {
		out = append(out, f.Code)
	}
	return out
}

// printSets prints what became of each set and label.
func printSets(t *testing.T, all []judged) {
	type key struct{ label, set string }
	counts := map[key]*[4]int{}
	for _, j := range all {
		for _, k := range []key{{kind(j.label), j.set}, {kind(j.label), "(all)"}} {
			if counts[k] == nil {
				counts[k] = new([4]int)
			}
			counts[k][j.Class]++
		}
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.label, b.label), cmp.Compare(a.set, b.set))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %-22s %6s %6s %6s %6s %6s\n", "label", "set", "n", "spam", "mal", "clean", "unkn")
	for _, k := range keys {
		c := counts[k]
		n := c[0] + c[1] + c[2] + c[3]
		fmt.Fprintf(&b, "%-18s %-22s %6d %6d %6d %6d %6d  %5.1f %% flagged\n", k.label, k.set, n,
			c[verdict.Spam], c[verdict.Malicious], c[verdict.Clean], c[verdict.Unknown],
			100*float64(c[verdict.Spam]+c[verdict.Malicious])/float64(n))
	}
	t.Log("\n" + b.String())
}

// printCodes prints how often each code was found, by label.
func printCodes(t *testing.T, all []judged) {
	labels := []string{"phish", "spam", "ham"}
	counts := map[string]*[3]int{}
	total := [3]int{}
	for _, j := range all {
		i := slices.Index(labels, kind(j.label))
		if i < 0 {
			continue
		}
		total[i]++
		seen := map[string]bool{}
		for _, f := range j.Findings {
			if seen[f.Code] {
				continue
			}
			seen[f.Code] = true
			if counts[f.Code] == nil {
				counts[f.Code] = new([3]int)
			}
			counts[f.Code][i]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %6s %7s %7s %7s\n", "code", "score", "phish", "spam", "ham")
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		c := counts[code]
		fmt.Fprintf(&b, "%-26s %6.1f %6.1f%% %6.1f%% %6.1f%%\n", code, verdict.Found(code).Score,
			100*float64(c[0])/float64(total[0]), 100*float64(c[1])/float64(total[1]), 100*float64(c[2])/float64(total[2]))
	}
	t.Log("\n" + b.String())
}

// printMistakes prints the honest mail that is flagged and the phishing that is not.
func printMistakes(t *testing.T, all []judged) {
	for _, j := range all {
		k := kind(j.label)
		bad := j.Class == verdict.Spam || j.Class == verdict.Malicious
		if k == "ham" && bad || k == "phish" && !bad {
			t.Logf("%s as %v: %s/%s %s", k, j.Class, j.set, filepath.Base(j.path), reasons(j))
		}
	}
}

func reasons(j judged) string {
	var out []string
	for _, f := range j.Findings {
		if f.Score != 0 || f.Class != verdict.Unknown {
			out = append(out, fmt.Sprintf("%s %.2g", f.Code, f.Score))
		}
	}
	return fmt.Sprintf("%.1f (%s)", j.Score, strings.Join(out, ", "))
}

// dump writes what was found to the file that DETECTION_DUMP names, for looking closer.
func dump(t *testing.T, all []judged) {
	name := os.Getenv("DETECTION_DUMP")
	if name == "" {
		return
	}
	var b strings.Builder
	for _, j := range all {
		fmt.Fprintf(&b, "%s\t%s/%s\t%v\t%.2f", j.label, j.set, filepath.Base(j.path), j.Class, j.Score)
		for _, f := range j.Findings {
			fmt.Fprintf(&b, "\t%s=%.2g=%s", f.Code, f.Score, strings.NewReplacer("\t", " ", "\n", " ").Replace(f.Detail))
		}
		b.WriteByte('\n')
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Error(err)
	}
}
