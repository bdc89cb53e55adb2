package m365_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// In and out again, in every combination: a second run has nothing to do, and the tenant is byte by byte what it
// was before.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, mk := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			before := s.Snapshot()
			b := newBench(t, s, mk())
			b.MX = m365.MXNo
			out := b.apply(t)
			if len(out.Done) == 0 {
				t.Fatal("nothing was done")
			}
			if n := len(s.Calls()); n > 75 || out.Writes > 25 {
				t.Errorf("planning and applying took %d calls, %d of them writes", n, out.Writes)
			} else {
				t.Logf("%d calls, %d of them writes", n, out.Writes)
			}
			writes := s.Writes()
			again, err := b.Plan(t.Context())
			if err != nil || again.Changes() != 0 {
				t.Fatalf("second plan: %v, %d changes: %+v", err, again.Changes(), again.Steps)
			}
			b.apply(t)
			if s.Writes() != writes {
				t.Errorf("the second run wrote %d times", s.Writes()-writes)
			}
			b.offboard(t)
			if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
				t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
			}
			p, err := b.PlanOffboard(t.Context())
			if err != nil || len(p.Steps) != 0 {
				t.Errorf("offboarding twice: %v, steps %+v", err, p.Steps)
			}
		})
	}
}
