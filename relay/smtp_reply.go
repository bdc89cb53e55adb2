package relay

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
	"github.com/postreeve/postreeve/verdict"
)

// receipts turns the result of a transaction into receipts, or into an error if it ended before any
// recipient had an answer. dsn says that the hop has DSN.
func receipts(to []verdict.Recipient, res smtpclient.Result, at candidate, dsn bool) ([]Receipt, error) {
	rest := &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "not sent, try again", Err: ErrNotSent}
	if res.Err != nil {
		rest = hopReply(res.Err, at)
	}
	out := make([]Receipt, len(to))
	own := false
	var last *Reply
	for i, r := range res.Recipients {
		out[i] = Receipt{Recipient: to[i].Address, Host: at.String(), Reply: rest, DSN: dsn}
		if r.Code == 0 {
			continue
		}
		own = true
		if last == nil || last.Code != r.Code || last.Text != r.Text || last.Enhanced != EnhancedCode(r.Enhanced) {
			last = fromHop(r)
			if r.Code/100 != 2 {
				last.Err = fmt.Errorf("next hop %s: RCPT or message refused", at)
			}
		}
		out[i].Reply = last
	}
	if !own && res.Err != nil && res.Err.Stage != smtpclient.End {
		return nil, rest
	}
	return out, nil
}

// overLimit refuses the recipients beyond those that a hop takes at once, as it would do itself. The sender
// then comes again with fewer.
func overLimit(to []verdict.Recipient, most int, at candidate) []Receipt {
	out := refuseAll(to, &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "not sent, try again", Err: ErrNotSent})
	copy(out[most:], refuseAll(to[most:], &Reply{Code: 452, Enhanced: EnhancedCode{4, 5, 3}, Text: "too many recipients for the next hop",
		Err: fmt.Errorf("next hop %s takes %d of %d at once", at, most, len(to))}))
	return out
}

// fromHop is the reply of the next hop as we give it: 421 would say that we hang up.
func fromHop(r smtpclient.Reply) *Reply {
	if r.Code == 421 {
		r.Code = 451
	}
	return &Reply{Code: r.Code, Enhanced: EnhancedCode(r.Enhanced), Text: r.Text}
}

// hopReply says what a failed connection or transaction means for the message.
func hopReply(err *smtpclient.Error, at candidate) *Reply {
	cause := fmt.Errorf("next hop %s: %w", at, err)
	temporary := func(detail EnhancedCode, text string) *Reply {
		return &Reply{Code: 451, Enhanced: detail, Text: text, Err: cause}
	}
	early := err.Stage == smtpclient.Greeting || err.Stage == smtpclient.Hello || err.Stage == smtpclient.StartTLS
	switch {
	case err.Stage == smtpclient.StartTLS:
		return temporary(EnhancedCode{4, 7, 5}, "TLS with the next hop failed")
	case early && err.Reply != nil && err.Reply.Code/100 != 4:
		return temporary(EnhancedCode{4, 4, 1}, "next hop not available") // it is not about the message
	case err.Reply != nil && !err.Local && err.Reply.Code >= 530 && err.Reply.Code <= 538:
		// RFC 4954 section 6, RFC 3207 section 4: it wants TLS or a password from us.
		return temporary(EnhancedCode{4, 7, 0}, "next hop does not take mail from us")
	case err.Reply != nil && err.Local && err.Stage == smtpclient.Mail:
		cause = fmt.Errorf("%w: %w", ErrLacking, cause)
		fallthrough
	case err.Reply != nil:
		r := fromHop(*err.Reply)
		r.Err = cause
		return r
	case errors.Is(err, smtpclient.ErrBody):
		return temporary(EnhancedCode{4, 3, 0}, "message could not be read")
	case err.Stage == smtpclient.End:
		cause = fmt.Errorf("%w: %w", ErrUncertain, cause)
		return temporary(EnhancedCode{4, 4, 2}, "connection to the next hop lost")
	case errors.Is(err, smtpclient.ErrProtocol):
		return temporary(EnhancedCode{4, 5, 0}, "next hop does not speak SMTP as expected")
	case err.Stage == smtpclient.Connect:
		return temporary(EnhancedCode{4, 4, 1}, "next hop not reachable")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return temporary(EnhancedCode{4, 4, 2}, "next hop did not answer in time")
	}
	return temporary(EnhancedCode{4, 4, 2}, "connection to the next hop lost")
}

// refuseAll gives every recipient the same reply.
func refuseAll(to []verdict.Recipient, r *Reply) []Receipt {
	out := make([]Receipt, len(to))
	for i := range to {
		out[i] = Receipt{Recipient: to[i].Address, Reply: r}
	}
	return out
}

// asReply returns the reply in err, or a temporary one that wraps it.
func asReply(err error) *Reply {
	if r, ok := errors.AsType[*Reply](err); ok {
		return r
	}
	return &Reply{Code: 451, Enhanced: EnhancedCode{4, 3, 0}, Text: "delivery failed, try again", Err: err}
}
