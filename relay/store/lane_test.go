package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

func taken(e verdict.Envelope) []relay.Receipt {
	var out []relay.Receipt
	for _, to := range e.To {
		out = append(out, relay.Receipt{Recipient: to.Address, Host: "mx.ex.net:25", Reply: &relay.Reply{Code: 250}})
	}
	return out
}

// Messages at which the hop breaks down stop nobody else's.
func TestPoison(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		var poison, others atomic.Int64
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			if strings.HasPrefix(e.To[0].Address, "poison") {
				poison.Add(1)
				return nil, &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 2}, Text: "connection to the next hop lost"}
			}
			others.Add(1)
			return taken(e), nil
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		const most = 100
		for i := range most {
			to := fmt.Sprintf("r%d@ex.net", i)
			if i < 3 {
				to = fmt.Sprintf("poison%d@ex.net", i)
			}
			m := message(fmt.Sprintf("q%03d", i), to)
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "delivery of the others", func() bool { return others.Load() == most-3 })
		if n := poison.Load(); n > 30 {
			t.Errorf("the three were tried %d times", n)
		}
		await(t, "queue of three that are put off", func() bool { // the others, while they go out, bring them back now and then
			list := waiting(t, s)
			return len(list) == 3 && !slices.ContainsFunc(list, func(q store.Queued) bool { return q.Due.Before(time.Now().Add(30 * time.Second)) })
		})
	})
}

// A sender's domain that does not answer keeps no other sender from being told.
func TestBounceLanes(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		var dead, others atomic.Int64
		b := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			if e.To[0].Address == "x@dead.example" {
				dead.Add(1)
				return nil, errDown
			}
			others.Add(1)
			return taken(e), nil
		})
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			return []relay.Receipt{{Recipient: e.To[0].Address, Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}}}, nil
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: b})
		const most = 80 // of as many domains: more than are told at once
		for i := range most {
			m := message(fmt.Sprintf("q%03d", i), fmt.Sprintf("r%d@ex.net", i))
			m.Envelope.From = fmt.Sprintf("s@ok%d.example", i)
			if i == 0 {
				m.Envelope.From = "x@dead.example"
			}
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				await(t, "attempts at the dead domain", func() bool { return dead.Load() > 1 })
			}
		}
		await(t, "notices to the others", func() bool { return others.Load() == most-1 })
		await(t, "end", func() bool { return len(waiting(t, s)) == 1 })
		if q := waiting(t, s)[0]; q.Domain != "(bounces) dead.example" {
			t.Errorf("%+v", q)
		}
	})
}

// A hop that panics fails one message, which is tried again, and the log says where.
func TestHopPanics(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var lines logLines
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
		s := open(t, c.Quick())
		var bad, good atomic.Int64
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			if e.To[0].Address == "bad@ex.net" && bad.Add(1) == 1 {
				panic("out of range")
			}
			good.Add(1)
			return taken(e), nil
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		for _, id := range []string{"bad", "good"} {
			m := message(id, id+"@ex.net")
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "delivery of the other", func() bool { l := waiting(t, s); return good.Load() == 1 && len(l) == 1 && l[0].Attempts == 1 })
		if q := waiting(t, s)[0]; q.Due.Before(time.Now().Add(20*time.Second)) || !strings.Contains(q.Last, "panic") {
			t.Errorf("%+v", q)
		}
		if !lines.has("panic in the next hop") || !lines.has("lane_test.go") {
			t.Errorf("the log does not say so:\n%s", lines.b.String())
		}
		if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
	})
}

// stalled are bodies of which the first that is read never comes.
type stalled struct {
	store.Bodies
	reads *atomic.Int64
}

func (b stalled) Get(ctx context.Context, key string) (verdict.Source, error) {
	if b.reads.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.Bodies.Get(ctx, key)
}

// A body that is never read to its end holds its row for no longer than an attempt may take.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Dir: t.TempDir()}.Quick())
	var reads atomic.Int64
	s.WrapBodies(func(b store.Bodies) store.Bodies { return stalled{b, &reads} })
	s.DeliveryTime(200 * time.Millisecond)
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	m := message("m1", "b@ex.net")
	if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil { // it does not run yet: nothing is in memory
		t.Fatal(err)
	}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	await(t, "end of the attempt", func() bool {
		q := waiting(t, s)
		return reads.Load() == 1 && q[0].Claimant == "" && q[0].Due.After(time.Now().Add(10*time.Second))
	})
	if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
		t.Fatal(err)
	}
	await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
	if n := h.count("b@ex.net"); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

// What came of an attempt is written down once, also where nobody knows whether a commit was made.
func TestCommitUnknown(t *testing.T) {
	for name, reply := range map[string]*relay.Reply{
		"delivered": {Code: 250},
		"failed":    {Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}},
		"held":      {Code: 550, Enhanced: relay.EnhancedCode{5, 7, 1}},
		"uncertain": {Code: 451, Err: relay.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				var fail, failed, again atomic.Bool
				c.Step = func(step string) error {
					switch {
					case step != "tx.committed":
					case fail.Swap(false):
						failed.Store(true)
						return errors.New("connection lost")
					case failed.Load():
						again.Store(true)
					}
					return nil
				}
				s := open(t, c)
				h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
					fail.Store(!failed.Load())
					return []relay.Receipt{{Recipient: e.To[0].Address, Reply: reply}}, nil
				})
				d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
				m := message("m1", "b@ex.net")
				if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: m.ID}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
					t.Fatal(err)
				}
				run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
				of := func(what string) (n int) {
					e, err := s.Message(t.Context(), "m1")
					if err != nil {
						t.Fatal(err)
					}
					for _, ev := range e.Events {
						if ev.What == what {
							n++
						}
					}
					return n
				}
				await(t, "event", func() bool { return of(name) > 0 && again.Load() })
				if n := of(name); n != 1 {
					t.Errorf("%d events", n)
				}
				notices := 0
				for _, q := range waiting(t, s) {
					if strings.HasPrefix(q.Domain, "(bounces)") {
						notices++
					}
				}
				list, err := s.HeldMessages(t.Context(), "", store.Filter{})
				if want := map[string]int{"held": 1}[name]; err != nil || len(list) != want {
					t.Errorf("%d held, want %d, %v", len(list), want, err)
				}
				if want := map[string]int{"failed": 1}[name]; notices != want {
					t.Errorf("%d notices, want %d", notices, want)
				}
			})
		})
	}
}

// Whoever asks for attempts at many messages gets one of each destination, and does not have a hop that is away asked
// again and again.
func TestRetryManyWhileAway(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick().Pauses(time.Hour))
		var tries atomic.Int64
		h := relay.NextHopFunc(func(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
			tries.Add(1)
			return nil, errDown
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		var ids []string
		for i := range 150 {
			m := message(fmt.Sprintf("q%03d", i), "b@ex.net")
			ids = append(ids, m.ID)
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "hop that is found away", func() bool { return tries.Load() > 0 })
		c.Existing = true
		command := open(t, c)
		for name, which := range map[string][]string{"all": nil, "each": ids} {
			settled := func() bool { // nothing is under way, and the hop is left alone
				return !slices.ContainsFunc(waiting(t, s), func(q store.Queued) bool { return q.Due.IsZero() || q.Claimant != "" })
			}
			await(t, "pause", settled)
			before := tries.Load()
			if n, err := command.RetryQueued(t.Context(), "admin", which...); err != nil || n != len(ids) {
				t.Fatalf("%s: %d, %v", name, n, err)
			}
			await(t, "attempt", func() bool { return tries.Load() > before })
			await(t, "end of what was asked for", settled)
			if n := tries.Load() - before; n > 2 {
				t.Errorf("%s: the hop was tried %d times", name, n)
			}
		}
	})
}
