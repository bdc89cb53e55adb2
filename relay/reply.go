package relay

import (
	"errors"
	"fmt"
	"strings"
)

// EnhancedCode is an enhanced mail system status code (RFC 3463): class, subject, detail.
type EnhancedCode [3]int

// String returns the code as it stands in a reply: "5.7.1".
func (c EnhancedCode) String() string { return fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2]) }

// Reply is an SMTP reply. As an error it has two audiences: Code, Enhanced and Text go to the peer,
// Err goes to the log and never over the wire.
type Reply struct {
	Code     int          // 250, 451, 550, …
	Enhanced EnhancedCode // zero if there is none: then the peer is told the class alone, as in 5.0.0
	Text     string       // one line, or several separated by \n; no codes in it
	Err      error        // the cause, for the log
}

// Error returns the reply and its cause, for logs.
func (r *Reply) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%03d", r.Code)
	if r.Enhanced != (EnhancedCode{}) {
		b.WriteByte(' ')
		b.WriteString(r.Enhanced.String())
	}
	if r.Text != "" {
		b.WriteByte(' ')
		b.WriteString(strings.ReplaceAll(r.Text, "\n", " / "))
	}
	if r.Err != nil {
		b.WriteString(": ")
		b.WriteString(r.Err.Error())
	}
	return b.String()
}

// short is the reply without its code and cause: "5.7.1 no".
func (r *Reply) short() string {
	if r.Enhanced == (EnhancedCode{}) {
		return r.Text
	}
	return r.Enhanced.String() + " " + r.Text
}

// Unwrap returns the cause.
func (r *Reply) Unwrap() error { return r.Err }

// Temporary says whether trying again later may help. Only a *Reply of class 5 says that it will not:
// a bug or an unclassified error must never bounce mail.
func Temporary(err error) bool {
	var r *Reply
	return !errors.As(err, &r) || r.Code < 500
}

// line is the reply as one line of the protocol, for when no engine is there to write it.
func (r *Reply) line() string {
	return fmt.Sprintf("%03d %s %s\r\n", r.Code, r.Enhanced, clean(r.Text, 400))
}
