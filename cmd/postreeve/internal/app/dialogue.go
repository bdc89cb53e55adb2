package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// dialogue is the client's side of an SMTP session, for commands that show or probe one. It is used by
// one goroutine.
type dialogue struct {
	conn    net.Conn
	text    *textproto.Conn
	timeout time.Duration // for each step
	// heard is called for each line, with "C" or "S". Nil: nobody listens.
	heard func(who, line string)
}

// maxDialogue bounds what a server can make us read.
const maxDialogue = 1 << 20

// dial connects and reads the greeting.
func dial(ctx context.Context, addr string, timeout time.Duration, heard func(who, line string)) (*dialogue, string, error) {
	nd := net.Dialer{Timeout: timeout}
	conn, err := nd.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, "", err
	}
	d := &dialogue{timeout: timeout, heard: heard}
	d.over(conn)
	greeting, err := d.reply(220)
	if err != nil {
		d.close()
		return nil, "", fmt.Errorf("greeting: %w", err)
	}
	return d, greeting, nil
}

type limitedConn struct {
	io.Reader
	net.Conn
}

func (c limitedConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (d *dialogue) over(conn net.Conn) {
	d.conn = conn
	d.text = textproto.NewConn(limitedConn{io.LimitReader(conn, maxDialogue), conn})
}

func (d *dialogue) say(line string) error {
	if d.heard != nil {
		d.heard("C", line)
	}
	d.conn.SetDeadline(time.Now().Add(d.timeout))
	return d.text.PrintfLine("%s", line)
}

// reply reads a reply and checks its code. The text has its lines separated by \n.
func (d *dialogue) reply(want int) (string, error) {
	d.conn.SetDeadline(time.Now().Add(d.timeout))
	code, text, err := d.text.ReadResponse(want)
	if err != nil && code == 0 {
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection")
		}
		return "", err
	}
	if d.heard != nil {
		lines := strings.Split(text, "\n")
		line := fmt.Sprintf("%d %s", code, lines[0])
		if len(lines) > 1 {
			line += fmt.Sprintf(" (and %s)", plural(len(lines)-1, "more line"))
		}
		d.heard("S", line)
	}
	return text, err
}

// command says a line and reads the reply to it.
func (d *dialogue) command(want int, line string) (string, error) {
	if err := d.say(line); err != nil {
		return "", err
	}
	return d.reply(want)
}

// hello says EHLO and returns the name that the server gives itself and its extensions in upper case.
func (d *dialogue) hello(name string) (server string, extensions map[string]string, err error) {
	text, err := d.command(250, "EHLO "+name)
	if err != nil {
		return "", nil, fmt.Errorf("EHLO: %w", err)
	}
	lines := strings.Split(text, "\n")
	server, _, _ = strings.Cut(lines[0], " ")
	extensions = map[string]string{}
	for _, l := range lines[1:] {
		key, value, _ := strings.Cut(l, " ")
		extensions[strings.ToUpper(key)] = value
	}
	return server, extensions, nil
}

// startTLS does what its name says. The state has the certificates of the server.
func (d *dialogue) startTLS(ctx context.Context, cfg *tls.Config) (tls.ConnectionState, error) {
	if _, err := d.command(220, "STARTTLS"); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("STARTTLS: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	tc := tls.Client(d.conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("TLS handshake: %w", err)
	}
	d.over(tc)
	return tc.ConnectionState(), nil
}

// send sends one message and returns the reply to it, which may be a refusal at any step.
func (d *dialogue) send(from, to string, message []byte) (reply string, err error) {
	for _, step := range []struct {
		code int
		line string
	}{{250, "MAIL FROM:<" + from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if _, err := d.command(step.code, step.line); err != nil {
			return refusal(err)
		}
	}
	if d.heard != nil {
		d.heard("C", fmt.Sprintf("(the message: %s)", plural(len(message), "byte")))
	}
	d.conn.SetDeadline(time.Now().Add(d.timeout))
	w := d.text.DotWriter()
	if _, err := w.Write(message); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	text, err := d.reply(250)
	if err != nil {
		return refusal(err)
	}
	return "250 " + text, nil
}

// refusal makes a reply of an error that is one.
func refusal(err error) (string, error) {
	var pe *textproto.Error
	if errors.As(err, &pe) {
		return fmt.Sprintf("%d %s", pe.Code, pe.Msg), nil
	}
	return "", err
}

func (d *dialogue) quit() {
	d.command(221, "QUIT") // it is over in any case
	d.close()
}

func (d *dialogue) close() { d.text.Close() }
