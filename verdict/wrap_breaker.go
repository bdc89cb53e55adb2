package verdict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnscannable marks errors of scanners that are about this one message: it cannot be read, or the engine is well
// and does not take it. Nobody could tell what the message is, but a circuit breaker does not count it
// against the engine.
var ErrUnscannable = errors.New("verdict: this message cannot be scanned")

// ErrBreakerOpen is the error, wrapped, of a scanner that a Breaker does not ask at the moment.
var ErrBreakerOpen = errors.New("verdict: scanner not asked, it has failed too often")

// Breaker stops asking a scanner that has failed so many times in a row: its answer is an error at once, with
// the class of OnError like any other, so that mail does not wait for an engine that is down. After the
// pause one message is tried; when that is answered everything is as before, else the pause begins again.
// 0 means 5 failures and 10 s.
//
// Errors, panics and deadlines count, also of a scanner that is deaf to its context. What says that only
// this message is at fault (ErrUnscannable, ErrTooComplex) counts as nothing, and so does a context that was
// cancelled: nobody can open or close the breaker by sending odd mail. Scan and ScanEnvelope are counted together.
func Breaker(s Scanner, failures int, pause time.Duration) Scanner {
	b := &breaker{limit: cmp.Or(max(failures, 0), 5), pause: cmp.Or(max(pause, 0), 10*time.Second)}
	w := wrap(s)
	w.run = b.run
	return w
}

type breaker struct {
	limit int
	pause time.Duration

	mu    sync.Mutex
	fails int
	last  string    // why
	until time.Time // not asked until then, once fails has reached limit
	probe bool      // one message is being tried
}

// outcome is what one call tells about a scanner.
type outcome uint8

const (
	nothingTold outcome = iota
	answered
	failedToAnswer
)

func (b *breaker) run(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error) {
	trial, err := b.allow()
	if err != nil {
		return nil, err
	}
	var once sync.Once
	tell := func(o outcome, why string) { once.Do(func() { b.tell(trial, o, why) }) }
	// Who is deaf to the context returns too late, or never.
	stop := context.AfterFunc(ctx, func() { tell(judge(ctx, ctx.Err()), "it did not answer in time") })
	defer stop()
	told := false
	defer func() {
		if !told { // a panic, or the end of the goroutine
			tell(failedToAnswer, "it panicked")
		}
	}()
	findings, err := scan(ctx, m)
	told = true
	why := ""
	if err != nil {
		why = err.Error()
	}
	tell(judge(ctx, err), why)
	return findings, err
}

// judge says what an error tells about a scanner.
func judge(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, ErrUnscannable), errors.Is(err, ErrTooComplex), errors.Is(err, errSkipped), errors.Is(ctx.Err(), context.Canceled):
		return nothingTold
	}
	return failedToAnswer
}

// allow says whether the scanner may be asked, and whether that is a trial.
func (b *breaker) allow() (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails < b.limit {
		return false, nil
	}
	if b.probe || time.Now().Before(b.until) {
		return false, fmt.Errorf("%w: %d times in a row, last: %s", ErrBreakerOpen, b.fails, b.last)
	}
	b.probe = true
	return true, nil
}

// tell takes the outcome of a call. One that began before the breaker opened says nothing about now, unless
// it was answered.
func (b *breaker) tell(trial bool, o outcome, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.fails >= b.limit
	if trial {
		b.probe = false
	}
	switch o {
	case answered:
		b.fails, b.last = 0, ""
	case failedToAnswer:
		if open && !trial {
			return
		}
		b.last = why
		if b.fails++; b.fails >= b.limit {
			b.until = time.Now().Add(b.pause)
		}
	}
}
