package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Deliver hands a held message to its next hop for the recipients of e, with our header fields on top and mark
// among them: what NextHop.Deliver does, and like it.
type Deliver func(ctx context.Context, h Held, e verdict.Envelope, body verdict.Source, mark string) ([]relay.Receipt, error)

// Release says what is to be released.
type Release struct {
	ID string
	// Recipients are those who get it; nil means all that have not got it.
	Recipients []string
	// Who releases, for the audit trail. Required.
	Who string
	// Again delivers too where nobody knows whether the next hop has it: StateUncertain.
	Again bool
	// Deliver does it. Required.
	Deliver Deliver
}

// releaseTime bounds the delivery. What has been under way for longer has died with its node.
const releaseTime = 5 * time.Minute

// Release delivers a held message with its original bytes and envelope. A recipient gets it once: of two
// that release at the same time one wins, and what may have been delivered before a crash is StateUncertain
// and is not delivered again unless Again says so. The states of all recipients are returned, also with an
// error, which says that some of those asked for did not get it.
func (s *Store) Release(ctx context.Context, r Release) ([]HeldRecipient, error) {
	h, err := s.HeldMessage(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if h.State == StateDeleted {
		return h.Recipients, fmt.Errorf("store: held message %s was deleted", r.ID)
	}
	if len(h.Envelope.To) != len(h.Recipients) {
		return h.Recipients, fmt.Errorf("store: held message %s: its recipients are not those of its envelope", r.ID)
	}
	claimed, at, err := s.claimHeld(ctx, h, r)
	if err != nil {
		return h.Recipients, err
	}
	if len(claimed) == 0 {
		return h.Recipients, fmt.Errorf("store: nobody to release %s to: every recipient asked for has it already, or is being served", r.ID)
	}
	e := h.Envelope
	e.To = nil
	for _, n := range claimed {
		e.To = append(e.To, h.Envelope.To[n])
	}
	dctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	body, mark, err := s.readHeld(dctx, h)
	if err != nil { // not delivered, that is certain
		why := slices.Repeat([]settled{{StateHeld, "the body cannot be read"}}, len(claimed))
		return h.Recipients, errors.Join(err, s.settle(context.WithoutCancel(ctx), h, claimed, at, why, telling{}, r.Who))
	}
	receipts, derr := r.Deliver(dctx, h, e, body, mark)
	// Whoever asked may have gone: what was delivered must be written down all the same.
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	told := s.tellReleased(sctx, h, e, body, receipts, derr)
	if err := s.settle(sctx, h, claimed, at, outcomes(e, receipts, derr), told, r.Who); err != nil {
		return nil, fmt.Errorf("store: the next hop was given %s, and that cannot be written down: its recipients will be %q: %w", h.ID, StateUncertain, err)
	}
	after, err := s.HeldMessage(sctx, r.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range claimed {
		if got := after.Recipients[n]; got.State != StateReleased {
			err = errors.Join(err, fmt.Errorf("%s: %s: %s", got.Address, got.State, got.Detail))
		}
	}
	return after.Recipients, err
}

// readHeld reads a body through, and returns it with the mark that is made for it.
func (s *Store) readHeld(ctx context.Context, h Held) (verdict.Source, string, error) {
	body, err := s.bodies.Get(ctx, h.body)
	if err != nil {
		return nil, "", err
	}
	print, err := fingerprint(ctx, verdict.NewMessage(body))
	if errors.Is(err, verdict.ErrTooComplex) {
		return body, "", nil // it is not known again
	}
	return body, s.mark(h.ID, print), err
}

// claimHeld takes the recipients that are to get it, in one transaction, and returns their places, and when they were
// taken.
func (s *Store) claimHeld(ctx context.Context, h Held, r Release) (claimed []int, at int64, err error) {
	var want []int
	for i, to := range h.Recipients {
		if r.Recipients == nil || slices.ContainsFunc(r.Recipients, func(a string) bool { return address(a) == to.Address }) {
			want = append(want, i)
		}
	}
	for _, a := range r.Recipients {
		if !slices.ContainsFunc(h.Recipients, func(to HeldRecipient) bool { return to.Address == address(a) }) {
			return nil, 0, fmt.Errorf("store: %s is no recipient of %s: they are %s", text(a, 256), h.ID, addressList(h.Recipients))
		}
	}
	err = s.committer.commit(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error { // it must be known who was claimed
		now := time.Now()
		claimed, at = claimed[:0], millis(now)
		var state string
		if err := t.queryRow(ctx, "SELECT state FROM held WHERE id = ?"+s.db.lock(), h.ID).Scan(&state); err != nil {
			return notFound(err, "held message", h.ID)
		}
		if state == StateDeleted {
			return fmt.Errorf("store: held message %s was deleted", h.ID)
		}
		// What somebody has been delivering for too long died with its node: nobody knows.
		if err := t.put(ctx, `UPDATE held_recipient SET state = 'uncertain', detail = 'the node that released it died' WHERE held = ? AND state = 'releasing' AND at < ?`,
			h.ID, millis(now.Add(-2*releaseTime))); err != nil {
			return err
		}
		from := "state = 'held'"
		if r.Again {
			from = "state IN ('held', 'uncertain')"
		}
		for _, n := range want {
			res, err := t.exec(ctx, "UPDATE held_recipient SET state = 'releasing', at = ? WHERE held = ? AND n = ? AND "+from, at, h.ID, n)
			if err != nil {
				return err
			}
			if changed, err := res.RowsAffected(); err != nil {
				return err
			} else if changed == 1 {
				claimed = append(claimed, n)
			}
		}
		if len(claimed) == 0 {
			return nil
		}
		return t.audit(ctx, r.Who, "quarantine.release", h.ID, releaseDetail(h, claimed, r.Again))
	})
	return claimed, at, err
}

// releaseDetail says to whom something is released.
func releaseDetail(h Held, claimed []int, again bool) string {
	var to []HeldRecipient
	for _, n := range claimed {
		to = append(to, h.Recipients[n])
	}
	detail := fmt.Sprintf("%d of %d recipients", len(claimed), len(h.Recipients))
	if again {
		detail += ", again where it is not known whether they have it"
	}
	return detail + ": " + addressList(to)
}

func addressList(to []HeldRecipient) string {
	var out []string
	for _, r := range to[:min(len(to), 20)] {
		out = append(out, r.Address)
	}
	if len(to) > len(out) {
		out = append(out, fmt.Sprintf("and %d more", len(to)-len(out)))
	}
	return strings.Join(out, ", ")
}

// outcomes makes states of what the next hop said.
func outcomes(e verdict.Envelope, receipts []relay.Receipt, err error) []settled {
	out := make([]settled, len(e.To))
	for i := range out {
		switch {
		case err != nil || len(receipts) != len(e.To):
			out[i] = settled{StateHeld, "not delivered"}
			if err != nil {
				out[i].detail = err.Error()
			}
			if errors.Is(err, relay.ErrUncertain) || err == nil {
				out[i].state = StateUncertain
			}
		case receipts[i].Accepted():
			out[i] = settled{StateReleased, strings.TrimSpace(receipts[i].Host + " " + receipts[i].Reply.Error())}
		case receipts[i].Reply == nil:
			out[i] = settled{StateUncertain, "the next hop gave no reply"}
		default:
			out[i] = settled{StateHeld, receipts[i].Reply.Error()}
			if errors.Is(receipts[i].Reply, relay.ErrUncertain) {
				out[i].state = StateUncertain
			}
		}
	}
	return out
}

// settle writes down what became of the recipients that were claimed at a time. If somebody else has them by now, since
// it took so long that this node was taken for dead, only the events tell it.
func (s *Store) settle(ctx context.Context, h Held, claimed []int, at int64, what []settled, told telling, who string) error {
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		now := millis(time.Now())
		for i, n := range claimed {
			if err := t.put(ctx, "UPDATE held_recipient SET state = ?, at = ?, detail = ? WHERE held = ? AND n = ? AND at = ? AND state IN ('releasing', 'uncertain')",
				what[i].state, now, text(what[i].detail, 512), h.ID, n, at); err != nil {
				return err
			}
			if what[i].state != StateHeld {
				if err := t.put(ctx, insertEvent, h.ID, now, what[i].state, text(who, 256), text(h.Recipients[n].Address+": "+what[i].detail, 512)); err != nil {
					return err
				}
			}
		}
		if err := told.insert(ctx, t, h.queued(h.Envelope), fromMillis(now)); err != nil {
			return err
		}
		return t.put(ctx, `UPDATE held SET state = 'released' WHERE id = ? AND state = 'held'
 AND NOT EXISTS (SELECT 1 FROM held_recipient WHERE held = held.id AND state <> 'released')`, h.ID)
	})
	if err == nil {
		s.said(h.queued(h.Envelope), told, time.Now())
	}
	return err
}

// queued is what notices say of a held message, to these recipients.
func (h Held) queued(e verdict.Envelope) Queued {
	return Queued{ID: h.ID, At: h.At, envelope: e, vouched: vouches(h.Auth, e.From)}
}

// tellReleased makes the notice to the sender who asked to be told of the delivery, where the hop has no DSN.
func (s *Store) tellReleased(ctx context.Context, h Held, e verdict.Envelope, body verdict.Source, receipts []relay.Receipt, err error) telling {
	var out telling
	if err != nil || len(receipts) != len(e.To) {
		return out
	}
	if list := relayed(e, receipts); len(list) > 0 {
		out.relay(ctx, s, h.queued(e), func() []byte { return headerOf(body) }, list, time.Now())
	}
	return out
}

// openSecret reads the secret of this database, or makes it.
func (s *Store) openSecret(ctx context.Context) error {
	t, err := s.db.begin(ctx)
	if err != nil {
		return err
	}
	defer t.rollback(ctx)
	if err := t.put(ctx, "INSERT INTO meta (name, value) VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING", rand.Text()+rand.Text()); err != nil {
		return err
	}
	var secret string
	if err := t.queryRow(ctx, "SELECT value FROM meta WHERE name = 'secret'").Scan(&secret); err != nil {
		return err
	}
	s.secret = []byte(secret)
	return t.commit(ctx)
}
