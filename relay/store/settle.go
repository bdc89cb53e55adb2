package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// outcome is what one attempt made of the open recipients of a row.
type outcome struct {
	states    []settled
	dead      []failure // those among them who will not get it
	deadAt    []int     // their places in states
	uncertain []bool    // the next hop may have it all the same
	left      int       // recipients that wait
	last      string    // what the hop said of one of them
	result    result
}

// settled is what became of a recipient.
type settled struct{ state, detail string }

func outcomeOf(q Queued, open []int, receipts []relay.Receipt, err error) *outcome {
	o := &outcome{states: make([]settled, len(open)), uncertain: make([]bool, len(open))}
	for i, n := range open {
		reply, host := replyOf(receipts, i, err)
		detail := text(strings.TrimSpace(host+" "+reply.Error()), 512)
		switch {
		case reply.Code/100 == 2:
			o.states[i] = settled{StateDelivered, detail}
		case reply.Code >= 500:
			o.states[i] = settled{StateFailed, detail}
			o.dead = append(o.dead, failure{q.envelope.To[n], reply, host})
			o.deadAt = append(o.deadAt, i)
		default:
			o.wait(i, detail)
			o.uncertain[i] = errors.Is(err, relay.ErrUncertain) || errors.Is(reply, relay.ErrUncertain)
			if err != nil || reply.Code == 421 || reply.Enhanced[1] == 4 { // 4.4.x is about the way there
				o.result = away
			}
		}
	}
	return o
}

// wait has a recipient wait for another time.
func (o *outcome) wait(i int, detail string) {
	o.states[i] = settled{StateWaiting, detail}
	o.left++
	o.last = detail
	o.result = max(o.result, refused)
}

// replyOf is what the hop said about the i-th recipient.
func replyOf(receipts []relay.Receipt, i int, err error) (*relay.Reply, string) {
	if err != nil {
		var r *relay.Reply
		if errors.As(err, &r) {
			return r, ""
		}
		return &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 1}, Text: "the next hop does not answer", Err: err}, ""
	}
	if receipts[i].Reply == nil {
		return &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 3, 0}, Text: "the next hop gave no reply"}, receipts[i].Host
	}
	return receipts[i].Reply, receipts[i].Host
}

// settleQueued writes down what became of the open recipients: those that are done leave, those that failed
// are told to the sender, and for the rest there is another time.
func (s *Store) settleQueued(ctx context.Context, q Queued, open []int, receipts []relay.Receipt, err error) result {
	now := time.Now()
	o := outcomeOf(q, open, receipts, err)
	bounce := s.bounce(ctx, q, o.dead, now)
	if bounce != nil {
		if perr := s.bodies.Put(ctx, bounce.body, bounce.source); perr != nil {
			// Who was delivered to is written down; who was refused is asked for again, until there is room for the notice.
			s.config.Log.Error("a notice of failure cannot be stored and will be tried again", "id", q.ID, "error", perr)
			bounce = nil
			for _, i := range o.deadAt {
				o.wait(i, o.states[i].detail)
			}
		}
	}
	if werr := s.persist(ctx, q.ID, func(ctx context.Context, t *tx) error { return s.settleRows(ctx, t, q, open, o, bounce, now) }); werr != nil {
		// It may be delivered again, by whoever gets the claim when it has ended.
		s.config.Log.Error("what became of a queued message cannot be written down", "id", q.ID, "error", werr)
		return broken
	}
	if o.left == 0 {
		s.deleteBody(context.WithoutCancel(ctx), q.body)
	}
	if bounce != nil {
		s.wake(bounceDomain, now)
	}
	return o.result
}

// persist commits what has happened already. While the database is away it goes on trying, and takes part of
// its destination's concurrency with it: what cannot be written down must not be done again and again.
func (s *Store) persist(ctx context.Context, id string, do func(ctx context.Context, t *tx) error) error {
	pause := 100 * time.Millisecond
	for {
		err := s.committer.commit(context.WithoutCancel(ctx), do)
		if err == nil || ctx.Err() != nil || errors.Is(err, errClosed) {
			return err
		}
		s.config.Log.Debug("written down later", "id", id, "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
}

func (s *Store) settleRows(ctx context.Context, t *tx, q Queued, open []int, o *outcome, bounce *notice, now time.Time) error {
	for i, n := range open {
		if o.left > 0 { // else its row goes
			if _, err := t.exec(ctx, settleOneRecipient, o.states[i].state, millis(now), o.states[i].detail, q.ID, n); err != nil {
				return err
			}
		}
		what := o.states[i].state
		if o.uncertain[i] {
			what = StateUncertain
		}
		if what == StateWaiting {
			continue
		}
		if _, err := t.exec(ctx, insertEvent, q.ID, millis(now), what, "", text(q.envelope.To[n].Address+": "+o.states[i].detail, 512)); err != nil {
			return err
		}
	}
	if bounce != nil {
		if err := bounce.insert(ctx, t); err != nil {
			return err
		}
	}
	if o.left > 0 {
		due := now.Add(retryAfter(q.Attempts + 1))
		if o.result == away {
			due = now // the destination waits, not the message
		}
		_, err := t.exec(ctx, retryQueued, millis(due), text(o.last, 512), q.ID, s.claimant)
		return err
	}
	if _, err := t.exec(ctx, deleteQueuedRecipients, q.ID); err != nil {
		return err
	}
	_, err := t.exec(ctx, deleteQueued, q.ID)
	return err
}

const (
	retryQueued        = "UPDATE queued SET attempts = attempts + 1, due = ?, claimed = 0, claimant = '', last = ? WHERE id = ? AND claimant = ?"
	settleOneRecipient = "UPDATE queued_recipient SET state = ?, at = ?, detail = ? WHERE queued = ? AND n = ? AND state = 'waiting'"
)

// warn tells the senders of messages that are late, once each (RFC 3461 section 5.2.5 leaves it to us).
func (s *Store) warn(ctx context.Context, now time.Time) error {
	if s.config.WarnAfter <= 0 {
		return nil
	}
	rows, err := s.db.query(ctx, `SELECT id FROM queued WHERE warned = 0 AND state = 'waiting' AND mail_from <> '' AND at <= ? ORDER BY expires LIMIT 500`,
		millis(now.Add(-s.config.WarnAfter)))
	if err != nil {
		return err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.warnOne(ctx, id, now); err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		s.wake(bounceDomain, now)
	}
	return nil
}

func (s *Store) warnOne(ctx context.Context, id string, now time.Time) error {
	q, err := s.QueuedMessage(ctx, id)
	if errors.Is(err, ErrNotFound) || errors.Is(err, errUnreadable) {
		return nil
	}
	if err != nil {
		return err
	}
	var late []failure
	for i, r := range q.Recipients {
		if r.State == StateWaiting {
			late = append(late, failure{to: q.envelope.To[i], reply: errLate})
		}
	}
	n := s.delayNotice(ctx, q, late, now)
	if n != nil {
		if err := s.bodies.Put(ctx, n.body, n.source); err != nil {
			return fmt.Errorf("store: a notice of delay: %w", err)
		}
	}
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, "UPDATE queued SET warned = 1 WHERE id = ? AND warned = 0", id)
		if err != nil {
			return err
		}
		if changed, err := res.RowsAffected(); err != nil || changed == 0 || n == nil {
			return err
		}
		return n.insert(ctx, t)
	})
}

var errLate = &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 1}, Text: "the message could not be delivered yet"}
