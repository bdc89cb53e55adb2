package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/verdict"
)

// session is one client's session behind either engine: an smtp.Session.
type session struct {
	srv  *Server
	ctx  context.Context
	conn connection
	tx   *transaction // nil between messages
}

// connection is what a session asks its engine about the client.
type connection interface {
	peer() verdict.Client   // who connected
	origin() verdict.Client // who a listed peer said it speaks for, else the peer
	protocol(utf8 bool) string
	addr() netip.Addr // for limits
}

// transaction is one message from MAIL to the reply to its content.
type transaction struct {
	id       string
	envelope verdict.Envelope
	domain   *Domain         // of the first recipient
	sender   *verdict.Report // what the judge has against the sender, said at MAIL; nil: nothing
	early    *verdict.Report // what it says of the envelope so far, the sender included; nil: nothing
}

func (s *session) Reset() { s.tx = nil }

func (s *session) Logout() error { return nil }

// errNested refuses a second MAIL: it would put another sender above recipients that were accepted for
// the first.
var errNested = &Reply{Code: 503, Enhanced: EnhancedCode{5, 5, 1}, Text: "a message has begun already, RSET first"}

// Mail begins a message.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.tx != nil {
		return wire(errNested)
	}
	if r := s.srv.admit.message(s.conn.addr()); r != nil {
		return wire(r)
	}
	tx := &transaction{id: newID(), envelope: verdict.Envelope{From: from}}
	if opts != nil {
		e := &tx.envelope
		e.Body, e.UTF8, e.RequireTLS, e.Size = string(opts.Body), opts.UTF8, opts.RequireTLS, opts.Size
		e.Return, e.ID = string(opts.Return), opts.EnvelopeID
	}
	if s.object(tx); tx.early != nil && tx.early.Class >= verdict.Spam {
		tx.sender = tx.early
	}
	s.tx = tx
	return nil
}

// Rcpt adds a recipient, if it is ours to take and can share the message with the others.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	if s.tx == nil {
		return wire(&Reply{Code: 503, Enhanced: EnhancedCode{5, 5, 1}, Text: "MAIL first"})
	}
	if r := s.rcpt(to, opts); r != nil {
		s.logRefused(to, r)
		return wire(r)
	}
	return nil
}

func (s *session) rcpt(to string, opts *smtp.RcptOptions) *Reply {
	if r := s.srv.admit.recipient(s.conn.addr()); r != nil {
		return r
	}
	if !strings.Contains(to, "@") && s.srv.Postmaster != "" && strings.EqualFold(to, "postmaster") {
		to = s.srv.Postmaster
	}
	if len(s.tx.envelope.To) >= limit(s.srv.Limits.Recipients, 1000) {
		return &Reply{Code: 452, Enhanced: EnhancedCode{4, 5, 3}, Text: "too many recipients, send the rest in another message"}
	}
	d, r := s.srv.lookup(s.ctx, to)
	if r != nil {
		return r
	}
	if first := s.tx.domain; first != nil && (!s.srv.together(first, d) || !sameHop(first.Next, s.tx.envelope.To[0].Address, to)) {
		return &Reply{Code: 452, Enhanced: EnhancedCode{4, 5, 3}, Text: "this recipient has another route or policy, send it in another message"}
	}
	if r := s.srv.refused.take(refusalKey{d.group(), s.tx.envelope.From, to}); r != nil {
		return r
	}
	e := s.tx.envelope
	e.To = append(e.To[:len(e.To):len(e.To)], recipient(to, opts))
	next := *s.tx
	next.envelope = e
	s.object(&next)
	if r := s.objection(&next, d); r != nil {
		return r
	}
	next.domain = d
	if s.tx.domain != nil {
		next.domain = s.tx.domain
	}
	s.tx = &next
	return nil
}

func recipient(to string, opts *smtp.RcptOptions) verdict.Recipient {
	r := verdict.Recipient{Address: to}
	if opts == nil {
		return r
	}
	for _, n := range opts.Notify {
		r.Notify = append(r.Notify, string(n))
	}
	if opts.OriginalRecipient != "" {
		r.Original = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	return r
}

// lookup asks the directory about the domain of an address.
func (s *Server) lookup(ctx context.Context, to string) (*Domain, *Reply) {
	denied := &Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Text: "relaying denied: this domain is not served here"}
	domain := strings.TrimSuffix(verdict.Domain(to), ".")
	if domain == "" || s.Directory == nil {
		return nil, denied
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.lookup())
	defer cancel()
	d, err := shield(s, "directory", func() (*Domain, error) { return s.Directory.Lookup(ctx, domain) })
	switch {
	case errors.Is(err, ErrUnknownDomain):
		return nil, denied
	case errors.Is(err, ErrUnverified):
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 1}, Text: "the recipient domain is not verified yet, try again later", Err: err}
	case err != nil:
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "temporary problem, try again later", Err: fmt.Errorf("directory: %w", err)}
	case d != nil && d.Name == "" && d.Group == "": // it could not be told from other domains without a name
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 5}, Text: "temporary problem, try again later", Err: fmt.Errorf("directory: the Domain for %q has neither Name nor Group", domain)}
	case d == nil || d.Next == nil:
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 5}, Text: "temporary problem, try again later", Err: fmt.Errorf("directory: no next hop for %q", domain)}
	}
	if routed(to) {
		return nil, denied
	}
	return d, nil
}

// routed says whether a local part has a route in it: user%other, other!user, "user@other". A next hop that
// trusts us with any recipient might follow it, and strangers would relay through the two of us.
func routed(to string) bool {
	return strings.ContainsAny(to[:strings.LastIndexByte(to, '@')], "%!@")
}

// together says whether recipients of two domains can share a message. One that may be kept is kept as a message of one
// domain: that is where its later way is looked up, and whose administrator finds it.
func (s *Server) together(a, b *Domain) bool {
	kept := s.Hold != nil || s.Queue != nil || s.Ledger != nil
	return a.group() == b.group() && (!kept || a.Name == b.Name)
}

// sameHop says whether a hop can give a message to both of two recipients in one transaction.
func sameHop(hop NextHop, a, b string) bool {
	_, several := hop.(ByDomain)
	return !several || verdict.Domain(a) == verdict.Domain(b)
}

// object asks the scanners that look at the envelope. A judge that panics could not tell.
func (s *session) object(tx *transaction) {
	j, ok := s.srv.Judge.(EnvelopeJudge)
	if e, plain := s.srv.Judge.(*verdict.Engine); !ok || plain && !e.JudgesEnvelopes() {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.srv.Timeouts.judge())
	defer cancel()
	m := &verdict.Message{ID: tx.id, Peer: s.conn.peer(), Origin: s.conn.origin(), Envelope: tx.envelope, Received: time.Now()}
	r, err := shield(s.srv, "judge", func() (*verdict.Report, error) { return j.JudgeEnvelope(ctx, m), nil })
	if err != nil {
		r = failedReport(err)
	}
	if r == nil || len(r.Runs)+len(r.Findings) == 0 { // nobody looked
		tx.early = tx.sender
		return
	}
	tx.early = withSender(r, tx.sender)
}

// withSender adds to a report on the envelope what was said at MAIL and is not said again.
func withSender(r, sender *verdict.Report) *verdict.Report {
	if sender == nil {
		return r
	}
	out := *r
	out.Class = worse(r.Class, sender.Class)
	out.Findings = slices.Clone(r.Findings)
	for _, f := range sender.Findings {
		if !slices.ContainsFunc(r.Findings, func(o verdict.Finding) bool { return o.Scanner == f.Scanner && o.Code == f.Code }) {
			out.Findings = append(out.Findings, f)
		}
	}
	return &out
}

// objection says whether what was found so far keeps this recipient out. What a policy would hold or
// tag is left for the whole message.
func (s *session) objection(tx *transaction, d *Domain) *Reply {
	if tx.early == nil {
		return nil
	}
	switch d.Policy.Action(tx.early.Class) {
	case Reject:
		return &Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Text: "refused by policy (" + tx.id + ")", Err: because(tx.early.Findings)}
	case Defer:
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 1}, Text: "not accepted now, try again later (" + tx.id + ")", Err: because(tx.early.Findings)}
	}
	return nil
}

// Data takes the content and answers for it.
func (s *session) Data(r io.Reader) error {
	tx := s.tx
	s.tx = nil
	if tx == nil || tx.domain == nil {
		return wire(&Reply{Code: 503, Enhanced: EnhancedCode{5, 5, 1}, Text: "no valid recipients"})
	}
	return wire(s.srv.take(s.ctx, s.conn, tx, r))
}

// wire turns an error into what an engine sends: a Reply as it is, anything else as a temporary error
// whose cause stays here. A reply of class 2 is an error too, with which the engines say its text.
func wire(err error) error {
	if err == nil {
		return nil
	}
	var se *smtp.SMTPError
	if errors.As(err, &se) {
		return se
	}
	r := &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "temporary problem, try again later"}
	errors.As(err, &r)
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode(r.Enhanced), Message: r.Text}
}
