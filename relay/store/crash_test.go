package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

var errCrash = errors.New("the power is gone")

// crasher fails at the n-th step and at all that come after it, as if the machine had stopped there.
type crasher struct {
	mu   sync.Mutex
	left int
	at   string
}

func (c *crasher) step(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		if c.at == "" {
			c.at = name
		}
		return errCrash
	}
	return nil
}

// What is done with a store is done in one go, and then told apart by whether it returned nil.
var actions = []struct {
	name string
	do   func(ctx context.Context, s *store.Store) error
	// there says whether what was done is there, whole.
	there func(ctx context.Context, s *store.Store) (bool, error)
}{
	{"hold", func(ctx context.Context, s *store.Store) error {
		_, err := s.Hold(ctx, &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), &verdict.Report{Class: verdict.Malicious})
		return err
	}, func(ctx context.Context, s *store.Store) (bool, error) {
		if _, err := s.HeldMessage(ctx, "m1"); errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		body, err := s.HeldBody(ctx, "m1")
		return err == nil && body.Size() == int64(len(mail)), err
	}},
	{"queue", func(ctx context.Context, s *store.Store) error {
		m := message("m1", "b@ex.net", "c@ex.net")
		return s.Enqueue(ctx, &relay.Domain{Name: "ex.net"}, m, m.Envelope, m, "")
	}, func(ctx context.Context, s *store.Store) (bool, error) {
		q, err := s.QueuedMessage(ctx, "m1")
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil || len(q.Recipients) != 2 {
			return false, fmt.Errorf("%+v %w", q, err)
		}
		body, err := s.QueuedBody(ctx, "m1")
		return err == nil && body.Size() == int64(len(mail)), err
	}},
	{"record", func(ctx context.Context, s *store.Store) error {
		_, err := s.PutRecord(ctx, store.Record{Kind: "domain", ID: "ex.net", Value: "{}"})
		return err
	}, func(ctx context.Context, s *store.Store) (bool, error) {
		_, err := s.Record(ctx, "domain", "ex.net")
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}},
}

// A node that stops at any write has said yes only to what is there afterwards.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, a := range actions {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				dir := t.TempDir()
				c := &crasher{left: n}
				s, err := store.Open(t.Context(), store.Config{Dir: dir, Step: c.step})
				if err != nil {
					t.Fatal(err)
				}
				said := a.do(t.Context(), s)
				_ = s.Close()
				if said == nil && c.at != "" {
					t.Errorf("stopped at step %d, %s, and said yes", n, c.at)
				}
				again, err := store.Open(t.Context(), store.Config{Dir: dir})
				if err != nil {
					t.Fatal(err)
				}
				there, err := a.there(t.Context(), again)
				if err != nil {
					t.Errorf("after step %d, %s: %v", n, c.at, err)
				}
				if said == nil && !there {
					t.Errorf("lost: said yes, and it is not there (step %d)", n)
				}
				// What was refused is tried again by the sender, under the same id here to make it hard.
				if said != nil && !there {
					if err := a.do(t.Context(), again); err != nil {
						t.Errorf("after step %d, %s, a second attempt: %v", n, c.at, err)
					}
				}
				if err := again.Close(); err != nil {
					t.Error(err)
				}
				if said == nil {
					if n < 3 {
						t.Errorf("only %d steps: nothing was tested", n)
					}
					return
				}
			}
		})
	}
}

// A body that was changed or cut off on disk is set aside, and stops nothing else.
func TestDamagedBodies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	damage := map[string]func(path string, b []byte) error{
		"cut":     func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)-3], 0o600) },
		"changed": func(path string, b []byte) error { b[5] ^= 1; return os.WriteFile(path, b, 0o600) },
		"gone":    func(path string, b []byte) error { return os.Remove(path) },
		"empty":   func(path string, b []byte) error { return os.WriteFile(path, nil, 0o600) },
	}
	for name, do := range damage {
		m := message(name, name+"@ex.net")
		if err := s.Enqueue(ctx, d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(dir, "bodies", "*", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil && len(b) > len(mail) && string(b[:len(mail)]) == mail {
				if err := do(p, b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	m := message("good", "good@ex.net")
	if err := s.Enqueue(ctx, d, m, m.Envelope, m, ""); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}) }()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		list, err := s.QueuedMessages(ctx, store.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		aside := 0
		for _, q := range list {
			if q.State == store.StateAside {
				aside++
			}
		}
		if aside == len(damage) && h.count("good@ex.net") == 1 && len(list) == aside {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, good delivered %d times", list, h.count("good@ex.net"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	<-done
	for name := range damage {
		if n := h.count(name + "@ex.net"); n != 0 {
			t.Errorf("%s was delivered", name)
		}
	}
}
