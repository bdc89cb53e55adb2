package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// A write that waits for somebody, until its time is over, fails alone.
func TestOneWriteWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		const limit = 6 * time.Second // a quarter of it for one alone: much, on a busy machine
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

// What is given up while the others of its batch are made one by one is not made: its sender was told 451.
func TestGivenUpMeanwhile(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, together := batch(t, c, nil)
		ctx, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		tries := 0
		over := make(chan bool)
		var made atomic.Bool
		errs := together(
			func() error {
				return s.Commit(t.Context(), 0, func(context.Context) error {
					if tries++; tries == 2 { // alone
						giveUp()
						<-over
					}
					return errDown
				})
			},
			func() error {
				defer close(over)
				return s.Commit(ctx, 0, func(context.Context) error { made.Store(true); return nil })
			},
		)
		if !errors.Is(errs[0], errDown) || !errors.Is(errs[1], context.Canceled) || tries != 2 {
			t.Errorf("%v after %d tries", errs, tries)
		}
		if err := s.Commit(t.Context(), 0, func(context.Context) error { return nil }); err != nil { // after all of them
			t.Error(err)
		}
		if made.Load() {
			t.Error("it was made")
		}
	})
}

// lockRows has a person at a prompt lock what a SELECT … FOR UPDATE finds, until unlock is called or the test ends.
func lockRows(t *testing.T, rawURL, query string) (unlock func()) {
	t.Helper()
	person, err := pgx.Connect(t.Context(), strings.Replace(rawURL, "pool_max_conns=8&", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close(context.Background()) })
	lock, err := person.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := lock.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A row that somebody keeps locked keeps nobody waiting for long but whoever wants to change it.
func TestLockedRow(t *testing.T) {
	t.Parallel()
	for said, most := range map[string]time.Duration{"": 18 * time.Second, "lock_timeout=100ms&": 3900 * time.Millisecond} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			s, together := batch(t, store.Config{Database: strings.Replace(url, "?", "?"+said, 1), Bodies: "file:" + t.TempDir(), Node: "n1"}, nil)
			hold := func(id string) error {
				_, err := s.Hold(t.Context(), nil, message(id, "b@ex.net"), nil)
				return err
			}
			if err := hold("m0"); err != nil {
				t.Fatal(err)
			}
			unlock := lockRows(t, url, "SELECT id FROM held FOR UPDATE")
			for try := 1; ; try++ {
				start := time.Now()
				errs := together(
					func() error { return hold(fmt.Sprint("m1-", try)) },
					func() error { return s.DeleteHeld(t.Context(), "m0", "admin") },
					func() error { return hold(fmt.Sprint("m2-", try)) },
				)
				took := time.Since(start)
				if err := errors.Join(errs[0], errs[2]); err != nil {
					t.Error(err)
				}
				if err := errs[1]; err == nil || !strings.Contains(err.Error(), "55P03") {
					t.Errorf("the locked row: %v", err)
				}
				if took <= most {
					break
				}
				if try == 5 { // a busy machine is late now and then
					t.Errorf("after %v", took)
					break
				}
			}
			unlock()
			if err := s.DeleteHeld(t.Context(), "m0", "admin"); err != nil {
				t.Error(err)
			}
		})
	}
}

// bodies counts what is kept.
func bodies(t *testing.T, s *store.Store) int {
	t.Helper()
	n := 0
	for _, err := range s.Bodies().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// The body of what was not written goes at once, and that of what may have been written stays.
func TestBodyWithoutRow(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var bad atomic.Value
		bad.Store("")
		c.Step = func(name string) error {
			if name == bad.Load() {
				return errDown
			}
			return nil
		}
		s := open(t, c)
		d := &relay.Domain{Name: "ex.net", Mode: relay.Continuity}
		keep := map[string]func(id string) error{
			"hold": func(id string) error {
				_, err := s.Hold(t.Context(), d, message(id, "b@ex.net"), nil)
				return err
			},
			"queue": func(id string) error {
				m := message(id, "b@ex.net")
				return s.Enqueue(t.Context(), d, m, m.Envelope, m, "")
			},
		}
		want := 0
		for what, keep := range keep {
			for _, step := range []struct {
				name string
				left int
			}{{"tx.begin", 0}, {"tx.write", 0}, {"tx.commit", 1}, {"tx.committed", 1}} {
				bad.Store(step.name)
				if err := keep(step.name); !errors.Is(err, errDown) {
					t.Errorf("%s, %s: %v", what, step.name, err)
				}
				want += step.left
				if n := bodies(t, s); n != want {
					t.Fatalf("%s, %s: %d bodies, want %d", what, step.name, n, want)
				}
			}
			bad.Store("")
			if err := keep("tx.committed"); err == nil { // it is there
				t.Errorf("%s: kept twice", what)
			}
			if n := bodies(t, s); n != want {
				t.Fatalf("%s: %d bodies, want %d", what, n, want)
			}
		}
		for what, get := range map[string]func(context.Context, string) (verdict.Source, error){"hold": s.HeldBody, "queue": s.QueuedBody} {
			if got := read(t, func() (verdict.Source, error) { return get(t.Context(), "tx.committed") }); got != mail {
				t.Errorf("%s: %q", what, got)
			}
		}
		if err := s.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if n := bodies(t, s); n != 2 {
			t.Errorf("%d bodies have a row", n)
		}
	})
}

// A write that is given up before it has begun is never made, and its body goes. One that has begun may be made, and its
// body stays.
func TestBodyOfGivenUp(t *testing.T) {
	for at, made := range map[string]bool{"tx.begin": false, "tx.write": true, "tx.commit": true} {
		t.Run(at, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				var stuck, gate = make(chan bool), make(chan bool)
				var armed atomic.Bool
				c.Step = func(name string) error {
					if name == at && armed.CompareAndSwap(true, false) {
						close(stuck)
						<-gate
					}
					return nil
				}
				s := open(t, c)
				var wg sync.WaitGroup
				defer wg.Wait()
				opened := sync.OnceFunc(func() { close(gate) })
				defer opened()
				armed.Store(true)
				ctx, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				if !made { // somebody else's is stuck, and ours waits
					wg.Go(func() { _ = s.Commit(t.Context(), 0, func(context.Context) error { return nil }) })
					<-stuck
				}
				done := make(chan error, 1)
				wg.Go(func() {
					_, err := s.Hold(ctx, nil, message("m1", "b@ex.net"), nil)
					done <- err
				})
				if made {
					<-stuck
				} else {
					await(t, "write", func() bool { return s.Waiting() == 1 })
				}
				giveUp()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				before := bodies(t, s)
				opened()
				wg.Wait()
				if err := s.Commit(t.Context(), 0, func(context.Context) error { return nil }); err != nil {
					t.Error(err)
				}
				list, err := s.HeldMessages(t.Context(), "", store.Filter{})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprint(before, len(list), bodies(t, s)), map[bool]string{true: "1 1 1", false: "0 0 0"}[made]; got != want {
					t.Errorf("bodies before, rows, bodies: %s, want %s", got, want)
				}
			})
		})
	}
}

// The answer to a commit is lost: the sender is told 451, but the row is there, and so is its body.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	url, f := freezing(t, database(t))
	var armed atomic.Bool
	s := open(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1", Step: func(name string) error {
		if name == "tx.commit" && armed.CompareAndSwap(true, false) {
			f.mute.Store(true)
		}
		return nil
	}})
	if err := s.Commit(t.Context(), 2*time.Second, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if _, err := s.Hold(t.Context(), nil, message("m1", "b@ex.net"), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	f.mute.Store(false)
	if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "m1") }); got != mail {
		t.Errorf("%q", got)
	}
}
