package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Held is a message in quarantine.
type Held struct {
	ID         string           `json:"id"`
	At         time.Time        `json:"at"`
	Expires    time.Time        `json:"expires"`
	Tenant     string           `json:"tenant,omitempty"`
	Domain     string           `json:"domain"`
	MailFrom   string           `json:"mail_from"`
	Author     string           `json:"from,omitempty"`
	Subject    string           `json:"subject,omitempty"`
	MessageID  string           `json:"message_id,omitempty"`
	Size       int64            `json:"size"`
	Class      verdict.Class    `json:"class"`
	State      string           `json:"state"` // held, released, deleted
	Recipients []HeldRecipient  `json:"recipients"`
	Report     json.RawMessage  `json:"report,omitempty"` // only HeldMessage has it
	Envelope   verdict.Envelope `json:"-"`                // only HeldMessage has it
	// Auth is what was known about the sender when the message came. Only HeldMessage has it; zero if nobody checked.
	Auth verdict.AuthResults `json:"-"`
	body string
}

// HeldRecipient is what became of a held message for one recipient.
type HeldRecipient struct {
	Address string    `json:"address"`
	State   string    `json:"state"` // see the constants
	At      time.Time `json:"at"`
	Detail  string    `json:"detail,omitempty"`
}

// States of a held message's recipient.
const (
	StateHeld      = "held"
	StateReleasing = "releasing" // somebody delivers it now
	StateReleased  = "released"  // the next hop has it
	StateUncertain = "uncertain" // the next hop may have it: the reply was lost, or the node died
	StateDeleted   = "deleted"
)

const (
	insertHeld = `INSERT INTO held (id, at, expires, tenant, domain, mail_from, author, subject, message_id, size, class, envelope,
 client, report, body, state) VALUES (?, ?, @now + ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'held')`
	insertHeldRecipient = `INSERT INTO held_recipient (held, n, address, state, at, detail) VALUES (?, ?, ?, 'held', ?, '')`
)

// ErrFull says that the quarantine or the queue has reached its limit of bytes, or the disk its own.
var ErrFull = errors.New("store: full")

// Hold puts a message into quarantine. It implements relay.Holder. The id is that of the message.
func (s *Store) Hold(ctx context.Context, d *relay.Domain, m *verdict.Message, r *verdict.Report) (string, error) {
	if err := firstError(s.room.take(m.Size(), 1), s.heldBytes.take(ctx, m.Size())); err != nil {
		return "", fmt.Errorf("store: quarantine: %w", err)
	}
	now := time.Now()
	key := newKey(now)
	if err := s.bodies.Put(ctx, key, m); err != nil {
		return "", fmt.Errorf("store: quarantine: %w", err)
	}
	now = time.Now() // that may have taken its time, and digests look no further back than digestLag
	head := headlineOf(m)
	tenant, domain, class := "", "", verdict.Unknown
	if d != nil {
		tenant, domain = d.Tenant, d.Name
	}
	if r != nil {
		class = r.Class
	}
	client := pack(clientRow{addrText(m.Peer.Addr), addrText(m.Origin.Addr), text(m.Origin.Helo, 256), authOf(m.Auth), resultsOf(m.Auth)})
	args := []any{
		m.ID, millis(now), s.config.HeldFor.Milliseconds(), tenant, domain, text(m.Envelope.From, 512), head.author, head.subject, head.messageID,
		m.Size(), class.String(), packEnvelope(m.Envelope), client, packReport(r, m), key,
	}
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		if err := t.put(ctx, insertHeld, args...); err != nil {
			return err
		}
		for i, to := range m.Envelope.Addresses() {
			if err := t.put(ctx, insertHeldRecipient, m.ID, i, address(to), millis(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.discard(ctx, key, err)
		return "", fmt.Errorf("store: quarantine: %w", err)
	}
	return m.ID, nil
}

type clientRow struct {
	Peer   string  `json:"peer,omitempty"`
	Origin string  `json:"origin,omitempty"`
	Helo   string  `json:"helo,omitempty"`
	Auth   authRow `json:"auth"` // for people
	// Results is for what is written when the message is released. Rows of old have none.
	Results resultsRow `json:"results,omitzero"`
}
