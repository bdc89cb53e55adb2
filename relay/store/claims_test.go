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

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// cutOff makes a configuration whose node loses its database while cut is set.
func cutOff(c store.Config) (store.Config, *atomic.Bool) {
	var cut atomic.Bool
	c.Step = func(string) error {
		if cut.Load() {
			return errors.New("network is unreachable")
		}
		return nil
	}
	return c, &cut
}

// gated is a hop that notes how often each recipient was delivered to, when the gate is opened.
type gated struct {
	gate  chan struct{}
	began atomic.Int64
	mu    sync.Mutex
	got   map[string]int
}

func newGated() *gated { return &gated{gate: make(chan struct{}), got: map[string]int{}} }

func (g *gated) hop() relay.NextHop {
	return relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
		g.began.Add(1)
		<-g.gate
		g.mu.Lock()
		defer g.mu.Unlock()
		g.got[e.To[0].Address]++
		return taken(e), nil
	})
}

func (g *gated) count(address string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got[address]
}

func (g *gated) all() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, k := range g.got {
		n += k
	}
	return n
}

// events are what became of a message, of one kind.
func events(t *testing.T, s *store.Store, id, what string) (list []store.Event) {
	t.Helper()
	e, err := s.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range e.Events {
		if ev.What == what {
			list = append(list, ev)
		}
	}
	return list
}

// A node that was cut off for longer than its claims last does not go on where another one has begun. Twice goes only
// what was under way, and the ledger says so.
func TestStaleNode(t *testing.T) {
	t.Parallel()
	ca, cb := shared(t)
	ca, cut := cutOff(ca)
	a, b := open(t, ca.Quick().Claims(1500*time.Millisecond)), open(t, cb.Quick().Claims(1500*time.Millisecond))
	old, heir := newGated(), newGated()
	d := &relay.Domain{Name: "ex.net", Next: old.hop(), Mode: relay.StoreAndForward}
	run(t, a, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	const most = 60
	for i := range most {
		m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
		err := errors.Join(a.RecordMessage(t.Context(), d, m, relay.Outcome{ID: m.ID}), a.Enqueue(t.Context(), d, m, m.Envelope, m, ""))
		if err != nil {
			t.Fatal(err)
		}
	}
	await(t, "deliveries by the first", func() bool { return old.began.Load() == 4 })
	cut.Store(true)
	run(t, b, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: heir.hop(), Mode: relay.StoreAndForward}}})
	await(t, "deliveries by the other", func() bool { return heir.began.Load() == 4 })
	cut.Store(false)
	close(old.gate)
	await(t, "end of what was under way", func() bool { return old.all() >= 4 })
	close(heir.gate)
	await(t, "end", func() bool { return len(waiting(t, b)) == 0 })
	twice := 0
	for i := range most {
		id, to := fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i)
		n := old.count(to) + heir.count(to)
		if n == 0 {
			t.Errorf("%s is lost", to)
		}
		if n > 1 {
			twice++
			if len(events(t, b, id, store.StateUncertain)) == 0 {
				t.Errorf("%s went twice, and the ledger says nothing", id)
			}
		}
		if n := len(events(t, b, id, store.StateDelivered)); n != 1 {
			t.Errorf("%s: %d events of delivery", id, n)
		}
	}
	if twice > 4 {
		t.Errorf("%d of %d were delivered twice, 4 were under way", twice, most)
	}
}

// A row that waits on a node which was cut off, and that another node has delivered to some in the meantime, is read again
// when it is claimed again: these do not get it twice.
func TestClaimedAgain(t *testing.T) {
	t.Parallel()
	ca, cb := shared(t)
	ca, cut := cutOff(ca)
	a, b := open(t, ca.Quick().Claims(1500*time.Millisecond)), open(t, cb.Quick().Claims(1500*time.Millisecond))
	var mu sync.Mutex
	got := map[string][]string{}
	hop := func(node string, late int) relay.NextHop {
		return relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			out := taken(e)
			for i, to := range e.To {
				if to.Address == "late@ex.net" && late != 250 {
					out[i].Reply = &relay.Reply{Code: late, Enhanced: relay.EnhancedCode{4, 2, 2}, Text: "mailbox full"}
					continue
				}
				got[to.Address] = append(got[to.Address], node)
			}
			return out, nil
		})
	}
	old := newGated()
	after := hop("n1", 250)
	first := relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
		if _, err := old.hop().Deliver(ctx, e, body); err != nil {
			return nil, err
		}
		return after.Deliver(ctx, e, body)
	})
	d := &relay.Domain{Name: "ex.net", Next: first, Mode: relay.StoreAndForward}
	run(t, a, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	put := func(id string, to ...string) {
		m := message(id, to...)
		if err := errors.Join(a.RecordMessage(t.Context(), d, m, relay.Outcome{ID: m.ID}), a.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		put(fmt.Sprint("q", i), fmt.Sprintf("r%d@ex.net", i))
	}
	await(t, "deliveries by the first", func() bool { return old.began.Load() == 4 })
	put("waits", "once@ex.net", "late@ex.net") // behind them, with its envelope
	cut.Store(true)
	stop := run(t, b, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: hop("n2", 452), Mode: relay.StoreAndForward}}})
	await(t, "delivery by the other", func() bool {
		q, err := b.QueuedMessage(t.Context(), "waits")
		return err == nil && q.Attempts == 1 && q.Claimant == ""
	})
	stop()
	cut.Store(false)
	await(t, "order to try it now", func() bool { _, err := a.RetryQueued(t.Context(), "admin", "waits"); return err == nil })
	await(t, "claim of the first", func() bool { q, err := b.QueuedMessage(t.Context(), "waits"); return err == nil && q.Claimant != "" })
	close(old.gate)
	await(t, "end", func() bool { return len(waiting(t, b)) == 0 })
	if diff := cmp.Diff(map[string][]string{"once@ex.net": {"n2"}, "late@ex.net": {"n1"}}, map[string][]string{"once@ex.net": got["once@ex.net"], "late@ex.net": got["late@ex.net"]}); diff != "" {
		t.Errorf("delivered by (-want +got):\n%s", diff)
	}
	if n := len(events(t, b, "waits", store.StateDelivered)); n != 2 {
		t.Errorf("%d events of delivery", n)
	}
}

// What a person dropped while a node was cut off is not delivered when it is back.
func TestDroppedWhileCutOff(t *testing.T) {
	t.Parallel()
	ca, cb := shared(t)
	ca, cut := cutOff(ca)
	a, b := open(t, ca.Quick()), open(t, cb.Quick())
	g := newGated()
	d := &relay.Domain{Name: "ex.net", Next: g.hop(), Mode: relay.StoreAndForward}
	run(t, a, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	const most = 30
	for i := range most {
		m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
		if err := a.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "deliveries", func() bool { return g.began.Load() == 4 })
	cut.Store(true)
	for i := range most {
		await(t, "end of the claims", func() bool { return b.DropQueued(t.Context(), fmt.Sprintf("q%d", i), "admin") == nil })
	}
	cut.Store(false)
	close(g.gate)
	m := message("after", "after@ex.net")
	if err := a.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "delivery of what came later", func() bool { return g.count("after@ex.net") == 1 })
	if n := g.all() - 1; n > 4 {
		t.Errorf("%d were delivered after they were dropped, 4 were under way", n)
	}
}

// What was claimed when a process was killed may have been delivered: the ledger says so, once.
func TestDoubtAfterKill(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &hop{err: errDown}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		for _, id := range []string{"claimed", "free"} {
			m := message(id, id+"@ex.net")
			if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: id}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Exec(t.Context(), "UPDATE queued SET claimed = ?, claimant = 'n0/x' WHERE id = 'claimed'", time.Now().Add(300*time.Millisecond).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "attempts", func() bool {
			n := 0
			for _, q := range waiting(t, s) {
				n += min(q.Attempts, 1)
			}
			return n == 2
		})
		h.say(nil)
		if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		got := events(t, s, "claimed", store.StateUncertain)
		if len(got) != 1 || got[0].Who != "n0/x" {
			t.Errorf("%+v", got)
		}
		if n := len(events(t, s, "free", store.StateUncertain)); n != 0 {
			t.Errorf("%d events about what nobody had", n)
		}
	})
}

// A row that somebody else has by now is not set aside by who had it before.
func TestSetAsideByOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		d := &relay.Domain{Name: "ex.net", Next: &hop{}, Mode: relay.StoreAndForward}
		m := message("m1", "b@ex.net")
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		var tried atomic.Int64
		s.WrapBodies(func(b store.Bodies) store.Bodies {
			return damagedBodies{b, func(ctx context.Context) error {
				tried.Add(1)
				return s.Exec(ctx, "UPDATE queued SET claimant = 'n9/x', claimed = claimed + 100")
			}}
		})
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "attempts", func() bool {
			q := waiting(t, s)
			return tried.Load() > 1 || len(q) == 0 || q[0].State != store.StateWaiting
		})
		if q := waiting(t, s); len(q) != 1 || q[0].State != store.StateWaiting {
			t.Errorf("%+v", q)
		}
	})
}

// damagedBodies are damaged, and something happens before that is found out.
type damagedBodies struct {
	store.Bodies
	before func(ctx context.Context) error
}

func (b damagedBodies) Get(ctx context.Context, _ string) (verdict.Source, error) {
	return nil, errors.Join(store.ErrDamaged, b.before(ctx))
}

// TestRenewAmongLocked: a row that a person has locked ends no claim on the others.
func TestRenewAmongLocked(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, store.Config{Database: strings.Replace(url, "?", "?lock_timeout=50ms&", 1), Bodies: "file:" + t.TempDir(), Node: "n1"})
	until := make(chan struct{})
	var begun atomic.Int32
	d := &relay.Domain{Name: "ex.net", Mode: relay.StoreAndForward, Next: relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
		begun.Add(1)
		<-until
		return taken(e), nil
	})}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	t.Cleanup(sync.OnceFunc(func() { close(until) }))
	for _, id := range []string{"q0", "q1"} {
		m := message(id, id+"@ex.net")
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "attempts", func() bool { return begun.Load() == 2 })
	unlock := lockRows(t, url, "SELECT id FROM queued WHERE id = 'q1' FOR UPDATE")
	claimed := func(id string) time.Time {
		q, err := s.QueuedMessage(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return q.Claimed
	}
	was, other := claimed("q0"), claimed("q1")
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !claimed("q0").After(was) || !claimed("q1").Equal(other) {
		t.Errorf("claimed until %v and %v, after %v and %v", claimed("q0"), claimed("q1"), was, other)
	}
	unlock()
	if err := s.Renew(t.Context()); err != nil || !claimed("q1").After(other) {
		t.Errorf("%v: what was locked is still ours", err)
	}
}
