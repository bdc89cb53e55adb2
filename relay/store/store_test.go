package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

func open(t *testing.T, c store.Config) *store.Store {
	t.Helper()
	if c.Dir == "" && c.Database == "" {
		c.Dir = t.TempDir()
	}
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const mail = "From: a@ex.org\r\nTo: b@ex.net\r\nSubject: hello\r\nMessage-ID: <1@ex.org>\r\n\r\nbody\r\n"

func message(id string, to ...string) *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes(mail))
	m.ID, m.Received = id, time.Now()
	m.Envelope = verdict.Envelope{From: "a@ex.org"}
	for _, a := range to {
		m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: a})
	}
	return m
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after two minutes", what)
		}
	}
}

// run runs a store until the test ends or stop is called, which returns when it has stopped.
func run(t *testing.T, s *store.Store, c store.RunConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, c) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// waiting lists the queue.
func waiting(t *testing.T, s *store.Store) []store.Queued {
	t.Helper()
	list, err := s.QueuedMessages(t.Context(), store.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// hop is a next hop that takes everything, or answers with err.
type hop struct {
	mu   sync.Mutex
	err  error
	got  map[string]int
	body string
}

func (h *hop) Deliver(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return nil, h.err
	}
	if h.got == nil {
		h.got = make(map[string]int)
	}
	h.body = string(b)
	var out []relay.Receipt
	for _, to := range e.To {
		h.got[to.Address]++
		out = append(out, relay.Receipt{Recipient: to.Address, Reply: &relay.Reply{Code: 250, Text: "ok"}})
	}
	return out, nil
}

// say has the hop answer with err from now on; nil: it takes everything.
func (h *hop) say(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

func (h *hop) count(address string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[address]
}

func TestHoldAndRelease(t *testing.T) {
	everywhere(t, testHoldAndRelease)
}

func testHoldAndRelease(t *testing.T, c store.Config) {
	s := open(t, c)
	ctx := t.Context()
	d := &relay.Domain{Name: "ex.net", Tenant: "acme"}
	id, err := s.Hold(ctx, d, message("m1", "b@ex.net", "C@ex.net"), &verdict.Report{Class: verdict.Malicious})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.HeldMessages(ctx, store.StateHeld, store.Filter{Recipient: "c@ex"})
	if err != nil || len(list) != 1 || list[0].Subject != "hello" || list[0].Class != verdict.Malicious || len(list[0].Recipients) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	h := &hop{}
	deliver := func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, mark string) ([]relay.Receipt, error) {
		return h.Deliver(ctx, e, body)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _ = s.Release(ctx, store.Release{ID: id, Who: "admin", Deliver: deliver})
		})
	}
	wg.Wait()
	if h.count("b@ex.net") != 1 || h.count("C@ex.net") != 1 {
		t.Errorf("delivered %v", h.got)
	}
	if h.body != mail {
		t.Errorf("body %q", h.body)
	}
	if got, err := s.HeldMessage(ctx, id); err != nil || got.State != store.StateReleased {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := s.HeldMessage(ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestQueueDelivers(t *testing.T) {
	everywhere(t, testQueueDelivers)
}

func testQueueDelivers(t *testing.T, c store.Config) {
	s := open(t, c)
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}) }()
	for i := range 100 {
		m := message(fmt.Sprintf("q%d", i), fmt.Sprintf("r%d@ex.net", i))
		if err := s.Enqueue(ctx, d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		list, err := s.QueuedMessages(ctx, store.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d left, first %+v", len(list), list[0])
		}
		time.Sleep(20 * time.Millisecond)
	}
	for i := range 100 {
		if n := h.count(fmt.Sprintf("r%d@ex.net", i)); n != 1 {
			t.Errorf("r%d: %d", i, n)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for b, err := range s.Bodies().List(t.Context()) {
		t.Errorf("body left: %v %v", b, err)
	}
}
