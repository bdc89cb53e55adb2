package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// Who is over a limit is told so, and others are not affected.
func TestLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		t.Run("connections", func(t *testing.T) {
			t.Parallel()
			addr := serve(t, &relaytest.Sink{}, func(s *relay.Server) { s.Engine, s.Limits.PerAddress = e, 2 })
			a := greeted(t, addr)
			greeted(t, addr)
			dial(t, addr).expect("421 4.7.0")
			a.say("QUIT", "221")
			a.nc.Close()
			for range 3000 { // until the server has noticed
				c := dial(t, addr)
				if line, _ := c.r.ReadLine(); strings.HasPrefix(line, "220") {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Error("the place of one that has gone is not given to another")
		})
		t.Run("strangers", func(t *testing.T) {
			t.Parallel()
			addr := serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				s.Engine, s.Clients = e, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			})
			dial(t, addr).expect("554 5.7.1")
		})
		t.Run("recipients", func(t *testing.T) {
			t.Parallel()
			c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) { s.Engine, s.Limits.Recipients = e, 2 }))
			c.say("MAIL FROM:<a@ex.org>", "250")
			c.say("RCPT TO:<b@ex.net>", "250")
			c.say("RCPT TO:<c@ex.net>", "250")
			c.say("RCPT TO:<d@ex.net>", "452 4.5.3")
		})
		t.Run("size", func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine, s.Limits.MessageBytes = e, 1000 }))
			c.say("MAIL FROM:<a@ex.org> SIZE=1001", "552 5.3.4")
			body := "Subject: x\r\n\r\n"
			body += strings.Repeat("y", 1000-len(body)-2) + "\r\n"
			c.mail(body, "250", "b@ex.net")
			c.mail("z"+body, "552 5.3.4", "b@ex.net")
			c.mail(body, "250", "b@ex.net") // the connection is still usable
			if n := len(sink.Messages()); n != 2 {
				t.Errorf("%d delivered, want 2", n)
			}
		})
		t.Run("bytes in flight", func(t *testing.T) {
			t.Parallel()
			judging, release := make(chan bool), make(chan bool)
			slow := verdict.Func("slow", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if m.Header().Get("Subject") == "slow" {
					judging <- true
					<-release
				}
				return nil, nil
			})
			addr := serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				s.Engine, s.Limits.BytesInFlight = e, 600<<10 // less than what one address may have
				s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{slow}}
			})
			a, b := greeted(t, addr), greeted(t, addr)
			big := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000)
			a.say("MAIL FROM:<a@ex.org>", "250")
			a.say("RCPT TO:<b@ex.net>", "250")
			a.say("DATA", "354")
			a.send(message("slow") + big + ".\r\n")
			<-judging
			b.mail(message("hello")+big, "451 4.3.1", "b@ex.net")
			release <- true
			a.expect("250")
			b.mail(message("hello")+big, "250", "b@ex.net")
		})
		t.Run("bytes in flight of one address", func(t *testing.T) {
			t.Parallel()
			judging, release := make(chan bool), make(chan bool)
			slow := verdict.Func("slow", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
				judging <- true
				<-release
				return nil, nil
			})
			addr := serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				s.Engine, s.Limits.BytesInFlight, s.Limits.MessageBytes = e, 4<<20, 400<<10
				s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{slow}}
			})
			big := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000) // takes half of the share
			for range 2 {
				c := greeted(t, addr)
				c.say("MAIL FROM:<a@ex.org>", "250")
				c.say("RCPT TO:<b@ex.net>", "250")
				c.say("DATA", "354")
				c.send(message("slow") + big + ".\r\n")
				<-judging
				defer c.expect("250")
			}
			greeted(t, addr).mail(message("third")+big, "451 4.7.0", "b@ex.net")
			close(release)
		})
		t.Run("nested MAIL", func(t *testing.T) {
			t.Parallel()
			c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) { s.Engine = e }))
			c.say("MAIL FROM:<a@ex.org>", "250")
			c.say("RCPT TO:<b@ex.net>", "250")
			c.say("MAIL FROM:<evil@ex.org>", "503 5.5.1")
		})
	})
}

// What two servers could frame differently is refused, wherever it stands.
func TestFraming(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, seq := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\n", "\n.\r", "\r.\r\n", "\r\n\x00.\r\n", "a\rb", "a\nb", "\x00"} {
			t.Run(fmt.Sprintf("%q", seq), func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{Lax: true, Without: []string{"CHUNKING"}}
				c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine = e }))
				c.mail("Subject: x\r\n\r\nfirst"+seq+"MAIL FROM:<evil@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA\r\nSubject: smuggled\r\n\r\n", "554 5.6.0", "b@ex.net")
				c.say("NOOP", "250")
				if n := len(sink.Messages()); n != 0 {
					t.Errorf("%d messages at the next hop", n)
				}
			})
		}
		t.Run("normalize", func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{}
			c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine, s.Normalize = e, true }))
			c.mail("Subject: x\n\nfirst\n.\nsecond\rthird\r\n", "250", "b@ex.net")
			if data := string(sink.Messages()[0].Data); !strings.HasSuffix(data, "Subject: x\r\n\r\nfirst\r\n.\r\nsecond\r\nthird\r\n") {
				t.Errorf("%q", data)
			}
		})
	})
}

// A body that stalls ends the session; what comes later is not taken for commands.
func TestStalledBody(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{}
		c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine, s.Timeouts.Block = e, 200*time.Millisecond }))
		c.say("MAIL FROM:<a@ex.org>", "250")
		c.say("RCPT TO:<b@ex.net>", "250")
		c.say("DATA", "354")
		c.send("Subject: x\r\n\r\n")
		c.expect("4")
		c.nc.Write([]byte("MAIL FROM:<evil@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA\r\nsmuggled\r\n.\r\n"))
		for {
			line, err := c.r.ReadLine()
			if err != nil {
				break
			}
			if strings.HasPrefix(line, "2") || strings.HasPrefix(line, "354") {
				t.Fatalf("after the timeout: %s", line)
			}
		}
		if n := len(sink.Messages()); n != 0 {
			t.Errorf("%d messages at the next hop", n)
		}
	})
}

// Ending Serve tells idle clients, lets a transaction finish, and cuts off who takes too long.
func TestDrain(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{}
		next := &relay.SMTP{Hosts: []string{sink.Start(t)}, Hostname: "mx.gw.example"}
		defer next.Close()
		srv := &relay.Server{Hostname: "mx.gw.example", Engine: e, Judge: subject, Directory: relay.Static{"ex.net": {Name: "ex.net", Next: next}}}
		srv.Timeouts.Drain = 5 * time.Second // enough for one message on a busy machine
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ctx, ln) }()
		idle, busy, stuck := greeted(t, ln.Addr().String()), greeted(t, ln.Addr().String()), greeted(t, ln.Addr().String())
		for _, c := range []*client{busy, stuck} {
			c.say("MAIL FROM:<a@ex.org>", "250")
			c.say("RCPT TO:<b@ex.net>", "250")
			c.say("DATA", "354")
		}
		stop()
		idle.expect("421")
		busy.send(message("hello") + ".\r\n")
		busy.expect("250")
		start := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("draining took %v", took)
		}
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("%d messages at the next hop, want 1", n)
		}
	})
}

func TestValid(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]*relay.Server{
		"no hostname":     {},
		"bad hostname":    {Hostname: "mx gw"},
		"injection":       {Hostname: "mx\r\n"},
		"header prefix":   {Hostname: "mx", Headers: relay.Headers{Prefix: "X Y"}},
		"nothing fits":    {Hostname: "mx", Limits: relay.Limits{BytesInFlight: 1000}},
		"longer than 10m": {Hostname: "mx", Timeouts: relay.Timeouts{Judge: 5 * time.Minute, Deliver: 5 * time.Minute}},
	} {
		if srv.Valid() == nil {
			t.Errorf("%s: no error", name)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if srv.Serve(t.Context(), ln) == nil {
			t.Errorf("%s: serves", name)
		}
		ln.Close()
	}
	if err := (&relay.Server{Hostname: "mx.gw.example"}).Valid(); err != nil {
		t.Error(err)
	}
}

// The log finds a message by its id, and says what the next hop said. Addresses stand there at debug
// level only.
func TestLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var b dialogtest.Log
		sink := &relaytest.Sink{}
		c := greeted(t, serve(t, sink, func(s *relay.Server) {
			s.Logger = slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: level}))
		}))
		id := regexp.MustCompile(`accepted as (\S+)`).FindStringSubmatch(c.mail("Message-ID: <1@ex.org>\r\n"+message("hello"), "250", "b@ex.net"))[1]
		c.say("MAIL FROM:<a@ex.org>", "250")
		c.say("RCPT TO:<b@other.example>", "550")
		log := b.String()
		for _, s := range []string{`"id":"` + id + `"`, `"hop":"` + sink.Addr() + ` 250 2.0.0`, `"took_ms":`, `"msg":"recipient refused"`, `"domain":"other.example"`} {
			if !strings.Contains(log, s) {
				t.Errorf("%v: no %s in\n%s", level, s, log)
			}
		}
		for _, s := range []string{"a@ex.org", "b@ex.net", "b@other.example", "<1@ex.org>"} {
			if strings.Contains(log, s) != want {
				t.Errorf("%v: %s stands in the log: %v", level, s, !want)
			}
		}
	}
}

// A Domain without a name cannot be told from another: it is deferred and not mixed up.
func TestDomainWithoutName(t *testing.T) {
	t.Parallel()
	c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
		d := s.Directory.(relay.Static)
		d["nameless.net"] = &relay.Domain{Next: d["ex.net"].Next}
	}))
	c.say("MAIL FROM:<a@ex.org>", "250")
	c.say("RCPT TO:<b@nameless.net>", "451 4.3.5")
}
