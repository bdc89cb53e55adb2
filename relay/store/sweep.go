package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// orphanAge is how old a body without a row is before it is swept: its row may be about to be written.
	orphanAge = 24 * time.Hour
	// orphanPause is how long a sweep waits before it looks at the rows, by a clock that does not jump. It is longer
	// than a row that is on its way can take.
	orphanPause = 2 * time.Minute
	// sweepBatch bounds the names in memory.
	sweepBatch = 100_000
)

// sweepBodies deletes bodies that no row names.
func (s *Store) sweepBodies(ctx context.Context, age time.Duration) error {
	old := make(map[string]bool)
	swept, n := 0, 0
	for info, err := range s.bodies.List(ctx) {
		if err != nil {
			return fmt.Errorf("store: bodies: %w", err)
		}
		if time.Since(info.At) < age {
			continue
		}
		old[info.Key] = true
		if n++; n%sweepBatch == 0 {
			k, err := s.sweepSome(ctx, old, age)
			if err != nil {
				return err
			}
			swept += k
			clear(old)
		}
	}
	k, err := s.sweepSome(ctx, old, age)
	if swept += k; swept > 0 {
		s.config.Log.Info("bodies that no row names were deleted", "bodies", swept)
	}
	if t, ok := s.bodies.(interface{ tidy(time.Time) error }); ok && err == nil {
		err = t.tidy(time.Now().Add(-2 * orphanAge))
	}
	return err
}

// sweepSome deletes those of the keys that are in no row.
func (s *Store) sweepSome(ctx context.Context, old map[string]bool, age time.Duration) (int, error) {
	if len(old) == 0 {
		return 0, nil
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(min(age, orphanPause)):
	}
	for _, table := range []string{"held", "queued"} {
		rows, err := s.db.query(ctx, "SELECT body FROM "+table+" WHERE body <> ''")
		if err != nil {
			return 0, err
		}
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return 0, errors.Join(err, rows.Close())
			}
			delete(old, key)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return 0, err
		}
	}
	swept := 0
	for key := range old {
		if err := s.bodies.Delete(ctx, key); err != nil {
			return swept, err
		}
		swept++
	}
	return swept, nil
}

// openMark makes sure that the bodies are those of this database: a sweep with the rows of another one would
// delete them all.
func (s *Store) openMark(ctx context.Context) error {
	m, ok := s.bodies.(interface {
		mark(ctx context.Context, want string) (string, error)
	})
	if !ok {
		return nil
	}
	want := s.sign("bodies", "")
	have, err := m.mark(ctx, want)
	if err != nil {
		return fmt.Errorf("store: bodies: %w", err)
	}
	if strings.TrimSpace(have) != want {
		return fmt.Errorf("store: the bodies at %s belong to another database: give this one a place of its own, or, if you are sure, delete %q there",
			redactURL(s.config.Bodies), markName)
	}
	return nil
}

// markName is where the bodies say whose they are.
const markName = "postreeve-store"
