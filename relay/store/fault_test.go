package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

// What waits while a transaction is being committed is committed together.
func TestGroupCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var begun, written atomic.Int64
		gate := make(chan struct{})
		ready := false
		c.Step = func(name string) error {
			switch {
			case name == "tx.write":
				written.Add(1)
			case name == "tx.begin" && ready:
				if begun.Add(1) == 1 {
					<-gate
				}
			}
			return nil
		}
		s := open(t, c)
		ready = true
		const most = 100
		var wg sync.WaitGroup
		open := sync.OnceFunc(func() { close(gate) })
		defer open()
		for i := range most {
			if i == 1 {
				await(t, "first writer", func() bool { return begun.Load() == 1 })
			}
			wg.Go(func() {
				m := message(fmt.Sprintf("m%d", i), "b@ex.net")
				if err := s.RecordMessage(t.Context(), nil, m, relay.Outcome{ID: m.ID}); err != nil {
					t.Error(err)
				}
			})
		}
		await(t, "writers", func() bool { return s.Waiting() == most-1 })
		open()
		wg.Wait()
		if written.Load() != most || begun.Load() > 3 {
			t.Errorf("%d writes in %d transactions", written.Load(), begun.Load())
		}
	})
}

// One write that cannot be made does not keep the others of its batch from being made.
func TestBadWriteInBatch(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		gate := make(chan struct{})
		var begun atomic.Int64
		c.Step = func(name string) error {
			if name == "tx.begin" && begun.Add(1) == 1 {
				<-gate
			}
			return nil
		}
		s := open(t, c)
		var failed atomic.Int64
		var wg sync.WaitGroup
		ids := []string{"m0", "m1", "m1", "m2", "m3"} // the second m1 breaks the rule that ids are unique
		open := sync.OnceFunc(func() { close(gate) })
		defer open()
		for i, id := range ids {
			if i == 1 {
				await(t, "first writer", func() bool { return begun.Load() == 1 })
			}
			wg.Go(func() {
				if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message(id, "b@ex.net"), nil); err != nil {
					failed.Add(1)
				}
			})
		}
		await(t, "writers", func() bool { return s.Waiting() == len(ids)-1 })
		open()
		wg.Wait()
		list, err := s.HeldMessages(t.Context(), "", store.Filter{})
		if err != nil || len(list) != 4 || failed.Load() != 1 {
			t.Errorf("%d held, %d failed, %v", len(list), failed.Load(), err)
		}
	})
}

// logLines is a log for tests.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

// When nothing can be written everything that promises to keep mail fails, and works again by itself.
func TestReadOnlyFlip(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var broken atomic.Bool
		c.Step = func(name string) error {
			if broken.Load() && (name == "tx.commit" || name == "body.create") {
				return syscall.EROFS
			}
			return nil
		}
		var lines logLines
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
		s := open(t, c.Quick())
		h := &hop{}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		try := func(id string) error {
			m := message(id, "b@ex.net")
			_, err := s.Hold(t.Context(), d, m, nil)
			return errors.Join(err, s.Enqueue(t.Context(), d, m, m.Envelope, m, ""), s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: id}))
		}
		if err := try("before"); err != nil {
			t.Fatal(err)
		}
		broken.Store(true)
		if err := try("during"); !errors.Is(err, syscall.EROFS) {
			t.Error(err)
		}
		if p := s.Check(t.Context()); len(p) < 2 {
			t.Errorf("check finds %+v", p)
		}
		broken.Store(false)
		if err := try("after"); err != nil {
			t.Error(err)
		}
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		if n := h.count("b@ex.net"); n < 2 {
			t.Errorf("delivered %d times", n)
		}
		if p := s.Check(t.Context()); p != nil {
			t.Errorf("check finds %+v afterwards", p)
		}
		if !lines.has("the database cannot be written") || !lines.has("the database can be written again") {
			t.Errorf("the log does not say so:\n%s", lines.b.String())
		}
	})
}

// A disk that is really full.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := store.Open(t.Context(), store.Config{Dir: dir, MinFree: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := &relay.Domain{Name: "ex.net"}
	held, failed := 0, error(nil)
	body := []byte(mail + strings.Repeat("0123456789012345678901234567890123456789\r\n", 200))
	hold := func(id string) error {
		m := message(id, "b@ex.net")
		n := verdict.NewMessage(verdict.Bytes(body))
		n.ID, n.Received, n.Envelope = m.ID, m.Received, m.Envelope
		_, err := s.Hold(t.Context(), d, n, nil)
		return err
	}
	for failed == nil && held < 5000 {
		if failed = hold(fmt.Sprintf("m%d", held)); failed == nil {
			held++
		}
	}
	if !errors.Is(failed, store.ErrFull) || held < 100 {
		t.Fatalf("after %d: %v", held, failed)
	}
	if p := s.Check(t.Context()); len(p) == 0 || p[len(p)-1].What != "disk" {
		t.Errorf("check: %+v", p)
	}
	// Everything that was promised is there, and deleting something makes room.
	for i := range held {
		if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), fmt.Sprintf("m%d", i)) }); got != string(body) {
			t.Fatalf("m%d: %d bytes", i, len(got))
		}
	}
	for i := range held / 2 {
		if err := s.DeleteHeld(t.Context(), fmt.Sprintf("m%d", i), "admin"); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	await(t, "room", func() bool { return hold("again") == nil })
	t.Logf("%d messages of 8 KB fitted into 24 MB", held)

	// Somebody else takes the last bytes: nothing is promised, nothing is lost, and it works again afterwards.
	fill := dir + "/other"
	if err := os.WriteFile(fill, make([]byte, 32<<20), 0o600); err == nil {
		t.Error("there was room")
	}
	_, took := s.PutRecord(t.Context(), store.Record{Kind: "k", ID: "x", Value: strings.Repeat("x", 4<<20)})
	if err := hold("full"); err == nil || took == nil {
		t.Errorf("written where there is no room: %v, %v", err, took)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	await(t, "room", func() bool { return hold("after") == nil })
	if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "again") }); got != string(body) {
		t.Errorf("%d bytes", len(got))
	}
}

// A writer that gives up is told so, and what it gave up is not made afterwards if it had not begun.
func TestSlowDatabase(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	var begun atomic.Int64
	s := open(t, store.Config{Step: func(name string) error {
		if name == "tx.begin" && begun.Add(1) == 1 {
			<-gate
		}
		return nil
	}})
	first := make(chan error, 1)
	go func() {
		first <- s.RecordMessage(t.Context(), nil, message("m1", "b@ex.net"), relay.Outcome{ID: "m1"})
	}()
	await(t, "first writer", func() bool { return begun.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.RecordMessage(ctx, nil, message("m2", "b@ex.net"), relay.Outcome{ID: "m2"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(gate)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := s.RecordMessage(t.Context(), nil, message("m3", "b@ex.net"), relay.Outcome{ID: "m3"}); err != nil {
		t.Error(err)
	}
	list, err := s.Messages(t.Context(), store.Filter{})
	if err != nil || len(list) != 2 {
		t.Errorf("%+v %v", list, err)
	}
}

// The limits of bytes hold, and what goes makes room.
func TestQuota(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		c.HeldBytes, c.QueuedBytes = int64(2*len(mail)), int64(len(mail))
		s := open(t, c)
		d := &relay.Domain{Name: "ex.net", Mode: relay.Continuity}
		for i, want := range []error{nil, nil, store.ErrFull} {
			if _, err := s.Hold(t.Context(), d, message(fmt.Sprint("h", i), "b@ex.net"), nil); !errors.Is(err, want) {
				t.Errorf("hold %d: %v", i, err)
			}
		}
		for i, want := range []error{nil, store.ErrFull} {
			m := message(fmt.Sprint("q", i), "b@ex.net")
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); !errors.Is(err, want) {
				t.Errorf("queue %d: %v", i, err)
			}
		}
		if p := s.Check(t.Context()); len(p) != 2 {
			t.Errorf("check: %+v", p)
		}
	})
}
