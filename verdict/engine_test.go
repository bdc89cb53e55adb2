package verdict_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postreeve/postreeve/verdict"
)

var mail = verdict.Bytes("From: a@example.org\r\nSubject: hello\r\n\r\nbody\r\n")

// finds is a scanner that finds one thing of the class c.
func finds(name string, c verdict.Class) verdict.Scanner {
	return verdict.Func(name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		return []verdict.Finding{{Code: name + ".found", Class: c, Score: 1}}, nil
	})
}

func failing(name string, err error) verdict.Scanner {
	return verdict.Func(name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, err })
}

// deaf never looks at its context. release ends it.
func deaf(name string, release <-chan struct{}) verdict.Scanner {
	return verdict.Func(name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		<-release
		return nil, nil
	})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	boom := errors.New("no answer")
	silent := verdict.Func("silent", func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, nil })
	panics := verdict.Func("panics", func(context.Context, *verdict.Message) ([]verdict.Finding, error) { panic("ouch") })
	var none verdict.Scanner
	never := func(*verdict.Message) bool { return false }
	for _, tt := range []struct {
		name     string
		scanners []verdict.Scanner
		onError  verdict.Class
		want     verdict.Class
		outcomes []verdict.Outcome
		codes    []string
	}{
		{"no scanner at all", nil, 0, verdict.Unknown, nil, []string{verdict.CodeScannerNone}},
		{"judging switched off", []verdict.Scanner{verdict.Nothing}, 0, verdict.Clean, []verdict.Outcome{verdict.Done}, nil},
		{"nothing found", []verdict.Scanner{silent, silent}, 0, verdict.Clean, []verdict.Outcome{verdict.Done, verdict.Done}, nil},
		{"the highest class wins", []verdict.Scanner{finds("a", verdict.Spam), finds("b", verdict.Malicious), finds("c", verdict.Clean)}, 0,
			verdict.Malicious, []verdict.Outcome{verdict.Done, verdict.Done, verdict.Done}, []string{"a.found", "b.found", "c.found"}},
		{"evidence alone changes nothing", []verdict.Scanner{finds("a", verdict.Unknown)}, 0, verdict.Clean, []verdict.Outcome{verdict.Done}, []string{"a.found"}},
		{"a failure is not clean", []verdict.Scanner{silent, failing("b", boom)}, 0,
			verdict.Unknown, []verdict.Outcome{verdict.Done, verdict.Failed}, []string{verdict.CodeScannerFailed}},
		{"a failure hides what is worse than spam", []verdict.Scanner{finds("a", verdict.Spam), failing("b", boom)}, 0,
			verdict.Unknown, []verdict.Outcome{verdict.Done, verdict.Failed}, []string{"a.found", verdict.CodeScannerFailed}},
		{"a failure does not save the malicious", []verdict.Scanner{finds("a", verdict.Malicious), failing("b", boom)}, 0,
			verdict.Malicious, []verdict.Outcome{verdict.Done, verdict.Failed}, []string{"a.found", verdict.CodeScannerFailed}},
		{"a panic is a failure", []verdict.Scanner{panics, silent}, 0, verdict.Unknown, []verdict.Outcome{verdict.Failed, verdict.Done}, []string{verdict.CodeScannerPanic}},
		{"a nil scanner is a failure", []verdict.Scanner{none}, 0, verdict.Unknown, []verdict.Outcome{verdict.Failed}, []string{verdict.CodeScannerPanic}},
		{"failing open is said in so many words", []verdict.Scanner{failing("a", boom)}, verdict.Clean, verdict.Clean, []verdict.Outcome{verdict.Failed}, []string{verdict.CodeScannerFailed}},
		{"on error, of one scanner", []verdict.Scanner{verdict.OnError(failing("a", boom), verdict.Spam), silent}, 0,
			verdict.Spam, []verdict.Outcome{verdict.Failed, verdict.Done}, []string{verdict.CodeScannerFailed}},
		{"monitored findings do not vote", []verdict.Scanner{verdict.MonitorOnly(finds("a", verdict.Malicious)), silent}, 0,
			verdict.Clean, []verdict.Outcome{verdict.Done, verdict.Done}, []string{"a.found"}},
		{"monitored failures do not vote", []verdict.Scanner{verdict.MonitorOnly(failing("a", boom)), silent}, 0,
			verdict.Clean, []verdict.Outcome{verdict.Failed, verdict.Done}, []string{verdict.CodeScannerFailed}},
		{"monitoring is not looking", []verdict.Scanner{verdict.MonitorOnly(silent)}, 0, verdict.Unknown, []verdict.Outcome{verdict.Done}, []string{verdict.CodeScannerNone}},
		{"skipping is not looking", []verdict.Scanner{verdict.When(silent, never)}, 0, verdict.Unknown, []verdict.Outcome{verdict.Skipped}, []string{verdict.CodeScannerNone}},
		{"one skipped, one looked", []verdict.Scanner{verdict.When(finds("a", verdict.Spam), never), silent}, 0,
			verdict.Clean, []verdict.Outcome{verdict.Skipped, verdict.Done}, nil},
		{"wrappers add up", []verdict.Scanner{verdict.Deadline(verdict.OnError(failing("a", boom), verdict.Malicious), time.Minute)}, 0,
			verdict.Malicious, []verdict.Outcome{verdict.Failed}, []string{verdict.CodeScannerFailed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := &verdict.Engine{Scanners: tt.scanners, OnError: tt.onError}
			r := e.Judge(t.Context(), verdict.NewMessage(mail))
			if r.Class != tt.want {
				t.Errorf("class %v, want %v", r.Class, tt.want)
			}
			var outcomes []verdict.Outcome
			for _, run := range r.Runs {
				outcomes = append(outcomes, run.Outcome)
			}
			var codes []string
			for _, f := range r.Findings {
				codes = append(codes, f.Code)
			}
			if d := cmp.Diff(tt.outcomes, outcomes); d != "" {
				t.Errorf("outcomes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.codes, codes); d != "" {
				t.Errorf("codes (-want +got):\n%s", d)
			}
		})
	}
}

// A deaf scanner is abandoned at its deadline, the budget holds for all together, and what the others
// found counts.
func TestJudgeDeadlines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		engine func(release chan struct{}) *verdict.Engine
		took   time.Duration
		want   verdict.Class
	}{
		{"the engine's for each", func(release chan struct{}) *verdict.Engine {
			return &verdict.Engine{Scanners: []verdict.Scanner{deaf("a", release), finds("b", verdict.Clean)}}
		}, 10 * time.Second, verdict.Unknown},
		{"one of its own", func(release chan struct{}) *verdict.Engine {
			return &verdict.Engine{Scanners: []verdict.Scanner{verdict.Deadline(deaf("a", release), time.Second)}}
		}, time.Second, verdict.Unknown},
		{"one of its own, inside another wrapper", func(release chan struct{}) *verdict.Engine {
			return &verdict.Engine{Scanners: []verdict.Scanner{verdict.OnError(verdict.Deadline(deaf("a", release), time.Second), verdict.Spam)}}
		}, time.Second, verdict.Spam},
		{"the budget is over a longer deadline", func(release chan struct{}) *verdict.Engine {
			return &verdict.Engine{Timeout: 5 * time.Second, Scanners: []verdict.Scanner{verdict.Deadline(deaf("a", release), time.Hour), finds("b", verdict.Malicious)}}
		}, 5 * time.Second, verdict.Malicious},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				start := time.Now()
				r := tt.engine(release).Judge(t.Context(), verdict.NewMessage(mail))
				if got := time.Since(start); got != tt.took {
					t.Errorf("took %v, want %v", got, tt.took)
				}
				if r.Class != tt.want {
					t.Errorf("class %v, want %v", r.Class, tt.want)
				}
				if len(r.Failed()) != 1 || r.Failed()[0].Outcome != verdict.TimedOut {
					t.Errorf("runs %+v, want one timeout", r.Runs)
				}
			})
		})
	}
}

// A scanner that never ends cannot collect goroutines without bound, and is asked again once it has ended.
func TestJudgeAbandonedBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		e := &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("deaf", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
			calls.Add(1)
			<-release
			return nil, nil
		})}}
		for range 100 {
			if r := e.Judge(t.Context(), verdict.NewMessage(mail)); r.Class != verdict.Unknown {
				t.Fatalf("class %v", r.Class)
			}
		}
		if n := calls.Load(); n != 64 {
			t.Errorf("%d calls, want the bound of 64", n)
		}
		close(release)
		synctest.Wait()
		if r := e.Judge(t.Context(), verdict.NewMessage(mail)); r.Class != verdict.Clean {
			t.Errorf("class %v after the scanner has come back", r.Class)
		}
	})
}

// The order of the findings and the class are the same whoever is first.
func TestJudgeSameAnswer(t *testing.T) {
	t.Parallel()
	jitter := func(name string, c verdict.Class) verdict.Scanner {
		var n atomic.Uint32
		return verdict.Func(name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
			for range n.Add(7919) % 13 {
				runtime.Gosched()
			}
			return []verdict.Finding{{Code: name + ".found", Class: c}}, nil
		})
	}
	e := &verdict.Engine{}
	for i := range 8 {
		e.Scanners = append(e.Scanners, jitter(fmt.Sprint("s", i), verdict.Class(i%4)))
	}
	want := e.Judge(t.Context(), verdict.NewMessage(mail))
	for range 200 {
		got := e.Judge(t.Context(), verdict.NewMessage(mail))
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(verdict.Report{}, "Took"), cmpopts.IgnoreFields(verdict.Run{}, "Took")); d != "" {
			t.Fatal(d)
		}
	}
}

func TestStopAtMalicious(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		patient := verdict.Func("patient", func(ctx context.Context, _ *verdict.Message) ([]verdict.Finding, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		e := &verdict.Engine{StopAtMalicious: true, Scanners: []verdict.Scanner{patient, finds("quick", verdict.Malicious)}}
		r := e.Judge(t.Context(), verdict.NewMessage(mail))
		if r.Class != verdict.Malicious || time.Since(start) != 0 {
			t.Errorf("%v after %v, want malicious at once", r.Class, time.Since(start))
		}
		if got := r.Runs[0].Outcome; got != verdict.Skipped {
			t.Errorf("the stopped scanner is %v, want skipped", got)
		}
	})
}

// envelopeScanner objects to one recipient.
type envelopeScanner struct{ verdict.Scanner }

func (envelopeScanner) ScanEnvelope(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if slices.Contains(m.Envelope.Addresses(), "trap@example.net") {
		return []verdict.Finding{{Code: "trap.hit", Class: verdict.Malicious}}, nil
	}
	return nil, nil
}

func TestJudgeEnvelope(t *testing.T) {
	t.Parallel()
	trap := envelopeScanner{finds("trap", verdict.Clean)}
	content := finds("content", verdict.Malicious)
	for _, tt := range []struct {
		name     string
		scanners []verdict.Scanner
		rcpt     string
		want     verdict.Class
		runs     int
	}{
		{"nobody to ask", []verdict.Scanner{content}, "trap@example.net", verdict.Clean, 0},
		{"no objection", []verdict.Scanner{content, trap}, "b@example.net", verdict.Clean, 1},
		{"objection", []verdict.Scanner{trap}, "trap@example.net", verdict.Malicious, 1},
		{"objection through wrappers", []verdict.Scanner{verdict.Deadline(verdict.OnError(trap, verdict.Spam), time.Second)}, "trap@example.net", verdict.Malicious, 1},
		{"monitored", []verdict.Scanner{verdict.MonitorOnly(trap)}, "trap@example.net", verdict.Clean, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &verdict.Message{Envelope: verdict.Envelope{From: "a@example.org", To: []verdict.Recipient{{Address: tt.rcpt}}}}
			r := (&verdict.Engine{Scanners: tt.scanners}).JudgeEnvelope(t.Context(), m)
			if r.Class != tt.want || len(r.Runs) != tt.runs {
				t.Errorf("%v by %d scanners, want %v by %d", r.Class, len(r.Runs), tt.want, tt.runs)
			}
		})
	}
}
