package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// aboutContent says whether a refusal for good is, or may be, about what a message says. After we have taken the
// message, its sender is not told of that: mostly it is nobody who has sent it (RFC 3834 section 2, RFC 5321 section
// 6.2). others says that the hop took the message for other recipients at the same time, so that it was RCPT it
// refused. Without a detail in the enhanced code it may have been the content, unless the code says otherwise. What our
// own client refuses, since the hop lacks what the message needs, is about the hop: see untold.
func aboutContent(r *relay.Reply, others bool) bool {
	switch r.Enhanced[1] {
	case 6, 7:
		return true
	case 1, 2, 3, 4, 5:
		return false
	}
	switch r.Code {
	case 500, 501, 502, 503, 504, 521, 551, 552, 553, 555, 556:
		return false
	}
	return !others
}

// untold says whether a refusal for good is not told to a sender for whom nobody vouches: those for the content, and what
// the hop lacks, for whoever forges a sender can ask for that, as with REQUIRETLS, and have any address told.
func untold(r *relay.Reply, others bool) bool {
	return errors.Is(r, relay.ErrLacking) || aboutContent(r, others)
}

const (
	refusedByHop = "refused by the next hop: "
	lackedByHop  = "the next hop lacks what the message needs: "
)

// refusedDetail is what is kept of a refusal that is not told.
func refusedDetail(r *relay.Reply, detail string) string {
	if errors.Is(r, relay.ErrLacking) {
		detail = text(lackedByHop+detail, 512)
	}
	return detail
}

// vouched says whether the domain of the reverse-path stands for the message, so that a notice goes to nobody who has
// nothing to do with it: SPF has passed for it, or a signature or DMARC for it or for a domain above it. A domain below
// it will not do: anybody may have one of those.
func vouched(m *verdict.Message, from string) bool { return vouches(m.Auth, from) }

func vouches(a verdict.AuthResults, from string) bool {
	domain := strings.TrimSuffix(verdict.Domain(from), ".")
	if domain == "" {
		return false
	}
	if a.SPF.Result == verdict.Pass && a.SPF.Identity != "helo" && strings.EqualFold(strings.TrimSuffix(a.SPF.Domain, "."), domain) {
		return true
	}
	over := func(result verdict.AuthResult, by string) bool {
		by = strings.ToLower(strings.TrimSuffix(by, "."))
		return result == verdict.Pass && by != "" && (by == domain || strings.HasSuffix(domain, "."+by))
	}
	if over(a.DMARC.Result, a.DMARC.Domain) {
		return true
	}
	for _, d := range a.DKIM {
		if over(d.Result, d.Domain) {
			return true
		}
	}
	return false
}

// refusal is a message on its way from the queue into quarantine, since its hop does not want it, or cannot take it, and its
// sender is not told. It takes its body with it.
type refusal struct {
	q       Queued
	at      time.Time
	keep    time.Duration
	head    headline
	domain  string
	refused []int    // recipients, by their places in the envelope
	details []string // what the hop said of each
}

// refusal is made when the last recipient of a row is done: one message goes into quarantine once. Nil if there is
// nothing to be kept.
func (s *Store) refusal(ctx context.Context, q Queued, open []int, o *outcome, now time.Time) *refusal {
	if o.left > 0 {
		return nil
	}
	k := &refusal{q: q, at: now, keep: s.config.HeldFor, domain: q.Domain}
	at := make(map[int]string)
	for i, n := range open {
		if o.states[i].state == StateRefused {
			at[n] = o.states[i].detail
		}
	}
	for n := range q.envelope.To {
		detail, now := at[n]
		if !now && n < len(q.Recipients) && q.Recipients[n].State == StateRefused { // in an earlier attempt
			detail, now = q.Recipients[n].Detail, true
		}
		if now {
			k.refused, k.details = append(k.refused, n), append(k.details, detail)
		}
	}
	if len(k.refused) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if body, err := s.body(ctx, q); err == nil {
		k.head = headlineOf(verdict.NewMessage(body))
	}
	return k
}

// reason is why it is kept.
func (k *refusal) reason() string {
	if strings.HasPrefix(k.details[0], lackedByHop) {
		return "the next hop lacks what it needs"
	}
	return "the next hop refused it for what it says"
}

// insert writes the rows of the quarantine, with what the ledger knows about the message.
func (k *refusal) insert(ctx context.Context, t *tx) error {
	tenant, class, report := "", verdict.Unknown.String(), "null"
	var client clientRow
	err := t.queryRow(ctx, "SELECT tenant, peer, origin, class, report FROM message WHERE id = ?", k.q.ID).Scan(&tenant, &client.Peer, &client.Origin, &class, &report)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	e := k.q.envelope
	e.To = nil
	for _, n := range k.refused {
		e.To = append(e.To, k.q.envelope.To[n])
	}
	id, at := k.q.ID, millis(time.Now()) // when it is written, and not when that was first tried: see digestLag
	for {
		res, err := t.exec(ctx, insertHeld+" ON CONFLICT (id) DO NOTHING", id, at, k.keep.Milliseconds(), tenant, k.domain, text(e.From, 512),
			k.head.author, k.head.subject, k.head.messageID, k.q.Size, class, packEnvelope(e), pack(client), report, k.q.body)
		if err != nil {
			return err
		}
		made, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if made > 0 {
			break
		}
		id = k.q.ID + "-" + strings.ToLower(rand.Text()[:4]) // it was held for others, or before
	}
	for i, n := range k.refused {
		detail := k.details[i]
		if !strings.HasPrefix(detail, lackedByHop) {
			detail = text(refusedByHop+detail, 512)
		}
		if err := t.put(ctx, insertRefusedRecipient, id, i, address(e.To[i].Address), at, detail); err != nil {
			return err
		}
		if err := t.event(ctx, k.q, n, StateHeld, "in quarantine as "+id+", "+detail, k.at); err != nil {
			return err
		}
	}
	return nil
}

const insertRefusedRecipient = `INSERT INTO held_recipient (held, n, address, state, at, detail) VALUES (?, ?, ?, 'held', ?, ?)`
