package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// A hop that takes so many recipients at once gets the others at once in another transaction: nothing is wrong with the
// message.
func TestTooManyRecipients(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		for name, reply := range map[string]*relay.Reply{
			"4.5.3":            {Code: 452, Enhanced: relay.EnhancedCode{4, 5, 3}},
			"without a detail": {Code: 452, Text: "too many"},
		} {
			t.Run(name, func(t *testing.T) {
				c := c
				if c.Dir != "" {
					c.Dir = t.TempDir()
				}
				s := open(t, c.Quick())
				const most = 3
				var mu sync.Mutex
				var sizes, attempts []int
				h := relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
					q, err := s.QueuedMessage(ctx, "m1")
					mu.Lock()
					defer mu.Unlock()
					sizes, attempts = append(sizes, len(e.To)), append(attempts, q.Attempts)
					out := taken(e)
					for i := most; i < len(out); i++ {
						out[i].Reply = reply
					}
					return out, err
				})
				var to []string
				for i := range 10 {
					to = append(to, fmt.Sprintf("r%d@ex.net", i))
				}
				d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
				run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
				m := message("m1", to...)
				if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
					t.Fatal(err)
				}
				await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
				mu.Lock()
				defer mu.Unlock()
				if d := cmp.Diff([]int{10, 7, 4, 1}, sizes); d != "" {
					t.Error(d)
				}
				if slices.Max(attempts) != 0 {
					t.Errorf("attempts that count: %v", attempts)
				}
			})
		}
	})
}

// Where nobody got the message, or the hop is short of something else, it waits as ever.
func TestNotTooManyRecipients(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string][]*relay.Reply{
		"nobody got it": {{Code: 452, Enhanced: relay.EnhancedCode{4, 5, 3}}, {Code: 452, Enhanced: relay.EnhancedCode{4, 5, 3}}},
		"disk full":     {{Code: 250}, {Code: 452, Enhanced: relay.EnhancedCode{4, 3, 1}}},
		"grey":          {{Code: 250}, {Code: 451}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
				out := taken(e)
				for i := range out {
					out[i].Reply = replies[i]
				}
				return out, nil
			})
			d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
			m := message("m1", "b@ex.net", "c@ex.net")
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			var q store.Queued
			await(t, "attempt", func() bool {
				list := waiting(t, s)
				if len(list) == 1 {
					q = list[0]
				}
				return q.Last != ""
			})
			if q.Attempts != 1 || q.Due.Sub(q.At).Seconds() < 20 {
				t.Errorf("%d attempts, due %v after it came", q.Attempts, q.Due.Sub(q.At))
			}
		})
	}
}
