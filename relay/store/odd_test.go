package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// enqueueAll queues a message for each address, m0, m1 and so on. Their domains have one hop, which is in the directory.
func enqueueAll(t *testing.T, s *store.Store, next relay.NextHop, to ...string) relay.Static {
	t.Helper()
	dir := make(relay.Static)
	for i, a := range to {
		_, name, _ := strings.Cut(a, "@")
		dir[name] = &relay.Domain{Name: name, Next: next, Mode: relay.StoreAndForward}
		m := message(fmt.Sprint("m", i), a)
		if err := s.Enqueue(t.Context(), dir[name], m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A row that has no number where one belongs, which only SQLite lets happen, is set aside. What is in the same
// destination and in others goes on, and the row can be seen, put right or dropped.
func TestOddRow(t *testing.T) {
	t.Parallel()
	for _, column := range []string{"at", "expires", "size", "attempts", "due", "warned"} {
		for name, odd := range map[string]any{"words": "x", "bytes": []byte("1"), "fraction": 1.5} {
			t.Run(column+"/"+name, func(t *testing.T) {
				t.Parallel()
				var lines logLines
				s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&lines, nil))}.Quick())
				h := &hop{}
				dir := enqueueAll(t, s, h, "odd@a.example", "1@a.example", "1@b.example")
				before, err := s.QueuedMessage(t.Context(), "m0")
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Exec(t.Context(), "UPDATE queued SET "+column+" = ? WHERE id = 'm0'", odd); err != nil {
					t.Fatal(err)
				}
				if n := len(waiting(t, s)); n != 3 {
					t.Errorf("%d of 3 are listed", n)
				}
				run(t, s, store.RunConfig{Directory: dir})
				await(t, "delivery of the others", func() bool { return h.count("1@a.example") == 1 && h.count("1@b.example") == 1 })
				await(t, "end", func() bool { q := waiting(t, s); return len(q) == 1 && q[0].State == store.StateAside })
				if q := waiting(t, s)[0]; q.ID != "m0" || q.Domain != "a.example" || !strings.Contains(q.Last, "no number") || !lines.has("id=m0") {
					t.Errorf("%+v", q)
				}
				if p := s.Check(t.Context()); len(p) != 1 || p[0].What != "queue" {
					t.Errorf("check finds %+v", p)
				}
				if q, err := s.QueuedMessage(t.Context(), "m0"); err == nil || errors.Is(err, store.ErrNotFound) || len(q.Recipients) != 1 {
					t.Errorf("%+v, %v", q, err)
				}
				if name != "words" {
					if err := s.DropQueued(t.Context(), "m0", "admin"); err != nil || len(waiting(t, s)) != 0 {
						t.Errorf("it cannot be dropped: %v", err)
					}
					return
				}
				right := map[string]int64{"at": before.At.UnixMilli(), "expires": before.Expires.UnixMilli(), "size": before.Size, "due": time.Now().UnixMilli()}
				if err := s.Rewrite(t.Context(), "UPDATE queued SET "+column+" = ? WHERE id = 'm0'", right[column]); err != nil {
					t.Fatal(err)
				}
				if _, err := s.RetryQueued(t.Context(), "admin", "m0"); err != nil {
					t.Fatal(err)
				}
				await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
				if n := h.count("odd@a.example"); n != 1 {
					t.Errorf("delivered %d times", n)
				}
			})
		}
	}
}

// Destinations of which the database gives nothing keep nobody else's mail waiting, also where they come first.
func TestOddDestinations(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &hop{}
		dir := enqueueAll(t, s, h, "1@a0.example", "1@a1.example", "1@a2.example", "1@a3.example", "1@a4.example", "1@z.example")
		cannot := []string{`CREATE TRIGGER odd BEFORE UPDATE ON queued WHEN NEW.domain <> 'z.example' BEGIN SELECT RAISE(ABORT, 'odd page'); END`}
		if c.Database != "" {
			cannot = []string{
				`CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'odd page'; END $$`,
				`CREATE TRIGGER odd BEFORE UPDATE ON queued FOR EACH ROW WHEN (NEW.domain <> 'z.example') EXECUTE FUNCTION odd()`,
			}
		}
		for _, q := range cannot {
			if err := s.Exec(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, store.RunConfig{Directory: dir})
		await(t, "delivery", func() bool { return h.count("1@z.example") == 1 })
		await(t, "end", func() bool { return len(waiting(t, s)) == 5 })
	})
}
