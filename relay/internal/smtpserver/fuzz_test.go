package smtpserver_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// pieces are what random sessions are made of: each octet of the fuzzer's input picks one.
var pieces = []string{
	"EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<a@x>\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<copy@x>\r\n", "MAIL FROM:<blind@x>\r\n",
	"MAIL FROM:<early-ok@x>\r\n", "MAIL FROM:<early-deny@x>\r\n", "MAIL FROM:<data-panic@x>\r\n", "MAIL FROM:<data-error@x>\r\n",
	"MAIL FROM:<bye@x>\r\n", "MAIL FROM:<error@x>\r\n", "MAIL FROM:<a@x> SIZE=99999999\r\n", "RCPT TO:<b@y>\r\n", "RCPT TO:<deny@y>\r\n",
	"RCPT TO:<panic@y>\r\n", "DATA\r\n", "BDAT 5\r\n", "BDAT 5 LAST\r\n", "BDAT 0\r\n", "BDAT 0 LAST\r\n", "BDAT x\r\n", "BDAT 2000\r\n",
	"BDAT 99999999999999999999\r\n", "RSET\r\n", "NOOP\r\n", "VRFY x\r\n", "QUIT\r\n", "STARTTLS\r\n", "XCLIENT ADDR=192.0.2.1\r\n",
	"AUTH PLAIN\r\n", "\r\n", "\n", "\r", ".", "\x00", "x", "hello", "one\r\n", ".\r\n", "\r\n.\r\n", "\n.\n", "..\r\n",
	strings.Repeat("x", 1100), strings.Repeat("y", 5000),
	"\x01pause", "\x01wait", "\x01half", "\x01close", "\x01drain",
}

// FuzzSession plays random sessions that may break off anywhere. The engine must not panic, must leave no
// goroutine behind, must keep the contract of smtp.Session, and a message that it accepted must be one
// that ended.
func FuzzSession(f *testing.F) {
	testCert()
	pick := func(names ...string) []byte {
		var out []byte
		for _, n := range names {
			for i, p := range pieces {
				if p == n {
					out = append(out, byte(i))
				}
			}
		}
		return out
	}
	f.Add(pick("EHLO x\r\n", "MAIL FROM:<a@x>\r\n", "RCPT TO:<b@y>\r\n", "DATA\r\n", "one\r\n", ".\r\n", "QUIT\r\n"))
	f.Add(pick("EHLO x\r\n", "MAIL FROM:<a@x>\r\n", "RCPT TO:<b@y>\r\n", "BDAT 5\r\n", "hello", "BDAT 0 LAST\r\n", "\x01half"))
	f.Add(pick("EHLO x\r\n", "MAIL FROM:<copy@x>\r\n", "RCPT TO:<b@y>\r\n", "DATA\r\n", "one\r\n", "\x01wait", ".\r\n"))
	f.Add(pick("EHLO x\r\n", "MAIL FROM:<a@x>\r\n", "RCPT TO:<b@y>\r\n", "BDAT 5\r\n", "hello", "\x01drain", "BDAT 5 LAST\r\n", "hello"))
	f.Add(pick("EHLO x\r\n", "STARTTLS\r\n", "\x01pause", "EHLO x\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 100 {
			return
		}
		synctest.Test(t, func(t *testing.T) { wander(t, script) })
	})
}

func wander(t *testing.T, script []byte) {
	s := &smtpserver.Server{TLSConfig: withTLS(), MaxMessageBytes: 1000, MaxLineLength: 1000}
	r := start(t, s)
	c, err := r.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replies := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(c)
		replies <- string(all)
	}()
	ended := false
	for _, b := range script {
		switch p := pieces[int(b)%len(pieces)]; p {
		case "\x01pause":
			synctest.Wait()
		case "\x01wait":
			time.Sleep(3*time.Minute + time.Second)
		case "\x01half":
			_ = c.(*dialogtest.PipeConn).CloseWrite()
		case "\x01close":
			c.Close()
		case "\x01drain":
			if !ended {
				r.end()
				ended = true
			}
		default:
			_, _ = io.WriteString(c, p)
		}
	}
	synctest.Wait()
	c.Close()
	if !ended {
		r.end()
	}
	checkReplies(t, <-replies)
	for _, m := range r.rec.Messages() {
		if strings.HasPrefix(m.Envelope, "FROM:<blind@") {
			continue // it takes what it gets; the engine does not acknowledge it
		}
		body, err := dialogtest.Unescape(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		clean := strings.ReplaceAll(body, "\r\n", "")
		if strings.ContainsAny(clean, "\r\n\x00") || len(body) > 1000 {
			t.Errorf("recorded %q", m)
		}
	}
}

// checkReplies looks whether everything the server said are replies. A TLS alert may follow.
func checkReplies(t *testing.T, all string) {
	t.Helper()
	all, _, _ = strings.Cut(all, "\x15\x03")
	for line := range strings.SplitSeq(strings.TrimSuffix(all, "\r\n"), "\r\n") {
		if line == "" {
			continue
		}
		if len(line) < 4 || strings.Trim(line[:3], "0123456789") != "" || strings.Contains(line, "secret") {
			t.Errorf("the server said %q", line)
		}
	}
}
