package verdicttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Suite says what Run is to test.
type Suite struct {
	// New returns a scanner. engine is where the engine listens that it has to ask; nil if Engine is
	// nil. What the scanner holds is given back by tb.Cleanup.
	New func(tb testing.TB, engine net.Addr) verdict.Scanner

	// Hit returns a message in which the scanner finds something, a new one for each call. Run shows
	// that it is never lost. It may be nil if the scanner needs no engine; much is then not tested.
	Hit func(tb testing.TB) *verdict.Message
	// Want is what Hit becomes. Unknown means that what is found is evidence, or any class above Clean.
	Want verdict.Class
	// Clean returns a message in which the scanner finds nothing that would make it more than Clean, a
	// new one for each call. Nil means the sample Clean.
	Clean func(tb testing.TB) *verdict.Message

	// Engine starts a stand-in for the engine that the scanner asks, and returns its address, of the
	// network "tcp" or "unix". It has to find Hit, has to pass Clean, and ends by tb.Cleanup. Nil means
	// that the scanner works in process.
	Engine func(tb testing.TB) net.Addr

	// Timeout is how long a scan may take that is not disturbed. 0 means 10 s.
	Timeout time.Duration
	// Patience is the deadline of scans whose engine is broken. 0 means 300 ms.
	Patience time.Duration
	// Recovery is how long after the end of a fault the scanner has to work again; more than the pause
	// of its circuit breaker, if it has one. 0 means 5 s.
	Recovery time.Duration
}

// grace is how much later than its deadline a scan may end: machines are busy.
const grace = 5 * time.Second

// Run tests a scanner against the contract of verdict.Scanner, as subtests of t that run in parallel. Use
// it with the race detector.
//
// Every scanner has to answer the same question the same way, from 16 goroutines at once; to stop when
// its context ends; to survive malformed and enormous messages; to read no more from a message, and to
// leave no goroutine, when it has returned; to have a constant name and findings of the documented form;
// and to return an error when it could not read what it had to judge. With an engine it also has to
// meet every fault of Faults with an error in time, to take no cut reply for a clean one, to read no
// reply without bound, and to work again afterwards.
func Run(t *testing.T, s Suite) {
	t.Helper()
	s.check(t)
	for _, c := range s.checks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, &s)
		})
	}
}

func (s *Suite) check(tb testing.TB) {
	tb.Helper()
	if s.New == nil {
		tb.Fatal("verdicttest: Suite.New is needed")
	}
	if s.Engine != nil && s.Hit == nil {
		tb.Fatal("verdicttest: a Suite with Engine needs Hit: without it nobody can say that no hit is lost")
	}
}

// check is one test of the suite.
type check struct {
	name string
	run  func(tb testing.TB, s *Suite)
}

func (s *Suite) checks() []check {
	out := []check{
		{"name", checkName},
		{"clean", checkClean},
		{"hit", checkHit},
		{"same answer", checkSame},
		{"side by side", checkConcurrent},
		{"context ended", checkCancelled},
		{"context ends", checkMidway},
		{"deadline", checkDeadline},
		{"borrowed", checkBorrowed},
		{"unchanged", checkUnchanged},
		{"goroutines", checkGoroutines},
		{"hostile", checkHostile},
		{"unreadable", checkUnreadable},
	}
	if s.Engine == nil {
		return out
	}
	return append(out, []check{
		{"slow engine", checkSlow},
		{"faults, clean", checkFaultsClean},
		{"faults, hit", checkFaultsHit},
		{"cut anywhere", checkCuts},
		{"flood", checkFlood},
		{"hanging engine", checkHanging},
	}...)
}

func (s *Suite) timeout() time.Duration  { return cmp.Or(s.Timeout, 10*time.Second) }
func (s *Suite) patience() time.Duration { return cmp.Or(s.Patience, 300*time.Millisecond) }
func (s *Suite) recovery() time.Duration { return cmp.Or(s.Recovery, 5*time.Second) }

func (s *Suite) clean(tb testing.TB) *verdict.Message {
	if s.Clean == nil {
		return Clean(tb)
	}
	return s.Clean(tb)
}

// hit returns Hit, or nil.
func (s *Suite) hit(tb testing.TB) *verdict.Message {
	if s.Hit == nil {
		return nil
	}
	return s.Hit(tb)
}

// scanner returns a new one, with an engine that is well.
func (s *Suite) scanner(tb testing.TB) verdict.Scanner {
	if s.Engine == nil {
		return s.New(tb, nil)
	}
	return s.New(tb, s.Engine(tb))
}

// result is what came of one scan.
type result struct {
	findings []verdict.Finding
	err      error
	took     time.Duration
	panic    []byte // where, if it panicked
	deaf     bool   // it did not come back
}

// scan calls a scanner as an engine does. What an engine would have to put up with fails the test.
func (s *Suite) scan(tb testing.TB, ctx context.Context, sc verdict.Scanner, m *verdict.Message, what string) result {
	tb.Helper()
	start := time.Now()
	done := make(chan result, 1)
	go func() {
		res := result{err: errEnded}
		defer func() {
			if v := recover(); v != nil {
				res.err = fmt.Errorf("panic: %v", v)
				res.panic = debug.Stack()
			}
			res.took = time.Since(start)
			done <- res
		}()
		res.findings, res.err = sc.Scan(ctx, m)
	}()
	var res result
	select {
	case res = <-done:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case res = <-done:
		case <-late.C:
			tb.Errorf("%s: Scan did not return within %v of the end of its context", what, grace)
			return result{err: ctx.Err(), took: time.Since(start), deaf: true}
		}
	}
	if res.panic != nil {
		tb.Errorf("%s: the scanner panicked: %v\n%s", what, res.err, res.panic)
	}
	s.sound(tb, res, what)
	return res
}

// errEnded is what came of a scanner that called runtime.Goexit.
var errEnded = errors.New("the scanner ended its goroutine")

// healthy scans without a disturbance.
func (s *Suite) healthy(tb testing.TB, sc verdict.Scanner, m *verdict.Message, what string) result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), s.timeout())
	defer cancel()
	return s.scan(tb, ctx, sc, m, what)
}

// failed says whether a scan could not tell.
func (r result) failed() bool {
	if r.err != nil {
		return true
	}
	for _, f := range r.findings {
		if f.Err != nil {
			return true
		}
	}
	return false
}

// found says whether a scan has found what is in Hit.
func (s *Suite) found(r result) bool {
	class := verdict.Unknown
	for _, f := range r.findings {
		class = max(class, f.Class)
	}
	if s.Want == verdict.Unknown {
		return len(r.findings) > 0
	}
	return class == s.Want
}

// lost says whether a scan of Hit has ended as though there were nothing.
func (s *Suite) lost(r result) bool { return !r.failed() && !s.found(r) }

func (r result) String() string {
	var codes []string
	for _, f := range r.findings {
		codes = append(codes, fmt.Sprintf("%s=%v", f.Code, f.Class))
	}
	return fmt.Sprintf("findings %v, error %v, after %v", codes, r.err, r.took.Round(time.Millisecond))
}
