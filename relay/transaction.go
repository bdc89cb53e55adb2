package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/verdict"
)

// take receives the content of a message, has it judged and does what the policy says. It returns the
// reply to the sender: of class 2 only if the next hop, the holder or the queue has the message.
func (s *Server) take(ctx context.Context, conn connection, tx *transaction, r io.Reader) error {
	buf, err := s.receive(conn.addr(), r)
	if err != nil {
		s.logRefused(ctx, tx, conn, err)
		return err
	}
	defer buf.Close()
	start := time.Now()
	m := verdict.NewMessage(buf.Buffer)
	m.ID, m.Envelope, m.Received = tx.id, tx.envelope, start
	m.Peer, m.Origin = conn.peer(), conn.origin()
	o := Outcome{ID: tx.id, Domain: tx.domain.Name, Recipients: len(tx.envelope.To), Size: buf.Size()}
	s.decide(ctx, conn, tx, m, &o)
	o.Took = time.Since(start)
	s.record(ctx, tx.domain, m, o)
	s.logDone(ctx, conn, m, &o)
	if s.Trace.Done != nil {
		s.hook("Done", func() { s.Trace.Done(o) })
	}
	return &smtp.SMTPError{Code: o.Reply.Code, EnhancedCode: smtp.EnhancedCode(o.Reply.Enhanced), Message: o.Reply.Text}
}

// content is a message in the spool, with its share of the bytes in flight.
type content struct {
	*verdict.Buffer
	srv   *Server
	from  netip.Addr
	taken int64
}

// flightStep is how much of the bytes in flight a message takes at a time.
const flightStep = 256 << 10

var errGreedy = &Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 0}, Text: "too much mail from your address on its way, try again later"}

var errBusy = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 1}, Text: "too much mail on its way, try again later"}

func (c *content) Write(p []byte) (int, error) {
	for c.Size()+int64(len(p)) > c.taken {
		if !c.srv.admit.load(c.from, flightStep) {
			return 0, errGreedy
		}
		if !c.srv.flight.TryAcquire(flightStep) {
			c.srv.admit.unload(c.from, flightStep)
			return 0, errBusy
		}
		c.taken += flightStep
	}
	return c.Buffer.Write(p)
}

func (c *content) Close() error {
	c.srv.flight.Release(c.taken)
	c.srv.admit.unload(c.from, c.taken)
	return c.Buffer.Close()
}

// receive reads the content into the spool. Its framing is the engine's business.
func (s *Server) receive(from netip.Addr, r io.Reader) (*content, error) {
	c := &content{Buffer: s.spool().New(), srv: s, from: from}
	_, err := io.Copy(c, r)
	if err == nil {
		return c, nil
	}
	c.Close()
	var se *smtp.SMTPError
	var reply *Reply
	if errors.As(err, &se) || errors.As(err, &reply) || errors.Is(err, smtp.ErrDataReset) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return nil, &Reply{Code: 452, Enhanced: EnhancedCode{4, 3, 1}, Text: "cannot store the message now, try again later", Err: err}
}

// decide fills in the outcome, the reply above all.
func (s *Server) decide(ctx context.Context, conn connection, tx *transaction, m *verdict.Message, o *Outcome) {
	if r := s.inspect(tx, m); r != nil {
		o.Reply, o.Action = r, Reject
		if Temporary(r) {
			o.Action = Defer
		}
		return
	}
	judging, cancel := context.WithTimeout(ctx, s.Timeouts.judge())
	defer cancel()
	s.authenticate(judging, tx, m, o)
	start := time.Now()
	report := s.judge(judging, tx, m)
	o.Judged, o.Report = time.Since(start), report
	d := tx.domain.Policy.decide(m, report.Class)
	for _, f := range d.findings {
		report.Findings = append(slices.Clip(report.Findings), f)
	}
	report.Class = d.class
	o.Class, o.Action = d.class, d.action
	switch {
	case o.Action != Hold:
	case s.Hold == nil:
		o.Action = Reject
	case s.released(ctx, m):
		o.Action = Deliver
	}
	switch o.Action {
	case Deliver, Tag:
		s.deliver(ctx, conn, tx, m, o)
	case Hold:
		id, err := s.hold(ctx, tx.domain, m, report)
		if err != nil {
			o.Reply = &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "cannot store the message now, try again later (" + m.ID + ")", Err: fmt.Errorf("hold: %w", err)}
			return
		}
		o.Held, o.Reply = id, accepted(m.ID)
	case Reject:
		text := "message refused for its content (" + m.ID + ")"
		if d.disowned {
			text = "refused as the DMARC policy of " + clean(m.Auth.DMARC.Domain, 253) + " asks (" + m.ID + ")"
		}
		o.Reply = &Reply{Code: 550, Enhanced: EnhancedCode{5, 7, 1}, Text: text}
	default:
		o.Reply = &Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 1}, Text: "message could not be checked, try again later (" + m.ID + ")"}
	}
}

func (s *Server) hold(ctx context.Context, d *Domain, m *verdict.Message, r *verdict.Report) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.store())
	defer cancel()
	return shield(s, "holder", func() (string, error) { return s.Hold.Hold(ctx, d, m, r) })
}

func accepted(id string) *Reply {
	return &Reply{Code: 250, Enhanced: EnhancedCode{2, 0, 0}, Text: "accepted as " + id}
}

// inspect finds who sent the message first, and refuses what goes round in circles, or has a header
// that cannot be read to its end: fields of ours could not be taken off.
func (s *Server) inspect(tx *transaction, m *verdict.Message) *Reply {
	h := m.Header()
	if err := h.Err(); errors.Is(err, verdict.ErrTooComplex) {
		return &Reply{Code: 554, Enhanced: EnhancedCode{5, 6, 0}, Text: "message header too large or too complex (" + m.ID + ")", Err: err}
	} else if err != nil {
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "temporary problem, try again later (" + m.ID + ")", Err: err}
	}
	switch hidden, err := s.Headers.hidden(m, s.ownNames); {
	case err != nil:
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "temporary problem, try again later (" + m.ID + ")", Err: err}
	case hidden:
		return &Reply{Code: 554, Enhanced: EnhancedCode{5, 6, 0}, Text: "message refused: a line that is no header field among those that are (" + m.ID + ")"}
	}
	up := tx.domain.Upstream
	if up.blind(m.Peer.Addr.Addr(), h) {
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 5}, Text: "temporary problem, try again later (" + m.ID + ")",
			Err: fmt.Errorf("it says whose mail it is, and the secret to check that with cannot be read (%s)", up.Proof.ID)}
	}
	if up.vouches(m.Peer.Addr.Addr(), h) {
		if c, ok := up.origin(h); ok {
			m.Origin = c
		} else if m.Origin == m.Peer { // the upstream is not who sent it
			m.Origin = verdict.Client{}
		}
	}
	if err := s.loop(tx.domain, h); err != nil {
		return &Reply{Code: 554, Enhanced: EnhancedCode{5, 4, 6}, Text: "mail loop detected (" + m.ID + ")", Err: err}
	}
	return nil
}

// judge asks the judge. What it cannot say is Unknown. The report is a copy: the judge may keep its own.
func (s *Server) judge(ctx context.Context, tx *transaction, m *verdict.Message) *verdict.Report {
	if s.Judge == nil {
		return &verdict.Report{Findings: []verdict.Finding{{Code: verdict.CodeScannerNone, Detail: "the server has no judge"}}}
	}
	r, err := shield(s, "judge", func() (*verdict.Report, error) { return s.Judge.Judge(ctx, m), nil })
	if err != nil {
		r = failedReport(err)
	}
	var report verdict.Report
	if r != nil {
		report = *r
	}
	report.Auth = m.Auth
	if tx.early != nil { // what was found in the envelope can only make it worse
		report.Runs = slices.Concat(tx.early.Runs, report.Runs)
		report.Findings = slices.Concat(tx.early.Findings, report.Findings)
		report.Class = worse(report.Class, tx.early.Class)
	}
	return &report
}

// failedReport is the report of a judge that panicked.
func failedReport(err error) *verdict.Report {
	return &verdict.Report{Findings: []verdict.Finding{{Code: verdict.CodeScannerPanic, Detail: "the judge panicked", Err: err}}}
}

// worse is the class of a message that two have judged. Nobody can tell Clean or Spam if one of them
// could not, since that one might have found worse.
func worse(a, b verdict.Class) verdict.Class {
	if m := max(a, b); m == verdict.Malicious || a != verdict.Unknown && b != verdict.Unknown {
		return m
	}
	return verdict.Unknown
}
