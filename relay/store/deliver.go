package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// free is the condition that nobody works on a row. A claim that ends later than claims do was made by a clock
// that was wrong.
const free = "(claimed < @now OR claimed > @now + ?)"

// claim takes the oldest rows of a destination that are due, for this node. A row that somebody asked to be
// tried now is asked for once.
func (s *Store) claim(ctx context.Context, domain string, most int) ([]Queued, error) {
	now := time.Now()
	return s.claimRows(ctx, "domain = ? AND (due <= ? OR due > ?)", "at, id", most, domain, millis(now), millis(now.Add(insane)))
}

// claimRows takes rows that wait and are nobody's. ctx should not end: else it may not be known what was taken.
func (s *Store) claimRows(ctx context.Context, cond, order string, most int, args ...any) ([]Queued, error) {
	var out []Queued
	args = slices.Concat([]any{s.config.claim().Milliseconds(), s.claimant, millis(time.Now())}, args, []any{2 * s.config.claim().Milliseconds(), most})
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		out = out[:0]
		rows, err := t.query(ctx, `UPDATE queued SET claimed = @now + ?, claimant = ?, due = CASE WHEN due = 0 THEN ? ELSE due END WHERE id IN (
 SELECT id FROM queued WHERE state = 'waiting' AND `+cond+` AND `+free+` ORDER BY `+order+` LIMIT ?`+s.db.locked()+`)
 RETURNING `+queuedColumns, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			q, err := scanQueued(rows.Scan)
			if err != nil {
				return err
			}
			out = append(out, q)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Queued) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// unclaim lets go of rows; due is when they are to be tried, if that changes.
func (s *Store) unclaim(ctx context.Context, list []Queued, due time.Time) {
	if len(list) == 0 {
		return
	}
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		for _, q := range list {
			stmt, args := "UPDATE queued SET claimed = 0, claimant = '' WHERE id = ? AND claimant = ?", []any{q.ID, s.claimant}
			if !due.IsZero() {
				stmt, args = "UPDATE queued SET claimed = 0, claimant = '', due = ? WHERE id = ? AND claimant = ?", []any{millis(due), q.ID, s.claimant}
			}
			if _, err := t.exec(ctx, stmt, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.config.Log.Warn("claims were not given back and will end by themselves", "rows", len(list), "error", err)
	}
}

// renew keeps the claims on what is being delivered.
func (s *Store) renew(ctx context.Context) error {
	ids := s.deliveries.mine()
	if len(ids) == 0 {
		return nil
	}
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		for some := range slices.Chunk(ids, 500) {
			args := []any{s.config.claim().Milliseconds(), s.claimant}
			for _, id := range some {
				args = append(args, id)
			}
			_, err := t.exec(ctx, "UPDATE queued SET claimed = @now + ? WHERE claimant = ? AND id IN (?"+strings.Repeat(", ?", len(some)-1)+")", args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// freeClaims ends all claims, where it is known that nobody else works here.
func (s *Store) freeClaims(ctx context.Context) error {
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "UPDATE queued SET claimed = 0, claimant = '' WHERE claimed <> 0")
		return err
	})
}

// attempt tries to deliver one row, and writes down what came of it.
func (s *Store) attempt(ctx context.Context, q Queued) result {
	fresh := len(q.envelope.To) > 0
	if !fresh {
		full, err := s.QueuedMessage(ctx, q.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			return useless // dropped
		case errors.Is(err, errUnreadable):
			s.setAside(ctx, q, err)
			return useless
		case err != nil:
			return s.failed(ctx, q, err)
		}
		q = full
	}
	var open []int
	e := q.envelope
	e.To = nil
	for i, r := range q.envelope.To {
		if fresh || q.Recipients[i].State == StateWaiting {
			open = append(open, i)
			e.To = append(e.To, r)
		}
	}
	if len(open) == 0 || !q.Expires.After(time.Now()) {
		return max(useless, s.settleQueued(ctx, q, open, nil, errExpired)) // says nothing about the hop
	}
	body, err := s.body(ctx, q)
	switch {
	case errors.Is(err, ErrNoBody) || errors.Is(err, ErrDamaged):
		s.setAside(ctx, q, err)
		return useless
	case err != nil:
		return s.failed(ctx, q, err)
	}
	watched := &watchedSource{Source: body}
	hop, err := s.hop(ctx, q.Domain)
	if err != nil {
		return s.settleQueued(ctx, q, open, nil, err)
	}
	dctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	receipts, err := hop.Deliver(dctx, e, watched)
	cancel()
	if why := watched.damage(); why != nil { // the hop was not told the end, so it has nothing
		s.setAside(ctx, q, why)
		return useless
	}
	if ctx.Err() != nil && err != nil {
		s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Time{}) // we stop; nobody's fault
		return useless
	}
	if err == nil && len(receipts) != len(e.To) {
		err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(receipts), len(e.To))
	}
	return s.settleQueued(ctx, q, open, receipts, err)
}

// body is what is sent.
func (s *Store) body(ctx context.Context, q Queued) (verdict.Source, error) {
	if q.bytes != nil {
		return verdict.Bytes(q.bytes), nil
	}
	return s.bodies.Get(ctx, q.body)
}

// hop finds where a destination is today.
func (s *Store) hop(ctx context.Context, domain string) (relay.NextHop, error) {
	dir, bounces := s.deliveries.hops()
	if domain == bounceDomain {
		if bounces == nil {
			return nil, errors.New("no way for notices is configured")
		}
		return bounces, nil
	}
	if dir == nil {
		return nil, errors.New("the store does not run")
	}
	d, err := dir.Lookup(ctx, domain)
	if err != nil {
		return nil, err
	}
	if d == nil || d.Next == nil {
		return nil, errors.New("the domain has no next hop")
	}
	return d.Next, nil
}

var errExpired = &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 4, 7}, Text: "the message could not be delivered in time"}

// failed puts a row back for later, for reasons of our own.
func (s *Store) failed(ctx context.Context, q Queued, why error) result {
	s.config.Log.Error("a queued message cannot be delivered now", "id", q.ID, "error", why)
	s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Now().Add(retryAfter(q.Attempts+1)))
	return broken
}

// setAside keeps a row that cannot be delivered as it is, and that nobody must delete, out of the way.
func (s *Store) setAside(ctx context.Context, q Queued, why error) {
	s.config.Log.Error("a queued message cannot be read and was set aside: see queue show", "id", q.ID, "error", why)
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "UPDATE queued SET state = 'aside', claimed = 0, claimant = '', last = ? WHERE id = ?", text(why.Error(), 512), q.ID)
		return err
	})
	if err != nil {
		s.config.Log.Error("a queued message cannot be set aside", "id", q.ID, "error", err)
	}
}

// watchedSource notices that a body is damaged while it is being sent.
type watchedSource struct {
	verdict.Source
	mu  sync.Mutex
	why error
}

func (w *watchedSource) damage() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

func (w *watchedSource) Open() (io.ReadCloser, error) {
	r, err := w.Source.Open()
	if err != nil {
		return nil, err
	}
	return watchedReader{r, w}, nil
}

type watchedReader struct {
	io.ReadCloser
	w *watchedSource
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, ErrDamaged) {
		r.w.mu.Lock()
		r.w.why = err
		r.w.mu.Unlock()
	}
	return n, err
}
