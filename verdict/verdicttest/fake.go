package verdicttest

import (
	"context"
	"errors"
	"io"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Fake is a scanner for the tests of those who call scanners. It fails the test when it is called with
// no message, without a deadline, or more than five seconds after the deadline.
type Fake struct {
	name   string
	scan   func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error)
	report *reporter
	calls  atomic.Int64
}

// Does returns a scanner that does what scan does.
func Does(tb testing.TB, name string, scan func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error)) *Fake {
	return &Fake{name: name, scan: scan, report: reporterOf(tb)}
}

// Finds returns a scanner that finds the same in every message; nothing, if nothing is given.
func Finds(tb testing.TB, name string, findings ...verdict.Finding) *Fake {
	return Does(tb, name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return findings, nil })
}

// Fails returns a scanner that could not tell.
func Fails(tb testing.TB, name string, err error) *Fake {
	return Does(tb, name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, err })
}

// Slow returns a scanner that finds something after a time, and returns the error of the context if
// that ends earlier.
func Slow(tb testing.TB, name string, d time.Duration, findings ...verdict.Finding) *Fake {
	return Does(tb, name, func(ctx context.Context, _ *verdict.Message) ([]verdict.Finding, error) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return findings, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// Hangs returns a scanner that is deaf to its context. Its calls return at the end of the test.
func Hangs(tb testing.TB, name string) *Fake {
	release := make(chan struct{})
	tb.Cleanup(func() { close(release) })
	return Does(tb, name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		<-release
		return nil, errors.New("verdicttest: the test is over")
	})
}

// Panics returns a scanner that panics with v.
func Panics(tb testing.TB, name string, v any) *Fake {
	return Does(tb, name, func(context.Context, *verdict.Message) ([]verdict.Finding, error) { panic(v) })
}

// Garbage returns a scanner whose findings make no sense: no code, classes that are none, scores that
// are no numbers, and text that must not reach a header or a terminal as it is.
func Garbage(tb testing.TB, name string) *Fake {
	return Finds(tb, name,
		verdict.Finding{},
		verdict.Finding{Scanner: "somebody else", Code: "NOT A CODE\r\nX: y", Class: 255},
		verdict.Finding{Code: "garbage.score", Class: verdict.Clean, Score: math.NaN()},
		verdict.Finding{Code: "garbage.score", Class: verdict.Spam, Score: math.Inf(1)},
		verdict.Finding{Code: "garbage.text", Detail: "\r\nBcc: x\x00\x1b[31m\xff<script>", Part: "\r\n\x00\xff"},
	)
}

// Reads returns a scanner that reads the whole message and every part of it, and finds nothing.
func Reads(tb testing.TB, name string) *Fake {
	return Does(tb, name, func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
		if err := drain(ctx, m.Open); err != nil {
			return nil, err
		}
		for p, err := range m.Parts() {
			if err != nil {
				return nil, err
			}
			if err := drain(ctx, p.Open); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// drain reads something to its end.
func drain(ctx context.Context, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	p := make([]byte, 32<<10)
	for ctx.Err() == nil {
		if _, err := r.Read(p); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Name returns the name.
func (f *Fake) Name() string { return f.name }

// Calls returns how often Scan was called.
func (f *Fake) Calls() int { return int(f.calls.Load()) }

// Scan implements verdict.Scanner.
func (f *Fake) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	f.calls.Add(1)
	if m == nil {
		f.report.errorf("verdicttest: %s was called without a message", f.name)
		return nil, errors.New("verdicttest: no message")
	}
	const stall = 5 * time.Second // a busy machine may be late, too
	if end, ok := ctx.Deadline(); !ok {
		f.report.errorf("verdicttest: %s was called without a deadline", f.name)
	} else if late := time.Since(end); late > stall {
		f.report.errorf("verdicttest: %s was called %v after its deadline", f.name, late)
	}
	return f.scan(ctx, m)
}
