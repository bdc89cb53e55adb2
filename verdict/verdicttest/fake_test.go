package verdicttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestFakes(t *testing.T) {
	t.Parallel()
	found := verdict.Finding{Code: "a.b", Class: verdict.Spam}
	for _, tt := range []struct {
		name    string
		scanner func(tb testing.TB) verdict.Scanner
		want    verdict.Class
		outcome verdict.Outcome
		took    time.Duration
	}{
		{"finds nothing", func(tb testing.TB) verdict.Scanner { return verdicttest.Finds(tb, "x") }, verdict.Clean, verdict.Done, 0},
		{"finds", func(tb testing.TB) verdict.Scanner { return verdicttest.Finds(tb, "x", found) }, verdict.Spam, verdict.Done, 0},
		{"reads", func(tb testing.TB) verdict.Scanner { return verdicttest.Reads(tb, "x") }, verdict.Clean, verdict.Done, 0},
		{"fails", func(tb testing.TB) verdict.Scanner { return verdicttest.Fails(tb, "x", errors.New("no")) }, verdict.Unknown, verdict.Failed, 0},
		{"slow", func(tb testing.TB) verdict.Scanner { return verdicttest.Slow(tb, "x", time.Second, found) }, verdict.Spam, verdict.Done, time.Second},
		{"too slow", func(tb testing.TB) verdict.Scanner { return verdicttest.Slow(tb, "x", time.Hour, found) }, verdict.Unknown, verdict.TimedOut, 10 * time.Second},
		{"hangs", func(tb testing.TB) verdict.Scanner { return verdicttest.Hangs(tb, "x") }, verdict.Unknown, verdict.TimedOut, 10 * time.Second},
		{"panics", func(tb testing.TB) verdict.Scanner { return verdicttest.Panics(tb, "x", "ouch") }, verdict.Unknown, verdict.Failed, 0},
		{"garbage", func(tb testing.TB) verdict.Scanner { return verdicttest.Garbage(tb, "x") }, verdict.Unknown, verdict.Done, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := (&verdict.Engine{Scanners: []verdict.Scanner{tt.scanner(t)}}).Judge(t.Context(), verdicttest.Clean(t))
				if r.Class != tt.want || r.Runs[0].Outcome != tt.outcome || time.Since(start) != tt.took {
					t.Errorf("%v, %v after %v; want %v, %v after %v", r.Class, r.Runs[0].Outcome, time.Since(start), tt.want, tt.outcome, tt.took)
				}
				if _, err := json.Marshal(r); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A fake fails the test of those who use it in a way that the contract does not allow.
func TestFakeMisused(t *testing.T) {
	t.Parallel()
	m := verdicttest.Clean(t)
	for _, tt := range []struct {
		name string
		use  func(ctx context.Context, f *verdicttest.Fake)
		bad  bool
	}{
		{"as it should be", func(ctx context.Context, f *verdicttest.Fake) { f.Scan(ctx, m) }, false},
		{"without a message", func(ctx context.Context, f *verdicttest.Fake) { f.Scan(ctx, nil) }, true},
		{"without a deadline", func(_ context.Context, f *verdicttest.Fake) { f.Scan(context.Background(), m) }, true},
		{"long after the deadline", func(ctx context.Context, f *verdicttest.Fake) { time.Sleep(time.Minute); f.Scan(ctx, m) }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			r := record(t, func(tb testing.TB) {
				f := verdicttest.Finds(tb, "x")
				tt.use(ctx, f)
				if f.Calls() != 1 {
					t.Errorf("%s: %d calls", tt.name, f.Calls())
				}
			})
			if r.failed != tt.bad {
				t.Errorf("%s: failed %v, want %v", tt.name, r.failed, tt.bad)
			}
		})
	}
}
