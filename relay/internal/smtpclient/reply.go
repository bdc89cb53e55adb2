package smtpclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// maxReplyText is how much is kept of the text of a reply.
const maxReplyText = 512

// Reply is what a server answered.
type Reply struct {
	Code     int
	Enhanced [3]int // zero if there is none (RFC 2034)
	Text     string // at most 512 bytes of printable ASCII; lines separated by \n
}

// String returns the reply on one line.
func (r Reply) String() string {
	text := strings.ReplaceAll(r.Text, "\n", " / ")
	if r.Enhanced == ([3]int{}) {
		return fmt.Sprintf("%03d %s", r.Code, text)
	}
	return fmt.Sprintf("%03d %d.%d.%d %s", r.Code, r.Enhanced[0], r.Enhanced[1], r.Enhanced[2], text)
}

func (r Reply) class() int { return r.Code / 100 }

// at is the reply as the reason why a stage failed.
func (r Reply) at(s Stage) *Error { return &Error{Stage: s, Reply: &r} }

// unexpected is the error when the server must not say such a thing at this point.
func (r Reply) unexpected() error { return fmt.Errorf("%w: unexpected %v", ErrProtocol, r) }

// readReply reads one reply within d, however slowly its bytes come. The lines are those of the reply,
// without codes.
func (c *Conn) readReply(d time.Duration) (r Reply, lines []string, err error) {
	if err := c.deadline(d); err != nil {
		return Reply{}, nil, err
	}
	w, err := smtpwire.ReadReply(c.br, smtpwire.ReplyLimits{Lines: maxReplyLines, Bytes: maxReplyBytes})
	if errors.Is(err, smtpwire.ErrBadReply) {
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err != nil {
		return Reply{}, nil, err
	}
	return Reply{Code: w.Code, Enhanced: w.Enhanced, Text: plainText(w.Lines)}, w.Lines, nil
}

const (
	maxReplyLines = 200
	maxReplyBytes = 64 << 10
)

// plainText joins the lines of a reply: printable ASCII only, since it may go on to a peer that expects
// no more, and bounded.
func plainText(lines []string) string {
	if len(lines) == 1 && len(lines[0]) <= maxReplyText && printable(lines[0]) {
		return lines[0]
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 && b.Len() < maxReplyText {
			b.WriteByte('\n')
		}
		for j := 0; j < len(line) && b.Len() < maxReplyText; j++ {
			if c := line[j]; c < ' ' || c > '~' {
				b.WriteByte('?')
			} else {
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}
