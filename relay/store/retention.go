package store

import (
	"context"
	"strings"
	"time"
)

// ownTasks are what every store does.
func (s *Store) ownTasks() []Task {
	return []Task{
		{Name: "queue", Every: 15 * time.Second, Do: s.sweepQueue},
		{Name: "retention", Every: 10 * time.Minute, Do: s.retain},
		{Name: "bodies", Every: 6 * time.Hour, Do: func(ctx context.Context) error {
			if _, sound, err := s.now(ctx); err != nil || !sound {
				return err
			}
			return s.sweepBodies(ctx, orphanAge)
		}},
	}
}

// sweepQueue has what is too old tried for the last time, gives it up where the destination is being left alone, and
// warns of what is late.
func (s *Store) sweepQueue(ctx context.Context) error {
	now, sound, err := s.now(ctx)
	if err != nil || !sound {
		return err
	}
	if err := s.expire(ctx, now); err != nil {
		return err
	}
	return s.warn(ctx, now)
}

// manyFailures of a hop in a row say that one more attempt would be in vain.
const manyFailures = 3

func (s *Store) expire(ctx context.Context, now time.Time) error {
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		due := millis(time.Now())
		return t.put(ctx, "UPDATE queued SET due = ? WHERE id IN "+t.db.ordered("expires <= ? AND due > ? AND state = 'waiting' AND "+free),
			due, millis(now), due, 2*s.config.claim().Milliseconds())
	})
	if err != nil {
		return err
	}
	for _, domain := range s.deliveries.away() {
		if err := s.giveUpAll(ctx, domain, now); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// giveUpAll gives up what is too old of a destination that is away.
func (s *Store) giveUpAll(ctx context.Context, domain string, now time.Time) error {
	for ctx.Err() == nil {
		old, err := s.claimRows(context.WithoutCancel(ctx), "domain = ? AND expires <= ?", "expires", 50, domain, millis(now))
		if err != nil || len(old) == 0 {
			return err
		}
		stuck := false
		old = s.deliveries.keep(old) // or others would take them over while this goes on
		for i, q := range old {
			if ctx.Err() != nil {
				s.unclaim(context.WithoutCancel(ctx), old[i:])
				break
			}
			stuck = !s.giveUp(ctx, q) || stuck
		}
		s.deliveries.forget(old)
		if stuck { // it would be claimed again at once
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// retain removes what has been kept long enough, some rows at a time, so that nobody waits for it.
func (s *Store) retain(ctx context.Context) error {
	now, sound, err := s.now(ctx)
	if err != nil || !sound {
		return err
	}
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error { return t.uncertain(ctx, time.Now()) })
	if err != nil {
		return err
	}
	if err := s.expireHeld(ctx, now); err != nil {
		return err
	}
	before := millis(now.Add(-s.config.LedgerFor))
	for _, table := range []string{"message", "message_event", "remedy", "audit"} {
		key := "id"
		if table == "message_event" || table == "remedy" {
			key = "message"
		}
		for ctx.Err() == nil {
			n, err := s.remove(ctx, "DELETE FROM "+table+" WHERE "+key+" IN (SELECT "+key+" FROM "+table+" WHERE at < ? ORDER BY at LIMIT 2000) AND at < ?", before, before)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
	}
	return ctx.Err()
}

// uncertain says of what somebody has been releasing for too long that nobody knows what became of it: the node
// died.
func (t *tx) uncertain(ctx context.Context, now time.Time) error {
	return t.put(ctx, `UPDATE held_recipient SET state = 'uncertain', detail = 'the node that released it died' WHERE state = 'releasing' AND at < ?`,
		millis(now.Add(-2*releaseTime)))
}

func (s *Store) remove(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
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
	for ctx.Err() == nil {
		var bodies []string
		err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
			var err error
			bodies, err = s.expireSome(ctx, t, now)
			return err
		})
		if err != nil || len(bodies) == 0 {
			return err
		}
		for _, key := range bodies {
			s.deleteBody(ctx, key)
		}
	}
	return ctx.Err()
}

// expireSome deletes some rows and returns their bodies, empty where there is none any more.
func (s *Store) expireSome(ctx context.Context, t *tx, now time.Time) ([]string, error) {
	rows, err := t.query(ctx, `DELETE FROM held WHERE id IN (SELECT id FROM held WHERE expires <= ?
 AND NOT EXISTS (SELECT 1 FROM held_recipient WHERE held = held.id AND state = 'releasing') LIMIT 500`+s.db.locked()+`) RETURNING id, body`, millis(now))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []any
	var bodies []string
	for rows.Next() {
		var id, body string
		if err := rows.Scan(&id, &body); err != nil {
			return nil, err
		}
		ids, bodies = append(ids, id), append(bodies, body)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return nil, err
	}
	rows.Close()
	err = t.put(ctx, "DELETE FROM held_recipient WHERE held IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
	return bodies, err
}
