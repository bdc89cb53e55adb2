package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

const heldColumns = `id, at, expires, tenant, domain, mail_from, author, subject, message_id, size, class, state`

// HeldMessages lists the quarantine, newest first, with recipients and without reports. state is StateHeld for
// what can be released, or StateReleased or StateDeleted; empty means all.
func (s *Store) HeldMessages(ctx context.Context, state string, f Filter) ([]Held, error) {
	var w where
	if state != "" {
		w.add("state = ?", state)
	}
	f.common(&w)
	if f.Recipient != "" {
		w.add(`id IN (SELECT held FROM held_recipient WHERE address LIKE ? ESCAPE '\')`, like(f.Recipient))
	}
	if f.Before != "" {
		w.add("(at, id) < (SELECT at, id FROM held WHERE id = ?)", f.Before)
	}
	rows, err := s.db.search(ctx, "SELECT "+heldColumns+" FROM held"+w.String()+fmt.Sprintf(" ORDER BY at DESC, id DESC LIMIT %d", f.limit()), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Held
	place := make(map[string]int)
	for rows.Next() {
		h, err := scanHeld(rows.Scan)
		if err != nil {
			return nil, err
		}
		place[h.ID] = len(out)
		out = append(out, h)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, s.heldRecipients(ctx, out, place)
}

// heldRecipients fills in the recipients of many, some hundred in a query.
func (s *Store) heldRecipients(ctx context.Context, list []Held, place map[string]int) error {
	const some = 500
	for len(list) > 0 {
		n := min(some, len(list))
		args := make([]any, n)
		for i := range args {
			args[i] = list[i].ID
		}
		rows, err := s.db.query(ctx, "SELECT held, address, state, at, detail FROM held_recipient WHERE held IN (?"+strings.Repeat(", ?", n-1)+") ORDER BY held, n", args...)
		if err != nil {
			return err
		}
		first := place[list[0].ID]
		for rows.Next() {
			var id string
			var at int64
			var r HeldRecipient
			if err := rows.Scan(&id, &r.Address, &r.State, &at, &r.Detail); err != nil {
				rows.Close()
				return err
			}
			r.At = fromMillis(at)
			h := &list[place[id]-first]
			h.Recipients = append(h.Recipients, r)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows.Close()
		list = list[n:]
	}
	return nil
}

func scanHeld(scan func(dst ...any) error) (Held, error) {
	var h Held
	var at, expires int64
	var class string
	err := scan(&h.ID, &at, &expires, &h.Tenant, &h.Domain, &h.MailFrom, &h.Author, &h.Subject, &h.MessageID, &h.Size, &class, &h.State)
	h.At, h.Expires = fromMillis(at), fromMillis(expires)
	if err == nil {
		_ = h.Class.UnmarshalText([]byte(class)) // Unknown if somebody changed it by hand
	}
	return h, err
}

// HeldMessage returns one held message with its report and envelope. Its bytes: see HeldBody.
func (s *Store) HeldMessage(ctx context.Context, id string) (Held, error) {
	var report, envelope, client, body string
	h, err := scanHeld(func(dst ...any) error {
		return s.db.queryRow(ctx, "SELECT "+heldColumns+", report, envelope, client, body FROM held WHERE id = ?", id).Scan(append(dst, &report, &envelope, &client, &body)...)
	})
	if err != nil {
		return h, notFound(err, "held message", id)
	}
	h.Report, h.body = json.RawMessage(report), body
	if h.Envelope, err = unpackEnvelope(envelope); err != nil {
		return h, fmt.Errorf("store: the envelope of held message %s cannot be read: %w", id, err)
	}
	h.Auth = unpackAuth(client)
	list := []Held{h}
	err = s.heldRecipients(ctx, list, map[string]int{id: 0})
	return list[0], err
}

// HeldBody returns the bytes of a held message as they came in. ErrNoBody after it was deleted.
func (s *Store) HeldBody(ctx context.Context, id string) (verdict.Source, error) {
	h, err := s.HeldMessage(ctx, id)
	if err != nil {
		return nil, err
	}
	if h.State == StateDeleted || h.body == "" {
		return nil, fmt.Errorf("%w: held message %s was deleted", ErrNoBody, id)
	}
	return s.bodies.Get(ctx, h.body)
}

// ExportHeld is HeldBody for somebody who gets to see the bytes as they are, which the audit trail tells.
func (s *Store) ExportHeld(ctx context.Context, id, who string) (verdict.Source, error) {
	body, err := s.HeldBody(ctx, id)
	if err != nil {
		return nil, err
	}
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		return t.audit(ctx, who, "quarantine.export", id, fmt.Sprintf("%d bytes as they came in", body.Size()))
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}

// DeleteHeld takes a message out of the quarantine for good: its bytes go, its row stays until it expires.
// A message that is being released is not deleted.
func (s *Store) DeleteHeld(ctx context.Context, id, who string) error {
	h, err := s.HeldMessage(ctx, id)
	if err != nil {
		return err
	}
	err = s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		var state string
		if err := t.queryRow(ctx, "SELECT state FROM held WHERE id = ?"+s.db.lock(), id).Scan(&state); err != nil {
			return notFound(err, "held message", id)
		}
		if err := t.uncertain(ctx, time.Now()); err != nil {
			return err
		}
		res, err := t.exec(ctx, `UPDATE held SET state = 'deleted', body = '' WHERE id = ? AND state <> 'deleted'
 AND NOT EXISTS (SELECT 1 FROM held_recipient WHERE held = held.id AND state = 'releasing')`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, fmt.Errorf("store: held message %s is deleted already, or is being released", id))
		}
		if err := t.put(ctx, "UPDATE held_recipient SET state = 'deleted', at = ? WHERE held = ? AND state = 'held'", millis(time.Now()), id); err != nil {
			return err
		}
		if err := t.put(ctx, insertEvent, id, millis(time.Now()), StateDeleted, text(who, 256), "from the quarantine"); err != nil {
			return err
		}
		return t.audit(ctx, who, "quarantine.delete", id, h.MailFrom+" "+h.Subject)
	})
	if err != nil || h.body == "" {
		return err
	}
	s.deleteBody(ctx, h.body)
	return nil
}

// firstError returns the first that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
