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

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// batch opens a store, and returns what has writes made in one batch, in their order, and returns their errors. step is
// told of that batch and of what comes after it.
func batch(t *testing.T, c store.Config, step func(name string) error) (*store.Store, func(writes ...func() error) []error) {
	t.Helper()
	var gate chan struct{}
	var ready, ours atomic.Bool
	c.Step = func(name string) error {
		switch {
		case ours.Load() && step != nil:
			return step(name)
		case name == "tx.begin" && ready.CompareAndSwap(true, false):
			<-gate
		case name == "tx.committed" && gate != nil:
			ours.Store(true)
		}
		return nil
	}
	s := open(t, c)
	return s, func(writes ...func() error) []error {
		gate = make(chan struct{})
		ours.Store(false)
		ready.Store(true)
		var wg sync.WaitGroup
		defer wg.Wait()
		opened := sync.OnceFunc(func() { close(gate) })
		defer opened()
		wg.Go(func() {
			if err := s.Commit(t.Context(), 0, func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		await(t, "committer", func() bool { return !ready.Load() })
		errs := make([]error, len(writes))
		for i, w := range writes {
			wg.Go(func() { errs[i] = w() })
			await(t, "writer", func() bool { return s.Waiting() == i+1 })
		}
		opened()
		wg.Wait()
		return errs
	}
}

// countedBatch is batch that counts the transactions.
func countedBatch(t *testing.T, c store.Config) (*store.Store, func(writes ...func() error) []error, *atomic.Int64) {
	t.Helper()
	var begun atomic.Int64
	s, together := batch(t, c, func(name string) error {
		if name == "tx.begin" {
			begun.Add(1)
		}
		return nil
	})
	return s, together, &begun
}

// keeping returns what a message is kept with.
func keeping(t *testing.T, s *store.Store) (queue, hold, record func(id string) func() error, put func(id string) func() error) {
	d := &relay.Domain{Name: "ex.net"}
	queue = func(id string) func() error {
		m := message(id, "a@ex.net", "b@ex.net", "c@ex.net")
		return func() error { return s.Enqueue(t.Context(), d, m, m.Envelope, m, "") }
	}
	hold = func(id string) func() error {
		return func() error { _, err := s.Hold(t.Context(), d, message(id, "a@ex.net", "b@ex.net"), nil); return err }
	}
	record = func(id string) func() error {
		return func() error { return s.RecordMessage(t.Context(), d, message(id, "a@ex.net"), relay.Outcome{ID: id}) }
	}
	put = func(id string) func() error {
		return func() error {
			_, err := s.PutRecord(t.Context(), store.Record{Kind: "kind", ID: id, Value: "{}"})
			return err
		}
	}
	return queue, hold, record, put
}

// The way to the database and back is made a few times for a batch, and not for each statement.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	url, w := wired(t, database(t), 0)
	c := store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"}
	var before, after atomic.Int64
	s, together := batch(t, c, func(name string) error {
		switch name {
		case "tx.begin":
			before.Store(w.waits.Load())
		case "tx.committed":
			after.Store(w.waits.Load())
		}
		return nil
	})
	queue, hold, record, put := keeping(t, s)
	const about = 5 // to ask whether the connection is alive, to begin, to parse, to write, and to commit
	for _, tt := range []struct {
		name string
		most int64
		make []func(id string) func() error
	}{
		{"nobody asks", about, []func(id string) func() error{queue, hold, record}},
		{"each asks once", 21 + about + 1, []func(id string) func() error{put}},
	} {
		var writes []func() error
		for i := range 21 {
			writes = append(writes, tt.make[i%len(tt.make)](fmt.Sprintf("m%d", i)))
		}
		if err := errors.Join(together(writes...)...); err != nil {
			t.Fatal(err)
		}
		n := after.Load() - before.Load()
		t.Logf("%s: %d round trips for %d writes", tt.name, n, len(writes))
		if n > tt.most || n < 3 {
			t.Errorf("%s: %d round trips, at most %d wanted", tt.name, n, tt.most)
		}
	}
}

// What is kept back is bounded: a message for very many goes there in pieces, and is there as a whole.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	url, w := wired(t, database(t), 0)
	var before, after atomic.Int64
	s, together := batch(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"}, func(name string) error {
		switch name {
		case "tx.begin":
			before.Store(w.waits.Load())
		case "tx.committed":
			after.Store(w.waits.Load())
		}
		return nil
	})
	const most = 2500
	m := message("m1")
	for i := range most {
		m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: fmt.Sprintf("r%d@ex.net", i)})
	}
	err := together(func() error { return s.Enqueue(t.Context(), &relay.Domain{Name: "ex.net"}, m, m.Envelope, m, "") })[0]
	if err != nil {
		t.Fatal(err)
	}
	if q, err := s.QueuedMessage(t.Context(), m.ID); err != nil || len(q.Recipients) != most {
		t.Errorf("%d recipients, %v", len(q.Recipients), err)
	}
	if n := after.Load() - before.Load(); n < 5 || n > 9 {
		t.Errorf("%d round trips", n)
	}
}

// A write that fails fails alone, wherever it stands in its batch, and whoever finds out.
func TestBadWriteAmongOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, together, begun := countedBatch(t, c)
		queue, hold, record, put := keeping(t, s)
		for round, tt := range []struct {
			name  string
			order string // the second q is the bad one
		}{
			{"found by who asks", "q q p r h"},
			{"found at the end", "p h r q q"},
			{"alone among those who ask", "p q p q p"},
		} {
			kinds := strings.Fields(tt.order)
			var writes []func() error
			bad, seen := -1, false
			for i, k := range kinds {
				id := fmt.Sprintf("%d-%d", round, i)
				switch k {
				case "q":
					writes = append(writes, queue(fmt.Sprint(round, "-q")))
					if seen {
						bad = i
					}
					seen = true
				case "h":
					writes = append(writes, hold(id))
				case "r":
					writes = append(writes, record(id))
				case "p":
					writes = append(writes, put(id))
				}
			}
			begun.Store(0)
			for i, err := range together(writes...) {
				if (err != nil) != (i == bad) {
					t.Errorf("%s: write %d of %q: %v", tt.name, i, tt.order, err)
				}
			}
			if n := begun.Load(); n != int64(1+len(writes)) { // all together, and then each alone
				t.Errorf("%s: %d transactions", tt.name, n)
			}
			if q, err := s.QueuedMessage(t.Context(), fmt.Sprint(round, "-q")); err != nil || len(q.Recipients) != 3 {
				t.Errorf("%s: %+v %v", tt.name, q, err)
			}
			for i, k := range kinds {
				id := fmt.Sprintf("%d-%d", round, i)
				var err error
				switch k {
				case "h":
					_, err = s.HeldMessage(t.Context(), id)
				case "r":
					_, err = s.Message(t.Context(), id)
				case "p":
					_, err = s.Record(t.Context(), "kind", id)
				}
				if err != nil {
					t.Errorf("%s: %s %s is not there: %v", tt.name, k, id, err)
				}
			}
		}
	})
}

// A write sees what those before it in its batch have written.
func TestLaterWriteSeesEarlier(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, together, begun := countedBatch(t, c)
		queue, _, _, _ := keeping(t, s)
		var n int
		retry := func() (err error) { n, err = s.RetryQueued(t.Context(), "admin", "q1"); return err }
		if err := errors.Join(together(queue("q1"), retry, queue("q2"))...); err != nil || n != 1 || begun.Load() != 1 {
			t.Errorf("%d found in %d transactions: %v", n, begun.Load(), err)
		}
	})
}

// A connection that is lost while something is being written has everything written again on another one. Lost while
// it commits, nobody knows whether it is there, and nobody is told that it is.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at   string
		nth  int64
		lost bool
	}{
		{"tx.write", 1, false},
		{"tx.write", 6, false},
		{"tx.commit", 1, true},
	} {
		t.Run(fmt.Sprintf("%s %d", tt.at, tt.nth), func(t *testing.T) {
			t.Parallel()
			url, w := wired(t, strings.Replace(database(t), "pool_max_conns=8&", "pool_max_conns=1&", 1), 0)
			var n atomic.Int64
			s, together := batch(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"}, func(name string) error {
				if name == tt.at && n.Add(1) == tt.nth {
					w.cut()
				}
				return nil
			})
			queue, hold, record, put := keeping(t, s)
			writes := []func() error{queue("q1"), put("p1"), hold("h1"), record("m1"), queue("q2"), record("m2")}
			for i, err := range together(writes...) {
				if (err != nil) != tt.lost {
					t.Errorf("write %d: %v", i, err)
				}
			}
			if got := len(waiting(t, s)); (got == 2) == tt.lost {
				t.Errorf("%d are queued", got)
			}
			if err := errors.Join(queue("q3")(), put("p3")()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// What has been kept back has no more time than its transaction, also where nobody answers.
func TestFrozenWrite(t *testing.T) {
	t.Parallel()
	url, f := freezing(t, database(t))
	s, together := batch(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"}, func(name string) error {
		if name == "tx.write" {
			f.era.CompareAndSwap(0, 1)
		}
		return nil
	})
	queue, _, _, _ := keeping(t, s)
	if err := s.Commit(t.Context(), time.Second, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := together(queue("q1"))[0]; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	await(t, "another connection", func() bool { return queue("q2")() == nil })
	f.cut()
}

// Whatever is said in the URL about how statements are sent, they are sent together. Who pools the connections to a
// server may want that.
func TestStatementModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s, together := batch(t, store.Config{Database: database(t) + "&default_query_exec_mode=" + mode, Bodies: "file:" + t.TempDir(), Node: "n1"}, nil)
			queue, hold, record, put := keeping(t, s)
			errs := together(queue("q1"), hold("h1"), queue("q1"), record("m1"), put("p1"), queue("q2"))
			for i, err := range errs {
				if (err != nil) != (i == 2) {
					t.Errorf("write %d: %v", i, err)
				}
			}
			if got := len(waiting(t, s)); got != 2 {
				t.Errorf("%d are queued", got)
			}
		})
	}
}
