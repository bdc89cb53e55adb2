package smtpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postreeve/postreeve/relay/internal/smtpserver"
)

// TestSlowClients: whoever is too slow is cut off in time, however little he sends now and then.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		begin   string
		replies []string
		drip    string // sent again and again
		every   time.Duration
		want    time.Duration // at most
	}{
		{"silent", "", []string{"220"}, "", time.Minute, 5 * time.Minute},
		{"command letter by letter", "EHLO ", []string{"220"}, "x", 10 * time.Second, 5 * time.Minute},
		{"refused line without end", "EHLO\n", []string{"220", "500"}, "x", 10 * time.Second, 5 * time.Minute},
		{"body stalls", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n", []string{"220", "250", "250", "250", "354"}, "", time.Minute, 3 * time.Minute},
		{"body letter by letter", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n", []string{"220", "250", "250", "250", "354"}, "x", 10 * time.Second, 30 * time.Minute},
		{"refused body letter by letter", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\n", []string{"220", "250", "250", "250", "354"}, "x", 10 * time.Second, 30 * time.Minute},
		{"chunk letter by letter", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 100000\r\n", []string{"220", "250", "250", "250"}, "x", 10 * time.Second, 30 * time.Minute},
		{"little chunks", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 1\r\nx", []string{"220", "250", "250", "250", "250"}, "BDAT 1\r\nx", 2 * time.Minute, 30 * time.Minute},
		{"unwanted chunk letter by letter", "EHLO x\r\nBDAT 100000\r\n", []string{"220", "250"}, "x", 10 * time.Second, 30 * time.Minute},
		{"after a message", "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n", []string{"220", "250", "250", "250", "354", "250"}, "", time.Minute, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := start(t, &smtpserver.Server{})
				defer r.end()
				cl := connect(t, r)
				began := time.Now()
				cl.send(c.begin)
				cl.expect(c.replies...)
				var drips sync.WaitGroup
				defer drips.Wait()
				drips.Go(func() {
					for c.drip != "" {
						time.Sleep(c.every)
						if _, err := io.WriteString(cl.conn, c.drip); err != nil {
							return
						}
					}
				})
				rest, err := io.ReadAll(cl.br)
				if err != nil {
					t.Error(err)
				}
				took := time.Since(began)
				// The server may linger for a second.
				if took < c.want || took > c.want+time.Second {
					t.Errorf("cut off after %v, want %v", took, c.want)
				}
				if lines := strings.Split(strings.TrimSpace(string(rest)), "\r\n"); !strings.HasPrefix(lines[len(lines)-1], "421 4.4.2") {
					t.Errorf("the last words are %q, want 421 4.4.2", lines[len(lines)-1])
				}
				cl.conn.Close()
			})
		})
	}
}

// TestNothingAfterTimeout is what go-smtp issue 196 is about.
func TestNothingAfterTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{})
		cl := connect(t, r)
		cl.open()
		cl.send("one\r\n")
		time.Sleep(3 * time.Minute)
		// These arrive while the server says good-bye.
		_, _ = io.WriteString(cl.conn, ".\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nsmuggled\r\n.\r\n")
		cl.expect("421 4.4.2")
		cl.eof()
		r.end()
		if got := r.rec.Messages(); len(got) > 0 {
			t.Errorf("recorded %v", got)
		}
	})
}

func TestDeafClient(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{MaxCommands: 1_000_000})
		r.Capacity = 4096
		defer r.end()
		cl := connect(t, r)
		began := time.Now()
		go func() { // commands whose replies nobody reads
			for {
				if _, err := io.WriteString(cl.conn, strings.Repeat("NOOP\r\n", 100)); err != nil {
					return
				}
			}
		}()
		for len(r.log.String()) == 0 && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 70*time.Second {
			t.Errorf("cut off after %v, want one minute", took)
		}
		cl.conn.Close()
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := start(t, &smtpserver.Server{})
		silent, idle, busy, reading, stuck := connect(t, r), connect(t, r), connect(t, r), connect(t, r), connect(t, r)
		silent.expect("220")
		idle.send("EHLO x\r\n")
		idle.expect("220", "250")
		busy.send("EHLO x\r\nMAIL FROM:<a@x>\r\n")
		busy.expect("220", "250", "250")
		reading.open()
		stuck.open()
		settle()
		began := time.Now()
		ended := make(chan time.Duration, 1)
		go func() {
			r.end()
			ended <- time.Since(began)
		}()
		silent.expect("421 4.3.2")
		silent.eof()
		idle.expect("421 4.3.2")
		idle.eof()
		if took := time.Since(began); took != 0 {
			t.Errorf("idle clients were kept for %v", took)
		}
		if _, err := r.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a new connection: %v, want %v", err, net.ErrClosed)
		}
		time.Sleep(10 * time.Second)
		reading.send("one\r\n.\r\nMAIL FROM:<c@x>\r\n") // the message may end, another one may not begin
		reading.expect("250", "421 4.3.2")
		reading.eof()
		busy.send("RCPT TO:<b@y>\r\nDATA\r\n")
		busy.expect("250", "354")
		busy.send("two\r\n.\r\n")
		busy.expect("250", "421 4.3.2")
		busy.eof()
		stuck.eof()
		if took := <-ended; took != 30*time.Second {
			t.Errorf("Serve returned after %v, want 30s", took)
		}
		if got := r.rec.Messages(); len(got) != 2 {
			t.Errorf("recorded %v, want two messages", got)
		}
	})
}

// waiter is a session that waits for the end of its context.
type waiter struct {
	smtp.Session
	ctx   context.Context
	ended chan error
}

func (w waiter) Data(io.Reader) error {
	<-w.ctx.Done()
	w.ended <- w.ctx.Err()
	return w.ctx.Err()
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		ended := make(chan error, 1)
		var r *rig
		s := &smtpserver.Server{DrainTimeout: time.Second}
		s.NewSession = func(c *smtpserver.Conn) (smtp.Session, error) {
			return waiter{r.rec.Session(), c.Context(), ended}, nil
		}
		r = start(t, s)
		cl := connect(t, r)
		cl.open()
		settle()
		r.end()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the context ended with %v", err)
			}
		default:
			t.Error("Serve returned while a session was running")
		}
		cl.eof()
	})
}
