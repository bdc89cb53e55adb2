package relay

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
	"github.com/postreeve/postreeve/verdict"
)

// maxPasses is how often a message may have come through here for the same domain before it is a
// loop. Forwarding and mailing lists bring a message back once or twice for good reasons.
const maxPasses = 3

// loop says why a message goes round in circles, if it does.
func (s *Server) loop(d *Domain, h verdict.Header) error {
	hops := h.Values("Received")
	if most := limit(s.Limits.Hops, 50); len(hops) > most {
		return fmt.Errorf("%d Received fields, at most %d are allowed", len(hops), most)
	}
	passes, note := 0, stampNote(d)
	for _, v := range hops {
		if !strings.Contains(v, "("+product+";") {
			continue
		}
		// Servers on the way may have folded the field.
		if r := parseReceived(v); strings.EqualFold(r.by, s.hostname) && strings.Join(strings.Fields(r.note), " ") == note {
			passes++
		}
	}
	if passes >= maxPasses {
		return fmt.Errorf("it has been here %d times for this domain", passes)
	}
	if d.Token != "" {
		for _, v := range h.Values(s.Headers.name("Token")) {
			if subtle.ConstantTimeCompare([]byte(v), []byte(d.Token)) == 1 {
				return errors.New("it carries the token of this domain: it has been here, and the rule that sends it does not look for the token")
			}
		}
	}
	return nil
}

const product = "Postreeve"

// stampNote is what tells our Received fields for one domain from those for another.
func stampNote(d *Domain) string {
	return product + "; " + strings.Map(func(r rune) rune {
		if r == '(' || r == ')' || r == '\\' {
			return '?'
		}
		return r
	}, clean(d.Name, 255))
}

// deliver hands the message to the next hop and makes one reply of what it says.
func (s *Server) deliver(ctx context.Context, conn connection, tx *transaction, m *verdict.Message, o *Outcome) {
	sending, cancel := context.WithTimeout(ctx, s.Timeouts.deliver())
	defer cancel()
	body, err := s.stamp(sending, conn, tx, m, o)
	if err != nil {
		o.Reply = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "temporary problem, try again later (" + m.ID + ")", Err: err}
		return
	}
	if tx.domain.Mode == StoreAndForward && s.Queue != nil {
		if err := s.enqueue(ctx, tx.domain, m, body, ""); err != nil {
			o.Reply = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "cannot store the message now, try again later (" + m.ID + ")", Err: fmt.Errorf("queue: %w", err)}
			return
		}
		o.Queued, o.Reply = true, &Reply{Code: 250, Enhanced: EnhancedCode{2, 0, 0}, Text: "queued as " + m.ID}
		return
	}
	start := time.Now()
	receipts, err := s.send(sending, tx.domain.Next, m.Envelope, body)
	o.Delivered = time.Since(start)
	o.Reply = s.answer(tx, m, receipts, err)
	if o.Reply.Code/100 == 2 {
		s.relayed(ctx, tx.domain, m, receipts)
	}
	if err == nil && len(receipts) > 0 && receipts[0].Reply != nil {
		r := receipts[0]
		o.Hop = strings.TrimSpace(fmt.Sprintf("%s %d %s", r.Host, r.Reply.Code, clean(r.Reply.short(), 200)))
	}
	if tx.domain.Mode != Continuity || s.Queue == nil || !allTemporary(receipts, err) {
		return
	}
	why := o.Hop
	if err != nil {
		why = clean(err.Error(), 200)
	}
	if qerr := s.enqueue(ctx, tx.domain, m, body, why); qerr != nil {
		o.Reply.Err = errors.Join(o.Reply.Err, fmt.Errorf("queue: %w", qerr))
		return
	}
	o.Queued, o.Reply = true, &Reply{Code: 250, Enhanced: EnhancedCode{2, 0, 0}, Text: "queued as " + m.ID, Err: o.Reply.Err}
}

func (s *Server) enqueue(ctx context.Context, d *Domain, m *verdict.Message, body verdict.Source, why string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.store())
	defer cancel()
	_, err := shield(s, "queue", func() (struct{}, error) {
		return struct{}{}, s.Queue.Enqueue(ctx, d, m, m.Envelope, body, why)
	})
	return err
}

// send gives the message to the hop. In one transaction there is one reply, so either all recipients
// get it or none, if the hop can do that.
func (s *Server) send(ctx context.Context, hop NextHop, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	receipts, err := shield(s, "next hop", func() ([]Receipt, error) {
		if all, ok := hop.(AllOrNone); ok && len(e.To) > 1 {
			if receipts, err := all.DeliverAll(ctx, e, body); !errors.Is(err, ErrNotAllOrNone) {
				return receipts, err
			}
		}
		return hop.Deliver(ctx, e, body)
	})
	if err == nil && len(receipts) != len(e.To) {
		err = fmt.Errorf("the next hop gave %d receipts for %d recipients", len(receipts), len(e.To))
	}
	return receipts, err
}

// answer makes one reply of the receipts. 250 is said only if every recipient was accepted.
func (s *Server) answer(tx *transaction, m *verdict.Message, receipts []Receipt, err error) *Reply {
	if err != nil {
		return s.passOn(err, m.ID)
	}
	var first *Reply // of the refusals
	taken, same := 0, true
	for i, r := range receipts {
		switch {
		case r.Accepted():
			taken++
		case notSent(r): // it would have been taken, without the refusal of another
			same = false
		case r.Reply == nil:
			first, same = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Err: fmt.Errorf("the next hop gave no reply for recipient %d", i+1)}, len(receipts) == 1
		case first == nil:
			first = r.Reply
		default:
			same = same && r.Reply.Code/100 == first.Code/100
		}
	}
	switch {
	case taken == len(receipts):
		return accepted(m.ID)
	case taken == 0 && same:
		return s.passOn(first, m.ID)
	}
	return s.partial(tx, m, receipts)
}

// partial answers for a message of which some recipients were refused and others not: nothing was
// lost if the sender tries again, and then it gets an answer for each of them.
func (s *Server) partial(tx *transaction, m *verdict.Message, receipts []Receipt) *Reply {
	var refused []error
	for i, r := range receipts {
		if r.Accepted() || notSent(r) {
			continue
		}
		if r.Reply == nil {
			refused = append(refused, fmt.Errorf("recipient %d: the next hop gave no reply", i+1))
			continue
		}
		refused = append(refused, fmt.Errorf("recipient %d: %w", i+1, r.Reply))
		if _, broken := errors.AsType[*smtpclient.Error](r.Reply); !broken { // else it is not about the recipient
			s.refused.put(refusalKey{tx.domain.group(), m.Envelope.From, m.Envelope.To[i].Address}, r.Reply)
		}
	}
	return &Reply{
		Code: 451, Enhanced: EnhancedCode{4, 5, 3},
		Text: "the next hop refused some of the recipients, try again to learn which (" + m.ID + ")",
		Err:  errors.Join(refused...),
	}
}

func notSent(r Receipt) bool { return r.Reply != nil && errors.Is(r.Reply, ErrNotSent) }

// passOn makes the reply of the next hop ours: its class, codes and text, with our id.
func (s *Server) passOn(err error, id string) *Reply {
	var r *Reply
	if !errors.As(err, &r) || r.Code < 400 || r.Code > 599 || r.Code == 421 {
		// 421 would say that it is our connection that ends.
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 0}, Text: "the message could not be delivered now, try again later (" + id + ")", Err: err}
	}
	text := r.Text
	if text == "" {
		text = "refused by the next hop"
	}
	enhanced := r.Enhanced
	if enhanced != (EnhancedCode{}) && enhanced[0] != r.Code/100 { // a peer may trust either
		enhanced = EnhancedCode{r.Code / 100, 0, 0}
	}
	return &Reply{Code: r.Code, Enhanced: enhanced, Text: text + " (" + id + ")", Err: err}
}

// allTemporary says whether no recipient has got the message or was refused for good: then, and only
// then, it can be queued for all of them.
func allTemporary(receipts []Receipt, err error) bool {
	if err != nil {
		return Temporary(err)
	}
	for _, r := range receipts {
		if r.Accepted() || r.Reply != nil && r.Reply.Code >= 500 {
			return false
		}
	}
	return true
}

// stamp returns the message as it is delivered: our fields on top, those of ours that came in taken off. The
// ARC set is above all of them, since it seals what is below.
func (s *Server) stamp(ctx context.Context, conn connection, tx *transaction, m *verdict.Message, o *Outcome) (verdict.Source, error) {
	var st stamps
	s.stampResults(&st, m) // above Received: a trace field of the same hop (RFC 8601 section 4)
	st.add("Received", s.receivedValue(conn, tx, m))
	st.add(s.Headers.name("Id"), m.ID)
	st.add(s.Headers.name("Verdict"), verdictWord(o.Class))
	if o.Action == Tag {
		st.add(s.Headers.name("Spam"), "FAIL")
	}
	if t := tx.domain.Token; t != "" {
		st.add(s.Headers.name("Token"), t)
	}
	h := m.Header()
	if up := tx.domain.Upstream; up.Kind == ExchangeOnline && up.vouches(m.Peer.Addr.Addr(), h) {
		if v := h.Get("X-Forefront-Antispam-Report"); v != "" {
			name := s.Headers.name("Forefront-Antispam-Report")
			st.add(name, clean(v, maxStamp-len(name)-2))
		}
	}
	if continues(h) {
		st.add(s.Headers.name("Note"), "what follows was the first line of the message:")
	}
	if st.err != nil {
		return nil, st.err
	}
	out := &stamped{head: append(s.sealed(ctx, m, o), st.b.String()...), src: m}
	for f := range h.All() {
		if s.Headers.ours(f, s.ownNames) {
			out.cut = append(out.cut, span{f.Offset(), f.Offset() + f.Len()})
		}
	}
	return out, nil
}

// receivedValue is our Received field (RFC 5321 section 4.4), in one line.
func (s *Server) receivedValue(conn connection, tx *transaction, m *verdict.Message) string {
	var b strings.Builder
	helo := clean(m.Peer.Helo, 255)
	if helo == "" {
		helo = "unknown"
	}
	b.WriteString("from " + strings.Map(noParens, helo))
	if a := m.Peer.Addr.Addr().Unmap(); a.Is4() {
		b.WriteString(" ([" + a.String() + "])")
	} else if a.IsValid() {
		b.WriteString(" ([IPv6:" + a.WithZone("").String() + "])")
	}
	b.WriteString(" by " + s.hostname + " (" + stampNote(tx.domain) + ") with " + conn.protocol(m.Envelope.UTF8) + " id " + m.ID)
	end := "; " + m.Received.Format(time.RFC1123Z)
	if _, cipher, ok := strings.Cut(m.Peer.TLS, " "); ok {
		end = " tls " + clean(cipher, 64) + end // RFC 8314 section 4.3
	}
	if to := m.Envelope.To; len(to) == 1 && clean(to[0].Address, 254) == to[0].Address {
		if w := " for <" + to[0].Address + ">"; len("Received: ")+b.Len()+len(w)+len(end) <= maxStamp {
			b.WriteString(w)
		}
	}
	b.WriteString(end)
	return b.String()
}

// noParens keeps a client's own words from opening comments or fields in ours.
func noParens(r rune) rune {
	switch r {
	case '(', ')', ';', '\\', ' ':
		return '?'
	}
	return r
}
