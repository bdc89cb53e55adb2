package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
	"github.com/postreeve/postreeve/verdict"
)

// window is how many bytes of commands may wait for replies. A server that answers each at length must
// be able to get rid of its answers while it is not being listened to (RFC 2920 section 3.1).
const window = 8 << 10

// Result is what became of one transaction.
type Result struct {
	// Recipients has one reply for each recipient in order. Code 0: none came, and Err says why.
	Recipients []Reply
	// Err is why the transaction ended before its time, nil if every recipient has its own reply.
	Err *Error
	// Unanswered says that the connection ended before MAIL was answered: nothing has happened, and
	// another connection may be tried without the danger of sending twice.
	Unanswered bool
}

// SendOptions say how a message is sent.
type SendOptions struct {
	// AllOrNone sends the message only if every recipient is accepted. If one is refused, the others
	// have no reply and Err is nil.
	AllOrNone bool
}

// transaction is one message on its way.
type transaction struct {
	c    *Conn
	ctx  context.Context
	e    verdict.Envelope
	body verdict.Source
	all  bool

	bdat     bool
	eightBit bool
	utf8     bool
	data     Reply // to DATA; Code 0 if it was not sent or not answered
	mail     Reply
	accepted int
	res      Result
}

// Send sends one message to the recipients of e. Afterwards Reusable says whether the connection can be
// used for another.
func (c *Conn) Send(ctx context.Context, e verdict.Envelope, body verdict.Source, opt SendOptions) Result {
	defer c.guard(ctx)()
	t := &transaction{c: c, ctx: ctx, e: e, body: body, all: opt.AllOrNone}
	t.res.Recipients = make([]Reply, len(e.To))
	if err := t.prepare(); err != nil {
		t.res.Err = err
		return t.res
	}
	c.sent++
	if t.res.Err = t.envelope(); t.res.Err == nil {
		t.res.Err = t.content()
	}
	return t.res
}

// refuse is a reply that the server need not be asked for.
func refuse(code int, detail [3]int, text string) *Error {
	return &Error{Stage: Mail, Local: true, Reply: &Reply{Code: code, Enhanced: detail, Text: text}}
}

// prepare finds out whether the server can take the message at all, and how.
func (t *transaction) prepare() *Error {
	x := &t.c.ext
	t.bdat = x.Chunking && !t.c.opt.NoChunking
	if !safePath(t.e.From) {
		return refuse(553, [3]int{5, 1, 7}, "sender address not usable")
	}
	if x.Size > 0 && t.body.Size() > x.Size {
		return refuse(552, [3]int{5, 3, 4}, fmt.Sprintf("message of %d bytes is over the limit of %d of the next hop", t.body.Size(), x.Size))
	}
	if t.e.RequireTLS && !(x.RequireTLS && t.c.opt.Trusted && t.c.Verified()) {
		return refuse(550, [3]int{5, 7, 30}, "REQUIRETLS is not supported by the next hop")
	}
	return t.prepareBody()
}

// prepareBody decides on BODY and SMTPUTF8. Labels are wishes of clients that often ask for more than
// the message needs, so before one is taken for a reason to refuse, and where there is none, the bytes
// decide. They are never converted: signatures would break. A body with 8 bit bytes and no label goes
// as it is, to a server without 8BITMIME too.
func (t *transaction) prepareBody() *Error {
	x := &t.c.ext
	foreign := foreign(t.e)
	t.utf8 = foreign || t.e.UTF8
	t.eightBit = t.e.Body == "8BITMIME"
	look := t.utf8 && !x.UTF8 && !foreign ||
		t.eightBit && !x.EightBit ||
		t.e.Body == "" && x.EightBit
	if look {
		eight, err := has8Bit(t.body)
		if err != nil {
			return &Error{Stage: Body, Err: fmt.Errorf("%w: %w", ErrBody, err)}
		}
		t.eightBit = eight && (t.eightBit || x.EightBit)
		t.utf8 = t.utf8 && (eight || foreign || x.UTF8)
	}
	switch {
	case t.utf8 && !x.UTF8: // RFC 6531 section 3.2
		return refuse(550, [3]int{5, 6, 7}, "next hop does not take internationalised mail (SMTPUTF8)")
	case t.eightBit && !x.EightBit: // RFC 6152 section 3
		return refuse(554, [3]int{5, 6, 3}, "next hop does not take 8BITMIME and the message must not be converted")
	}
	return nil
}

// envelope sends MAIL and RCPT, and DATA with them where that is allowed, and reads the replies. It
// returns nil if the transaction may go on.
//
// A body is never sent before the replies to RCPT are known, although RFC 3030 section 4.2 would allow
// it for BDAT: a server that refuses all recipients and does not then swallow the chunk would execute
// the body as commands. DATA is held back too when a refusal must call the rest off.
func (t *transaction) envelope() *Error {
	c := t.c
	last := len(t.e.To) // index of the last RCPT; 0 is MAIL
	if c.ext.Pipelining && !t.bdat && (!t.all || last == 1) {
		last++ // DATA
	}
	next, answered, waiting := 0, 0, 0
	for answered <= last {
		for ; next <= last && (next == answered || c.ext.Pipelining && waiting < window); next++ {
			n, err := t.command(next)
			if err != nil {
				return t.lost(t.stage(next), err)
			}
			waiting += n
		}
		if err := c.flush(); err != nil {
			return t.lost(t.stage(answered), err)
		}
		for waiting = 0; answered < next; answered++ {
			if err := t.answer(answered); err != nil {
				return err
			}
		}
		if t.mail.class() != 2 {
			break
		}
	}
	return t.judge()
}

func (t *transaction) stage(i int) Stage {
	switch {
	case i == 0:
		return Mail
	case i <= len(t.e.To):
		return Rcpt
	}
	return Data
}

// lost is what a broken connection means at this point.
func (t *transaction) lost(stage Stage, err error) *Error {
	t.res.Unanswered = t.mail.Code == 0 && t.ctx.Err() == nil
	t.unaccept()
	return t.c.fail(t.ctx, stage, err)
}

// command writes command i into the buffer.
func (t *transaction) command(i int) (int, error) {
	b := t.c.cmd[:0]
	switch t.stage(i) {
	case Mail:
		b = t.appendMail(b)
	case Rcpt:
		r := t.e.To[i-1]
		if !safePath(r.Address) || r.Address == "" {
			t.res.Recipients[i-1] = Reply{Code: 553, Enhanced: [3]int{5, 1, 3}, Text: "recipient address not usable"}
			return 0, nil
		}
		b = append(append(append(b, "RCPT TO:<"...), r.Address...), '>')
		if t.c.ext.DSN {
			b = appendRcptDSN(b, r)
		}
	default:
		b = append(b, "DATA"...)
	}
	b = append(b, "\r\n"...)
	t.c.cmd = b
	return t.c.bw.Write(b)
}

func (t *transaction) appendMail(b []byte) []byte {
	x := &t.c.ext
	b = append(append(append(b, "MAIL FROM:<"...), t.e.From...), '>')
	if x.HasSize {
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, t.body.Size(), 10)
	}
	if t.eightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	if t.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if t.e.RequireTLS {
		b = append(b, " REQUIRETLS"...)
	}
	if x.DSN {
		b = appendMailDSN(b, t.e)
	}
	return b
}

// answer reads the reply to command i. An error ends the transaction at once.
func (t *transaction) answer(i int) *Error {
	stage := t.stage(i)
	limit := t.c.opt.Timeouts.Mail
	switch stage {
	case Rcpt:
		if t.res.Recipients[i-1].Code != 0 {
			return nil // never sent
		}
		limit = t.c.opt.Timeouts.Rcpt
	case Data:
		limit = t.c.opt.Timeouts.Data
	}
	r, _, err := t.c.readReply(limit)
	if err != nil {
		return t.lost(stage, err)
	}
	if (r.class() == 3) != (r.Code == 354 && stage == Data) || r.class() == 2 && stage == Data {
		return t.lost(stage, r.unexpected())
	}
	switch stage {
	case Mail:
		if r.Code == 421 {
			t.c.broken = true
			t.res.Unanswered = t.ctx.Err() == nil
			return r.at(stage)
		}
		t.mail = r
	case Rcpt:
		if t.mail.class() != 2 {
			break // the reply to MAIL is what counts
		}
		t.res.Recipients[i-1] = r
		if r.class() == 2 {
			t.accepted++
		}
	case Data:
		t.data = r
	}
	if r.Code == 421 {
		t.c.broken = true
		t.unaccept()
		return r.at(stage)
	}
	return nil
}

// unaccept takes the replies of accepted recipients back: they are not the last word.
func (t *transaction) unaccept() {
	for i, r := range t.res.Recipients {
		if r.class() == 2 {
			t.res.Recipients[i] = Reply{}
		}
	}
}

// judge decides from the replies to the envelope whether the message is sent.
func (t *transaction) judge() *Error {
	var err *Error
	switch {
	case t.mail.class() != 2:
		err = &Error{Stage: Mail, Reply: &t.mail}
		clear(t.res.Recipients)
	case t.accepted == 0, t.all && t.accepted < len(t.e.To):
		t.unaccept()
	case t.data.Code != 0 && t.data.Code != 354:
		err = &Error{Stage: Data, Reply: &t.data}
		t.unaccept()
	default:
		return nil
	}
	t.accepted = 0
	if t.data.Code == 354 {
		// The server waits for a message that nobody is to get. An empty one might be delivered.
		t.c.broken = true
		return err
	}
	t.reset()
	return err
}

// reset ends a transaction that got no message, so that the connection can be used again.
func (t *transaction) reset() {
	if t.c.broken || t.mail.class() != 2 {
		return
	}
	r, _, err := t.c.command(t.ctx, Reset, "RSET")
	t.c.broken = t.c.broken || err != nil || r.class() != 2
}

// content sends the body and gives the reply to all accepted recipients.
func (t *transaction) content() *Error {
	if t.accepted == 0 {
		return nil
	}
	err := t.transfer()
	if err != nil {
		t.unaccept()
		return err
	}
	r, _, e := t.c.readReply(t.c.opt.Timeouts.End)
	if e == nil && r.class() == 3 {
		e = r.unexpected()
	}
	if e != nil {
		t.unaccept()
		return t.c.fail(t.ctx, End, e)
	}
	t.settle(r)
	return nil
}

// settle gives r to the accepted recipients.
func (t *transaction) settle(r Reply) {
	t.c.broken = t.c.broken || r.Code == 421 || t.c.br.Buffered() > 0
	for i := range t.res.Recipients {
		if t.res.Recipients[i].class() == 2 {
			t.res.Recipients[i] = r
		}
	}
}

// transfer sends the body up to its end. When it returns nil the server owes a reply.
func (t *transaction) transfer() *Error {
	c := t.c
	if !t.bdat && t.data.Code == 0 {
		c.bw.WriteString("DATA\r\n")
		if err := c.flush(); err != nil {
			return c.fail(t.ctx, Data, err)
		}
		if err := t.answer(len(t.e.To) + 1); err != nil {
			return err
		}
		if t.data.Code != 354 {
			t.reset()
			return &Error{Stage: Data, Reply: &t.data}
		}
	}
	var err error
	switch {
	case c.spoken():
		// Taken for the reply to the message, it would lose the message.
		err = errEarly
	case t.bdat:
		err = c.writeBDAT(t.body)
	default:
		err = c.writeDATA(t.body)
	}
	if err == nil {
		return nil
	}
	return t.interrupted(err)
}

// interrupted looks for the reply of a server that did not want to hear the end of the body, since
// that says more than a broken connection.
func (t *transaction) interrupted(cause error) *Error {
	c := t.c
	failure := c.fail(t.ctx, Body, cause)
	if bad, ok := errors.AsType[*smtpwire.ContentError](cause); ok {
		return &Error{Stage: Body, Local: true, Reply: &Reply{Code: 554, Enhanced: [3]int{5, 6, 0}, Text: bad.Error()}}
	}
	if isBodyError(cause) || t.ctx.Err() != nil {
		return failure
	}
	if r, _, err := c.readReply(min(5*time.Second, c.opt.Timeouts.End)); err == nil && r.class() >= 4 {
		return r.at(Body)
	}
	return failure
}
