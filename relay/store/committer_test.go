package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/store"
)

// A write that waits for somebody, until its time is over, fails alone.
func TestOneWriteWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		const limit = 400 * time.Millisecond
		if err := s.Commit(t.Context(), limit, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		begun, wait := make(chan bool), make(chan bool)
		var wg sync.WaitGroup
		wg.Go(func() { // until all others are there
			_ = s.Commit(t.Context(), 0, func(context.Context) error { begun <- true; <-wait; return nil })
		})
		<-begun
		var stuck error
		wg.Go(func() {
			stuck = s.Commit(t.Context(), 0, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		})
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() { errs[i] = s.Commit(t.Context(), 0, func(ctx context.Context) error { return ctx.Err() }) })
		}
		time.Sleep(50 * time.Millisecond) // those that come later make another batch, which is as good
		close(wait)
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if !errors.Is(stuck, context.DeadlineExceeded) {
			t.Errorf("the one that waits: %v", stuck)
		}
	})
}
