package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ownTasks are what every store does.
func (s *Store) ownTasks() []Task {
	return []Task{
		{"queue", 15 * time.Second, s.sweepQueue},
		{"retention", 10 * time.Minute, s.retain},
		{"bodies", 6 * time.Hour, func(ctx context.Context) error { return s.sweepBodies(ctx, orphanAge) }},
	}
}

// sweepQueue finds destinations with rows that are due and that nobody looks after: because a job was lost, or
// a node died.
func (s *Store) sweepQueue(ctx context.Context) error {
	now := time.Now()
	rows, err := s.db.query(ctx, "SELECT DISTINCT domain FROM queued WHERE state = 'waiting' AND (due <= ? OR expires <= ?) AND claimed < ?", millis(now), millis(now), millis(now))
	if err != nil {
		return err
	}
	var domains []string
	for rows.Next() {
		var d string
		if err := rows.Scan(&d); err != nil {
			rows.Close()
			return err
		}
		domains = append(domains, d)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	for _, d := range domains {
		s.wake(d, now)
	}
	return s.expire(ctx, now)
}

// expire gives up what is too old, also where the destination is being left alone.
func (s *Store) expire(ctx context.Context, now time.Time) error {
	var old []Queued
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		old = old[:0]
		rows, err := t.query(ctx, `UPDATE queued SET claimed = ?, claimant = ? WHERE id IN (
 SELECT id FROM queued WHERE state = 'waiting' AND expires <= ? AND claimed < ? ORDER BY expires LIMIT 200`+s.db.locked()+`) RETURNING `+queuedColumns,
			millis(now.Add(claimTime)), s.config.Node, millis(now), millis(now))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			q, err := scanQueued(rows.Scan)
			if err != nil {
				return err
			}
			old = append(old, q)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	for _, q := range old {
		s.attempt(ctx, nil, q) // sees that it is too old before it looks for a hop
	}
	return nil
}

// retain removes what has been kept long enough, some rows at a time, so that nobody waits for it.
func (s *Store) retain(ctx context.Context) error {
	now := time.Now()
	if err := s.expireHeld(ctx, now); err != nil {
		return err
	}
	before := millis(now.Add(-s.config.LedgerFor))
	for _, table := range []string{"message", "message_event", "audit"} {
		key := "id"
		if table == "message_event" {
			key = "message"
		}
		for {
			n, err := s.remove(ctx, "DELETE FROM "+table+" WHERE "+key+" IN (SELECT "+key+" FROM "+table+" WHERE at < ? LIMIT 2000) AND at < ?", before, before)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

func (s *Store) remove(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

// expireHeld deletes held messages whose time is over, but none that is being released.
func (s *Store) expireHeld(ctx context.Context, now time.Time) error {
	for {
		type row struct{ id, body string }
		var list []row
		err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
			list = list[:0]
			rows, err := t.query(ctx, `DELETE FROM held WHERE id IN (SELECT id FROM held h WHERE expires <= ?
 AND NOT EXISTS (SELECT 1 FROM held_recipient WHERE held = h.id AND state = 'releasing' AND at > ?) LIMIT 500) RETURNING id, body`,
				millis(now), millis(now.Add(-2*releaseTime)))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var r row
				if err := rows.Scan(&r.id, &r.body); err != nil {
					return err
				}
				list = append(list, r)
			}
			if err := rows.Err(); err != nil || len(list) == 0 {
				return err
			}
			rows.Close()
			args := make([]any, len(list))
			for i := range list {
				args[i] = list[i].id
			}
			_, err = t.exec(ctx, "DELETE FROM held_recipient WHERE held IN (?"+strings.Repeat(", ?", len(list)-1)+")", args...)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			s.deleteBody(ctx, r.body)
		}
	}
}

// orphanAge is how old a body without a row is before it is swept: its row may be about to be written.
const orphanAge = 24 * time.Hour

// sweepBodies deletes bodies that no row names.
func (s *Store) sweepBodies(ctx context.Context, age time.Duration) error {
	swept := 0
	for info, err := range s.bodies.List(ctx) {
		if err != nil {
			return fmt.Errorf("store: bodies: %w", err)
		}
		if time.Since(info.At) < age {
			continue
		}
		var n int
		key := strings.TrimSuffix(info.Key, tempSuffix)
		err := s.db.queryRow(ctx, "SELECT (SELECT COUNT(*) FROM held WHERE body = ?) + (SELECT COUNT(*) FROM queued WHERE body = ?)", key, key).Scan(&n)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if d, ok := s.bodies.(interface {
			sweep(ctx context.Context, name string) error
		}); ok {
			err = d.sweep(ctx, info.Key)
		} else {
			err = s.bodies.Delete(ctx, info.Key)
		}
		if err != nil {
			return err
		}
		swept++
	}
	if swept > 0 {
		s.config.Log.Info("bodies that no row names were deleted", "bodies", swept)
	}
	return nil
}
