package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// shared are two configurations of one database and one place for bodies.
func shared(t *testing.T) (a, b store.Config) {
	a = store.Config{Database: database(t), Bodies: "file:" + t.TempDir(), Node: "n1"}
	b = a
	b.Node = "n2"
	return a, b
}

// A node that hangs, or is gone, keeps what it had only until its claims end. Then another delivers it.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	ca, cb := shared(t)
	a, b := open(t, ca.Quick()), open(t, cb.Quick())
	var hung atomic.Int64
	stuck := relay.NextHopFunc(func(ctx context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
		hung.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	d := &relay.Domain{Name: "ex.net", Next: stuck, Mode: relay.StoreAndForward}
	ctx, kill := context.WithCancel(t.Context())
	dead := make(chan error, 1)
	go func() { dead <- a.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}) }()
	const most = 30
	for i := range most {
		m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
		if err := a.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "hung deliveries", func() bool { return hung.Load() > 0 })
	h := &hop{}
	run(t, b, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: h, Mode: relay.StoreAndForward}}})
	// The first node is cut off from its database from one moment to the next, as by kill -9: its rows stay claimed.
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	start := time.Now()
	await(t, "delivery by the other node", func() bool { return len(waiting(t, b)) == 0 })
	t.Logf("taken over after %v, claims last 400 ms", time.Since(start).Round(time.Millisecond))
	for i := range most {
		if n := h.count(fmt.Sprintf("r%d@ex.net", i)); n != 1 {
			t.Errorf("r%d: %d", i, n)
		}
	}
	kill()
	go func() { <-dead }() // it waits for deliveries that hang, a minute
}

// Two nodes deliver one queue together, and each message once.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	ca, cb := shared(t)
	a, b := open(t, ca), open(t, cb)
	h := &hop{}
	dir := relay.Static{"ex.net": {Name: "ex.net", Next: h, Mode: relay.StoreAndForward}}
	stopA, _ := run(t, a, store.RunConfig{Directory: dir}), run(t, b, store.RunConfig{Directory: dir})
	const most = 200
	for i := range most {
		s := []*store.Store{a, b}[i%2]
		m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
		if err := s.Enqueue(t.Context(), dir["ex.net"], m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		if i == most/2 {
			go stopA()
		}
	}
	await(t, "delivery", func() bool { return len(waiting(t, b)) == 0 })
	for i := range most {
		if n := h.count(fmt.Sprintf("r%d@ex.net", i)); n != 1 {
			t.Errorf("r%d: %d", i, n)
		}
	}
}

// What one node writes another sees within a second.
func TestWatch(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		writer := s
		if c.Database != "" {
			writer = open(t, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		seen := make(chan string, 100)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Watch(ctx, "domain", func(ctx context.Context) {
				defer calls.Add(1) // when it has read: what is put after that is another call
				list, err := s.Records(ctx, "domain")
				if err != nil {
					return
				}
				for _, r := range list {
					seen <- fmt.Sprint(r.ID, r.Revision, r.Value)
				}
			})
		}()
		await(t, "first call", func() bool { return calls.Load() == 1 })
		for rev := range int64(3) {
			start := time.Now()
			if _, err := writer.PutRecord(ctx, store.Record{Kind: "domain", ID: "ex.net", Revision: rev, Value: "{}"}); err != nil {
				t.Fatal(err)
			}
			if got, want := <-seen, fmt.Sprint("ex.net", rev+1, "{}"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("seen after %v", took)
			} else {
				t.Logf("seen after %v", took.Round(time.Millisecond))
			}
		}
		if _, err := writer.PutRecord(ctx, store.Record{Kind: "domain", ID: "ex.net", Revision: 1, Value: "{}"}); err == nil {
			t.Error("an old revision was written")
		}
		if err := writer.DeleteRecord(ctx, "domain", "ex.net", 3); err != nil {
			t.Error(err)
		}
		await(t, "deletion", func() bool { return calls.Load() >= 5 })
		cancel()
		<-done
	})
}

// Bodies are of one database: another one that was pointed at them would sweep them.
func TestForeignBodies(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		open(t, c)
		if c.Bodies == "" {
			c.Bodies = "file:" + c.Dir + "/bodies"
		}
		c.Dir, c.Database = t.TempDir(), ""
		if s, err := store.Open(t.Context(), c); err == nil {
			s.Close()
			t.Error("bodies of another database were opened")
		}
	})
}
