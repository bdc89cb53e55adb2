package smtpserver_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// client is a client that fails the test when something goes wrong.
type client struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
}

func connect(t testing.TB, r *rig) *client {
	t.Helper()
	c, err := r.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("sending %.40q: %v", s, err)
	}
}

// expect reads as many replies as there are prefixes.
func (c *client) expect(prefixes ...string) {
	c.t.Helper()
	for _, p := range prefixes {
		for {
			line, err := c.br.ReadString('\n')
			if err != nil {
				c.t.Fatalf("waiting for %q: %q, %v", p, line, err)
			}
			if line[3] == '-' {
				continue
			}
			if !strings.HasPrefix(line, p) {
				c.t.Fatalf("got %q, want %q", line, p)
			}
			break
		}
	}
}

// eof expects that the server closes without another word.
func (c *client) eof() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want the end of the connection", rest, err)
	}
	c.conn.Close()
}

// open begins a message.
func (c *client) open() {
	c.t.Helper()
	c.send("EHLO client.test\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
	c.expect("220", "250", "250", "250", "354")
}

// turning connects and says STARTTLS: what comes next is the handshake.
func turning(t testing.TB, r *rig) *client {
	t.Helper()
	c := connect(t, r)
	c.send("EHLO x\r\n")
	c.expect("220", "250")
	c.send("STARTTLS\r\n")
	c.expect("220")
	return c
}

// startTLS goes over to TLS, of no newer version than most.
func (c *client) startTLS(most uint16) {
	c.t.Helper()
	t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: most})
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.br = t, bufio.NewReader(t)
}
