package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// free is the condition that nobody works on a row. A claim that ends later than claims do was made by a clock
// that was wrong.
const free = "(claimed < @now OR claimed > @now + ?)"

// claimed is the claim of this node on a row that is here.
type claimed struct {
	since time.Time // before it was made or renewed for the last time, by both clocks
	again bool      // made once more while the row was here
	lost  bool      // somebody else has it, or the row is gone
}

// good says whether the claim holds for sure, and for long enough to begin something. One clock may have jumped, and
// the other stands still while a machine is suspended: a claim is as old as either of them says.
func (c *claimed) good(lasts time.Duration) bool {
	now := time.Now()
	return !c.lost && max(now.Sub(c.since), now.Round(0).Sub(c.since.Round(0))) < lasts/4*3
}

// claim takes the oldest rows of a destination that are due, for this node; or those that were tried least often. A row
// that somebody asked to be tried now is asked for once.
func (s *Store) claim(ctx context.Context, domain string, least bool, most int) ([]Queued, error) {
	now := time.Now()
	order := "at, id"
	if least {
		order = "attempts, at, id"
	}
	return s.claimRows(ctx, "domain = ? AND (due <= ? OR due > ?)", order, most, domain, millis(now), millis(now.Add(insane)))
}

// claimRows takes rows that wait and are nobody's. ctx should not end: else it may not be known what was taken. Where
// a claim of somebody else has ended, who died or was cut off, the ledger says that the message may go out twice.
func (s *Store) claimRows(ctx context.Context, cond, order string, most int, args ...any) ([]Queued, error) {
	var out []Queued
	query := "SELECT " + queuedColumns + ", @now FROM queued WHERE state = 'waiting' AND " + cond + " AND " + free + " ORDER BY " + order + " LIMIT ?" + s.db.locked()
	args = append(args, 2*s.config.claim().Milliseconds(), most)
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		since := time.Now()
		var err error
		if out, err = s.readRows(ctx, t, query, args, since); err != nil {
			return err
		}
		for some := range slices.Chunk(out, 500) {
			set := []any{s.config.claim().Milliseconds(), s.claimant, millis(since)}
			for _, q := range some {
				set = append(set, q.ID)
				if q.Claimant != "" && q.Claimant != s.claimant {
					if err := t.doubt(ctx, q.ID, q.Claimant, since); err != nil {
						return err
					}
				}
			}
			if err := t.put(ctx, "UPDATE queued SET claimed = @now + ?, claimant = ?, due = CASE WHEN due = 0 THEN ? ELSE due END WHERE id IN ("+marks(len(some))+")", set...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if order == "at, id" {
		slices.SortFunc(out, func(a, b Queued) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	}
	return out, nil
}

// readRows reads the rows that are about to be claimed, with the time that is left to them by the clock of the database.
// Those that cannot be read are set aside, and are not among them.
func (s *Store) readRows(ctx context.Context, t *tx, query string, args []any, since time.Time) ([]Queued, error) {
	rows, err := t.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out, odd []Queued
	for rows.Next() {
		var now int64
		q, err := scanQueued(func(dst ...any) error { return rows.Scan(append(dst, &now)...) })
		if errors.Is(err, errOdd) {
			q.Last = err.Error()
			odd = append(odd, q)
			continue
		}
		if err != nil {
			return nil, err
		}
		s.deliveries.clock.note(s, now)
		q.since, q.ends = since, since.Add(time.Duration(millis(q.Expires)-now)*time.Millisecond)
		out = append(out, q)
	}
	if err := firstError(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, q := range odd {
		s.config.Log.Error("a queued message cannot be read and is set aside: see queue list", "id", q.ID, "error", q.Last)
		if err := t.put(ctx, "UPDATE queued SET state = 'aside', claimed = 0, claimant = '', last = ? WHERE id = ?", q.Last, q.ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// marks are the places of n values in a statement.
func marks(n int) string { return "?" + strings.Repeat(", ?", n-1) }

// mayBeTwice says what an event StateUncertain is about where a claim was taken over.
const mayBeTwice = "who delivered it did not say what came of it: it is delivered again, maybe for the second time"

// doubt notes that whoever had claimed a row may have delivered it: once for each of them.
func (t *tx) doubt(ctx context.Context, id, claimant string, now time.Time) error {
	return t.put(ctx, `INSERT INTO message_event (message, at, what, who, detail) SELECT CAST(? AS TEXT), CAST(? AS BIGINT), 'uncertain', CAST(? AS TEXT), CAST(? AS TEXT)
 WHERE NOT EXISTS (SELECT 1 FROM message_event WHERE message = ? AND what = 'uncertain' AND who = ?)`, id, millis(now), claimant, mayBeTwice, id, claimant)
}

// unclaim lets go of rows.
func (s *Store) unclaim(ctx context.Context, list []Queued) {
	if len(list) == 0 {
		return
	}
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		for some := range slices.Chunk(list, 500) {
			args := []any{s.claimant}
			for _, q := range some {
				args = append(args, q.ID)
			}
			if err := t.put(ctx, "UPDATE queued SET claimed = 0, claimant = '' WHERE id IN "+t.db.ordered("claimant = ? AND id IN ("+marks(len(some))+")"), args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.config.Log.Warn("claims were not given back and will end by themselves", "rows", len(list), "error", err)
	}
}

// hasten makes rows due that were put off while their hop was away.
func (s *Store) hasten(ctx context.Context, ids []string) {
	if len(ids) == 0 {
		return
	}
	now := millis(time.Now())
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		for some := range slices.Chunk(ids, 500) {
			args := []any{now, now}
			for _, id := range some {
				args = append(args, id)
			}
			if err := t.put(ctx, "UPDATE queued SET due = ? WHERE id IN "+t.db.ordered("due > ? AND id IN ("+marks(len(some))+")"), args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.config.Log.Warn("messages that were put off will be tried when they are due", "rows", len(ids), "error", err)
	}
}

// renew keeps the claims on what is being delivered, and finds out which are lost.
func (s *Store) renew(ctx context.Context) error {
	ids := s.deliveries.mine()
	if len(ids) == 0 {
		return nil
	}
	since := time.Now()
	var renewed, ours []string
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		renewed, ours = nil, nil
		for some := range slices.Chunk(ids, 500) {
			r, o, err := t.renewSome(ctx, s.config.claim(), s.claimant, some)
			if err != nil {
				return err
			}
			renewed, ours = append(renewed, r...), append(ours, o...)
		}
		return nil
	})
	if err == nil {
		s.deliveries.renewed(ids, renewed, ours, since)
	}
	return err
}

// renewSome returns which claims it has renewed, and which of the others are still ours: a row that somebody else has
// locked for a moment must not end the claims on all the others.
func (t *tx) renewSome(ctx context.Context, limit time.Duration, claimant string, ids []string) (renewed, ours []string, err error) {
	args := []any{limit.Milliseconds(), claimant}
	for _, id := range ids {
		args = append(args, id)
	}
	in := " WHERE claimant = ? AND id IN (" + marks(len(ids)) + ")"
	renewed, err = t.texts(ctx, "UPDATE queued SET claimed = @now + ? WHERE id IN (SELECT id FROM queued"+in+t.db.locked()+") RETURNING id", args...)
	if err == nil && len(renewed) < len(ids) {
		ours, err = t.texts(ctx, "SELECT id FROM queued"+in, args[1:]...)
	}
	return renewed, ours, err
}

// freeClaims ends all claims, where it is known that nobody else works here. Who made them has been killed.
func (s *Store) freeClaims(ctx context.Context) error {
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		if err := t.put(ctx, `INSERT INTO message_event (message, at, what, who, detail) SELECT id, @now, 'uncertain', claimant, ? FROM queued
 WHERE claimed <> 0 AND claimant <> '' AND claimant <> ?`, mayBeTwice, s.claimant); err != nil {
			return err
		}
		return t.put(ctx, "UPDATE queued SET claimed = 0, claimant = '' WHERE claimed <> 0")
	})
}

// mine lists the rows that are here.
func (d *deliveries) mine() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.rows))
}

// renewed takes note of what was renewed, and of what was not.
func (d *deliveries) renewed(asked, renewed, ours []string, since time.Time) {
	here := make(map[string]bool, len(asked)) // true: renewed
	for _, id := range ours {
		here[id] = false
	}
	for _, id := range renewed {
		here[id] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range asked {
		c := d.rows[id]
		done, ours := here[id]
		switch {
		case c == nil: // done in the meantime
		case done:
			c.since = since
		case !ours && c.since.Before(since):
			c.lost = true
		}
	}
}

// holds says whether an attempt at a row may begin: nobody else can have it. again says that somebody else may have had
// it since it came here.
func (d *deliveries) holds(id string) (ours, again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.rows[id]
	if c == nil {
		return false, false
	}
	return c.good(d.s.config.claim()), c.again
}

// keep has the claims on rows renewed that are in no lane. It returns them without those that are in one after all.
func (d *deliveries) keep(list []Queued) []Queued {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil { // nothing is delivered here
		d.rows = make(map[string]*claimed)
	}
	return slices.DeleteFunc(list, func(q Queued) bool {
		c, here := d.rows[q.ID]
		if here {
			*c = claimed{since: q.since, again: true}
		} else {
			d.rows[q.ID] = &claimed{since: q.since}
		}
		return here
	})
}

// forget ends what keep began.
func (d *deliveries) forget(list []Queued) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range list {
		delete(d.rows, q.ID)
	}
}
