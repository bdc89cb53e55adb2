package smtpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// discarder is a session that takes everything and keeps nothing.
type discarder struct{ n atomic.Int64 }

func (*discarder) Reset()                               {}
func (*discarder) Logout() error                        { return nil }
func (*discarder) Mail(string, *smtp.MailOptions) error { return nil }
func (*discarder) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (d *discarder) Data(r io.Reader) error {
	n, err := io.Copy(io.Discard, r)
	d.n.Add(n)
	return err
}

// loopback serves s on a port of this host.
func loopback(t testing.TB, s *smtpserver.Server) (dial func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// perConnection measures what the server's side of each of n connections holds in the state that begin
// brings it to. The client's sockets are in the same process and count too, so the truth is a little less.
func perConnection(t *testing.T, n int, begin func(*client)) uint64 {
	t.Helper()
	if testing.Short() {
		t.Skip("many connections")
	}
	dial := loopback(t, &smtpserver.Server{
		NewSession:   func(*smtpserver.Conn) (smtp.Session, error) { return new(discarder), nil },
		DrainTimeout: time.Millisecond,
	})
	conns := make([]net.Conn, 0, n)
	warm := dial()
	(&client{t: t, conn: warm}).greet()
	defer warm.Close()
	before := inUse()
	for range n {
		c := dial()
		conns = append(conns, c)
		begin(&client{t: t, conn: c})
	}
	after := inUse()
	for _, c := range conns {
		c.Close()
	}
	if after < before {
		return 0
	}
	return (after - before) / uint64(n)
}

// greet reads one octet at a time, without a buffer of its own.
func (c *client) greet() { c.replies(1) }

func (c *client) replies(n int) {
	c.t.Helper()
	var b [1]byte
	line := make([]byte, 0, 128)
	for n > 0 {
		if _, err := io.ReadFull(c.conn, b[:]); err != nil {
			c.t.Fatal(err)
		}
		line = append(line, b[0])
		if b[0] == '\n' {
			if line[3] == ' ' {
				n--
			}
			line = line[:0]
		}
	}
}

func TestIdleMemory(t *testing.T) {
	got := perConnection(t, 1000, func(c *client) {
		c.greet()
		c.send("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
		c.replies(4)
		c.send("one\r\n.\r\n")
		c.replies(1)
	})
	t.Logf("%d octets for an idle connection", got)
	if got > 24<<10 {
		t.Errorf("an idle connection holds %d octets, want at most 24 KiB", got)
	}
}

func TestDataMemory(t *testing.T) {
	got := perConnection(t, 100, func(c *client) {
		c.greet()
		c.send("EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
		c.replies(4)
		c.send(strings.Repeat("0123456789abcdef\r\n", 10_000))
	})
	t.Logf("%d octets for a connection in DATA", got)
	if got > 100<<10 {
		t.Errorf("a connection in DATA holds %d octets, want at most 100 KiB", got)
	}
}

// TestRealSockets: what memory cannot show, the look for early talkers and the half-closed good-bye.
func TestRealSockets(t *testing.T) {
	t.Parallel()
	sent := make(chan struct{}, 1)
	dial := loopback(t, &smtpserver.Server{
		NewSession: func(*smtpserver.Conn) (smtp.Session, error) { return new(discarder), nil },
		Admit: func(*smtpserver.Conn) error { // so that the early octets are sure to be there
			<-sent
			time.Sleep(50 * time.Millisecond)
			return nil
		},
		DrainTimeout: time.Second,
	})
	t.Run("early", func(t *testing.T) {
		c := &client{t: t, conn: dial()}
		c.send("EHLO x\r\n")
		sent <- struct{}{}
		all, err := io.ReadAll(c.conn)
		if err != nil || !strings.HasPrefix(string(all), "554 5.5.1") {
			t.Errorf("got %q, %v; want 554 and a clean end", all, err)
		}
		c.conn.Close()
	})
	t.Run("polite", func(t *testing.T) {
		c := &client{t: t, conn: dial()}
		sent <- struct{}{}
		c.greet()
		c.send("EHLO x\r\nBDAT\r\n" + strings.Repeat("NOOP\r\n", 1000))
		all, err := io.ReadAll(c.conn)
		if err != nil || !strings.Contains(string(all), "\r\n501 5.5.4") {
			t.Errorf("got %q, %v; want 501 and a clean end", all, err)
		}
		c.conn.Close()
	})
}

// brokenListener fails a few times in a way that passes, and then for good.
type brokenListener struct {
	net.Listener
	times int
}

type passing struct{ error }

func (passing) Temporary() bool { return true }

var errGone = errors.New("gone")

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.times--; l.times >= 0 {
		return nil, passing{errors.New("too many open files")}
	}
	return nil, errGone
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := new(smtpserver.Server).Serve(t.Context(), &brokenListener{dialogtest.Listen(), 10})
		if !errors.Is(err, errGone) {
			t.Errorf("Serve: %v, want %v", err, errGone)
		}
		// 5 ms, 10, 20, … 640, 1 s, 1 s
		if took := time.Since(began); took != 1275*time.Millisecond+2*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

func BenchmarkSession10KB(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10<<10/78)
	for _, kind := range []string{"DATA", "BDAT"} {
		b.Run(kind, func(b *testing.B) {
			dial := loopback(b, &smtpserver.Server{
				NewSession: func(*smtpserver.Conn) (smtp.Session, error) { return new(discarder), nil },
			})
			c := &client{t: b, conn: dial()}
			defer c.conn.Close()
			c.greet()
			c.send("EHLO x\r\n")
			c.replies(1)
			envelope, message, first, second := "MAIL FROM:<a@x.test> SIZE=10240\r\nRCPT TO:<b@y.test>\r\nDATA\r\n", body+".\r\n", 3, 1
			if kind == "BDAT" {
				envelope, message = fmt.Sprintf("MAIL FROM:<a@x.test> SIZE=10240\r\nRCPT TO:<b@y.test>\r\nBDAT %d LAST\r\n%s", len(body), body), ""
				first, second = 3, 0
			}
			rd := newReplyCounter(c.conn)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				c.send(envelope)
				rd.wait(b, first)
				if second > 0 {
					c.send(message)
					rd.wait(b, second)
				}
			}
		})
	}
}

// replyCounter reads single-line replies without allocating.
type replyCounter struct {
	r   io.Reader
	buf [4096]byte
	has int
}

func newReplyCounter(r io.Reader) *replyCounter { return &replyCounter{r: r} }

func (c *replyCounter) wait(b *testing.B, n int) {
	for c.has < n {
		m, err := c.r.Read(c.buf[:])
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range c.buf[:m] {
			if o == '\n' {
				c.has++
			}
		}
	}
	c.has -= n
}
