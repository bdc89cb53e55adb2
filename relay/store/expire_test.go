package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// What became too old while the gateway was off is tried once more before it is given up.
func TestLastAttempt(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &script{tries: map[string]int{}, says: map[string][]int{"ok@ex.net": {250}, "grey@ex.net": {451}, "gone@ex.net": {550}}}
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		for to := range h.says {
			m := message(to, to)
			m.Envelope.From = to[:2] + "@ex.org"
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = 1, due = ?", time.Now().Add(time.Hour).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
		for to := range h.says {
			if h.tries[to] != 1 {
				t.Errorf("%s was tried %d times", to, h.tries[to])
			}
		}
		if len(n.to("ok@ex.org")) != 0 || len(n.to("go@ex.org")) != 1 || len(n.to("gr@ex.org")) != 1 {
			t.Fatalf("%v", n.mail)
		}
		got := n.to("gr@ex.org")[0]
		if !strings.Contains(got, "Status: 5.4.7\r\n") || !strings.Contains(strings.ReplaceAll(got, "=\r\n", ""), "at last: 451") || strings.Contains(got, "secret") {
			t.Error(got)
		}
		wellFormed(t, got)
	})
}

// Where the hop is away what is too old is given up without an attempt for each, and told once.
func TestGiveUp(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		var tries atomic.Int64
		h := relay.NextHopFunc(func(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
			tries.Add(1)
			return nil, errDown
		})
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		const most = 120
		for i := range most {
			m := message(fmt.Sprintf("q%03d", i), "b@ex.net")
			m.Envelope.From = fmt.Sprintf("s%d@ex.org", i)
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		await(t, "attempts", func() bool { return tries.Load() > 8 })
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = 1"); err != nil {
			t.Fatal(err)
		}
		await(t, "end", func() bool {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(waiting(t, s)) == 0
		})
		for i := range most {
			if got := n.to(fmt.Sprintf("s%d@ex.org", i)); len(got) != 1 {
				t.Errorf("s%d was told %d times", i, len(got))
			}
		}
	})
}

// awayBodies cannot be read while away is set.
type awayBodies struct {
	store.Bodies
	away  *atomic.Bool
	reads *atomic.Int64
}

func (b awayBodies) Get(ctx context.Context, key string) (verdict.Source, error) {
	b.reads.Add(1)
	if b.away.Load() {
		return nil, errDown
	}
	return b.Bodies.Get(ctx, key)
}

// What became too old while our own bodies could not be read has its last attempt when they can.
func TestLastAttemptAfterTrouble(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &hop{}
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		const most = 10
		for i := range most {
			m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		b := awayBodies{away: new(atomic.Bool), reads: new(atomic.Int64)}
		b.away.Store(true)
		s.WrapBodies(func(in store.Bodies) store.Bodies { b.Bodies = in; return b })
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		await(t, "attempts", func() bool { return b.reads.Load() > 6 })
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = 1"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		b.away.Store(false)
		await(t, "delivery", func() bool {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(waiting(t, s)) == 0
		})
		for i := range most {
			if k := h.count(fmt.Sprintf("r%d@ex.net", i)); k != 1 {
				t.Errorf("r%d was delivered %d times", i, k)
			}
		}
		if got := n.to("a@ex.org"); len(got) != 0 {
			t.Errorf("the sender was told %d times", len(got))
		}
	})
}

// While a clock has jumped nothing expires and nothing is deleted.
func TestClockJump(t *testing.T) {
	for name, jump := range map[string][2]time.Duration{"node": {2 * time.Hour, 0}, "database": {0, 2 * time.Hour}, "back": {-2 * time.Hour, -2 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				var lines logLines
				c.Log = slog.New(slog.NewTextHandler(&lines, nil))
				s := open(t, c.Quick())
				d := &relay.Domain{Name: "ex.net", Next: &hop{err: errDown}, Mode: relay.StoreAndForward}
				n := &notices{mail: map[string][]string{}}
				run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
				if err := s.Retain(t.Context()); err != nil { // has looked at the clock
					t.Fatal(err)
				}
				s.JumpClocks(jump[0], jump[1])
				if err := s.Retain(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !lines.has("a clock has jumped") {
					t.Error("the log does not say so")
				}
				m := message("m1", "b@ex.net")
				if _, err := s.Hold(t.Context(), d, m, nil); err != nil {
					t.Fatal(err)
				}
				if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
					t.Fatal(err)
				}
				if err := s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}); err != nil {
					t.Fatal(err)
				}
				for _, q := range []string{"UPDATE held SET expires = 1", "UPDATE queued SET expires = 1", "UPDATE message SET at = 1"} {
					if err := s.Rewrite(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
				sweep := func() (left int) {
					if err := s.Retain(t.Context()); err != nil {
						t.Fatal(err)
					}
					if err := s.SweepQueue(t.Context()); err != nil {
						t.Fatal(err)
					}
					held, err := s.HeldMessages(t.Context(), "", store.Filter{})
					if err != nil {
						t.Fatal(err)
					}
					ledger, err := s.Messages(t.Context(), store.Filter{})
					if err != nil {
						t.Fatal(err)
					}
					return len(held) + len(ledger) + len(waiting(t, s))
				}
				await(t, "attempts", func() bool { return waiting(t, s)[0].Attempts > 1 })
				if left := sweep(); left != 3 || len(n.to("a@ex.org")) != 0 {
					t.Errorf("%d of 3 are left, and the sender was told %d times", left, len(n.to("a@ex.org")))
				}
				s.JumpClocks(-jump[0], -jump[1])
				await(t, "end", func() bool { return sweep() == 0 })
				if !lines.has("the clock is back") {
					t.Error("the log does not say so")
				}
			})
		})
	}
}
