package relay

import (
	"context"

	"github.com/postreeve/postreeve/verdict"
)

// Notifier tells senders what they asked for with NOTIFY=SUCCESS and nobody behind us is going to tell them: that
// their message was relayed to a server without DSN (RFC 3461 section 5.2.2).
//
// Relayed is called when the next hop has taken a message for all of its recipients, and before the client is told 250.
// The Envelope has those of them whom Receipt.Relayed is true of, with one receipt each in the same order, and is never from
// the null sender. Relayed returns when the notice is durable; it must stop when ctx ends, which is within 5 s, since the
// client is waiting. An error is logged and changes nothing, for the message has been delivered. The message is valid until Relayed returns.
//
// Whoever forges a sender can ask for notices in its name. So an implementation tells nobody whom SPF, DKIM or DMARC does
// not vouch for: Message.Auth.
type Notifier interface {
	Relayed(ctx context.Context, d *Domain, m *verdict.Message, e verdict.Envelope, receipts []Receipt) error
}

// NotifierFunc makes a Notifier of a function.
type NotifierFunc func(ctx context.Context, d *Domain, m *verdict.Message, e verdict.Envelope, receipts []Receipt) error

// Relayed calls f.
func (f NotifierFunc) Relayed(ctx context.Context, d *Domain, m *verdict.Message, e verdict.Envelope, receipts []Receipt) error {
	return f(ctx, d, m, e, receipts)
}

// announcesDSN says whether clients may ask for notices: somebody has to make those that the next hop does not.
func (s *Server) announcesDSN() bool { return s.Notify != nil }

// relayed has the sender of a message told that a hop without DSN has it, where it asked for that.
func (s *Server) relayed(ctx context.Context, d *Domain, m *verdict.Message, receipts []Receipt) {
	if s.Notify == nil || m.Envelope.From == "" {
		return
	}
	e := m.Envelope
	e.To = nil
	var list []Receipt
	for i, r := range receipts {
		if to := m.Envelope.To[i]; r.Relayed(to) {
			e.To, list = append(e.To, to), append(list, r)
		}
	}
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.ledger()) // the hop has the message, and the client waits
	defer cancel()
	_, err := shield(s, "notifier", func() (struct{}, error) { return struct{}{}, s.Notify.Relayed(ctx, d, m, e, list) })
	if err != nil {
		s.log().Error("the sender is not told that a message was relayed", "id", m.ID, "error", err)
	}
}
