package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Remedy is an order about a message that was delivered: to take it out of the mailbox of one recipient, or to put
// it back there.
type Remedy struct {
	Message   string    `json:"id"` // as in the ledger, and in the field <Prefix>-Id of the message
	Recipient string    `json:"recipient"`
	Domain    string    `json:"domain"`            // of the route it came by
	MessageID string    `json:"message_id"`        // with angle brackets
	Restore   bool      `json:"restore,omitempty"` // put it back
	State     string    `json:"state"`             // waiting, done, missing, failed
	At        time.Time `json:"at"`                // of the order
	Due       time.Time `json:"due,omitzero"`      // of the next attempt; zero: at once
	Attempts  int       `json:"attempts"`
	Who       string    `json:"who,omitempty"`
	Detail    string    `json:"detail,omitempty"` // of the last attempt
}

// States of a remedy, beside StateWaiting and StateFailed.
const (
	StateDone    = "done"
	StateMissing = "missing" // there is no such message in the mailbox, or no such mailbox
)

// Remediator takes mail that was delivered out of mailboxes, and puts it back. Each order may come twice: what has
// been done already is done.
type Remediator interface {
	// Remediate does what it is told, all of one domain and of one kind, and says what became of each, in their order.
	// An error says that nothing was done: all of it is tried again later. It must stop when ctx ends.
	Remediate(ctx context.Context, domain string, restore bool, orders []Remedy) ([]RemedyResult, error)
}

// RemedyResult is what became of one order.
type RemedyResult struct {
	State  string // StateDone, StateMissing or StateFailed
	Detail string
	Again  bool // it may go better later
}

// How orders are tried: missing mail may still be on its way to the mailbox, a tenant that cannot be reached comes back.
const (
	remedyEvery   = 10 * time.Second
	remedyLimit   = 6 * time.Minute
	remedyBatch   = 200
	remedyFor     = 24 * time.Hour
	missingTries  = 5
	mostCondemned = 1000
)

const insertRemedy = `INSERT INTO remedy (message, recipient, domain, message_id, restore, state, at, due, attempts, who, detail)
 VALUES (?, ?, ?, ?, 0, 'waiting', ?, 0, 0, ?, '') ON CONFLICT (message, recipient) DO UPDATE SET
 restore = 0, state = 'waiting', at = excluded.at, due = excluded.due, attempts = 0, who = excluded.who, detail = ''`

const selectRemedy = "SELECT message, recipient, domain, message_id, restore, state, at, due, attempts, who, detail FROM remedy"

// Condemn orders messages that were delivered to be taken back from everybody who got them, and returns the orders.
// A node that runs with a Remediator for their domain does it within seconds. All of it is ordered or nothing: a
// message that is not there is ErrNotFound, one that nobody got is an error that says where it is.
func (s *Store) Condemn(ctx context.Context, who, why string, ids ...string) ([]Remedy, error) {
	return s.order(ctx, who, "message.condemn", why, ids, func(ctx context.Context, t *tx, id string, now time.Time) error {
		m, err := t.delivered(ctx, id)
		if err != nil {
			return err
		}
		for _, to := range m.Recipients {
			if err := t.put(ctx, insertRemedy, id, to, m.Domain, m.MessageID, millis(now), text(who, 256)); err != nil {
				return err
			}
		}
		return t.put(ctx, insertEvent, id, millis(now), "condemned", text(who, 256), text(why, 512))
	})
}

// Absolve orders condemned messages to be put back, and returns the orders.
func (s *Store) Absolve(ctx context.Context, who, why string, ids ...string) ([]Remedy, error) {
	return s.order(ctx, who, "message.absolve", why, ids, func(ctx context.Context, t *tx, id string, now time.Time) error {
		res, err := t.exec(ctx, "UPDATE remedy SET restore = 1, state = 'waiting', at = ?, due = 0, attempts = 0, who = ?, detail = '' WHERE message = ? AND restore = 0",
			millis(now), text(who, 256), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, fmt.Errorf("%w: message %q has not been condemned", ErrNotFound, text(id, 64)))
		}
		return t.put(ctx, insertEvent, id, millis(now), "absolved", text(who, 256), text(why, 512))
	})
}

// order makes the same order for all of ids, or none.
func (s *Store) order(ctx context.Context, who, what, why string, ids []string, one func(ctx context.Context, t *tx, id string, now time.Time) error) ([]Remedy, error) {
	if len(ids) == 0 || len(ids) > mostCondemned {
		return nil, fmt.Errorf("store: %d messages at once, 1 to %d are allowed", len(ids), mostCondemned)
	}
	err := s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		now := time.Now()
		for _, id := range ids {
			if err := one(ctx, t, id, now); err != nil {
				return err
			}
			if err := t.audit(ctx, who, what, id, why); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []Remedy
	for _, id := range ids {
		orders, err := s.Remedies(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, orders...)
	}
	return out, nil
}

// delivered returns what an order needs to know of a message, with the recipients who got it, as far as is known.
func (t *tx) delivered(ctx context.Context, id string) (Entry, error) {
	m := Entry{ID: id}
	var to, action string
	err := t.queryRow(ctx, "SELECT domain, message_id, recipients, action, reply, held FROM message WHERE id = ?", id).
		Scan(&m.Domain, &m.MessageID, &to, &action, &m.Reply, &m.Held)
	if err != nil {
		return m, notFound(err, "message", id)
	}
	if err := json.Unmarshal([]byte(to), &m.Recipients); err != nil {
		return m, fmt.Errorf("store: message %s: its recipients: %w", id, errUnreadable)
	}
	switch {
	case m.MessageID == "":
		return m, fmt.Errorf("store: message %s has no Message-ID, by which it could be found", id)
	case m.Held != "":
		err = t.released(ctx, &m)
		return m, err
	case action != "deliver" && action != "tag", strings.HasPrefix(m.Reply, "5"):
		return m, fmt.Errorf("store: message %s was not delivered: its sender was told %s", id, text(m.Reply, 80))
	}
	waiting, err := t.texts(ctx, "SELECT address FROM queued_recipient WHERE queued = ? AND state = 'waiting' ORDER BY n", id)
	if err == nil && len(waiting) > 0 { // it would still be delivered to them
		err = fmt.Errorf("store: message %s is still in the queue for %s: drop it there first", id, some(waiting))
	}
	return m, err
}

// released finds those who got a message that was held.
func (t *tx) released(ctx context.Context, m *Entry) error {
	held, err := t.texts(ctx, "SELECT r.address FROM held_recipient r JOIN held h ON h.id = r.held WHERE r.held = ? AND r.state IN ('held', 'releasing') AND h.state = 'held' ORDER BY r.n", m.Held)
	if err != nil {
		return err
	}
	if len(held) > 0 { // they could still release it
		return fmt.Errorf("store: message %s is still in quarantine for %s: delete it there first", m.ID, some(held))
	}
	m.Recipients, err = t.texts(ctx, "SELECT address FROM held_recipient WHERE held = ? AND state IN ('released', 'uncertain') ORDER BY n", m.Held)
	if err == nil && len(m.Recipients) == 0 {
		err = fmt.Errorf("store: message %s was in quarantine: nobody got it", m.ID)
	}
	return err
}

// some names a few addresses.
func some(list []string) string {
	if len(list) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:5], ", "), len(list)-5)
	}
	return strings.Join(list, ", ")
}

// Remedies are the orders about a message, and what became of them.
func (s *Store) Remedies(ctx context.Context, message string) ([]Remedy, error) {
	return s.remedies(ctx, " WHERE message = ? ORDER BY recipient", message)
}

func (s *Store) remedies(ctx context.Context, where string, args ...any) ([]Remedy, error) {
	rows, err := s.db.query(ctx, selectRemedy+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Remedy
	for rows.Next() {
		var r Remedy
		var at, due int64
		var restore int
		if err := rows.Scan(&r.Message, &r.Recipient, &r.Domain, &r.MessageID, &restore, &r.State, &at, &due, &r.Attempts, &r.Who, &r.Detail); err != nil {
			return nil, err
		}
		r.At, r.Due, r.Restore = fromMillis(at), fromMillis(due), restore != 0
		out = append(out, r)
	}
	return out, rows.Err()
}

// remediate does what is due, until nothing is. It is a task: one node of a fleet does it at a time.
func (s *Store) remediate(ctx context.Context, by Remediator) error {
	for ctx.Err() == nil {
		due, err := s.remedies(ctx, fmt.Sprintf(" WHERE state = 'waiting' AND due <= ? ORDER BY due LIMIT %d", remedyBatch), millis(time.Now()))
		if err != nil || len(due) == 0 {
			return err
		}
		type kind struct {
			domain  string
			restore bool
		}
		kinds := make(map[kind][]Remedy)
		for _, r := range due {
			k := kind{r.Domain, r.Restore}
			kinds[k] = append(kinds[k], r)
		}
		var g errgroup.Group // a tenant that is slow keeps no other waiting
		g.SetLimit(8)
		for k, orders := range kinds {
			g.Go(func() error {
				results, err := shieldRemedy(ctx, by, k.domain, k.restore, orders)
				if err != nil && ctx.Err() != nil {
					return nil // it was stopped, and is done again
				}
				return s.noteRemedies(ctx, orders, results, err)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// shieldRemedy asks the remediator. One that gives no full answer has failed.
func shieldRemedy(ctx context.Context, by Remediator, domain string, restore bool, orders []Remedy) (results []RemedyResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the remediator panicked: %v", p)
		}
	}()
	results, err = by.Remediate(ctx, domain, restore, slices.Clone(orders))
	if err == nil && len(results) != len(orders) {
		err = fmt.Errorf("the remediator gave %d results for %d orders", len(results), len(orders))
	}
	return results, err
}

// noteRemedies writes what became of orders. A newer order about the same message and recipient stays as it is.
func (s *Store) noteRemedies(ctx context.Context, orders []Remedy, results []RemedyResult, failed error) error {
	return s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		now := time.Now()
		for i, r := range orders {
			result := RemedyResult{State: StateFailed, Again: true}
			if failed != nil {
				result.Detail = failed.Error()
			} else {
				result = results[i]
			}
			if err := t.noteRemedy(ctx, r, result, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) noteRemedy(ctx context.Context, r Remedy, result RemedyResult, now time.Time) error {
	state, due, n := result.State, now, r.Attempts+1
	if state != StateDone && state != StateMissing {
		state = StateFailed
	}
	if result.Again && state != StateDone && now.Sub(r.At) < remedyFor && (state != StateMissing || n < missingTries) {
		state, due = StateWaiting, now.Add(min(time.Minute<<min(r.Attempts, 6), time.Hour))
	}
	restore := 0
	if r.Restore {
		restore = 1
	}
	res, err := t.exec(ctx, "UPDATE remedy SET state = ?, due = ?, attempts = ?, detail = ? WHERE message = ? AND recipient = ? AND at = ? AND restore = ? AND state = 'waiting'",
		state, millis(due), n, text(result.Detail, 512), r.Message, r.Recipient, millis(r.At), restore)
	if err != nil {
		return err
	}
	changed, err := res.RowsAffected()
	if err != nil || changed == 0 || state == StateWaiting {
		return err
	}
	what := map[bool]string{false: "taken back", true: "put back"}[r.Restore]
	if state != StateDone {
		what = "not " + what
	}
	detail := r.Recipient
	if result.Detail != "" {
		detail += ": " + result.Detail
	}
	return t.put(ctx, insertEvent, r.Message, millis(now), what, r.Who, text(detail, 512))
}
