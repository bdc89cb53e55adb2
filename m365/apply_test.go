package m365_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

var (
	guids  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	tokens = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
)

// shape is a tenant without what is another in every run: identifiers and the secret.
func shape(s *m365test.Server) string {
	return tokens.ReplaceAllString(guids.ReplaceAllString(string(s.Snapshot()), "GUID"), "SECRET")
}

// killed applies with a context that ends at the n-th write, before or after it takes effect.
func killed(t *testing.T, b *bench, n int, kind m365test.FaultKind) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.server.Inject(m365test.Fault{Kind: kind, Write: n, Then: cancel})
	p, err := b.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := b.Apply(ctx, p); err == nil {
		t.Fatalf("write %d was cut off, and apply says it is done: %+v", n, out)
	}
}

// A run that dies at any write, before it or after it took effect, is finished by the next, in the same state; and
// what it added is known to be ours.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode    m365.Mode
		posture m365.Posture
		kind    m365test.FaultKind
		plan    bool // the stored plan is applied again, and not a new one
	}{
		{m365.EOPFirst, m365.Classic, m365test.DropBefore, true},
		{m365.EOPFirst, m365.Classic, m365test.DropAfter, false},
		{m365.EOPFirst, m365.Hardened, m365test.DropAfter, true},
		{m365.MXFirst, m365.Hardened, m365test.DropBefore, false},
		{m365.MXFirst, m365.Hardened, m365test.DropAfter, true},
	} {
		t.Run(fmt.Sprintf("%s,%s,%d,%v", c.mode, c.posture, c.kind, c.plan), func(t *testing.T) {
			t.Parallel()
			whole := m365test.New(t, m365test.Config{})
			addForeign(whole)
			start := whole.Writes()
			newBench(t, whole, profile(c.mode, c.posture)).apply(t)
			want, writes := shape(whole), whole.Writes()-start
			for n := 1; n <= writes; n++ {
				s := m365test.New(t, m365test.Config{})
				addForeign(s)
				before := s.Snapshot()
				b := newBench(t, s, profile(c.mode, c.posture))
				first, err := b.Plan(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				s.Inject(m365test.Fault{Kind: c.kind, Write: n, Then: cancel})
				if out, err := b.Apply(ctx, first); err == nil {
					t.Fatalf("write %d of %d was cut off, and apply says it is done: %+v", n, writes, out)
				}
				cancel()
				if c.plan {
					if _, err := b.Apply(t.Context(), first); err != nil {
						t.Fatalf("resume after write %d: %v", n, err)
					}
				} else {
					b.apply(t)
				}
				if d := cmp.Diff(want, shape(s)); d != "" {
					t.Fatalf("killed at write %d: another end (-want +got):\n%s", n, d)
				}
				b.offboard(t)
				if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
					t.Fatalf("killed at write %d: the tenant is not as it was (-before +after):\n%s", n, d)
				}
			}
		})
	}
}

// The same on the way out.
func TestKilledAtEveryWriteOut(t *testing.T) {
	t.Parallel()
	for _, kind := range []m365test.FaultKind{m365test.DropBefore, m365test.DropAfter} {
		for n := 1; ; n++ {
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			before := s.Snapshot()
			b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
			b.apply(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := s.Writes()
			s.Inject(m365test.Fault{Kind: kind, Write: done + n, Then: cancel})
			p, err := b.PlanOffboard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Offboard(ctx, p)
			cancel()
			if err == nil {
				if n < 10 {
					t.Errorf("offboarding took %d writes only", n-1)
				}
				break
			}
			b.offboard(t)
			if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
				t.Fatalf("killed at write %d: the tenant is not as it was (-before +after):\n%s", n, d)
			}
		}
	}
}

// A crash can tear the last line of the journal; what stands before it counts.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	before := s.Snapshot()
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	killed(t, b, 4, m365test.DropAfter)
	path := filepath.Join(b.Journal, "journal.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"at":"2026-01-01T00:00:00Z","what":"wro`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b.apply(t)
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
	}
	raw, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append([]byte("{nonsense}\n"), raw...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a journal that is damaged in the middle: %v", err)
	}
}

// Faults that a retry, a look or another round gets over.
func TestFaultsSurvived(t *testing.T) {
	t.Parallel()
	for _, f := range []m365test.Fault{
		{Kind: m365test.DropBefore, Write: 5},
		{Kind: m365test.DropAfter, Write: 5},
		{Kind: m365test.ErrorBefore, Write: 3},
		{Kind: m365test.ErrorAfter, Write: 3},
		{Kind: m365test.ErrorAfter, Write: 12},
		{Kind: m365test.Unavailable, Cmdlet: "New-TransportRule", RetryAfter: 1},
		{Kind: m365test.Throttle, Cmdlet: "Get-", Times: 2},
		{Kind: m365test.Throttle, Cmdlet: "Set-", RetryAfter: 1},
		{Kind: m365test.StaleToken, Cmdlet: "New-OutboundConnector"},
		{Kind: m365test.Challenge, Cmdlet: "Get-TransportRule"},
		{Kind: m365test.Garbage, Cmdlet: "New-InboundConnector"},
		{Kind: m365test.Garbage, Cmdlet: "New-TransportRule", Nth: 2},
	} {
		t.Run(fmt.Sprintf("%d,%s,%d", f.Kind, f.Cmdlet, f.Write), func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			before := s.Snapshot()
			b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
			s.Inject(f)
			b.apply(t)
			if s.Pending() != 0 {
				t.Fatal("the fault did not strike")
			}
			if r, err := b.Verify(t.Context()); err != nil || !r.OK() {
				t.Errorf("verify: %v, %+v", err, r)
			}
			b.offboard(t)
			if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
				t.Errorf("the tenant is not as it was (-before +after):\n%s", d)
			}
		})
	}
}

// Faults that nothing gets over: they are said, and what is done, what is left and the way back.
func TestFaultsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault m365test.Fault
		want  string
		atGet bool // shows when the tenant is read
	}{
		{fault: m365test.Fault{Kind: m365test.Forbid, Cmdlet: "New-TransportRule", Times: 9}, want: "Transport Rules"},
		{fault: m365test.Fault{Kind: m365test.Forbid, Cmdlet: "Set-ArcConfig", Times: 9}, want: "Tenant AllowBlockList Manager"},
		{fault: m365test.Fault{Kind: m365test.SilentlyIgnore, Cmdlet: "New-OutboundConnector", Times: 9}, want: "does not show it"},
		{fault: m365test.Fault{Kind: m365test.DropField, Cmdlet: "New-TransportRule", Field: "StopRuleProcessing", Nth: 6, Times: 1}, want: ""},
		{fault: m365test.Fault{Kind: m365test.MoreResults, Cmdlet: "Get-TransportRule", Times: 9}, want: "not complete", atGet: true},
		{fault: m365test.Fault{Kind: m365test.Huge, Cmdlet: "Get-InboundConnector", Times: 9}, want: "longer than", atGet: true},
		{fault: m365test.Fault{Kind: m365test.RedirectAway, Cmdlet: "Get-TransportRule", Times: 9}, want: "redirect", atGet: true},
		{fault: m365test.Fault{Kind: m365test.RedirectLoop, Cmdlet: "Get-TransportRule", Times: 99}, want: "redirect", atGet: true},
		{fault: m365test.Fault{Kind: m365test.DropBefore, Cmdlet: "Get-HostedConnectionFilterPolicy", Times: 99}, want: "Get-HostedConnectionFilterPolicy", atGet: true},
	} {
		t.Run(fmt.Sprintf("%d,%s", c.fault.Kind, c.fault.Cmdlet), func(t *testing.T) {
			t.Parallel()
			s := m365test.New(t, m365test.Config{})
			addForeign(s)
			b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
			b.Times.Settle = time.Millisecond
			if c.atGet {
				s.Inject(c.fault)
				if _, err := b.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("plan: %v, want something about %q", err, c.want)
				}
				if s.Writes() != 0 {
					t.Error("planning wrote")
				}
				return
			}
			p, err := b.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Inject(c.fault)
			out, err := b.Apply(t.Context(), p)
			if c.want == "" { // a field that was not stored is set in the next round
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("apply: %v, want something about %q", err, c.want)
			}
			if out.Failed == "" || len(out.Left) == 0 || out.Back == "" {
				t.Errorf("the outcome does not say what is left and how to go back: %+v", out)
			}
		})
	}
}

// A plan that was stored is refused if the tenant changed since, and nothing is written.
func TestStale(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Change("HostedContentFilterPolicy", "Default", m365test.Object{"SpamAction": "Delete"})
	writes := s.Writes()
	if _, err := b.Apply(t.Context(), p); !errors.Is(err, m365.ErrStale) {
		t.Errorf("apply to a changed tenant: %v, want ErrStale", err)
	}
	if s.Writes() != writes {
		t.Error("something was written")
	}
	if _, err := os.Stat(filepath.Join(b.Journal, "secrets.json")); err == nil {
		t.Error("a secret was made for nothing")
	}
	// After a crash, too, a change of somebody else stops it.
	killed(t, b, 3, m365test.DropAfter)
	p, err = b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Add("TransportRule", m365test.Object{"Name": "Something new", "PrependSubject": "x", "FromScope": "NotInOrganization"})
	if _, err := b.Apply(t.Context(), p); !errors.Is(err, m365.ErrStale) {
		t.Errorf("apply to a changed tenant after a crash: %v, want ErrStale", err)
	}
}

// Two runs cannot write to one journal.
func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.MXFirst, m365.Hardened))
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var inner error
	b.Progress = func(e m365.Event) {
		if e.What == m365.EventWrite && inner == nil {
			other := *b.Tenant
			other.Progress = nil
			_, inner = other.Apply(t.Context(), p)
		}
	}
	if _, err := b.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if inner == nil || !strings.Contains(inner.Error(), "another run") {
		t.Errorf("a second run at the same time: %v", inner)
	}
}

// The secret of the loop stands in the rule and in one file for its owner, and nowhere else.
func TestSecretStaysHidden(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	b.apply(t)
	secret := tokens.FindString(string(s.Snapshot()))
	if secret == "" {
		t.Fatal("the rule has no secret")
	}
	var shown strings.Builder
	for _, e := range b.events {
		shown.WriteString(e.String())
	}
	s.Change("TransportRule", "Postreeve Redirect Rule", m365test.Object{"SetHeaderValue": "humanmadeit"})
	p, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Changes() != 1 {
		t.Errorf("%d changes, want the secret put right: %+v", p.Changes(), p.Steps)
	}
	r, err := b.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&shown, "%+v %+v", p, r)
	for _, x := range []string{secret, "humanmadeit"} {
		if strings.Contains(shown.String(), x) {
			t.Errorf("%s is shown", x)
		}
	}
	files, err := os.ReadDir(b.Journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(b.Journal, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(raw), secret); has != (f.Name() == "secrets.json") {
			t.Errorf("%s: holds the secret: %v", f.Name(), has)
		}
		if info, _ := f.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	if info, _ := os.Stat(b.Journal); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v", info.Mode())
	}
	b.apply(t)
	b.offboard(t)
	raw, _ := os.ReadFile(filepath.Join(b.Journal, "secrets.json"))
	if strings.Contains(string(raw), secret) {
		t.Error("the secret is still there after offboarding")
	}
}

// A new secret goes in beside the old one, and the old one out when the gateway knows the new one.
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	s := m365test.New(t, m365test.Config{})
	b := newBench(t, s, profile(m365.EOPFirst, m365.Hardened))
	if err := b.RotateSecret(); err == nil {
		t.Error("a secret that is not there is rotated")
	}
	b.apply(t)
	old, err := b.LoopSecrets()
	if err != nil || len(old) != 1 || ruleNamed(s, redirect)["SetHeaderValue"] != old[0] {
		t.Fatalf("secrets %d, %v", len(old), err)
	}
	if err := b.RotateSecret(); err != nil {
		t.Fatal(err)
	}
	b.apply(t)
	both, _ := b.LoopSecrets()
	words, _ := ruleNamed(s, redirect)["ExceptIfHeaderContainsWords"].([]string)
	if len(both) != 2 || both[1] != old[0] || ruleNamed(s, redirect)["SetHeaderValue"] != both[0] || len(words) != 2 {
		t.Errorf("after the rotation the rule is %v", ruleNamed(s, redirect))
	}
	if err := b.RotateSecret(); err == nil {
		t.Error("a second rotation begins before the first is done")
	}
	if err := b.RetireSecret(); err != nil {
		t.Fatal(err)
	}
	b.apply(t)
	if words, _ = ruleNamed(s, redirect)["ExceptIfHeaderContainsWords"].([]string); len(words) != 1 || words[0] != both[0] {
		t.Errorf("after the old one was retired the rule accepts %d", len(words))
	}
	if v, err := b.Verify(t.Context()); err != nil || !v.OK() {
		t.Errorf("verify: %v, %+v", err, v)
	}
}
