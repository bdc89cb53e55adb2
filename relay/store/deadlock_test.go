package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// person connects to the database of a store, beside it.
func person(t *testing.T, rawURL string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), strings.Replace(rawURL, "pool_max_conns=8&", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// queueFor queues messages for ex.net, which nobody delivers.
func queueFor(t *testing.T, s *store.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		m := message(id, "b@ex.net")
		if err := s.Enqueue(t.Context(), &relay.Domain{Name: "ex.net", Mode: relay.StoreAndForward}, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitLocks waits until so many others wait for locks.
func awaitLocks(t *testing.T, c *pgx.Conn, n int) {
	t.Helper()
	await(t, "somebody who waits for a lock", func() bool {
		var waits int
		if err := c.QueryRow(t.Context(), "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits >= n
	})
}

// Whoever changes many rows locks them in the order of their ids: who waits for the first of them has none of the others.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"})
	ids := []string{"m3", "m2", "m1"}
	queueFor(t, s, ids...)
	other := person(t, url)
	for name, change := range s.LockMany(ids...) {
		_, err := other.Exec(t.Context(), "UPDATE queued SET due = $1, expires = 1, claimed = 0, claimant = $2", time.Now().Add(time.Hour).UnixMilli(), s.Claimant())
		if name == "hurry" {
			_, err = other.Exec(t.Context(), "UPDATE queued SET due = 0")
		}
		if err != nil {
			t.Fatal(err)
		}
		unlock := lockRows(t, url, "SELECT id FROM queued WHERE id = 'm1' FOR UPDATE")
		var wg sync.WaitGroup
		wg.Go(func() { change(t.Context()) })
		awaitLocks(t, other, 1)
		rows, err := other.Query(t.Context(), "SELECT id FROM queued WHERE id <> 'm1' FOR UPDATE SKIP LOCKED")
		if err != nil {
			t.Fatal(err)
		}
		free, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if slices.Sort(free); err != nil || !slices.Equal(free, []string{"m2", "m3"}) {
			t.Errorf("%s: %v are free: %v", name, free, err)
		}
		unlock()
		wg.Wait()
	}
}

// What a deadlock has undone is done again.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, store.Config{Database: url, Bodies: "file:" + t.TempDir(), Node: "n1"})
	queueFor(t, s, "m1", "m2")
	other, watch := person(t, url), person(t, url)
	if _, err := other.Exec(t.Context(), "SET deadlock_timeout = '1min'"); err != nil { // it is the store that finds out, and gives way
		t.Fatal(err)
	}
	lock, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "SELECT id FROM queued WHERE id = 'm2' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	n, rerr := 0, error(nil)
	wg.Go(func() { n, rerr = s.RetryQueued(t.Context(), "admin", "m2", "m1") })
	awaitLocks(t, watch, 1)
	if _, err := lock.Exec(t.Context(), "SELECT id FROM queued WHERE id = 'm1' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if wg.Wait(); rerr != nil || n != 2 {
		t.Errorf("%d messages, %v", n, rerr)
	}
	acts, err := s.Audit(t.Context(), store.ActFilter{Limit: 10})
	if err != nil || len(acts) != 2 {
		t.Errorf("%+v, %v: want one for each, once", acts, err)
	}
}

// A write is made again if it is certain that it was undone, once.
func TestUndone(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		for name, c := range map[string]struct {
			err   error
			fails int // times
			tries int
			made  bool
		}{
			"deadlock":                {&pgconn.PgError{Code: "40P01"}, 1, 2, true},
			"not in an order":         {&pgconn.PgError{Code: "40001"}, 1, 2, true},
			"deadlocks":               {&pgconn.PgError{Code: "40P01"}, 9, 2, false},
			"unknown whether made":    {&pgconn.PgError{Code: "40003"}, 1, 1, false},
			"locked":                  {&pgconn.PgError{Code: "55P03"}, 1, 1, false},
			"an error of another one": {errDown, 1, 1, false},
		} {
			tries := 0
			err := s.Commit(t.Context(), 0, func(context.Context) error {
				if tries++; tries <= c.fails {
					return c.err
				}
				return nil
			})
			if tries != c.tries || (err == nil) != c.made || err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: %d tries, %v", name, tries, err)
			}
		}
	})
}
