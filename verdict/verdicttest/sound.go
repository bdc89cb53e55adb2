package verdicttest

import (
	"math"
	"regexp"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

// The forms of names and codes: "rspamd", "attachment.executable".
var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$`)
	codeForm = regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$`)
)

const (
	maxName     = 40
	maxCode     = 100
	maxFindings = 10000
)

// sound fails the test if findings are not of the documented form.
func (s *Suite) sound(tb testing.TB, r result, what string) {
	tb.Helper()
	if len(r.findings) > maxFindings {
		tb.Errorf("%s: %d findings; nobody reads more than %d", what, len(r.findings), maxFindings)
	}
	for _, f := range r.findings {
		if !codeForm.MatchString(f.Code) || len(f.Code) > maxCode {
			tb.Errorf("%s: code %.120q; want noun.detail in lower case, like \"attachment.executable\"", what, f.Code)
		}
		if f.Class > verdict.Malicious {
			tb.Errorf("%s: %s has class %d, which is none", what, f.Code, f.Class)
		}
		if math.IsNaN(f.Score) || math.IsInf(f.Score, 0) {
			tb.Errorf("%s: %s has score %v, which nobody can add", what, f.Code, f.Score)
		}
	}
}

func checkName(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	name := sc.Name()
	if !nameForm.MatchString(name) || len(name) > maxName {
		tb.Errorf("name %q; want a short one in lower case, like \"rspamd\"", name)
	}
	s.healthy(tb, sc, s.clean(tb), "a scan")
	for range 3 {
		if again := sc.Name(); again != name {
			tb.Errorf("the name was %q and is now %q", name, again)
		}
	}
}
