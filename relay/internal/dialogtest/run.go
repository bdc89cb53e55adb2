package dialogtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// Dial connects to the server under test.
type Dial func(ctx context.Context) (net.Conn, error)

// Run plays the dialog. The error says at which line what else happened. It does not look at M lines: call
// Check once the server has come to rest.
func (d *Dialog) Run(ctx context.Context, dial Dial) error {
	p := &player{ctx: ctx, dial: dial, classOnly: d.ClassOnly}
	defer p.close()
	for i := 0; i < len(d.steps); {
		st := d.steps[i]
		if st.kind == 'C' { // together with those that follow
			var out strings.Builder
			for ; i < len(d.steps) && d.steps[i].kind == 'C'; i++ {
				out.WriteString(strings.Repeat(d.steps[i].text, d.steps[i].times))
			}
			if err := p.send(out.String()); err != nil {
				return fmt.Errorf("line %d: sending: %w", st.line, err)
			}
			continue
		}
		if err := p.play(st); err != nil {
			return fmt.Errorf("line %d: %w", st.line, err)
		}
		i++
	}
	return nil
}

// Check compares what was recorded with the M lines.
func (d *Dialog) Check(got []Message) error {
	lines := make([]string, len(got))
	for i, m := range got {
		lines[i] = m.String()
	}
	if g, w := strings.Join(lines, "\n"), strings.Join(d.messages, "\n"); g != w {
		return fmt.Errorf("recorded messages:\n%s\nwant:\n%s", g, w)
	}
	return nil
}

// Allows says which of the recorded messages the M lines do not have, in the same order. It is for
// dialogs that were broken off: what was accepted up to there must still be nothing else.
func (d *Dialog) Allows(got []Message) error {
	want := d.messages
	for _, m := range got {
		i := slices.Index(want, m.String())
		if i < 0 {
			return fmt.Errorf("recorded and not expected: %s", m)
		}
		want = want[i+1:]
	}
	return nil
}

type player struct {
	ctx       context.Context
	dial      Dial
	conn      net.Conn
	br        *bufio.Reader
	bytewise  bool
	classOnly bool
	over      bool // the connection was closed, and no other one asked for
}

func (p *player) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
		p.over = true
	}
}

func (p *player) connect() error {
	p.close()
	c, err := p.dial(p.ctx)
	if err != nil {
		return err
	}
	p.use(c)
	return nil
}

func (p *player) use(c net.Conn) {
	p.conn = c
	p.br = bufio.NewReader(c)
	p.over = false
}

// ready connects if that was not done.
func (p *player) ready() error {
	if p.over {
		return errors.New("the connection is closed already")
	}
	if p.conn == nil {
		return p.connect()
	}
	return nil
}

func (p *player) send(s string) error {
	if err := p.ready(); err != nil {
		return err
	}
	if !p.bytewise {
		_, err := io.WriteString(p.conn, s)
		return err
	}
	for i := range len(s) {
		if _, err := io.WriteString(p.conn, s[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) play(st step) error {
	if st.kind == '-' && st.text == "connect" {
		return p.connect()
	}
	if err := p.ready(); err != nil {
		return err
	}
	if st.kind == '-' {
		return p.act(st)
	}
	for n := range st.times {
		reply, err := p.reply()
		if err != nil {
			return fmt.Errorf("reply %d, want %q: %w", n+1, st.text, err)
		}
		if !st.accepts(reply) && !(p.classOnly && st.class() == reply[0]) {
			return fmt.Errorf("reply %d is %q, want %q", n+1, reply, st.text)
		}
	}
	return nil
}

// class is the first digit of the reply that is wanted.
func (st step) class() byte {
	if i := strings.IndexAny(st.text, "12345"); i >= 0 {
		return st.text[i]
	}
	return 0
}

func (st step) accepts(reply string) bool {
	if st.kind == '~' {
		return st.match.MatchString(reply)
	}
	return strings.HasPrefix(reply, st.text) || strings.HasPrefix(reply[strings.LastIndexByte(reply, '\n')+1:], st.text)
}

// reply reads one reply, and is as strict as a client can be.
func (p *player) reply() (string, error) {
	var lines []string
	for {
		line, err := p.br.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("after %q: %w", line, err)
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || len(line) > 512 || len(text) < 4 || strings.Trim(text[:3], "0123456789") != "" || strings.ContainsAny(text, "\r\x00") {
			return "", fmt.Errorf("malformed reply %q", line)
		}
		lines = append(lines, text)
		if text[3] == ' ' {
			return strings.Join(lines, "\n"), nil
		}
	}
}

func (p *player) act(st step) error {
	switch st.text {
	case "close":
		p.close()
	case "half":
		half, ok := p.conn.(interface{ CloseWrite() error })
		if !ok {
			return errors.New("this connection cannot close one side")
		}
		return half.CloseWrite()
	case "bytes":
		p.bytewise = true
	case "wait":
		time.Sleep(st.wait)
	case "eof":
		rest, err := io.ReadAll(p.br)
		if len(rest) > 0 {
			return fmt.Errorf("the server sent %q, want nothing more", rest)
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return errors.New("the server did not close the connection")
		}
		p.close()
	case "tls":
		if n := p.br.Buffered(); n > 0 {
			return fmt.Errorf("%d octets in the clear before the handshake", n)
		}
		t := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true}) // it is our own test certificate
		if err := t.HandshakeContext(p.ctx); err != nil {
			return err
		}
		p.use(t)
	}
	return nil
}
