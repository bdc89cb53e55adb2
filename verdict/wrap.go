package verdict

import (
	"context"
	"errors"
	"time"
)

// errSkipped is how a wrapper tells the engine that the scanner was deliberately not asked.
var errSkipped = errors.New("verdict: scanner skipped")

// wrapped is a scanner in a decorator. It hands ScanEnvelope on, so that a wrapper never takes a power
// away from what it wraps.
type wrapped struct {
	Scanner
	run func(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error)

	class   *Class        // what a failure makes the message, nil: the engine decides
	timeout time.Duration // 0: the engine's
	monitor bool
}

type scanFunc func(ctx context.Context, m *Message) ([]Finding, error)

func (w *wrapped) Scan(ctx context.Context, m *Message) ([]Finding, error) {
	return w.run(ctx, m, w.Scanner.Scan)
}

// ScanEnvelope asks the wrapped scanner if it is an EnvelopeScanner and has no objection otherwise.
func (w *wrapped) ScanEnvelope(ctx context.Context, m *Message) ([]Finding, error) {
	if es, ok := w.Scanner.(EnvelopeScanner); ok {
		return w.run(ctx, m, es.ScanEnvelope)
	}
	return nil, nil
}

func plain(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error) { return scan(ctx, m) }

// wrap returns a new decorator around s that keeps what the decorators inside it have settled.
func wrap(s Scanner) *wrapped {
	w := &wrapped{Scanner: s, run: plain}
	if in, ok := s.(*wrapped); ok {
		w.class, w.timeout, w.monitor = in.class, in.timeout, in.monitor
	}
	return w
}

// Deadline gives a scanner a deadline of its own, instead of the engine's for each scanner. The
// engine's budget for all of them still holds.
func Deadline(s Scanner, d time.Duration) Scanner {
	w := wrap(s)
	w.timeout = d
	return w
}

// OnError says what a message is when this scanner fails, panics or does not answer: instead of what
// the engine says. Clean means that mail goes through unseen when this scanner is down.
func OnError(s Scanner, c Class) Scanner {
	w := wrap(s)
	w.class = &c
	return w
}

// MonitorOnly lets a scanner look without a vote: its findings are in the report as evidence, with
// Class Unknown and no score, and so are its failures, without an Err. It does not count as having looked.
func MonitorOnly(s Scanner) Scanner {
	w := wrap(s)
	w.monitor = true
	return w
}

// When asks a scanner only about messages for which cond is true. For the others the report says
// Skipped, and a message that every scanner skipped is Unknown: nobody looked.
func When(s Scanner, cond func(m *Message) bool) Scanner {
	w := wrap(s)
	w.run = func(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error) {
		if !cond(m) {
			return nil, errSkipped
		}
		return scan(ctx, m)
	}
	return w
}

// Nothing is a scanner that looks at nothing and finds nothing. An engine with it alone calls every
// message clean: the way to say in so many words that mail is not to be judged.
var Nothing Scanner = nothing{}

type nothing struct{}

func (nothing) Name() string { return "nothing" }

func (nothing) Scan(context.Context, *Message) ([]Finding, error) { return nil, nil }
