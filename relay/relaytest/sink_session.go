package relaytest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// command executes one line and says whether the session goes on.
func (c *sinkConn) command(line string) bool {
	verb, args, _ := strings.Cut(line, " ")
	var ok bool
	switch strings.ToUpper(verb) {
	case "EHLO":
		ok = c.ehlo(line)
	case "HELO":
		ok, _ = c.reply(AtHello, line, "250 "+c.s.hostname())
	case "STARTTLS":
		ok = c.startTLS(line)
	case "MAIL":
		ok = c.from(line, args)
	case "RCPT":
		ok = c.rcpt(line, args)
	case "DATA":
		ok = c.data(line)
	case "BDAT":
		ok = c.bdat(line, args)
	case "RSET":
		c.mail = nil
		ok, _ = c.reply(AtReset, line, "250 2.0.0 forgotten")
	case "NOOP":
		ok = c.say("250 2.0.0 ok")
	case "QUIT":
		c.say("221 2.0.0 bye")
	default:
		ok = c.say("500 5.5.2 unknown command")
	}
	return ok
}

func (c *sinkConn) ehlo(line string) bool {
	c.mail = nil
	if c.s.NoEHLO {
		return c.say("502 5.5.1 no EHLO here")
	}
	lines := []string{c.s.hostname()}
	for _, x := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"} {
		if !slices.Contains(c.s.Without, x) {
			lines = append(lines, x)
		}
	}
	if !slices.Contains(c.s.Without, "SIZE") {
		lines = append(lines, "SIZE "+strconv.FormatInt(c.s.Size, 10))
	}
	if c.s.TLS != nil && c.tls == nil {
		lines = append(lines, "STARTTLS")
	}
	lines = append(lines, c.s.Also...)
	last := len(lines) - 1
	text := ""
	for _, l := range lines[:last] {
		text += "250-" + l + "\r\n"
	}
	ok, _ := c.reply(AtHello, line, text+"250 "+lines[last])
	return ok
}

func (c *sinkConn) startTLS(line string) bool {
	if c.s.TLS == nil {
		return c.say("502 5.5.1 no TLS here")
	}
	ok, done := c.reply(AtStartTLS, line, "220 2.0.0 go ahead")
	if !ok || !done {
		return ok
	}
	if f := c.s.fault(AtTLS, line); f != nil {
		f.Drop = true
		c.act(f, "220")
		c.bw.Flush()
		return false
	}
	t := tls.Server(c.raw, c.s.TLS)
	if t.Handshake() != nil {
		return false
	}
	state := t.ConnectionState()
	c.tls = &state
	c.mail = nil
	c.over(t)
	return true
}

// path takes "FROM:<a@b> X=Y" apart.
func path(args, keyword string) (address, params string, ok bool) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return "", "", false
	}
	rest := strings.TrimLeft(args[len(keyword):], " ")
	end := strings.LastIndexByte(rest, '>')
	if !strings.HasPrefix(rest, "<") || end < 0 {
		return "", "", false
	}
	return rest[1:end], strings.TrimSpace(rest[end+1:]), true
}

func (c *sinkConn) from(line, args string) bool {
	address, params, ok := path(args, "FROM:")
	switch {
	case !ok:
		return c.say("501 5.5.4 syntax: MAIL FROM:<address>")
	case c.s.TLSNeeded && c.tls == nil:
		return c.say("530 5.7.0 STARTTLS first")
	case c.mail != nil:
		return c.say("503 5.5.1 nested MAIL")
	}
	ok, done := c.reply(AtMail, line, "250 2.1.0 sender ok")
	if ok && done {
		c.mail = &SinkMessage{From: address, Params: params, RcptParams: map[string]string{}, Conn: c.id, TLS: c.tls}
	}
	return ok
}

func (c *sinkConn) rcpt(line, args string) bool {
	address, params, ok := path(args, "TO:")
	switch {
	case !ok:
		return c.say("501 5.5.4 syntax: RCPT TO:<address>")
	case c.mail == nil:
		return c.say("503 5.5.1 MAIL first")
	}
	ok, done := c.reply(AtRcpt, line, "250 2.1.5 recipient ok")
	if ok && done {
		c.mail.To = append(c.mail.To, address)
		if params != "" {
			c.mail.RcptParams[address] = params
		}
	}
	return ok
}

func (c *sinkConn) data(line string) bool {
	if c.mail == nil || len(c.mail.To) == 0 {
		ok, _ := c.reply(AtData, line, "503 5.5.1 RCPT first") // a fault may say 354
		return ok
	}
	ok, done := c.reply(AtData, line, "354 go ahead")
	if !ok || !done {
		return ok
	}
	for first := true; ; first = false {
		l, err := c.readLine()
		if err != nil {
			return false
		}
		if c.ends(l) {
			return c.end()
		}
		if l[0] == '.' {
			l = l[1:]
		}
		c.add(l)
		if first && !c.body() {
			return false
		}
	}
}

// ends says whether a line is the end of the data.
func (c *sinkConn) ends(l []byte) bool {
	if c.s.Lax {
		return string(bytes.Trim(l, "\r\n")) == "."
	}
	return string(l) == ".\r\n"
}

// readLine reads up to LF, or to CRLF unless the sink is lax. What does not fit is a line without end.
func (c *sinkConn) readLine() ([]byte, error) {
	l, err := c.br.ReadSlice('\n')
	if err == nil && (c.s.Lax || bytes.HasSuffix(l, []byte("\r\n"))) {
		return l, nil
	}
	whole := bytes.Clone(l)
	for err != nil || !c.s.Lax && !bytes.HasSuffix(whole, []byte("\r\n")) {
		if err != nil && len(l) < c.br.Size() {
			return nil, err
		}
		l, err = c.br.ReadSlice('\n')
		whole = append(whole, l...)
	}
	return whole, nil
}

func (c *sinkConn) add(p []byte) {
	c.mail.Size += int64(len(p))
	if !c.s.Discard {
		c.mail.Data = append(c.mail.Data, p...)
	}
}

// addresses are those of the envelope, for faults.
func (m *SinkMessage) addresses() string {
	return "<" + m.From + "> <" + strings.Join(m.To, "> <") + ">"
}

// body is the fault in the middle of a message. After a reply nothing more is listened to.
func (c *sinkConn) body() bool {
	f := c.s.fault(AtBody, c.mail.addresses())
	if f == nil {
		return true
	}
	goOn, _ := c.act(f, "250 2.0.0 too early")
	c.bw.Flush()
	if goOn {
		io.Copy(io.Discard, c.br)
	}
	return false
}

// end takes the message and says so.
func (c *sinkConn) end() bool {
	m := c.mail
	c.mail = nil
	if c.s.Size > 0 && m.Size > c.s.Size {
		return c.say("552 5.3.4 too large")
	}
	f := c.s.fault(AtDot, m.addresses())
	if f == nil || f.Keep || f.Reply == "" && !f.Drop {
		c.s.take(*m)
	}
	goOn, _ := c.act(f, "250 2.0.0 taken")
	return goOn
}

// bdat reads one chunk (RFC 3030). A chunk is read to its end whatever is replied.
func (c *sinkConn) bdat(line, args string) bool {
	f := strings.Fields(args)
	var n int64 = -1
	if len(f) > 0 {
		n, _ = strconv.ParseInt(f[0], 10, 64)
	}
	last := len(f) == 2 && strings.EqualFold(f[1], "LAST")
	if n < 0 || slices.Contains(c.s.Without, "CHUNKING") || len(f) > 1 && !last {
		c.say("501 5.5.4 syntax: BDAT size [LAST]")
		return false // nobody knows where the next command begins
	}
	if c.mail == nil || len(c.mail.To) == 0 {
		if _, err := io.CopyN(io.Discard, c.br, n); err != nil {
			return false
		}
		return c.say("503 5.5.1 RCPT first")
	}
	c.mail.BDAT = true
	if !c.chunk(n) {
		return false
	}
	if f := c.s.fault(AtData, line); f != nil {
		c.mail = nil
		goOn, _ := c.act(f, "250 2.0.0 chunk")
		return goOn
	}
	if last {
		return c.end()
	}
	return c.say(fmt.Sprintf("250 2.0.0 %d octets", n))
}

// chunk reads n bytes, with the fault in the middle.
func (c *sinkConn) chunk(n int64) bool {
	for i, k := range []int64{n / 2, n - n/2} {
		if i == 1 && n > 0 && !c.body() {
			return false
		}
		var w io.Writer = sinkWriter{c}
		if c.s.Discard {
			w = io.Discard
			c.mail.Size += k
		}
		if _, err := io.CopyN(w, c.br, k); err != nil {
			return false
		}
	}
	return true
}

type sinkWriter struct{ c *sinkConn }

func (w sinkWriter) Write(p []byte) (int, error) {
	w.c.add(p)
	return len(p), nil
}
