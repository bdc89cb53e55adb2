package smtpclient_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay/internal/smtpclient"
	"github.com/postreeve/postreeve/verdict"
)

// scriptConn is a server that says its lines whatever it hears, and then hangs up.
type scriptConn struct {
	in   io.Reader
	out  bytes.Buffer
	step int // bytes of a read; 0: all there are
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if c.step > 0 {
		p = p[:min(len(p), c.step)]
	}
	return c.in.Read(p)
}
func (c *scriptConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv6loopback} }
func (c *scriptConn) RemoteAddr() net.Addr             { return c.LocalAddr() }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

const body = "Subject: x\r\n\r\n.dots\r\nend"

var envelope = verdict.Envelope{From: "a@x", To: []verdict.Recipient{{Address: "b@x"}, {Address: "c@x"}}}

// play lets a client speak with a script.
func play(t testing.TB, script string, step int) (*smtpclient.Conn, *scriptConn, smtpclient.Result, error) {
	s := &scriptConn{in: strings.NewReader(script), step: step}
	c := smtpclient.New(s, smtpclient.Options{Hostname: "gw.example", Timeouts: smtpclient.Timeouts{}.WithDefaults()})
	if err := c.Hello(t.Context()); err != nil {
		return c, s, smtpclient.Result{}, err
	}
	return c, s, c.Send(t.Context(), envelope, verdict.Bytes(body), smtpclient.SendOptions{}), nil
}

// replyCases are what servers say. Read one byte at a time, nothing is left over between the steps.
var replyCases = []struct {
	name, script string
	hello        string // the stage of its error
	send         string
	codes        [2]int
	reusable     bool
}{
	{"all well", "220 x\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 e\r\n", "", "", [2]int{250, 250}, true},
	{"LF only", "220 x\n250 x\n250 a\n250 b\n250 c\n354 d\n250 e\n", "", "", [2]int{250, 250}, true},
	{"no text", "220\r\n250\r\n250\r\n250\r\n250\r\n354\r\n250\r\n", "", "", [2]int{250, 250}, true},
	{"chunking", "220 x\r\n250-x\r\n250 CHUNKING\r\n250 a\r\n250 b\r\n250 c\r\n250 e\r\n", "", "", [2]int{250, 250}, true},
	{"HELO", "220 x\r\n502 no\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 e\r\n", "", "", [2]int{250, 250}, true},
	{"nothing", "", "greeting", "", [2]int{}, false},
	{"half a line", "220 x", "greeting", "", [2]int{}, false},
	{"other protocol", "SSH-2.0-OpenSSH_9.9\r\n", "greeting", "", [2]int{}, false},
	{"POP3", "+OK ready\r\n", "greeting", "", [2]int{}, false},
	{"code 199", "199 x\r\n", "greeting", "", [2]int{}, false},
	{"code 600", "600 x\r\n", "greeting", "", [2]int{}, false},
	{"two digits", "22 x\r\n", "greeting", "", [2]int{}, false},
	{"greeting 250", "250 x\r\n", "greeting", "", [2]int{}, false},
	{"greeting of other codes", "220-x\r\n221 x\r\n", "greeting", "", [2]int{}, false},
	{"NUL", "220\x00x\r\n", "greeting", "", [2]int{}, false},
	{"endless line", "220 " + strings.Repeat("x", 100_000) + "\r\n", "greeting", "", [2]int{}, false},
	{"endless reply", strings.Repeat("220-x\r\n", 5000) + "220 x\r\n", "greeting", "", [2]int{}, false},
	{"EHLO 421", "220 x\r\n421 x\r\n", "EHLO", "", [2]int{}, false},
	{"neither EHLO nor HELO", "220 x\r\n500 x\r\n500 x\r\n", "EHLO", "", [2]int{}, false},
	{"MAIL 354", "220 x\r\n250 x\r\n354 a\r\n", "", "MAIL", [2]int{}, false},
	{"RCPT 354", "220 x\r\n250 x\r\n250 a\r\n354 b\r\n", "", "RCPT", [2]int{}, false},
	{"DATA 250", "220 x\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n", "", "DATA", [2]int{}, false},
	{"end 354", "220 x\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n354 e\r\n", "", "end of data", [2]int{}, false},
	{"gone before the end", "220 x\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "", "end of data", [2]int{}, false},
	{"gone at RCPT", "220 x\r\n250 x\r\n250 a\r\n550 5.1.1 b\r\n", "", "RCPT", [2]int{550, 0}, false},
	{"some", "220 x\r\n250 x\r\n250 a\r\n550 5.1.1 b\r\n250 c\r\n354 d\r\n250 e\r\n", "", "", [2]int{550, 250}, true},
	{"none", "220 x\r\n250 x\r\n250 a\r\n550 b\r\n450 c\r\n250 reset\r\n", "", "", [2]int{550, 450}, true},
	{"none, and RSET fails", "220 x\r\n250 x\r\n250 a\r\n550 b\r\n450 c\r\n500 reset\r\n", "", "", [2]int{550, 450}, false},
	{"end 421", "220 x\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n421 e\r\n", "", "", [2]int{421, 421}, false},
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, c := range replyCases {
		conn, _, res, err := play(t, c.script, 1)
		if got := stage(err); got != c.hello {
			t.Errorf("%s: Hello failed at %q, want %q: %v", c.name, got, c.hello, err)
			continue
		}
		if err != nil {
			continue
		}
		if res.Err == nil && c.send != "" || res.Err != nil && string(res.Err.Stage) != c.send {
			t.Errorf("%s: failed with %v, want stage %q", c.name, res.Err, c.send)
		}
		if got := [2]int{res.Recipients[0].Code, res.Recipients[1].Code}; got != c.codes {
			t.Errorf("%s: codes %v, want %v", c.name, got, c.codes)
		}
		if conn.Reusable() != c.reusable {
			t.Errorf("%s: reusable %v, want %v", c.name, conn.Reusable(), c.reusable)
		}
	}
}

func stage(err error) string {
	if e, ok := errors.AsType[*smtpclient.Error](err); ok {
		return string(e.Stage)
	}
	return ""
}

func TestReplyText(t *testing.T) {
	t.Parallel()
	_, _, res, _ := play(t, "220 x\r\n250 x\r\n250 a\r\n"+
		"550-5.7.1 one\t\x01\x7f\xff\xc3\xa4\r\n550-5.7.1 two\r\n550 three\r\n"+
		"450 4.2.2 "+strings.Repeat("y", 1000)+"\r\n250 reset\r\n", 1)
	want := smtpclient.Reply{Code: 450, Enhanced: [3]int{4, 2, 2}, Text: strings.Repeat("y", 512)}
	if d := cmp.Diff(want, res.Recipients[1]); d != "" {
		t.Error(d)
	}
	got := res.Recipients[0]
	if got.Enhanced != [3]int{5, 7, 1} || !plain(got.Text) || !strings.HasPrefix(got.Text, "one ??") || !strings.HasSuffix(got.Text, "?\ntwo\nthree") {
		t.Errorf("%+v", got)
	}
}

func plain(s string) bool {
	return len(s) <= 512 && !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') })
}

// With pipelining MAIL, RCPT and DATA leave in one write, and nothing of the body before the replies.
func TestPipelining(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := smtpclient.New(a, smtpclient.Options{Timeouts: smtpclient.Timeouts{}.WithDefaults()})
	done := make(chan smtpclient.Result, 1)
	go func() {
		if err := c.Hello(t.Context()); err != nil {
			t.Error(err)
		}
		done <- c.Send(t.Context(), envelope, verdict.Bytes(body), smtpclient.SendOptions{})
	}()
	buf := make([]byte, 64<<10)
	for _, step := range []struct{ reply, want string }{
		{"220 x\r\n", "EHLO [127.0.0.1]\r\n"},
		{"250-x\r\n250 PIPELINING\r\n", "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\nDATA\r\n"},
		{"250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "Subject: x\r\n\r\n..dots\r\nend\r\n.\r\n"},
	} {
		io.WriteString(b, step.reply)
		n, err := b.Read(buf)
		if err != nil || string(buf[:n]) != step.want {
			t.Fatalf("one write of %q (%v), want %q", buf[:n], err, step.want)
		}
	}
	io.WriteString(b, "250 e\r\n")
	if res := <-done; res.Err != nil || res.Recipients[1].Code != 250 {
		t.Errorf("%+v", res)
	}
}

// FuzzReplies plays what is found to a client. Nothing may be taken for accepted before all of it was
// sent and answered, and no reply may carry anything that could break a line.
func FuzzReplies(f *testing.F) {
	for _, c := range replyCases {
		if len(c.script) < 1000 {
			f.Add(c.script, 0)
			f.Add(c.script, 1)
		}
	}
	f.Add("220 x\r\n250-x\r\n250-PIPELINING\r\n250-LIMITS RCPTMAX=1 MAILMAX=9999999999999999999\r\n250 SIZE 5\r\n", 3)
	for _, seed := range corpus(f) {
		f.Add(seed, 0)
	}
	f.Fuzz(func(t *testing.T, script string, step int) {
		_, s, res, err := play(t, script, min(max(step, 0), 100))
		if err != nil {
			return
		}
		sent := s.out.String()
		whole := strings.HasSuffix(sent, "\r\n..dots\r\nend\r\n.\r\n") || strings.HasSuffix(sent, body)
		for i, r := range res.Recipients {
			if r.Code/100 == 2 && !whole {
				t.Errorf("recipient %d accepted after %q", i, sent)
			}
			if !plain(r.Text) || r.Code != 0 && (r.Code < 200 || r.Code > 599) {
				t.Errorf("recipient %d: %+v", i, r)
			}
			if r.Code == 0 && res.Err == nil {
				t.Errorf("recipient %d has no reply and nobody says why", i)
			}
		}
		if res.Unanswered && whole {
			t.Errorf("to be sent again after %q", sent)
		}
	})
}

// corpus returns server replies that others have collected, where the shared corpus is at hand.
func corpus(tb testing.TB) []string {
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "../shared/corpus/smtp-fuzz/smtp-replies/*"))
	var out []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// The collected replies are no answers to what is asked here, so nothing may be taken for accepted.
func TestCorpusReplies(t *testing.T) {
	t.Parallel()
	seeds := corpus(t)
	if len(seeds) == 0 {
		t.Skip("the shared corpus is not here")
	}
	for _, s := range seeds {
		for _, step := range []int{0, 1} {
			_, _, res, _ := play(t, s, step)
			for _, r := range res.Recipients {
				if r.Code/100 == 2 {
					t.Errorf("%q: taken for accepted", s)
				}
			}
		}
	}
}
