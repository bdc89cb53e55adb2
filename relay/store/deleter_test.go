package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// hanging are bodies whose deletion is never answered while hangs is set.
type hanging struct {
	store.Bodies
	hangs    *atomic.Bool
	answered *atomic.Int64
	end      <-chan struct{} // of the test
}

func (b hanging) Delete(ctx context.Context, key string) error {
	if !b.hangs.Load() {
		return b.Bodies.Delete(ctx, key)
	}
	select {
	case <-ctx.Done():
	case <-b.end:
	}
	b.answered.Add(1)
	return context.DeadlineExceeded
}

// A place that swallows what it is asked to delete keeps no destination waiting, nor the end, nor who deletes a message
// by hand. What remains is swept.
func TestDeletionHangs(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		b := hanging{hangs: new(atomic.Bool), answered: new(atomic.Int64), end: t.Context().Done()}
		b.hangs.Store(true)
		s.WrapBodies(func(in store.Bodies) store.Bodies { b.Bodies = in; return b })
		s.DeleteTime(time.Hour)
		h := &hop{}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		stop := run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		const most = 100
		for i := range most {
			m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		if n := b.answered.Load(); n != 0 {
			t.Errorf("%d deletions have ended", n)
		}
		s.DeleteTime(10 * time.Millisecond)
		ended := make(chan struct{})
		go func() {
			stop()
			close(ended)
		}()
		await(t, "end of Run", func() bool {
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
		if _, err := s.Hold(t.Context(), d, message("held", "b@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(s.DeleteHeld(ctx, "held", "admin"), ctx.Err()); err != nil {
			t.Error(err)
		}
		b.hangs.Store(false)
		if err := s.Sweep(t.Context(), 0); err != nil {
			t.Error(err)
		}
		for info, err := range s.Bodies().List(t.Context()) {
			t.Errorf("body left: %v %v", info, err)
		}
	})
}
