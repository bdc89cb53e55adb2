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

// claim takes the oldest rows of a destination that are due, for this node.
func (s *Store) claim(ctx context.Context, domain string, most int) ([]Queued, error) {
	var out []Queued
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		out = out[:0]
		now := time.Now()
		rows, err := t.query(ctx, `UPDATE queued SET claimed = ?, claimant = ? WHERE id IN (
 SELECT id FROM queued WHERE domain = ? AND state = 'waiting' AND due <= ? AND claimed < ? ORDER BY at, id LIMIT ?`+s.db.locked()+`)
 RETURNING `+queuedColumns, millis(now.Add(claimTime)), s.config.Node, domain, millis(now), millis(now), most)
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
			if !due.IsZero() {
				q.Due = due
			}
			if _, err := t.exec(ctx, "UPDATE queued SET claimed = 0, claimant = '', due = ? WHERE id = ? AND claimant = ?", millis(q.Due), q.ID, s.config.Node); err != nil {
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
		until := millis(time.Now().Add(claimTime))
		for _, id := range ids {
			if _, err := t.exec(ctx, renewClaim, until, id, s.config.Node); err != nil {
				return err
			}
		}
		return nil
	})
}

const renewClaim = "UPDATE queued SET claimed = ? WHERE id = ? AND claimant = ?"

// attempt tries to deliver one row, and writes down what came of it.
func (s *Store) attempt(ctx context.Context, dir relay.Directory, q Queued) result {
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
			s.failed(ctx, q, err)
			return useless
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
	if !q.Expires.After(time.Now()) {
		return s.settleQueued(ctx, q, open, nil, errExpired)
	}
	body, err := s.bodies.Get(ctx, q.body)
	switch {
	case errors.Is(err, ErrNoBody) || errors.Is(err, ErrDamaged):
		s.setAside(ctx, q, err)
		return useless
	case err != nil:
		s.failed(ctx, q, err)
		return useless
	}
	watched := &watchedSource{Source: body}
	hop, err := s.hop(ctx, dir, q.Domain)
	if err != nil {
		s.settleQueued(ctx, q, open, nil, err)
		return away
	}
	dctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	receipts, err := hop.Deliver(dctx, e, watched)
	cancel()
	if why := watched.damage(); why != nil { // the hop was not told the end, so it has nothing
		s.setAside(ctx, q, why)
		return useless
	}
	if ctx.Err() != nil && err != nil {
		s.unclaim(context.WithoutCancel(ctx), []Queued{q}, q.Due) // we stop; nobody's fault
		return useless
	}
	if err == nil && len(receipts) != len(e.To) {
		err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(receipts), len(e.To))
	}
	return s.settleQueued(context.WithoutCancel(ctx), q, open, receipts, err)
}

// hop finds where a destination is today.
func (s *Store) hop(ctx context.Context, dir relay.Directory, domain string) (relay.NextHop, error) {
	if domain == bounceDomain {
		if s.bounces == nil {
			return nil, errors.New("no way for bounces is configured")
		}
		return s.bounces, nil
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

// settleQueued writes down what became of the open recipients: those that are done leave, those that failed
// are told to the sender, and for the rest there is another time.
func (s *Store) settleQueued(ctx context.Context, q Queued, open []int, receipts []relay.Receipt, err error) result {
	now := time.Now()
	r := went
	var dead []failure
	left, last := 0, ""
	states := make([]settled, len(open))
	for i, n := range open {
		reply, host := replyOf(receipts, i, err)
		detail := text(strings.TrimSpace(host+" "+reply.Error()), 512)
		switch {
		case reply.Code/100 == 2:
			states[i] = settled{StateDelivered, detail}
		case reply.Code >= 500:
			states[i] = settled{StateFailed, detail}
			dead = append(dead, failure{q.envelope.To[n], reply, host})
		default:
			states[i] = settled{StateWaiting, detail}
			left++
			last, r = detail, refused
			if err != nil || reply.Code == 421 {
				r = away
			}
		}
	}
	bounce := s.bounce(q, dead, now)
	if bounce != nil {
		if perr := s.bodies.Put(ctx, bounce.body, bounce.source); perr != nil {
			s.failed(ctx, q, fmt.Errorf("the notice of failure cannot be stored: %w", perr))
			return r
		}
	}
	werr := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		for i, n := range open {
			if err := s.settleRecipient(ctx, t, q, n, states[i], left, now); err != nil {
				return err
			}
		}
		if bounce != nil {
			if err := bounce.insert(ctx, t); err != nil {
				return err
			}
		}
		if left > 0 {
			due := now.Add(retryAfter(q.Attempts + 1))
			if r == away {
				due = now // the destination waits, not the message
			}
			_, err := t.exec(ctx, retryQueued, millis(due), text(last, 512), q.ID)
			return err
		}
		if _, err := t.exec(ctx, deleteQueuedRecipients, q.ID); err != nil {
			return err
		}
		_, err := t.exec(ctx, deleteQueued, q.ID)
		return err
	})
	if werr != nil {
		// It may be delivered again, by whoever gets the claim when it has ended.
		s.config.Log.Error("what became of a queued message cannot be written down", "id", q.ID, "error", werr)
		return r
	}
	if left == 0 {
		s.deleteBody(ctx, q.body)
	}
	if bounce != nil {
		s.wake(bounceDomain, now)
	}
	return r
}

const (
	retryQueued        = "UPDATE queued SET attempts = attempts + 1, due = ?, claimed = 0, claimant = '', last = ? WHERE id = ?"
	settleOneRecipient = "UPDATE queued_recipient SET state = ?, at = ?, detail = ? WHERE queued = ? AND n = ?"
)

func (s *Store) settleRecipient(ctx context.Context, t *tx, q Queued, n int, what settled, left int, now time.Time) error {
	if left > 0 { // else its row goes
		if _, err := t.exec(ctx, settleOneRecipient, what.state, millis(now), what.detail, q.ID, n); err != nil {
			return err
		}
	}
	if what.state == StateWaiting {
		return nil
	}
	_, err := t.exec(ctx, insertEvent, q.ID, millis(now), what.state, "", text(q.envelope.To[n].Address+": "+what.detail, 512))
	return err
}

// replyOf is what the hop said about the i-th recipient.
func replyOf(receipts []relay.Receipt, i int, err error) (*relay.Reply, string) {
	if err != nil {
		var r *relay.Reply
		if errors.As(err, &r) {
			return r, ""
		}
		return &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 1}, Text: err.Error()}, ""
	}
	if receipts[i].Reply == nil {
		return &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "the next hop gave no reply"}, receipts[i].Host
	}
	return receipts[i].Reply, receipts[i].Host
}

// failed puts a row back for later, for reasons of our own.
func (s *Store) failed(ctx context.Context, q Queued, why error) {
	s.config.Log.Error("a queued message cannot be delivered now", "id", q.ID, "error", why)
	s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Now().Add(retryAfter(q.Attempts+1)))
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
