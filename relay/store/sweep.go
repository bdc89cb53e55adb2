package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// orphanAge is how old a body without a row is before it is swept: its row may be about to be written.
	orphanAge = 24 * time.Hour
	// orphanPause is how long a sweep waits before it looks at the rows again, by a clock that does not jump. It is
	// longer than a row that is on its way can take.
	orphanPause = 2 * time.Minute
	// sweepBatch bounds the names in memory.
	sweepBatch = 100_000
)

// sweepBodies deletes bodies that no row names. Of more than sweepBatch of them the next sweep deletes the rest.
func (s *Store) sweepBodies(ctx context.Context, age time.Duration) error {
	orphans, err := s.orphans(ctx, age)
	if err != nil {
		return err
	}
	if len(orphans) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(age, orphanPause)): // once, however many there are
		}
		if err := s.withoutRows(ctx, orphans); err != nil {
			return err
		}
	}
	swept := 0
	for key := range orphans {
		if err = s.bodies.Delete(ctx, key); err != nil {
			break
		}
		swept++
	}
	if swept > 0 {
		s.config.Log.Info("bodies that no row names were deleted", "bodies", swept)
	}
	if t, ok := s.bodies.(interface{ tidy(time.Time) error }); ok && err == nil {
		err = t.tidy(time.Now().Add(-2 * orphanAge))
	}
	return err
}

// orphans are keys of bodies of this age that no row names now, sweepBatch at most.
func (s *Store) orphans(ctx context.Context, age time.Duration) (map[string]bool, error) {
	out, some := make(map[string]bool), make(map[string]bool)
	look := func() error {
		err := s.withoutRows(ctx, some)
		for key := range some {
			if len(out) < sweepBatch {
				out[key] = true
			}
		}
		clear(some)
		return err
	}
	for info, err := range s.bodies.List(ctx) {
		if err != nil {
			return nil, fmt.Errorf("store: bodies: %w", err)
		}
		if time.Since(info.At) < age {
			continue
		}
		if some[info.Key] = true; len(some) < sweepBatch {
			continue
		}
		if err := look(); err != nil {
			return nil, err
		}
		if len(out) == sweepBatch {
			return out, nil
		}
	}
	return out, look()
}

// withoutRows takes out the keys that a row names.
func (s *Store) withoutRows(ctx context.Context, keys map[string]bool) error {
	if len(keys) == 0 {
		return nil
	}
	for _, table := range []string{"held", "queued"} {
		rows, err := s.db.query(ctx, "SELECT body FROM "+table+" WHERE body <> ''")
		if err != nil {
			return err
		}
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return errors.Join(err, rows.Close())
			}
			delete(keys, key)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}
