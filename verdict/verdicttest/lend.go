package verdicttest

import (
	"io"
	"os"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

// Lend returns a message over src, and a func that takes it back. Whoever opens the message or reads
// from it after that fails the test, and so does a reader that is still open at that moment: scanners,
// next hops and stores must not keep what they were handed.
func Lend(tb testing.TB, src verdict.Source) (m *verdict.Message, takeBack func()) {
	l := &lent{Source: src, report: reporterOf(tb), open: make(map[*lentReader]string)}
	return of(l), l.takeBack
}

// lent is a Source with a lifetime.
type lent struct {
	verdict.Source
	report *reporter

	mu   sync.Mutex
	open map[*lentReader]string // who opened it
	over bool
}

func (l *lent) Open() (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		l.report.errorf("verdicttest: a message was opened after it had been taken back, by\n%s", debug.Stack())
		return nil, os.ErrClosed
	}
	r, err := l.Source.Open()
	if err != nil {
		return nil, err
	}
	lr := &lentReader{ReadCloser: r, l: l}
	l.open[lr] = string(debug.Stack())
	return lr, nil
}

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stack := range l.open {
		l.report.errorf("verdicttest: a reader of the message was not closed. It was opened by\n%s", stack)
	}
	l.over = true
}

type lentReader struct {
	io.ReadCloser
	l *lent
}

func (r *lentReader) Read(p []byte) (int, error) {
	r.l.mu.Lock()
	over := r.l.over
	r.l.mu.Unlock()
	if over {
		r.l.report.errorf("verdicttest: a message was read after it had been taken back, by\n%s", debug.Stack())
		return 0, os.ErrClosed
	}
	return r.ReadCloser.Read(p)
}

func (r *lentReader) Close() error {
	r.l.mu.Lock()
	delete(r.l.open, r)
	r.l.mu.Unlock()
	return r.ReadCloser.Close()
}

// reporter fails a test as long as that runs. What outlives the test, like an abandoned call, must not
// report any more: package testing panics then.
type reporter struct {
	mu   sync.Mutex
	tb   testing.TB
	done bool
}

func reporterOf(tb testing.TB) *reporter {
	r := &reporter{tb: tb}
	tb.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.done = true
	})
	return r
}

func (r *reporter) errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.tb.Errorf(format, args...)
	}
}
