package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// outcome is what one attempt made of the open recipients of a row.
type outcome struct {
	states    []settled
	dead      []fate // those among them who will not get it
	deadAt    []int  // their places in states
	relayed   []fate // those whose sender asked for a notice of delivery, which nobody else sends
	uncertain []bool // the next hop may have it all the same
	left      int    // recipients that wait
	last      string // what the hop said of one of them
	result    result
	told      telling // what becomes of dead and relayed

	// What was written down.
	wrote telling // of told
	kept  bool    // it is in quarantine
	over  bool    // the row is gone, and its body belongs to nobody
}

// settled is what became of a recipient.
type settled struct{ state, detail string }

func outcomeOf(q Queued, open []int, receipts []relay.Receipt, err error) *outcome {
	o := &outcome{states: make([]settled, len(open)), uncertain: make([]bool, len(open))}
	some := slices.ContainsFunc(receipts, relay.Receipt.Accepted)
	for i, n := range open {
		reply, host := replyOf(receipts, i, err)
		detail := text(strings.TrimSpace(host+" "+reply.Error()), 512)
		switch {
		case reply.Code/100 == 2:
			o.states[i] = settled{StateDelivered, detail}
			if err == nil && receipts[i].Relayed(q.envelope.To[n]) {
				o.relayed = append(o.relayed, fate{q.envelope.To[n], reply, host})
			}
			continue
		case reply.Code >= 500 && !q.own && !q.vouched && untold(reply, some):
			o.states[i] = settled{StateRefused, refusedDetail(reply, detail)}
			continue
		case reply.Code >= 500:
			o.fail(i, fate{q.envelope.To[n], reply, host}, detail)
			continue
		}
		// 4.4.x is about the way there. What makes the hop panic is about the message.
		o.result = max(o.result, refused)
		if !errors.Is(err, errPanic) && (err != nil || reply.Code == 421 || reply.Enhanced[1] == 4) {
			o.result = away
		}
		if q.last {
			late := *errExpired
			late.Text += "; at last: " + said(reply)
			o.fail(i, fate{q.envelope.To[n], &late, ""}, text(errExpired.Error()+"; at last: "+detail, 512))
			continue
		}
		o.wait(i, detail)
		o.uncertain[i] = errors.Is(err, relay.ErrUncertain) || errors.Is(reply, relay.ErrUncertain)
	}
	if some { // then it works, whatever it says of others
		o.result = went
	}
	return o
}

// fail gives up a recipient, whose sender is told.
func (o *outcome) fail(i int, f fate, detail string) {
	o.states[i] = settled{StateFailed, detail}
	o.dead = append(o.dead, f)
	o.deadAt = append(o.deadAt, i)
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
// are told to the sender or kept in quarantine, and for the rest there is another time.
func (s *Store) settleQueued(ctx context.Context, q Queued, open []int, receipts []relay.Receipt, err error) result {
	now := time.Now()
	o := outcomeOf(q, open, receipts, err)
	o.told = s.tell(ctx, q, o, now)
	kept := s.refusal(ctx, q, open, o, now)
	if werr := s.persist(ctx, q.ID, func(ctx context.Context, t *tx) error { return s.settleRows(ctx, t, q, open, o, kept, now) }); werr != nil {
		// It may be delivered again, by whoever gets the claim when it has ended.
		s.config.Log.Error("what became of a queued message cannot be written down", "id", q.ID, "error", werr)
		return broken
	}
	if o.over {
		s.deliveries.deleter.take(q.body)
	}
	for _, key := range o.told.without(o.wrote) {
		s.deliveries.deleter.take(key)
	}
	s.said(q, o.wrote, now)
	if o.kept {
		s.config.Log.Warn("a queued message was put into quarantine, and its sender is not told: "+kept.reason(), "id", q.ID, "domain", q.Domain, "reply", kept.details[0])
	}
	for i := range open {
		if q.own && o.states[i].state == StateFailed {
			s.config.Log.Warn("a notice could not be delivered, and nobody is told in its place", "id", q.ID, "about", q.About, "reply", o.states[i].detail)
		}
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

// settleRows begins with the row itself: if it is gone, or somebody else has taken it over, all that is still true is
// who was delivered to. So it can be done again where nobody knows whether it was done.
func (s *Store) settleRows(ctx context.Context, t *tx, q Queued, open []int, o *outcome, kept *refusal, now time.Time) error {
	o.over, o.kept, o.wrote = false, false, telling{}
	var res sql.Result
	var err error
	switch {
	case o.left > 0:
		due := now.Add(retryAfter(q.Attempts + 1))
		if o.result == away && !putOff(q) {
			due = now // the destination waits, not the message
		}
		res, err = t.exec(ctx, retryQueued, millis(due), text(o.last, 512), q.ID, s.claimant)
	case len(o.dead) == 0 && kept == nil:
		res, err = t.exec(ctx, deleteQueued, q.ID) // it is delivered, whoever has it now
	default:
		res, err = t.exec(ctx, deleteOurs, q.ID, s.claimant)
	}
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, t.settleDelivered(ctx, q, open, o, now))
	}
	for i, n := range open {
		if o.left > 0 { // else its row goes
			if err := t.put(ctx, settleOneRecipient, o.states[i].state, millis(now), o.states[i].detail, q.ID, n); err != nil {
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
		if err := t.event(ctx, q, n, what, o.states[i].detail, now); err != nil {
			return err
		}
	}
	if err := o.told.insert(ctx, t, q, now); err != nil {
		return err
	}
	o.wrote = o.told
	if o.left > 0 {
		return nil
	}
	if kept != nil {
		if err := kept.insert(ctx, t); err != nil {
			return err
		}
	}
	o.kept, o.over = kept != nil, kept == nil
	return t.put(ctx, deleteQueuedRecipients, q.ID)
}

// settleDelivered writes down who was delivered to, in a row that is somebody else's now.
func (t *tx) settleDelivered(ctx context.Context, q Queued, open []int, o *outcome, now time.Time) error {
	news := false
	for i, n := range open {
		if o.states[i].state != StateDelivered {
			continue
		}
		res, err := t.exec(ctx, settleOneRecipient, StateDelivered, millis(now), o.states[i].detail, q.ID, n)
		if err != nil {
			return err
		}
		if changed, err := res.RowsAffected(); err != nil {
			return err
		} else if changed == 0 {
			continue
		}
		news = true
		if err := t.event(ctx, q, n, StateDelivered, o.states[i].detail, now); err != nil {
			return err
		}
	}
	if news {
		o.wrote = o.told.relayed()
		return o.wrote.insert(ctx, t, q, now)
	}
	// Perhaps all of it was written by an earlier try of which nobody knew: then the notices are there.
	for _, n := range o.told.notices {
		there, err := t.texts(ctx, "SELECT id FROM queued WHERE id = ?", n.id)
		if err != nil {
			return err
		}
		if len(there) > 0 {
			o.wrote.notices = append(o.wrote.notices, n)
		}
	}
	return nil
}

// event writes into the ledger what became of the n-th recipient. What became of a notice stands with the message that
// it is about.
func (t *tx) event(ctx context.Context, q Queued, n int, what, detail string, now time.Time) error {
	id, detail := q.ID, q.envelope.To[n].Address+": "+detail
	if q.About != "" {
		id, what, detail = q.About, aboutNotice[what], "notice "+q.ID+" to "+detail
		if what == "" {
			return nil
		}
	}
	return t.put(ctx, insertEvent, id, millis(now), what, "", text(detail, 512))
}

// putOff says whether a message at which its hop was away waits by itself: it may be the reason.
func putOff(q Queued) bool { return q.Attempts > 0 }

const (
	deleteOurs         = "DELETE FROM queued WHERE id = ? AND claimant = ?"
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
	var late []fate
	for i, r := range q.Recipients {
		if r.State == StateWaiting {
			late = append(late, fate{to: q.envelope.To[i], reply: errLate})
		}
	}
	told, err := s.tellDelayed(ctx, q, late, now)
	if err != nil {
		return fmt.Errorf("store: a notice of delay: %w", err)
	}
	wrote := false
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, "UPDATE queued SET warned = 1 WHERE id = ? AND warned = 0", id)
		if err != nil {
			return err
		}
		changed, err := res.RowsAffected()
		if wrote = changed > 0; err != nil || !wrote {
			return err
		}
		return told.insert(ctx, t, q, now)
	})
	for _, n := range told.notices {
		if err == nil && !wrote { // another node did
			s.deleteBody(ctx, n.body)
		}
		s.discard(ctx, n.body, err) // the sweep of the queue comes back four times a minute
	}
	if err == nil && wrote {
		s.said(q, told, now)
	}
	return err
}

// tellDelayed makes the notice that a message is late, if the sender is told of that.
func (s *Store) tellDelayed(ctx context.Context, q Queued, late []fate, now time.Time) (telling, error) {
	list, why := q.tellable(actionDelayed, late)
	if why != "" {
		return telling{}, nil
	}
	n := s.notice(q, func() []byte { return s.headOf(ctx, q) }, list, actionDelayed, now)
	if err := s.noticeRoom(ctx, n); errors.Is(err, ErrFull) {
		return telling{silent: []string{actionDelayed + ": there is no room for the notice: " + err.Error()}}, nil
	} else if err != nil {
		return telling{}, err
	}
	return telling{notices: []*notice{n}}, s.putNotice(ctx, n)
}

var errLate = &relay.Reply{Code: 451, Enhanced: relay.EnhancedCode{4, 4, 1}, Text: "the message could not be delivered yet"}
