package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/internal/dialogtest"
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
				s := open(t, c.Quick().Claims(time.Minute))
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

// oneByOne takes one recipient in a transaction, and does not take those that begin with grey now.
type oneByOne struct{ tries, grey atomic.Int64 }

func (h *oneByOne) Deliver(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
	h.tries.Add(1)
	out, room := taken(e), true
	for i, to := range e.To {
		switch {
		case strings.HasPrefix(to.Address, "grey"):
			h.grey.Add(1)
			out[i].Reply = &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 7, 1}, Text: "greylisted"}
		case room:
			room = false
		default:
			out[i].Reply = &relay.Reply{Code: 452, Enhanced: relay.EnhancedCode{4, 5, 3}}
		}
	}
	return out, nil
}

// All transactions of an attempt are one attempt: the sender is told once, who waits for another reason is asked once, and
// waits as ever, and the hop is not taken for dead.
func TestManyRounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ recipients, tries, left int }{
		"all of them":       {45, 45, 1},
		"there is an end":   {130, 100, 31},
		"just within bound": {100, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log dialogtest.Log
			s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}.Quick().Claims(time.Minute))
			h, w := new(oneByOne), &way{}
			d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
			to := []string{"grey@ex.net"}
			for i := range c.recipients {
				to = append(to, fmt.Sprintf("r%d@ex.net", i))
			}
			m := vouchedFor(message("m1", to...))
			for i := range m.Envelope.To {
				m.Envelope.To[i].Notify = []string{"SUCCESS"}
			}
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: w})
			await(t, "notice", func() bool { return len(w.sent()) > 0 })
			if got := len(fates(t, w)); got != c.recipients+1-c.left || len(w.sent()) != 1 {
				t.Errorf("%d were told of in %d notices", got, len(w.sent()))
			}
			if tries, grey := h.tries.Load(), h.grey.Load(); tries != int64(c.tries) || grey != 1 {
				t.Errorf("%d transactions; the one that is greylisted was asked %d times", tries, grey)
			}
			q, err := s.QueuedMessage(t.Context(), "m1")
			if err != nil || q.Attempts != 1 || time.Until(q.Due) < 20*time.Second {
				t.Errorf("%d attempts, due in %v: %v", q.Attempts, time.Until(q.Due), err)
			}
			left := 0
			for _, r := range q.Recipients {
				if r.State == store.StateWaiting {
					left++
				}
			}
			if left != c.left {
				t.Errorf("%d recipients wait", left)
			}
			if strings.Contains(log.String(), "next hop away") {
				t.Error(log.String())
			}
		})
	}
}

// A transaction that delivers to nobody is the last, and what it said counts.
func TestLastRound(t *testing.T) {
	t.Parallel()
	crowd := &relay.Reply{Code: 452, Enhanced: relay.EnhancedCode{4, 5, 3}}
	for name, c := range map[string]struct {
		receipts []*relay.Reply
		err      error
		states   []string
		last     string
		event    string // about one of those that were left
	}{
		"nobody":    {[]*relay.Reply{crowd, crowd}, nil, []string{"waiting", "waiting"}, "452", ""},
		"another":   {[]*relay.Reply{{Code: 451}, {Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}}, nil, []string{"waiting", "failed"}, "451", "failed"},
		"away":      {nil, errDown, []string{"waiting", "waiting"}, "451 4.4.1", ""},
		"uncertain": {nil, fmt.Errorf("cut: %w", relay.ErrUncertain), []string{"waiting", "waiting"}, "451 4.4.1", "uncertain"},
		"short":     {[]*relay.Reply{crowd}, nil, []string{"waiting", "waiting"}, "451 4.4.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick().Claims(time.Minute))
			var tries atomic.Int64
			h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
				replies := []*relay.Reply{{Code: 250}, crowd, crowd}
				if tries.Add(1) > 1 {
					if replies = c.receipts; c.err != nil {
						return nil, c.err
					}
				}
				var out []relay.Receipt
				for i, r := range replies {
					out = append(out, relay.Receipt{Recipient: e.To[i].Address, Reply: r})
				}
				return out, nil
			})
			d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
			m := message("m1", "b@ex.net", "c@ex.net", "d@ex.net")
			if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
			var q store.Queued
			await(t, "attempt", func() bool {
				var err error
				if q, err = s.QueuedMessage(t.Context(), "m1"); err != nil {
					t.Fatal(err)
				}
				return q.Attempts > 0
			})
			var states []string
			for _, r := range q.Recipients {
				states = append(states, r.State)
			}
			if d := cmp.Diff(append([]string{"delivered"}, c.states...), states); d != "" {
				t.Error(d)
			}
			if tries.Load() != 2 || q.Attempts != 1 || time.Until(q.Due) < 20*time.Second || !strings.Contains(q.Last, c.last) {
				t.Errorf("%d transactions, %d attempts, due in %v, last %q", tries.Load(), q.Attempts, time.Until(q.Due), q.Last)
			}
			for _, what := range []string{"failed", "uncertain"} {
				if got := len(events(t, s, "m1", what)) > 0; got != (what == c.event) {
					t.Errorf("%s: %v", what, got)
				}
			}
		})
	}
}

// A hop that takes mail for some is not away, however many others it has wait.
func TestPartlyIsNotAway(t *testing.T) {
	t.Parallel()
	var log dialogtest.Log
	s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}.Quick())
	h := &script{tries: map[string]int{}, says: map[string][]int{"b@ex.net": {250}, "grey@ex.net": {451}}}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	const many = 40
	for i := range many {
		m := message(fmt.Sprint("m", i), "b@ex.net", "grey@ex.net")
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	await(t, "attempts", func() bool {
		return !slices.ContainsFunc(waiting(t, s), func(q store.Queued) bool { return q.Attempts == 0 })
	})
	if strings.Contains(log.String(), "next hop away") {
		t.Error(log.String())
	}
}

// What was not written down, since another node has the row, is not said, and leaves no body behind.
func TestTakenOverWhileTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first *relay.Reply
		said  []string // kinds of notices
	}{
		"nobody got it":   {&relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}, nil},
		"somebody got it": {&relay.Reply{Code: 250}, []string{"relayed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log dialogtest.Log
			s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
			b := countBodies(s)
			h := relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
				err := s.Rewrite(ctx, "UPDATE queued SET claimant = 'other', claimed = @now + 600000 WHERE id = 'm1'")
				out := taken(e)
				out[0].Reply = c.first
				out[1].Reply = &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}
				return out, err
			})
			d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
			m := vouchedFor(message("m1", "b@ex.net", "c@ex.net"))
			m.Envelope.To[0].Notify = []string{"SUCCESS", "FAILURE"}
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			stop := run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}}) // its notices wait
			await(t, "notice that is thrown away", func() bool { return b.deleted.Load() > 0 })
			stop() // and what is said
			var kinds []string
			for line := range strings.Lines(log.String()) {
				if _, action, ok := strings.Cut(strings.TrimSpace(line), "a notice to the sender is queued"); ok {
					kinds = append(kinds, action[strings.LastIndex(action, "=")+1:])
				}
			}
			if d := cmp.Diff(c.said, kinds); d != "" {
				t.Error(d)
			}
			if rows, bodies := len(waiting(t, s)), len(bodyKeys(t, s)); rows != 1+len(c.said) || bodies != rows {
				t.Errorf("%d rows and %d bodies", rows, bodies)
			}
		})
	}
}

// The header of a message is read once for all notices about an attempt.
func TestHeadIsReadOnce(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Dir: t.TempDir()}.Quick())
	b := countBodies(s)
	h := &script{tries: map[string]int{}, says: map[string][]int{"b@ex.net": {250}, "gone@ex.net": {550}}}
	w := &way{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	m := vouchedFor(message("m1", "b@ex.net", "gone@ex.net"))
	m.Envelope.To[0].Notify = []string{"SUCCESS"}
	body := verdict.Bytes("X-Postreeve-Id: " + strings.Repeat("m", 300) + "\r\n" + mail) // longer than the rest
	if err := s.Enqueue(t.Context(), d, m, m.Envelope, body, ""); err != nil {
		t.Fatal(err)
	}
	var key string
	for _, key = range bodyKeys(t, s) {
	}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: w})
	await(t, "notices", func() bool { return len(w.sent()) == 2 })
	if got := b.reads(key); got != 2 { // to send it, and for the notices
		t.Errorf("read %d times", got)
	}
	for _, l := range w.sent() {
		wellFormed(t, l.text)
		if strings.Contains(l.text, "X-Postreeve-Id") || strings.Count(l.text, "Message-ID: <1@ex.org>") != 1 {
			t.Error(l.text)
		}
	}
}

// counting are bodies that count.
type counting struct {
	store.Bodies
	deleted atomic.Int64
	mu      sync.Mutex
	got     map[string]int
}

func countBodies(s *store.Store) *counting {
	b := &counting{got: map[string]int{}}
	s.WrapBodies(func(in store.Bodies) store.Bodies { b.Bodies = in; return b })
	return b
}

func (b *counting) Get(ctx context.Context, key string) (verdict.Source, error) {
	b.mu.Lock()
	b.got[key]++
	b.mu.Unlock()
	return b.Bodies.Get(ctx, key)
}

func (b *counting) Delete(ctx context.Context, key string) error {
	err := b.Bodies.Delete(ctx, key)
	b.deleted.Add(1)
	return err
}

func (b *counting) reads(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[key]
}

// bodyKeys are the bodies that are there.
func bodyKeys(t *testing.T, s *store.Store) (keys []string) {
	t.Helper()
	for info, err := range s.Bodies().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
