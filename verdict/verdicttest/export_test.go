package verdicttest

import "testing"

// RunCheck runs one check of the suite on tb, and reports whether there is one of that name.
func RunCheck(tb testing.TB, s Suite, name string) bool {
	for _, c := range s.checks() {
		if c.name == name {
			c.run(tb, &s)
			return true
		}
	}
	return false
}
