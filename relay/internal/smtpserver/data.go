package smtpserver

import (
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// body is the message as a session reads it. It speaks the session's language: what is wrong with the
// message is a *smtp.SMTPError.
type body struct {
	*smtpwire.Body
	deadline time.Time // of the whole message
}

var errBodyGone = errors.New("smtpserver: the message was read after Data had returned")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.Body == nil {
		return 0, errBodyGone
	}
	n, err := b.Body.Read(p)
	return n, faultReply(err)
}

// WriteTo implements io.WriterTo.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if b.Body == nil {
		return 0, errBodyGone
	}
	n, err := b.Body.WriteTo(w)
	return n, faultReply(err)
}

// faultReply turns what is wrong with a message into the reply, and leaves other errors as they are.
func faultReply(err error) error {
	var ce *smtpwire.ContentError
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, smtpwire.ErrTooLarge):
		return smtp.ErrDataTooLarge
	case errors.As(err, &ce):
		return &smtp.SMTPError{Code: 554, EnhancedCode: enhanced{5, 6, 0}, Message: "Message refused: " + ce.Error()}
	}
	return err
}

func (c *Conn) bodyLimits() smtpwire.BodyLimits {
	s := c.server
	return smtpwire.BodyLimits{Bytes: s.maxMessageBytes(), Line: s.MaxLineLength, Normalize: s.Normalize}
}

// data receives a message up to CRLF.CRLF (RFC 5321 section 4.1.1.4).
func (c *Conn) data(arg string) {
	if !c.bare(arg) {
		return
	}
	c.reply(354, enhanced{}, "End data with <CR><LF>.<CR><LF>")
	c.flush() // the session may take its time before it reads
	c.begin()
	c.body.Body = c.in.Data(c.bodyLimits())
	err := c.receive()
	if c.alive() && c.body.Drain() == nil {
		c.answer(err)
		c.finish(ready)
		return
	}
	c.abandon()
}

// begin starts the clock of a message.
func (c *Conn) begin() {
	c.body.deadline = time.Now().Add(c.server.messageTimeout())
	c.wire.expect(c.server.dataTimeout(), c.body.deadline, false)
}

// receive lets the session read the message.
func (c *Conn) receive() error {
	return c.call("DATA", func() error { return c.session.Data(&c.body) })
}

// alive says whether the session and the connection are still there after receive.
func (c *Conn) alive() bool {
	return !c.panicked && !c.closing && (c.in.Err() == nil || c.body.Done())
}

// answer replies to a message that was read to its end. What is wrong with the message itself comes before
// what the session says: one that has read half of it may call that a success.
func (c *Conn) answer(err error) {
	if fault := c.body.Fault(); fault != nil {
		c.log(slog.LevelDebug, "message refused", "error", fault) // the session says so too, and knows which
		err = faultReply(fault)
	}
	if err == nil {
		c.reply(250, enhanced{2, 0, 0}, "OK")
	} else {
		c.fail("DATA", err)
	}
}

// finish ends the transaction and goes on in the given state.
func (c *Conn) finish(next state) {
	c.body = body{}
	c.idling = 0
	c.reset()
	c.state = next
}

// abandon ends the connection in the middle of a message.
func (c *Conn) abandon() {
	c.body = body{}
	switch {
	case c.panicked:
		c.fail("DATA", &smtp.SMTPError{Code: 421, EnhancedCode: enhanced{4, 3, 0}, Message: c.server.hostname() + " internal error, closing connection"})
	case c.in.Err() != nil:
		c.lost(c.in.Err())
	default:
		c.closing = true
	}
}

// chunk is the argument of BDAT.
type chunk struct {
	size   int64
	last   bool
	excess bool // there was something behind it
}

// mostChunk bounds a chunk, unless messages may be longer: beyond that nobody means it.
const mostChunk = 1 << 32

var errChunk = errors.New("the size of the chunk is not known")

// parseChunk reads "1234" or "1234 LAST" (RFC 3030 section 2).
func (c *Conn) parseChunk(arg string) (chunk, error) {
	digits, rest, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || strings.Trim(digits, "0123456789") != "" || int64(n) > max(mostChunk, c.server.maxMessageBytes()) {
		return chunk{}, errChunk
	}
	ch := chunk{size: int64(n)}
	rest = strings.TrimLeft(rest, " ")
	ch.last = strings.EqualFold(rest, "LAST")
	ch.excess = rest != "" && !ch.last
	return ch, nil
}

// unframed ends a connection on which nobody knows where the next command begins.
func (c *Conn) unframed() {
	c.reply(501, enhanced{5, 5, 4}, "Use BDAT size [LAST] with a size that can be meant, closing connection")
	c.log(slog.LevelInfo, "BDAT without a usable size")
	c.closing, c.lingers = true, true
}

// bdat receives the first chunk of a message, and inside of the session's Data all others.
func (c *Conn) bdat(arg string) {
	ch, err := c.parseChunk(arg)
	if err != nil {
		c.unframed()
		return
	}
	if ch.excess {
		c.refuseChunk(arg, obey)
		return
	}
	if int64(c.in.Buffered()) < ch.size {
		c.flush()
	}
	c.begin()
	c.body.Body = c.in.Chunks(c.bodyLimits(), ch.size, ch.last, c.nextChunk)
	err = c.receive()
	if err == nil && c.alive() && c.next == nil && c.body.Fault() == nil {
		_ = c.body.Drain() // the session may be satisfied before the end; what fails here shows below
	}
	switch {
	case !c.alive():
		c.abandon()
	case c.next != nil:
		c.finish(broken)
	default:
		c.endChunks(err)
	}
}

// endChunks replies to the chunk that ended the message, be it the last or one that was refused. The rest
// of that chunk is thrown away.
func (c *Conn) endChunks(err error) {
	left, last := c.body.Chunk()
	if c.in.Discard(left) != nil {
		c.abandon()
		return
	}
	if err == nil && !c.body.Done() && c.body.Fault() == nil {
		err = errors.New("the message was not read to its end")
	}
	c.answer(err)
	if last {
		c.finish(ready)
	} else {
		c.finish(broken)
	}
}

// nextChunk is called when a chunk was read to its end and was not the last: it replies, and reads
// commands up to the next BDAT. Any other command but NOOP ends the message.
func (c *Conn) nextChunk(b *smtpwire.Body) error {
	c.reply(250, enhanced{2, 0, 0}, "OK")
	for {
		cmd, ok := c.read()
		switch {
		case c.closing:
			return smtp.ErrDataReset
		case !ok:
			continue
		}
		if c.idling++; c.idling > c.server.maxCommands() {
			c.hangUp("Too many commands without a message")
			return smtp.ErrDataReset
		}
		if cmd.verb == noop {
			c.noop(cmd.arg)
			continue
		}
		if cmd.verb != bdat {
			c.next = &cmd
			return smtp.ErrDataReset
		}
		ch, err := c.parseChunk(cmd.arg)
		if err != nil {
			c.unframed()
			return smtp.ErrDataReset
		}
		if ch.excess {
			c.next = &cmd
			return smtp.ErrDataReset
		}
		if ch.size > 0 {
			c.idling--
		}
		c.wire.expect(c.server.dataTimeout(), c.body.deadline, false)
		b.Next(ch.size, ch.last)
		return nil
	}
}

// refuseChunk throws the chunk of a BDAT away that cannot be obeyed, and says why. After a part of a
// message was refused the rest must not be taken for the whole.
func (c *Conn) refuseChunk(arg string, r rule) {
	ch, err := c.parseChunk(arg)
	if err != nil {
		c.unframed()
		return
	}
	c.wire.expect(c.server.dataTimeout(), time.Now().Add(c.server.messageTimeout()), false)
	if err := c.in.Discard(ch.size); err != nil {
		c.lost(c.in.Err())
		return
	}
	if r == obey {
		c.protest(501, enhanced{5, 5, 4}, "Use BDAT size [LAST]")
	} else {
		c.refuse(r)
	}
	if (c.state.busy() || c.state == broken) && !c.closing {
		next := broken
		if ch.last {
			next = ready
		}
		idling := c.idling
		c.finish(next)
		c.idling = idling
	}
}
