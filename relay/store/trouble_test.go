package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// breaking are bodies that are found, and break off while they are read: those that were put while bad was set.
type breaking struct {
	store.Bodies
	mu  sync.Mutex
	bad error            // of what is put now
	why map[string]error // by key
}

func breakBodies(s *store.Store) *breaking {
	b := &breaking{why: map[string]error{}}
	s.WrapBodies(func(in store.Bodies) store.Bodies { b.Bodies = in; return b })
	return b
}

// say has bodies that are put from now on break off with err; nil: they are good.
func (b *breaking) say(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = err
}

// heal makes all of them good.
func (b *breaking) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.why)
}

func (b *breaking) Put(ctx context.Context, key string, src verdict.Source) error {
	b.mu.Lock()
	if b.bad != nil {
		b.why[key] = b.bad
	}
	b.mu.Unlock()
	return b.Bodies.Put(ctx, key, src)
}

func (b *breaking) Get(ctx context.Context, key string) (verdict.Source, error) {
	src, err := b.Bodies.Get(ctx, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	if why := b.why[key]; err == nil && why != nil {
		return breakingSource{src, why}, nil
	}
	return src, err
}

type breakingSource struct {
	verdict.Source
	why error
}

func (s breakingSource) Open() (io.ReadCloser, error) {
	if errors.Is(s.why, syscall.EACCES) {
		return nil, s.why
	}
	return io.NopCloser(io.MultiReader(strings.NewReader(mail[:20]), failingReader{s.why})), nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// sweepUntil has what is too old tried, or given up, until something is so.
func sweepUntil(t *testing.T, s *store.Store, what string, so func() bool) {
	t.Helper()
	await(t, what, func() bool {
		if err := s.SweepQueue(t.Context()); err != nil {
			t.Fatal(err)
		}
		return so()
	})
}

// A body that breaks off while it is sent is trouble of our own, whatever the hop says to it: the message stays, however
// old it is, the hop is not taken for away, and others go out.
func TestBodyBreaksOff(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var lines logLines
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
		s := open(t, c.Quick())
		b := breakBodies(s)
		var mu sync.Mutex
		tries, got := map[string]int{}, map[string]int{}
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
			var text strings.Builder
			r, err := body.Open()
			if err == nil {
				_, err = io.Copy(&text, r)
			}
			to := e.To[0].Address
			mu.Lock()
			defer mu.Unlock()
			tries[to]++
			reply := &relay.Reply{Code: 250}
			switch {
			case err == nil && text.String() == mail:
				got[to]++
			case strings.HasPrefix(to, "error"):
				return nil, err
			case strings.HasPrefix(to, "later"):
				reply = &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "message could not be read", Err: err}
			default:
				reply = &relay.Reply{Code: 554, Enhanced: relay.EnhancedCode{5, 5, 0}, Text: "what is that?"}
			}
			return []relay.Receipt{{Recipient: to, Reply: reply}}, nil
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		put := func(to string) {
			m := message(to, to)
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		bad := []string{"error@ex.net", "later@ex.net", "never@ex.net", "error-open@ex.net"}
		for _, to := range bad {
			b.say(syscall.EIO)
			if strings.Contains(to, "open") {
				b.say(syscall.EACCES)
			}
			put(to)
		}
		b.say(nil)
		put("good@ex.net")
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 3600000"); err != nil {
			t.Fatal(err)
		}
		n := &notices{mail: map[string][]string{}}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		sweepUntil(t, s, "attempts", func() bool {
			list := waiting(t, s)
			mu.Lock()
			defer mu.Unlock()
			so := got["good@ex.net"] > 0
			for _, to := range bad {
				so = so && tries[to] > 1
			}
			return so || len(list) < len(bad)
		})
		list := waiting(t, s)
		if len(list) != len(bad) || len(n.to("a@ex.org")) != 0 {
			t.Errorf("%d wait, and the sender was told %q", len(list), n.to("a@ex.org"))
		}
		for _, q := range list {
			if q.State != store.StateWaiting || !strings.Contains(q.Last, "error") && !strings.Contains(q.Last, "denied") {
				t.Errorf("%+v", q)
			}
		}
		if lines.has("next hop away") {
			t.Errorf("the hop was taken for away:\n%s", lines.b.String())
		}
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 10800000, due = 0 WHERE id = 'later@ex.net'"); err != nil { // 3 h
			t.Fatal(err)
		}
		sweepUntil(t, s, "setting aside", func() bool {
			return slices.ContainsFunc(waiting(t, s), func(q store.Queued) bool { return q.ID == "later@ex.net" && q.State == store.StateAside })
		})
		b.heal()
		if _, err := s.RetryQueued(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
		sweepUntil(t, s, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		for _, to := range append(bad, "good@ex.net") {
			if got[to] != 1 {
				t.Errorf("%s was delivered %d times", to, got[to])
			}
		}
	})
}

// Who has got a message is not sent it again where its body broke off for others, or where it was damaged first.
func TestBodyBreaksOffForSome(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		b := breakBodies(s)
		var mu sync.Mutex
		tries, got := 0, map[string]int{}
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
			r, err := body.Open()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			mu.Lock()
			defer mu.Unlock()
			tries++
			out := taken(e)
			for i, to := range e.To {
				if err != nil && strings.HasPrefix(to.Address, "late") {
					out[i].Reply = &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "message could not be read", Err: err}
					continue
				}
				got[to.Address]++
			}
			return out, nil
		})
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		put := func(to ...string) {
			m := message(to[0], to...)
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		b.say(syscall.EIO)
		put("early@ex.net", "late@ex.net")
		b.say(fmt.Errorf("%w: the digest is another", store.ErrDamaged)) // for one of the readers
		put("other@ex.net")
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 3600000"); err != nil {
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		sweepUntil(t, s, "attempts", func() bool {
			left := len(waiting(t, s))
			mu.Lock()
			defer mu.Unlock()
			return tries > 3 || left == 0
		})
		b.heal()
		sweepUntil(t, s, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		for _, to := range []string{"early@ex.net", "late@ex.net", "other@ex.net"} {
			if got[to] != 1 {
				t.Errorf("%s was delivered %d times", to, got[to])
			}
		}
	})
}

// What was put off since our own bodies could not be read is due at once when they can be, as after trouble of the hop.
func TestPutOffForOurTrouble(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &hop{}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		put := func(id string) {
			m := message(id, id+"@ex.net")
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		const most = 5
		for i := range most {
			put(fmt.Sprintf("q%d", i))
		}
		b := awayBodies{away: new(atomic.Bool), reads: new(atomic.Int64)}
		b.away.Store(true)
		s.WrapBodies(func(in store.Bodies) store.Bodies { b.Bodies = in; return b })
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "attempts", func() bool {
			put := 0
			for _, q := range waiting(t, s) {
				if q.Attempts == 1 && q.Claimant == "" && q.Due.After(time.Now().Add(10*time.Second)) {
					put++
				}
			}
			return put == most
		})
		b.away.Store(false)
		start := time.Now()
		put("new")
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		if took := time.Since(start); took > 40*time.Second { // they were due after 45 s at the least
			t.Errorf("delivered after %v", took)
		}
		if h.count("q0@ex.net") != 1 || h.count("new@ex.net") != 1 {
			t.Errorf("delivered %v", h.got)
		}
	})
}

// Where it is not known where the mail of a domain goes nothing is given up, and no hop taken for away. Mail for a domain
// that is known to be nobody's ends in time.
func TestDirectoryTrouble(t *testing.T) {
	lookups := map[string]struct {
		lookup func() (*relay.Domain, error)
		ends   bool
	}{
		"error":   {lookup: func() (*relay.Domain, error) { return nil, errDown }},
		"panic":   {lookup: func() (*relay.Domain, error) { panic("nil map") }},
		"nothing": {lookup: func() (*relay.Domain, error) { return nil, nil }},
		"no hop":  {lookup: func() (*relay.Domain, error) { return &relay.Domain{Name: "ex.net"}, nil }},
		"unknown": {lookup: func() (*relay.Domain, error) { return nil, relay.ErrUnknownDomain }, ends: true},
	}
	for name, test := range lookups {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				var lines logLines
				c.Log = slog.New(slog.NewTextHandler(&lines, nil))
				s := open(t, c.Quick())
				h := &hop{}
				d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
				const most = 5
				for i := range most {
					m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
					if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 3600000"); err != nil {
					t.Fatal(err)
				}
				var asked atomic.Int64
				var well atomic.Bool
				dir := relay.DirectoryFunc(func(context.Context, string) (*relay.Domain, error) {
					asked.Add(1)
					if well.Load() {
						return d, nil
					}
					return test.lookup()
				})
				n := &notices{mail: map[string][]string{}}
				run(t, s, store.RunConfig{Directory: dir, Bounces: n})
				sweepUntil(t, s, "attempts", func() bool { return asked.Load() > 2*most || len(waiting(t, s)) == 0 })
				if test.ends {
					sweepUntil(t, s, "end", func() bool { return len(waiting(t, s)) == 0 })
					if got := len(n.to("a@ex.org")); got != most {
						t.Errorf("%d notices", got)
					}
					return
				}
				if lines.has("next hop away") || !lines.has("the store is in trouble") {
					t.Errorf("the log says:\n%s", lines.b.String())
				}
				well.Store(true)
				sweepUntil(t, s, "delivery", func() bool { return len(waiting(t, s)) == 0 })
				for i := range most {
					if k := h.count(fmt.Sprintf("r%d@ex.net", i)); k != 1 {
						t.Errorf("r%d was delivered %d times", i, k)
					}
				}
				if got := n.to("a@ex.org"); len(got) != 0 {
					t.Errorf("the sender was told %d times", len(got))
				}
			})
		})
	}
}

// Notices that have no way end in time too, or they would fill the queue.
func TestNoWayForNotices(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &script{tries: map[string]int{}, says: map[string][]int{"b@ex.net": {550}}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		m := message("m1", "b@ex.net")
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		await(t, "notice", func() bool {
			l := waiting(t, s)
			return len(l) == 1 && strings.HasPrefix(l[0].Domain, "(bounces)") && l[0].Attempts > 0
		})
		if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 3600000"); err != nil {
			t.Fatal(err)
		}
		sweepUntil(t, s, "end", func() bool { return len(waiting(t, s)) == 0 })
	})
}

// What the end of Run cuts off is not given up for that, and where the hop may have it all the same the ledger says so.
func TestCutOff(t *testing.T) {
	later := &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 2}, Text: "connection lost"}
	uncertain := &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 2}, Text: "connection lost", Err: relay.ErrUncertain}
	for name, test := range map[string]struct {
		receipt  *relay.Reply
		err      error
		attempts int
		events   int
	}{
		"error":             {err: later},
		"receipt":           {receipt: later, attempts: 1},
		"uncertain":         {err: uncertain, attempts: 1, events: 1},
		"uncertain receipt": {receipt: uncertain, attempts: 1, events: 1},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				c.QueuedFor = time.Nanosecond // each attempt is the last
				s := open(t, c.Quick())
				s.StopTime(time.Millisecond)
				began := make(chan bool, 1)
				h := relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
					began <- true
					<-ctx.Done()
					if test.err != nil {
						return nil, test.err
					}
					return []relay.Receipt{{Recipient: e.To[0].Address, Reply: test.receipt}}, nil
				})
				d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
				n := &notices{mail: map[string][]string{}}
				stop := run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
				m := message("m1", "b@ex.net")
				if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: m.ID}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
					t.Fatal(err)
				}
				<-began
				stop()
				list := waiting(t, s)
				if len(list) != 1 || list[0].Claimant != "" || list[0].State != store.StateWaiting || list[0].Attempts != test.attempts {
					t.Errorf("%+v", list)
				}
				if got := events(t, s, "m1", store.StateUncertain); len(got) != test.events {
					t.Errorf("%+v, want %d", got, test.events)
				}
				if got := events(t, s, "m1", store.StateFailed); len(got) != 0 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}
