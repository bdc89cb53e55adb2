package verdict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxAbandoned is how many calls of one scanner may be running past their deadlines. A scanner that is
// deaf to its context fails at once beyond that, so that it cannot fill the memory with goroutines.
const maxAbandoned = 64

// Engine asks all its scanners about a message, side by side, and merges what they found.
//
// The zero value calls every message Unknown. Fields must not change once it is in use; Judge and
// JudgeEnvelope may be called by many goroutines at once.
type Engine struct {
	// Scanners are asked in parallel. Findings stand in the report in this order. Names should differ.
	Scanners []Scanner
	// Merge makes a class of the findings. Nil means that of the zero Weigh.
	Merge Merge
	// Timeout is the budget for all scanners together. 0 means 30 s. It has to be shorter than the
	// patience of SMTP clients, which RFC 5321 section 4.5.3.2.6 puts at 10 minutes.
	Timeout time.Duration
	// ScannerTimeout is the deadline of each scanner without one of its own. 0 means 10 s.
	ScannerTimeout time.Duration
	// OnError is what a message is when a scanner fails, panics or does not answer. The zero value,
	// Unknown, leaves it to the recipient's policy. Clean means that failing scanners let mail through.
	OnError Class
	// StopAtMalicious ends the other scanners as soon as one has found the message malicious. The class
	// stays the same under any merge that lets Malicious win; the report has less evidence.
	StopAtMalicious bool
	// Trace has optional hooks.
	Trace Trace

	once      sync.Once
	abandoned []atomic.Int32 // calls past their deadline, by scanner
}

// Trace has hooks for metrics and logs. They are optional, called synchronously, from several
// goroutines at once, and must not block. What a hook that panics has to say is lost, and nothing else.
type Trace struct {
	ScanDone func(m *Message, run Run, findings []Finding)
	Judged   func(m *Message, r *Report)
}

// Judge asks every scanner and returns the report. It is total: errors, panics and timeouts are
// findings, and a scanner that is deaf to its context is abandoned at its deadline.
func (e *Engine) Judge(ctx context.Context, m *Message) *Report {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, 30*time.Second))
	defer cancel()
	r := e.runAll(ctx, cancel, m, func(Scanner) bool { return true }, Scanner.Scan)
	r.Auth = m.Auth
	r.Class = e.merge(m, r)
	r.Score = TotalScore(r.Findings)
	r.Took = time.Since(start)
	if e.Trace.Judged != nil {
		hook(func() { e.Trace.Judged(m, r) })
	}
	return r
}

// JudgesEnvelopes says whether any of the scanners looks at envelopes. If not, JudgeEnvelope has nothing to
// say and need not be called.
func (e *Engine) JudgesEnvelopes() bool { return slices.ContainsFunc(e.Scanners, HasEnvelope) }

// JudgeEnvelope asks the scanners that are EnvelopeScanners about what MAIL and RCPT have said so far.
// The class is Clean if none objects, also if there is none: the content is still to be judged.
func (e *Engine) JudgeEnvelope(ctx context.Context, m *Message) *Report {
	if !e.JudgesEnvelopes() {
		return &Report{Class: Clean}
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, 30*time.Second))
	defer cancel()
	r := e.runAll(ctx, cancel, m, HasEnvelope, func(s Scanner, ctx context.Context, m *Message) ([]Finding, error) {
		return s.(EnvelopeScanner).ScanEnvelope(ctx, m)
	})
	r.Class = e.mergeAll(m, r)
	r.Score = TotalScore(r.Findings)
	r.Took = time.Since(start)
	return r
}

// HasEnvelope says whether a scanner, or the one that wrappers hold, is an EnvelopeScanner.
func HasEnvelope(s Scanner) bool {
	for {
		w, ok := s.(*wrapped)
		if !ok {
			_, ok = s.(EnvelopeScanner)
			return ok
		}
		s = w.Scanner
	}
}

func (e *Engine) merge(m *Message, r *Report) Class {
	if !slices.ContainsFunc(r.Runs, func(run Run) bool { return !run.Monitor && run.Outcome != Skipped }) {
		r.Findings = append(r.Findings, Finding{Code: CodeScannerNone, Detail: "no scanner looked at this message"})
		return Unknown
	}
	return e.mergeAll(m, r)
}

// mergeAll merges the findings. A merge that panics or returns no class could not tell.
func (e *Engine) mergeAll(m *Message, r *Report) (class Class) {
	defer func() {
		v := recover()
		if v == nil && class <= Malicious {
			return
		}
		err := fmt.Errorf("the merge returned %v, which is no class", class)
		if v != nil {
			err = &panicError{v, panicPlace()}
		}
		r.Findings = append(r.Findings, Finding{Code: CodeScannerFailed, Detail: "the merge failed", Err: err})
		class = Unknown
	}()
	if e.Merge == nil {
		return Weigh{}.Merge(m, r.Findings)
	}
	return e.Merge(m, r.Findings)
}

// answer is what came of one scanner.
type answer struct {
	findings []Finding
	run      Run
}

type method func(s Scanner, ctx context.Context, m *Message) ([]Finding, error)

// runAll asks those scanners that asked chooses. It gives each a slot of its own, so that the answer
// does not depend on who was first.
func (e *Engine) runAll(ctx context.Context, stop context.CancelFunc, m *Message, asked func(Scanner) bool, scan method) *Report {
	e.once.Do(func() { e.abandoned = make([]atomic.Int32, len(e.Scanners)) })
	answers := make([]answer, 0, len(e.Scanners)) // never grows: goroutines hold pointers into it
	var wg sync.WaitGroup
	for i, s := range e.Scanners {
		if !asked(s) {
			continue
		}
		answers = append(answers, answer{})
		slot := &answers[len(answers)-1]
		wg.Go(func() {
			*slot = e.run(ctx, i, m, scan)
			if e.StopAtMalicious && isMalicious(slot.findings) {
				stop()
			}
		})
	}
	wg.Wait()
	if e.StopAtMalicious && slices.ContainsFunc(answers, func(a answer) bool { return isMalicious(a.findings) }) {
		skipStopped(answers)
	}
	r := &Report{Runs: make([]Run, len(answers))}
	for i, a := range answers {
		r.Runs[i] = a.run
		r.Findings = append(r.Findings, a.findings...)
		if e.Trace.ScanDone != nil {
			hook(func() { e.Trace.ScanDone(m, a.run, a.findings) })
		}
	}
	return r
}

// hook calls a hook of Trace. The answer is there already and must not be lost.
func hook(f func()) {
	defer func() { _ = recover() }()
	f()
}

func isMalicious(fs []Finding) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Class == Malicious && f.Err == nil })
}

// skipStopped turns the failures of scanners that were stopped because the answer was settled into skips.
func skipStopped(answers []answer) {
	for i := range answers {
		if errors.Is(answers[i].run.Err, context.Canceled) {
			answers[i].run.Outcome = Skipped
			answers[i].findings = nil
		}
	}
}

// run asks one scanner, with its deadline, and does not wait for it beyond that.
func (e *Engine) run(ctx context.Context, i int, m *Message, scan method) answer {
	start := time.Now()
	s, timeout := e.Scanners[i], cmp.Or(e.ScannerTimeout, 10*time.Second)
	w, _ := s.(*wrapped)
	if w != nil && w.timeout > 0 {
		timeout = w.timeout
	}
	if n := e.abandoned[i].Load(); n >= maxAbandoned {
		err := fmt.Errorf("%d earlier calls have not ended: %w", n, context.DeadlineExceeded)
		return e.answer(s, w, nil, err, 0)
	}
	if err := ctx.Err(); err != nil { // the answer must not depend on how fast a scanner is
		return e.answer(s, w, nil, err, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var res call
	done := make(chan call, 1) // buffered: an abandoned call must be able to end
	var settled atomic.Bool    // by whichever comes first: the end of the call, or of our patience
	go func() {
		res := call{err: errEnded}
		defer func() { // also when the scanner ends its goroutine
			done <- res
			if !settled.CompareAndSwap(false, true) {
				e.abandoned[i].Add(-1)
			}
		}()
		res.findings, res.err = guard(ctx, s, m, scan)
	}()
	select {
	case res = <-done:
	case <-ctx.Done():
		e.abandoned[i].Add(1)
		if !settled.CompareAndSwap(false, true) {
			e.abandoned[i].Add(-1)
		}
		select { // one that answers at the same moment counts
		case res = <-done:
		default:
			res.err = ctx.Err()
		}
	}
	return e.answer(s, w, res.findings, res.err, time.Since(start))
}

// call is what one call of a scanner returned.
type call struct {
	findings []Finding
	err      error
}

// errEnded is what came of a scanner that called runtime.Goexit, as a test that fails does.
var errEnded = errors.New("the scanner ended its goroutine")

// panicError is a panic of a scanner, as an error that names the place.
type panicError struct {
	value any
	place string
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v, %s", p.value, p.place) }

// panicPlace is where the panic came from that is being recovered.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for inside := false; ; {
		f, more := frames.Next()
		if inside && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("in %s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
		inside = inside || f.Function == "runtime.gopanic"
		if !more {
			return "at an unknown place"
		}
	}
}

func guard(ctx context.Context, s Scanner, m *Message, scan method) (fs []Finding, err error) {
	defer func() {
		if v := recover(); v != nil {
			fs, err = nil, &panicError{v, panicPlace()}
		}
	}()
	return scan(s, ctx, m)
}

func (e *Engine) answer(s Scanner, w *wrapped, fs []Finding, err error, took time.Duration) answer {
	run := Run{Scanner: nameOf(s), Outcome: Done, Monitor: w != nil && w.monitor, Took: took, Err: err}
	if errors.Is(err, errSkipped) {
		run.Outcome, run.Err = Skipped, nil
		return answer{run: run}
	}
	fs = slices.Clone(fs)
	for i := range fs {
		disarm(&fs[i])
	}
	if err != nil {
		f := Finding{Code: CodeScannerFailed, Class: e.OnError, Detail: "could not tell", Err: err}
		run.Outcome = Failed
		var p *panicError
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			run.Outcome, f.Code, f.Detail = TimedOut, CodeScannerTimeout, "did not answer in time"
		case errors.As(err, &p):
			f.Code, f.Detail = CodeScannerPanic, "panicked"
		}
		if w != nil && w.class != nil {
			f.Class = *w.class
		}
		fs = append(fs, f)
	}
	for i := range fs {
		fs[i].Scanner = run.Scanner
		if run.Monitor {
			muzzle(&fs[i])
		}
	}
	return answer{fs, run}
}

// disarm makes a failure of a finding that no merge and no reader of reports could make sense of.
func disarm(f *Finding) {
	if f.Class <= Malicious && !math.IsNaN(f.Score) && !math.IsInf(f.Score, 0) {
		return
	}
	f.Err = errors.Join(f.Err, fmt.Errorf("finding with class %v and score %v, which is none", f.Class, f.Score))
	f.Class, f.Score = Unknown, 0
}

// muzzle takes the vote out of a finding and leaves the evidence.
func muzzle(f *Finding) {
	if f.Err != nil {
		f.Detail += ": " + f.Err.Error()
	}
	f.Class, f.Score, f.Err = Unknown, 0, nil
}

// nameOf returns the name of a scanner, also if it is nil inside: a wiring error must not end a session.
func nameOf(s Scanner) (name string) {
	defer func() {
		if recover() != nil {
			name = "nameless"
		}
	}()
	return s.Name()
}
