package smtpserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{TLSConfig: withTLS()})
		defer r.end()
		cl := turning(t, r)
		began := time.Now()
		cl.eof()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("cut off after %v, want 1m", took)
		}
	})
}

func TestFailedHandshake(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{TLSConfig: withTLS()})
		defer r.end()
		cl := turning(t, r)
		cl.send("EHLO evil\r\nMAIL FROM:<evil@x>\r\n")
		rest, _ := io.ReadAll(cl.br)
		// At most an alert record: type 21, version 3.x.
		if len(rest) > 0 && (rest[0] != 21 || len(rest) != 7) {
			t.Errorf("after a failed handshake the server sent %q", rest)
		}
		cl.conn.Close()
		if made, _ := r.rec.Sessions(); made != 1 {
			t.Errorf("%d sessions, want the one before STARTTLS", made)
		}
	})
}

// TestOldTLS: a client that knows nothing newer than TLS 1.0 gets no session, and nothing in the clear.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{TLSConfig: withTLS()})
		defer r.end()
		cl := turning(t, r)
		old := tls.Client(cl.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
		if err := old.Handshake(); err == nil {
			t.Error("the handshake succeeded")
		}
		cl.conn.Close()
	})
}

// corked holds back what is written, so that it arrives together.
type corked struct {
	net.Conn
	hold bool
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

func (c *corked) release() error {
	// The good-bye of TLS has forbidden all writes below.
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := c.Conn.Write(c.held)
	return err
}

// TestLastWords: the good-bye of TLS may arrive together with the end of the message. The message counts,
// and the client is told.
func TestLastWords(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"BDAT 3 LAST\r\none", "DATA\r\n.\r\n"} {
		bubble(t, func(t *testing.T) {
			r := start(t, &smtpserver.Server{TLSConfig: withTLS()})
			cl := turning(t, r)
			cork := &corked{Conn: cl.conn}
			cl.conn = cork
			cl.startTLS(tls.VersionTLS12) // newer ones hide that it is a good-bye
			cl.send("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n")
			cl.expect("250", "250", "250")
			cork.hold = true
			cl.send(message)
			if err := cl.conn.(*tls.Conn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := cork.release(); err != nil {
				t.Fatal(err)
			}
			if message[0] == 'D' {
				cl.expect("354")
			}
			cl.expect("250 2.0.0")
			cl.eof()
			r.end()
			if got := r.rec.Messages(); len(got) != 1 {
				t.Errorf("recorded %v, want one message", got)
			}
		})
	}
}
