package relay_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

var engines = map[string]relay.Engine{"strict": relay.Strict, "go-smtp": relay.GoSMTP}

// onBoth runs a test with each engine.
func onBoth(t *testing.T, f func(t *testing.T, e relay.Engine)) {
	t.Parallel()
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, e)
		})
	}
}

// subject is a judge that goes by the subject of the message.
var subject = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("subject", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	switch s := m.Header().Get("Subject"); s {
	case "spam":
		return []verdict.Finding{{Code: "subject.spam", Class: verdict.Spam}}, nil
	case "malicious":
		return []verdict.Finding{{Code: "subject.malicious", Class: verdict.Malicious}}, nil
	case "panic":
		panic("cannot cope")
	case "broken":
		return nil, errors.New("signatures missing")
	}
	return nil, nil
})}}

// serve starts a gateway for ex.net before the sink, changed as the test wants it, and returns its address.
func serve(t *testing.T, sink *relaytest.Sink, change func(*relay.Server)) string {
	t.Helper()
	next := &relay.SMTP{Hosts: []string{sink.Start(t)}, Hostname: "mx.gw.example"}
	t.Cleanup(func() { next.Close() })
	srv := &relay.Server{
		Hostname:  "mx.gw.example",
		Directory: relay.Static{"ex.net": {Name: "ex.net", Next: next}},
		Judge:     subject,
	}
	if change != nil {
		change(srv)
	}
	return start(t, srv)
}

func start(t testing.TB, srv *relay.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// client is an SMTP client that says what a test tells it to.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *textproto.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return dialled(t, nc)
}

func dialled(t *testing.T, nc net.Conn) *client {
	nc.SetDeadline(time.Now().Add(60 * time.Second))
	return &client{t, nc, textproto.NewReader(bufio.NewReader(nc))}
}

func greeted(t *testing.T, addr string) *client {
	t.Helper()
	c := dial(t, addr)
	c.expect("220")
	c.say("EHLO client.example", "250")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := c.nc.Write([]byte(s)); err != nil {
		c.t.Fatalf("sending %.60q: %v", s, err)
	}
}

// expect reads a reply that has to begin with want, "250" or "550 5.7.1", and returns it.
func (c *client) expect(want string) string {
	c.t.Helper()
	var text []string
	for {
		line, err := c.r.ReadLine()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", want, err)
		}
		text = append(text, line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	last := text[len(text)-1]
	if !strings.HasPrefix(last, want) {
		c.t.Fatalf("got %q, want %s", strings.Join(text, " / "), want)
	}
	return strings.Join(text, "\n")
}

func (c *client) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

// mail sends one message to the recipients and returns the reply to its content.
func (c *client) mail(body string, want string, to ...string) string {
	c.t.Helper()
	c.say("MAIL FROM:<a@ex.org>", "250")
	for _, r := range to {
		c.say("RCPT TO:<"+r+">", "250")
	}
	c.say("DATA", "354")
	c.send(body + ".\r\n")
	return c.expect(want)
}

func message(subject string) string {
	return "From: a@ex.org\r\nTo: b@ex.net\r\nSubject: " + subject + "\r\n\r\nhello\r\n"
}

// fields returns the values of the fields of a name in a message as it was delivered.
func fields(data []byte, name string) []string {
	return verdict.NewMessage(verdict.Bytes(data)).Header().Values(name)
}

// Each class goes where the policy of the domain says, and the reply says so.
func TestVerdicts(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		hold := func(context.Context, *relay.Domain, *verdict.Message, *verdict.Report) (string, error) {
			return "q1", nil
		}
		broken := func(context.Context, *relay.Domain, *verdict.Message, *verdict.Report) (string, error) {
			return "", errors.New("disk full")
		}
		for _, tt := range []struct {
			name, subject, want string
			policy              relay.Policy
			hold                relay.HolderFunc
			verdict, spam       string // as delivered; empty: not delivered
		}{
			{"clean", "hello", "250 2.0.0", relay.Policy{}, nil, "CLEAN", ""},
			{"spam is tagged", "spam", "250 2.0.0", relay.Policy{}, nil, "SPAM", "FAIL"},
			{"spam is refused", "spam", "550 5.7.1", relay.Policy{Spam: relay.Reject}, nil, "", ""},
			{"spam is delivered without a tag", "spam", "250", relay.Policy{Spam: relay.Deliver}, nil, "SPAM", ""},
			{"malicious without a holder", "malicious", "550 5.7.1", relay.Policy{}, nil, "", ""},
			{"malicious with a holder", "malicious", "250", relay.Policy{}, hold, "", ""},
			{"malicious with a holder that fails", "malicious", "451 4.3.0", relay.Policy{}, broken, "", ""},
			{"malicious is let through on purpose", "malicious", "250", relay.Policy{Malicious: relay.Tag}, nil, "MAL", "FAIL"},
			{"a scanner that panics", "panic", "451 4.7.1", relay.Policy{}, nil, "", ""},
			{"a scanner that fails", "broken", "451 4.7.1", relay.Policy{}, nil, "", ""},
			{"a scanner that fails, held", "broken", "250", relay.Policy{Unknown: relay.Hold}, hold, "", ""},
			{"a scanner that fails, delivered on purpose", "broken", "250", relay.Policy{Unknown: relay.Deliver}, nil, "UNKNOWN", ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{}
				addr := serve(t, sink, func(s *relay.Server) {
					s.Engine = e
					s.Directory.(relay.Static)["ex.net"].Policy = tt.policy
					if tt.hold != nil {
						s.Hold = tt.hold
					}
				})
				c := greeted(t, addr)
				reply := c.mail(message(tt.subject), tt.want, "b@ex.net")
				if strings.Contains(reply, "subject") || strings.Contains(reply, "disk") {
					t.Errorf("the reply tells the sender of our insides: %s", reply)
				}
				c.say("QUIT", "221")
				got := sink.Messages()
				if tt.verdict == "" {
					if len(got) != 0 {
						t.Fatalf("delivered:\n%s", got[0].Data)
					}
					return
				}
				if len(got) != 1 {
					t.Fatalf("%d messages delivered, want 1", len(got))
				}
				if d := cmp.Diff([]string{tt.verdict}, fields(got[0].Data, "X-Postreeve-Verdict")); d != "" {
					t.Error(d)
				}
				if spam := strings.Join(fields(got[0].Data, "X-Postreeve-Spam"), ","); spam != tt.spam {
					t.Errorf("X-Postreeve-Spam %q, want %q", spam, tt.spam)
				}
				if !strings.HasSuffix(string(got[0].Data), "\r\n"+message(tt.subject)) {
					t.Errorf("the message has changed:\n%s", got[0].Data)
				}
			})
		}
	})
}

func failing(err error) relay.DirectoryFunc {
	return func(context.Context, string) (*relay.Domain, error) { return nil, err }
}

// Nobody relays through us, and what is not known for sure is deferred.
func TestRecipients(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			name, rcpt, want string
			dir              relay.Directory // nil: the usual one
			none             bool
		}{
			{"ours", "b@ex.net", "250", nil, false},
			{"ours, in capitals", "b@EX.NET", "250", nil, false},
			{"ours, quoted", `"b c"@ex.net`, "250", nil, false},
			{"source route", "@evil.example,@x:b@ex.net", "250", nil, false},
			{"not ours", "b@other.example", "550 5.7.1", nil, false},
			{"a subdomain", "b@sub.ex.net", "550 5.7.1", nil, false},
			{"percent hack", "b%other.example@ex.net", "550 5.7.1", nil, false},
			{"bang path", "other.example!b@ex.net", "550 5.7.1", nil, false},
			{"route in quotes", `"b@other.example"@ex.net`, "550 5.7.1", nil, false},
			{"the domain in the local part", `"b@ex.net"@other.example`, "550 5.7.1", nil, false},
			{"address literal", "b@[127.0.0.1]", "550 5.7.1", nil, false},
			{"postmaster", "Postmaster", "250", nil, false},
			{"no directory", "b@ex.net", "550 5.7.1", nil, true},
			{"unverified", "b@ex.net", "451 4.7.1", failing(relay.ErrUnverified), false},
			{"directory down", "b@ex.net", "451 4.3.0", failing(errors.New("connection refused")), false},
			{"no next hop", "b@ex.net", "451 4.3.5", relay.Static{"ex.net": {Name: "ex.net"}}, false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				addr := serve(t, &relaytest.Sink{}, func(s *relay.Server) {
					s.Engine, s.Postmaster = e, "admin@ex.net"
					if tt.dir != nil || tt.none {
						s.Directory = tt.dir
					}
				})
				c := greeted(t, addr)
				c.say("MAIL FROM:<a@ex.org>", "250")
				if e == relay.GoSMTP && tt.rcpt == "Postmaster" {
					tt.want = "501" // its parser wants a domain
				}
				c.say("RCPT TO:<"+tt.rcpt+">", tt.want)
			})
		}
	})
}

// Recipients of another group go into another transaction, so that no verdict is averaged.
func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{}
		addr := serve(t, sink, func(s *relay.Server) {
			s.Engine = e
			d := s.Directory.(relay.Static)
			d["other.net"] = &relay.Domain{Name: "other.net", Next: d["ex.net"].Next}
			d["friend1.net"] = &relay.Domain{Name: "friend1.net", Next: d["ex.net"].Next, Group: "friends"}
			d["friend2.net"] = &relay.Domain{Name: "friend2.net", Next: d["ex.net"].Next, Group: "friends"}
		})
		c := greeted(t, addr)
		c.say("MAIL FROM:<a@ex.org>", "250")
		c.say("RCPT TO:<b@ex.net>", "250")
		c.say("RCPT TO:<b@other.net>", "452 4.5.3")
		c.say("RCPT TO:<c@ex.net>", "250")
		c.say("RCPT TO:<b@friend1.net>", "452 4.5.3")
		c.say("DATA", "354")
		c.send(message("hello") + ".\r\n")
		c.expect("250")
		c.mail(message("hello"), "250", "b@friend1.net", "b@friend2.net")
		var got [][]string
		for _, m := range sink.Messages() {
			got = append(got, m.To)
		}
		if d := cmp.Diff([][]string{{"b@ex.net", "c@ex.net"}, {"b@friend1.net", "b@friend2.net"}}, got); d != "" {
			t.Error(d)
		}
	})
}

// What may be kept is mail of one domain: its way is looked up again when it leaves, and then it may be another.
func TestGroupsKept(t *testing.T) {
	t.Parallel()
	for what, with := range map[string]func(s *relay.Server){
		"nothing": func(*relay.Server) {},
		"hold":    func(s *relay.Server) { s.Hold = deaf{} },
		"queue":   func(s *relay.Server) { s.Queue = deaf{} },
		"ledger":  func(s *relay.Server) { s.Ledger = deaf{} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				d := s.Directory.(relay.Static)
				d["friend1.net"] = &relay.Domain{Name: "friend1.net", Next: d["ex.net"].Next, Group: "friends"}
				d["friend2.net"] = &relay.Domain{Name: "friend2.net", Next: d["ex.net"].Next, Group: "friends"}
				d["sub.friend1.net"] = d["friend1.net"]
				with(s)
			}))
			c.say("MAIL FROM:<a@ex.org>", "250")
			c.say("RCPT TO:<b@friend1.net>", "250")
			c.say("RCPT TO:<b@sub.friend1.net>", "250")
			want := "452 4.5.3"
			if what == "nothing" {
				want = "250"
			}
			c.say("RCPT TO:<b@friend2.net>", want)
		})
	}
}

// The class of the next hop's answer reaches the sender, and 250 is never said for what was not handed on.
func TestNextHopFaults(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			name  string
			fault relaytest.Fault
			want  string
		}{
			{"refuses to speak", relaytest.Fault{At: relaytest.AtConnect, Reply: "554 5.7.1 not you"}, "451"},
			{"busy", relaytest.Fault{At: relaytest.AtConnect, Reply: "421 4.3.2 busy"}, "451"},
			{"drops at connect", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, "451"},
			{"drops at EHLO", relaytest.Fault{At: relaytest.AtHello, Drop: true}, "451"},
			{"sender refused", relaytest.Fault{At: relaytest.AtMail, Reply: "550 5.1.8 bad sender"}, "550 5.1.8"},
			{"sender deferred", relaytest.Fault{At: relaytest.AtMail, Reply: "451 4.7.1 greylisted"}, "451 4.7.1"},
			{"recipient refused", relaytest.Fault{At: relaytest.AtRcpt, Reply: "550 5.1.1 no such user"}, "550 5.1.1 no such user"},
			{"recipient deferred", relaytest.Fault{At: relaytest.AtRcpt, Reply: "452 4.2.2 full"}, "452 4.2.2"},
			{"drops at RCPT", relaytest.Fault{At: relaytest.AtRcpt, Drop: true}, "451"},
			{"DATA refused", relaytest.Fault{At: relaytest.AtData, Reply: "554 5.5.1 no"}, "554"},
			{"drops at DATA", relaytest.Fault{At: relaytest.AtData, Drop: true}, "451"},
			{"content refused", relaytest.Fault{At: relaytest.AtDot, Reply: "554 5.6.0 bad content"}, "554 5.6.0"},
			{"content deferred", relaytest.Fault{At: relaytest.AtDot, Reply: "451 4.3.0 later"}, "451 4.3.0"},
			{"421 at the end", relaytest.Fault{At: relaytest.AtDot, Reply: "421 4.3.2 going down", Drop: true}, "451"},
			{"drops at the end", relaytest.Fault{At: relaytest.AtDot, Drop: true}, "451"},
			{"answers garbage", relaytest.Fault{At: relaytest.AtDot, Reply: "yes"}, "451"},
			{"answers 5,000 lines", relaytest.Fault{At: relaytest.AtDot, Reply: "250 2.0.0 ok", Lines: 5000}, "451"},
			{"answers byte by byte", relaytest.Fault{At: relaytest.AtDot, Reply: "250 2.0.0 ok", Split: true, Keep: true}, "250"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				for _, without := range [][]string{nil, {"CHUNKING"}, {"CHUNKING", "PIPELINING"}} {
					f := tt.fault
					sink := &relaytest.Sink{Faults: []relaytest.Fault{f}, Without: without}
					c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine = e }))
					c.mail(message("hello"), tt.want, "b@ex.net")
					if n := len(sink.Messages()); n != 0 && tt.want[0] != '2' || n != 1 && tt.want[0] == '2' {
						t.Errorf("without %v: %d messages at the next hop after %s", without, n, tt.want)
					}
					c.say("NOOP", "250") // the session lives on
				}
			})
		}
	})
}

// Some recipients refused: nobody gets the message, and at the next attempt each gets an answer of its own.
func TestPartialRefusal(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{Faults: []relaytest.Fault{
			{At: relaytest.AtRcpt, Match: "<gone@ex.net>", Reply: "550 5.1.1 no such user"},
			{At: relaytest.AtRcpt, Match: "<full@ex.net>", Reply: "452 4.2.2 mailbox full"},
		}}
		c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine = e }))
		c.mail(message("hello"), "451 4.5.3", "b@ex.net", "gone@ex.net", "c@ex.net", "full@ex.net")
		if n := len(sink.Messages()); n != 0 {
			t.Fatalf("%d messages at the next hop though the sender was told to try again", n)
		}
		c.say("MAIL FROM:<a@ex.org>", "250")
		c.say("RCPT TO:<b@ex.net>", "250")
		c.say("RCPT TO:<gone@ex.net>", "550 5.1.1")
		c.say("RCPT TO:<c@ex.net>", "250")
		c.say("RCPT TO:<full@ex.net>", "452 4.2.2")
		c.say("DATA", "354")
		c.send(message("hello") + ".\r\n")
		c.expect("250")
		got := sink.Messages()
		if len(got) != 1 || !slices.Equal(got[0].To, []string{"b@ex.net", "c@ex.net"}) {
			t.Errorf("delivered %+v", got)
		}
	})
}

// Bodies leave as they came, whatever is in them (gateways: byte identity).
func TestByteIdentity(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		long := strings.Repeat("x", 5000)
		for name, body := range map[string]string{
			"leading dots":      "..\r\n.a\r\n...\r\n..b\r\n",
			"only dots":         ".\r\n.\r\n..\r\n",
			"998 octets":        strings.Repeat("y", 998) + "\r\n",
			"5,000 octets":      long + "\r\n" + long + "\r\n",
			"60,000 octets":     strings.Repeat("z", 60_000) + "\r\n",
			"trailing blanks":   "a  \r\n\t\r\n \r\n",
			"8 bit":             "gr\xc3\xbc\xc3\x9fe \xff\xfe\r\n",
			"empty":             "",
			"empty lines":       "\r\n\r\n\r\n",
			"no header":         "\r\n",
			"looks like SMTP":   "MAIL FROM:<x@y>\r\nRCPT TO:<b@ex.net>\r\nDATA\r\nQUIT\r\n",
			"From_ at the line": "From me\r\n>From you\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for _, without := range [][]string{nil, {"CHUNKING"}} {
					sink := &relaytest.Sink{Without: without}
					c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine = e }))
					original := "From: a@ex.org\r\nsubject:  odd   spacing \r\n\tfolded\r\n\r\n" + body
					stuffed := strings.ReplaceAll("\r\n"+original, "\r\n.", "\r\n..")[2:]
					c.mail(stuffed, "250", "b@ex.net")
					data := string(sink.Messages()[0].Data)
					head, ok := strings.CutSuffix(data, original)
					if !ok {
						t.Fatalf("without %v: changed:\n%q", without, data)
					}
					for line := range strings.Lines(head) {
						if !strings.HasPrefix(line, "Received: ") && !strings.HasPrefix(line, "X-Postreeve-") {
							t.Errorf("an undeclared header line %q", line)
						}
					}
				}
			})
		}
	})
}

// Forged fields of ours are taken off, and a message that has been here often enough is a loop.
func TestForgedAndLoops(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		hops := func(n int) string {
			return strings.Repeat("Received: from a by b; Sat, 21 Nov 2026 10:00:00 +0000\r\n", n)
		}
		ours := "Received: from a ([192.0.2.1]) by mx.gw.example (Postreeve; ex.net) with ESMTP id 1; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
		other := strings.ReplaceAll(ours, "ex.net", "other.net")
		for _, tt := range []struct{ name, header, want string }{
			{"30 hops", hops(30), "250"},
			{"50 hops", hops(50), "250"},
			{"51 hops", hops(51), "554 5.4.6"},
			{"110 hops", hops(110), "554 5.4.6"},
			{"came back once", ours, "250"},
			{"came back twice", ours + ours, "250"},
			{"goes round", ours + ours + ours, "554 5.4.6"},
			{"came by for another domain", other + other + other + other, "250"},
			{"carries the token", "X-Postreeve-Token: s3cret\r\n", "554 5.4.6"},
			{"carries another token", "X-Postreeve-Token: s3creT\r\n", "250"},
			{"forged verdict", "x-postreeve-VERDICT:\r\n CLEAN\r\nX-Postreeve-Spam: PASS\r\n", "250"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{}
				c := greeted(t, serve(t, sink, func(s *relay.Server) {
					s.Engine = e
					s.Directory.(relay.Static)["ex.net"].Token = "s3cret"
				}))
				c.mail(tt.header+message("spam"), tt.want, "b@ex.net")
				if tt.want != "250" {
					return
				}
				data := sink.Messages()[0].Data
				for name, want := range map[string]string{"Verdict": "SPAM", "Spam": "FAIL", "Token": "s3cret"} {
					if got := fields(data, "X-Postreeve-"+name); len(got) != 1 || got[0] != want {
						t.Errorf("X-Postreeve-%s: %q, want only %s", name, got, want)
					}
				}
			})
		}
	})
}

// A next hop that is the gateway itself, directly or through a peer, is found out before mail multiplies.
func TestNextHopIsOurselves(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var seen int
		srv := &relay.Server{
			Hostname: "mx.gw.example", Engine: e, Judge: subject,
			Directory: relay.Static{"ex.net": {Name: "ex.net", Next: &relay.SMTP{Hosts: []string{ln.Addr().String()}, Hostname: "mx.gw.example"}}},
			Trace:     relay.Trace{Done: func(relay.Outcome) { mu.Lock(); seen++; mu.Unlock() }},
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ctx, ln) }()
		greeted(t, ln.Addr().String()).mail(message("hello"), "554 5.4.6", "b@ex.net")
		mu.Lock()
		if seen != 1 {
			t.Errorf("%d messages went in for one", seen)
		}
		mu.Unlock()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A trusted upstream says who sent the message; nobody else is believed.
func TestOrigin(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for name, tt := range map[string]struct {
			nets []netip.Prefix
			want string
		}{
			"stranger": {nil, "127.0.0.1"},
			"upstream": {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "203.0.113.9"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				origins := make(chan string, 1)
				c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
					s.Engine = e
					s.Directory.(relay.Static)["ex.net"].Upstream = relay.Upstream{Nets: tt.nets, Kind: relay.ExchangeOnline}
					s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("origin", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
						origins <- m.Origin.Addr.Addr().String()
						return nil, nil
					})}}
				}))
				c.mail("X-Forefront-Antispam-Report: CIP:203.0.113.9;H:mail.ex.org;\r\n"+message("hello"), "250", "b@ex.net")
				if got := <-origins; got != tt.want {
					t.Errorf("origin %s, want %s", got, tt.want)
				}
			})
		}
	})
}
