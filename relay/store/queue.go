package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Queued is a message whose next hop did not take it when it came.
type Queued struct {
	ID         string            `json:"id"`
	At         time.Time         `json:"at"`
	Expires    time.Time         `json:"expires"`
	Domain     string            `json:"domain"`
	MailFrom   string            `json:"mail_from"`
	Size       int64             `json:"size"`
	Attempts   int               `json:"attempts"`
	Due        time.Time         `json:"due,omitzero"`     // of the next attempt; zero: at once, somebody asked for it
	Claimed    time.Time         `json:"claimed,omitzero"` // until when Claimant works on it
	Claimant   string            `json:"claimant,omitempty"`
	Warned     bool              `json:"warned,omitempty"` // the sender was told of the delay
	State      string            `json:"state"`            // waiting, or aside: it cannot be read or sent, and somebody has to look
	Last       string            `json:"last,omitempty"`   // why the last attempt failed; at first the one before it was queued
	About      string            `json:"about,omitempty"`  // of a notice: the id of the message it is about; only QueuedMessage has it
	Recipients []QueuedRecipient `json:"recipients,omitempty"`
	envelope   verdict.Envelope
	body       string
	bytes      []byte // the body, if it is still in memory
	copied     int64  // the share of deliveries.copied

	vouched bool      // see vouched
	own     bool      // a notice of ours, about which nobody is told anything
	since   time.Time // before it was claimed by this node
	ends    time.Time // when it expires, by the clock of the database; zero if it was not claimed
	last    bool      // no other attempt comes after this one
}

// QueuedRecipient is what became of a queued message for one recipient.
type QueuedRecipient struct {
	Address string    `json:"address"`
	State   string    `json:"state"` // waiting, delivered, failed, refused, dropped
	At      time.Time `json:"at"`
	Detail  string    `json:"detail,omitempty"`
}

// States of queued messages and of their recipients.
const (
	StateWaiting   = "waiting"
	StateDelivered = "delivered"
	StateFailed    = "failed"  // for good; an event says whether the sender is told
	StateRefused   = "refused" // for good, for what it says; it goes into quarantine when no recipient waits any more
	StateDropped   = "dropped" // by a person
	StateAside     = "aside"
)

const (
	insertQueued = `INSERT INTO queued (id, at, expires, domain, mail_from, envelope, size, body, due, last, attempts, claimed, claimant, warned, state)
 VALUES (?, ?, @now + ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, 'waiting')`
	insertClaimed = `INSERT INTO queued (id, at, expires, domain, mail_from, envelope, size, body, due, last, attempts, claimed, claimant, warned, state)
 VALUES (?, ?, @now + ?, ?, ?, ?, ?, ?, ?, ?, 0, @now + ?, ?, 0, 'waiting')`
	insertQueuedRecipient = `INSERT INTO queued_recipient (queued, n, address, state, at, detail) VALUES (?, ?, ?, 'waiting', ?, '')`
)

// claimTime is how long a row is somebody's who works on it, before others may take it. Claims are renewed four
// times as often.
const claimTime = time.Minute

// Enqueue keeps a message until its next hop takes it. It implements relay.Queue. This node tries at once, as
// long as it is not busy; the rest is the destination's job.
func (s *Store) Enqueue(ctx context.Context, d *relay.Domain, m *verdict.Message, e verdict.Envelope, body verdict.Source, why string) error {
	if err := firstError(s.room.take(body.Size(), 1), s.queuedBytes.take(ctx, body.Size())); err != nil {
		return fmt.Errorf("store: queue: %w", err)
	}
	now := time.Now()
	due := now
	if d.Mode != relay.StoreAndForward { // it was tried just now, in vain
		due = now.Add(retryAfter(1) / 4)
	}
	q := Queued{
		ID: m.ID, At: now, Expires: now.Add(s.config.QueuedFor), Domain: d.Name, MailFrom: text(e.From, 512), Size: body.Size(),
		Due: due, State: StateWaiting, Last: why, envelope: e, body: newKey(now), vouched: vouched(m, e.From),
	}
	return s.enqueue(ctx, q, body, now)
}

func (s *Store) enqueue(ctx context.Context, q Queued, body verdict.Source, now time.Time) error {
	if err := s.bodies.Put(ctx, q.body, body); err != nil {
		return fmt.Errorf("store: queue: %w", err)
	}
	fresh := false
	if q.Due.Equal(now) {
		fresh, q.copied = s.deliveries.reserve(q.Domain, q.Size)
	}
	stmt, args := insertQueued, q.row()
	if q.copied > 0 {
		q.bytes = bytesOf(body)
	}
	if fresh {
		q.Claimant = s.claimant
		stmt, args = insertClaimed, append(args, s.config.claim().Milliseconds(), q.Claimant)
	}
	to := q.envelope.Addresses()
	q.since, q.ends = time.Now(), q.Expires
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error { return t.insertQueued(ctx, stmt, args, q.ID, to, now) })
	switch {
	case err != nil && fresh:
		s.deliveries.cancel(q)
	case fresh:
		s.deliveries.add(q)
	default:
		s.wake(q.Domain, q.Due)
	}
	if err != nil {
		s.discard(ctx, q.body, err)
		return fmt.Errorf("store: queue: %w", err)
	}
	return nil
}

// discardTime is how long a sender waits, who is told 451, for the deletion of what was not kept.
const discardTime = 3 * time.Second

// discard deletes the body of a row that was not written because of err. Where the row may be there, or may come, the
// body stays: it is swept, unless a row names it then. Senders try again, each time with another body, so that a database
// that is away for hours would fill the disk otherwise.
func (s *Store) discard(ctx context.Context, key string, err error) {
	if _, certain := errors.AsType[unwritten](err); !certain {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	s.deleteBody(ctx, key)
}

// bytesOf reads a small body. What cannot be read, though it was just now, is nil.
func bytesOf(body verdict.Source) []byte {
	b := bytes.NewBuffer(make([]byte, 0, body.Size()))
	if err := copyAll(b, body); err != nil {
		return nil
	}
	return b.Bytes()
}

// row is what insertQueued wants.
func (q *Queued) row() []any {
	e := rowOf(q.envelope)
	e.Vouched, e.Own, e.About = q.vouched, q.own, q.About
	return []any{q.ID, millis(q.At), q.Expires.Sub(q.At).Milliseconds(), q.Domain, q.MailFrom, pack(e), q.Size, q.body, millis(q.Due), text(q.Last, 512)}
}

func (t *tx) insertQueued(ctx context.Context, stmt string, args []any, id string, to []string, now time.Time) error {
	if err := t.put(ctx, stmt, args...); err != nil {
		return err
	}
	for i, a := range to {
		if err := t.put(ctx, insertQueuedRecipient, id, i, text(a, 512), millis(now)); err != nil {
			return err
		}
	}
	return nil
}

const queuedColumns = `id, at, expires, domain, mail_from, size, attempts, due, claimed, claimant, warned, state, last`

// QueuedMessages lists what waits, oldest first, without recipients. Of a row that cannot be read it is what can be.
func (s *Store) QueuedMessages(ctx context.Context, f Filter) ([]Queued, error) {
	var w where
	if f.Domain != "" {
		w.add("domain = ?", f.Domain)
	}
	if f.Sender != "" {
		w.add(`lower(mail_from) LIKE ? ESCAPE '\'`, like(f.Sender))
	}
	if f.Recipient != "" {
		w.add(`id IN (SELECT queued FROM queued_recipient WHERE lower(address) LIKE ? ESCAPE '\')`, like(f.Recipient))
	}
	if !f.Since.IsZero() {
		w.add("at >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("at < ?", millis(f.Until))
	}
	if f.Before != "" {
		w.add("(at, id) > (SELECT at, id FROM queued WHERE id = ?)", f.Before)
	}
	rows, err := s.db.query(ctx, "SELECT "+queuedColumns+" FROM queued"+w.String()+fmt.Sprintf(" ORDER BY at, id LIMIT %d", f.limit()), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Queued
	for rows.Next() {
		q, err := scanQueued(rows.Scan)
		if err != nil && !errors.Is(err, errOdd) {
			return nil, err
		}
		out = append(out, q)
	}
	return out, rows.Err()
}

// scanQueued reads queuedColumns. With errOdd the rest of the row was read all the same.
func scanQueued(scan func(dst ...any) error) (Queued, error) {
	var q Queued
	var at, expires, size, attempts, due, claimed, warned number
	err := scan(&q.ID, &at, &expires, &q.Domain, &q.MailFrom, &size, &attempts, &due, &claimed, &q.Claimant, &warned, &q.State, &q.Last)
	q.At, q.Expires, q.Due, q.Claimed = fromMillis(at.n), fromMillis(expires.n), fromMillis(due.n), fromMillis(claimed.n)
	q.Size, q.Attempts, q.Warned = size.n, int(attempts.n), warned.n != 0
	if err == nil && (at.odd || expires.odd || size.odd || attempts.odd || due.odd || warned.odd) { // claimed is written anew by whoever claims it
		err = errOdd
	}
	return q, err
}

// errOdd is about a row with something else where a number belongs.
var errOdd = errors.New("a column of its row has no number where there must be one")

// number is a column that has numbers, mostly: SQLite takes anything everywhere.
type number struct {
	n    int64
	odd  bool // it is none; n is 0
	null bool
}

// Scan takes what the database has, and never fails.
func (n *number) Scan(v any) error {
	i, ok := v.(int64)
	*n = number{i, !ok, v == nil}
	return nil
}

// QueuedMessage returns one queued message with its recipients. Its bytes: see QueuedBody.
func (s *Store) QueuedMessage(ctx context.Context, id string) (Queued, error) {
	var envelope, body string
	q, odd := scanQueued(func(dst ...any) error {
		return s.db.queryRow(ctx, "SELECT "+queuedColumns+", envelope, body FROM queued WHERE id = ?", id).Scan(append(dst, &envelope, &body)...)
	})
	if odd != nil && !errors.Is(odd, errOdd) {
		return q, notFound(odd, "queued message", id)
	}
	q.body = body
	rows, err := s.db.query(ctx, "SELECT address, state, at, detail FROM queued_recipient WHERE queued = ? ORDER BY n", id)
	if err != nil {
		return q, err
	}
	defer rows.Close()
	for rows.Next() {
		var r QueuedRecipient
		var at number
		if err := rows.Scan(&r.Address, &r.State, &at, &r.Detail); err != nil {
			return q, err
		}
		r.At = fromMillis(at.n)
		q.Recipients = append(q.Recipients, r)
	}
	if err := rows.Err(); err != nil {
		return q, err
	}
	e, err := unpackRow(envelope)
	q.envelope, q.vouched, q.own, q.About = e.envelope(), e.Vouched, e.Own, e.About
	if err == nil && len(q.envelope.To) != len(q.Recipients) {
		err = errors.New("its recipients are not those of its envelope")
	}
	if err = firstError(odd, err); err != nil {
		return q, fmt.Errorf("store: queued message %s: %w: %w", id, errUnreadable, err)
	}
	return q, nil
}

// errUnreadable is about rows that make no sense: they are set aside.
var errUnreadable = errors.New("it cannot be read")

// QueuedBody returns the bytes of a queued message as the next hop is to get them.
func (s *Store) QueuedBody(ctx context.Context, id string) (verdict.Source, error) {
	var body string
	if err := s.db.queryRow(ctx, "SELECT body FROM queued WHERE id = ?", id).Scan(&body); err != nil {
		return nil, notFound(err, "queued message", id)
	}
	return s.bodies.Get(ctx, body)
}

// RetryQueued makes messages due now, and those that were set aside waiting again. With no id it is all of them. A hop
// that is being left alone is tried once, however many messages are named: see Store.hurry.
func (s *Store) RetryQueued(ctx context.Context, who string, ids ...string) (int, error) {
	var n int64
	domains := make(map[string]bool)
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		n = 0
		clear(domains)
		object := "all"
		for _, id := range slices.Sorted(slices.Values(orAll(ids))) {
			cond, args := "id IN "+t.db.ordered("1 = 1"), []any(nil)
			if id != "" {
				cond, args, object = "id = ?", []any{id}, id
			}
			rows, err := t.query(ctx, "UPDATE queued SET due = 0, state = 'waiting' WHERE "+cond+" RETURNING domain", args...)
			if err != nil {
				return err
			}
			found := false
			for rows.Next() {
				var d string
				if err := rows.Scan(&d); err != nil {
					return errors.Join(err, rows.Close())
				}
				domains[d] = true
				found = true
				n++
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return err
			}
			if id != "" && !found {
				return fmt.Errorf("%w: no queued message %q", ErrNotFound, text(id, 64))
			}
			if err := t.audit(ctx, who, "queue.retry", object, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for d := range domains {
		s.deliveries.hurry(d)
		s.stir(d, time.Now())
	}
	return int(n), nil
}

func orAll(ids []string) []string {
	if len(ids) == 0 {
		return []string{""}
	}
	return ids
}

// DropQueued gives up a message without telling its sender. One that is being delivered is not dropped.
func (s *Store) DropQueued(ctx context.Context, id, who string) error {
	q, err := s.QueuedMessage(ctx, id)
	if err != nil && !errors.Is(err, errUnreadable) {
		return err
	}
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		now := millis(time.Now())
		res, err := t.exec(ctx, "DELETE FROM queued WHERE id = ? AND (claimed < @now OR claimed > @now + ?)", id, 2*s.config.claim().Milliseconds())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, fmt.Errorf("store: queued message %s is being delivered, or is gone", id))
		}
		for _, r := range q.Recipients {
			if r.State == StateWaiting || r.State == StateRefused {
				event, what, detail := id, StateDropped, r.Address
				if q.About != "" {
					event, what, detail = q.About, aboutNotice[StateDropped], "notice "+id+" to "+r.Address+" was dropped"
				}
				if err := t.put(ctx, insertEvent, event, now, what, text(who, 256), detail); err != nil {
					return err
				}
			}
		}
		if err := t.put(ctx, deleteQueuedRecipients, id); err != nil {
			return err
		}
		return t.audit(ctx, who, "queue.drop", id, q.MailFrom)
	})
	if err == nil {
		s.deleteBody(ctx, q.body)
	}
	return err
}

const (
	deleteQueued           = "DELETE FROM queued WHERE id = ?"
	deleteQueuedRecipients = "DELETE FROM queued_recipient WHERE queued = ?"
)

// deleteBody deletes what no row names any more, in a short time: see deleter. What remains is swept.
func (s *Store) deleteBody(ctx context.Context, key string) {
	if key == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.deliveries.deleter.most())
	defer cancel()
	if err := s.bodies.Delete(ctx, key); err != nil {
		s.config.Log.Warn("a body was not deleted and will be swept", "body", key, "error", err)
	}
}
