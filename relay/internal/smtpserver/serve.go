package smtpserver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

type enhanced = smtp.EnhancedCode

// serve speaks with the peer until one of the two has had enough.
func (c *Conn) serve() {
	defer c.end()
	// RemoteAddr may wait for a PROXY header, so it is asked for here and not where connections are accepted.
	c.remote = c.wire.raw.RemoteAddr()
	c.trusted = c.server.XClient != nil && c.server.XClient(c.Peer().Addr())
	c.in = smtpwire.NewReader(source{c}, c.server.MaxCommandLine)
	defer c.in.Release()
	c.greet()
	for !c.closing {
		c.step()
	}
	c.flush()
	if c.lingers && c.werr == nil {
		c.wire.linger()
	}
}

// end leaves nothing behind, whatever has happened.
func (c *Conn) end() {
	if r := recover(); r != nil {
		c.log(slog.LevelError, "panic in an SMTP connection", "panic", r, "stack", string(debug.Stack()))
	}
	c.cancel()
	c.logout()
	if err := c.wire.conn().Close(); err != nil {
		c.wire.raw.Close()
	}
}

// step reads and obeys one command.
func (c *Conn) step() {
	cmd, ok := c.read()
	if !ok {
		return
	}
	c.obey(cmd)
	for c.next != nil && !c.closing {
		cmd, c.next = *c.next, nil
		c.obey(cmd)
	}
}

// read reads one command. It is false when there is nothing to obey: the line was refused, or the
// connection is at its end.
func (c *Conn) read() (command, bool) {
	wait := c.server.commandTimeout()
	c.wire.expect(wait, c.until(wait), !c.state.busy())
	line, err := c.in.ReadLine()
	switch {
	case err == nil:
	case c.in.Err() == nil: // the line is at fault, not the connection
		c.protest(500, enhanced{5, 5, 2}, lineText(err))
		return command{}, false
	default:
		c.lost(c.in.Err())
		return command{}, false
	}
	if c.wire.isDraining() && !c.state.busy() {
		c.lost(errDraining)
		return command{}, false
	}
	return parseCommand(line), true
}

// until is the end of a wait; in the middle of a message the end of its time comes first.
func (c *Conn) until(wait time.Duration) time.Time {
	t := time.Now().Add(wait)
	if end := c.body.deadline; !end.IsZero() && end.Before(t) {
		return end
	}
	return t
}

func lineText(err error) string {
	switch {
	case errors.Is(err, smtpwire.ErrLineTooLong):
		return "Command line too long"
	case errors.Is(err, smtpwire.ErrNUL):
		return "NUL in a command line"
	}
	return "Command lines end with CRLF; there is a " + err.Error()
}

// lost ends a connection on which reading has failed. Nothing that comes after that is obeyed.
func (c *Conn) lost(err error) {
	if c.closing {
		return
	}
	c.closing = true
	switch {
	case errors.Is(err, errDraining):
		c.reply(421, enhanced{4, 3, 2}, c.server.hostname()+" is shutting down, try again later")
	case errors.Is(err, smtpwire.ErrEndless):
		c.lingers = true
		c.reply(421, enhanced{4, 7, 0}, "Command line without end, closing connection")
	case timedOut(err):
		c.lingers = true
		c.reply(421, enhanced{4, 4, 2}, c.server.hostname()+" timeout, closing connection")
		c.log(slog.LevelInfo, "SMTP client timed out", "state", c.state.String())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.log(slog.LevelDebug, "SMTP client hung up", "state", c.state.String())
	default:
		c.reply(421, enhanced{4, 4, 2}, c.server.hostname()+" connection error")
		c.log(slog.LevelInfo, "reading from an SMTP client failed", "error", err, "state", c.state.String())
	}
}

// reply puts a reply into the queue.
func (c *Conn) reply(code int, e enhanced, text string) {
	if c.werr != nil {
		return
	}
	if c.out == nil {
		c.out = outBuffers.Get().(*[]byte)
	}
	*c.out = smtpwire.AppendReply(*c.out, code, e, text)
	if len(*c.out) >= flushAt {
		c.flush()
	}
}

// protest answers a command that breaks the rules. Too many of them end the session.
func (c *Conn) protest(code int, e enhanced, text string) {
	c.reply(code, e, text)
	if c.errors++; c.errors >= c.server.maxErrors() && !c.closing {
		c.hangUp("Too many errors")
	}
}

// hangUp ends the session.
func (c *Conn) hangUp(why string) {
	c.reply(421, enhanced{4, 7, 0}, c.server.hostname()+" "+why+", closing connection")
	c.log(slog.LevelInfo, "SMTP session ended", "why", why)
	c.closing, c.lingers = true, true
}

// flush sends the queue.
func (c *Conn) flush() {
	if c.out == nil {
		return
	}
	if c.werr == nil {
		_, c.werr = c.wire.Write(*c.out)
	}
	if cap(*c.out) <= 2*flushAt {
		*c.out = (*c.out)[:0]
		outBuffers.Put(c.out)
	}
	c.out = nil
}

// source is what the reader reads from. Replies are gathered as long as there are commands to obey: they
// are sent together, before waiting for the peer (RFC 2920).
type source struct{ c *Conn }

// Read implements io.Reader.
func (s source) Read(p []byte) (int, error) {
	s.c.flush()
	if s.c.werr != nil {
		return 0, s.c.werr
	}
	return s.c.wire.Read(p)
}

// fail answers with an error of the session or of NewSession. It reports whether that was, against the
// name, a success.
func (c *Conn) fail(doing string, err error) bool {
	var se *smtp.SMTPError
	if !errors.As(err, &se) || se.Code < 200 || se.Code > 599 || se.Code/100 == 3 {
		c.log(slog.LevelWarn, "SMTP session failed", "doing", doing, "error", err)
		c.reply(451, enhanced{4, 3, 0}, "Temporary local problem, try again later")
		return false
	}
	c.reply(se.Code, classed(se), se.Message)
	if se.Code == 421 {
		c.closing, c.lingers = true, true
	}
	return se.Code/100 == 2
}

// classed returns an enhanced code that fits the reply code, since a peer may trust either.
func classed(se *smtp.SMTPError) enhanced {
	if se.EnhancedCode == smtp.NoEnhancedCode {
		return enhanced{}
	}
	class := se.Code / 100
	if se.EnhancedCode[0] != class {
		return enhanced{class, 0, 0}
	}
	return se.EnhancedCode
}

// call runs code of the session. A panic there ends the session and nothing else.
func (c *Conn) call(doing string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.panicked = true
			c.log(slog.LevelError, "panic in an SMTP session", "doing", doing, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = &smtp.SMTPError{Code: 421, EnhancedCode: enhanced{4, 3, 0}, Message: c.server.hostname() + " internal error, closing connection"}
		}
	}()
	return f()
}

// reset ends the transaction, if there is one.
func (c *Conn) reset() {
	c.utf8, c.rcpts, c.refused = false, 0, 0
	c.forward = Forwarded{}
	if c.state != fresh {
		c.state = ready
	}
	if c.session == nil || c.panicked {
		return
	}
	err := c.call("RSET", func() error {
		c.session.Reset()
		return nil
	})
	if err != nil {
		c.closing = true
		c.fail("RSET", err)
	}
}

// logout ends the session, if there is one.
func (c *Conn) logout() {
	if c.session == nil {
		return
	}
	s := c.session
	c.session = nil
	if err := c.call("logout", s.Logout); err != nil && !c.panicked {
		c.log(slog.LevelWarn, "SMTP session failed", "doing", "logout", "error", err)
	}
}
