package verdicttest

import (
	"bufio"
	"bytes"
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// labels numbers the groups of goroutines that are counted.
var labels atomic.Int64

// labelled calls f. settle returns how many of the goroutines run that f has started, and those have
// started: as soon as they are no more than wanted, or after some patience. Other tests, which run at the same
// time, do not count: goroutines inherit the label of whoever started them.
func labelled(f func(settle func(want int, patience time.Duration) int)) {
	id := strconv.FormatInt(labels.Add(1), 10)
	pprof.Do(context.Background(), pprof.Labels("verdicttest", id), func(context.Context) {
		f(func(want int, patience time.Duration) int {
			for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
				n := running(id) - 1 // without this one
				if n <= want || time.Now().After(end) {
					return n
				}
			}
		})
	})
}

// running counts the goroutines with the label.
func running(id string) (total int) {
	var b bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	mark := `"verdicttest":"` + id + `"`
	n := 0
	for sc := bufio.NewScanner(&b); sc.Scan(); {
		line := sc.Text()
		if count, _, ok := strings.Cut(line, " @"); ok {
			n, _ = strconv.Atoi(count)
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, mark) {
			total += n
		}
	}
	return total
}

// checkGoroutines looks for goroutines that outlive their scan. What a scanner keeps for all of its scans,
// like a pool of connections, is there after the first ones and does not grow.
func checkGoroutines(tb testing.TB, s *Suite) {
	sc := s.scanner(tb)
	round := func(n int) {
		for range n {
			for what, make := range s.samples() {
				s.healthy(tb, sc, make(tb), what)
				ctx, cancel := context.WithCancel(tb.Context())
				cancel()
				s.scan(tb, ctx, sc, make(tb), what)
			}
		}
	}
	s.growth(tb, round, "scans")
}

// growth fails the test if more goroutines run after many rounds than after a few.
func (s *Suite) growth(tb testing.TB, round func(n int), what string) {
	tb.Helper()
	var few, many int
	labelled(func(settle func(want int, patience time.Duration) int) {
		round(4)
		few = settle(0, time.Second)
		round(12)
		many = settle(few+2, 5*time.Second)
	})
	if many > few+2 {
		tb.Errorf("%d goroutines are left after 16 %s, %d after 4: each leaves some behind", many, what, few)
	}
}
