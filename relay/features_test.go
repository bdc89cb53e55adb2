package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// trap objects to an envelope.
type trap struct {
	verdict.Scanner
	class verdict.Class
	err   error
}

func newTrap(class verdict.Class, err error) verdict.Scanner {
	return trap{verdict.Func("trap", func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, nil }), class, err}
}

func (s trap) ScanEnvelope(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if m.Envelope.From == "bad@ex.org" {
		return []verdict.Finding{{Code: "trap.sender", Class: s.class}}, s.err
	}
	return nil, nil
}

// What a scanner has against the envelope is answered at RCPT if the policy refuses such mail, and
// counts at the end if it does not.
func TestEnvelopeScanner(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			name       string
			from       string
			scanner    verdict.Scanner
			policy     relay.Policy
			rcpt, data string
			verdict    string
		}{
			{"nothing against it", "a@ex.org", newTrap(verdict.Malicious, nil), relay.Policy{Malicious: relay.Reject}, "250", "250", "CLEAN"},
			{"refused at RCPT", "bad@ex.org", newTrap(verdict.Malicious, nil), relay.Policy{Malicious: relay.Reject}, "550 5.7.1", "", ""},
			{"spam that is tagged", "bad@ex.org", newTrap(verdict.Spam, nil), relay.Policy{}, "250", "250", "SPAM"},
			{"malicious that would be held", "bad@ex.org", newTrap(verdict.Malicious, nil), relay.Policy{}, "250", "550 5.7.1", ""},
			{"could not tell", "bad@ex.org", newTrap(verdict.Clean, errors.New("no answer")), relay.Policy{}, "451 4.7.1", "", ""},
			{"could not tell, and that is let through", "bad@ex.org", newTrap(verdict.Clean, errors.New("no answer")), relay.Policy{Unknown: relay.Deliver}, "250", "250", "UNKNOWN"},
			{"only watched", "bad@ex.org", verdict.MonitorOnly(newTrap(verdict.Malicious, nil)), relay.Policy{Malicious: relay.Reject}, "250", "250", "CLEAN"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{}
				c := greeted(t, serve(t, sink, func(s *relay.Server) {
					s.Engine = e
					s.Directory.(relay.Static)["ex.net"].Policy = tt.policy
					s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Nothing, tt.scanner}}
				}))
				c.say("MAIL FROM:<"+tt.from+">", "250")
				if c.say("RCPT TO:<b@ex.net>", tt.rcpt); tt.data == "" {
					return
				}
				c.say("DATA", "354")
				c.send(message("hello") + ".\r\n")
				c.expect(tt.data)
				if tt.verdict != "" {
					if got := fields(sink.Messages()[0].Data, "X-Postreeve-Verdict"); !cmp.Equal(got, []string{tt.verdict}) {
						t.Errorf("delivered as %q, want %s", got, tt.verdict)
					}
				}
			})
		}
	})
}

// queue is a Queue in memory.
type queue struct {
	err       error
	to        []string
	body, why string
}

func (q *queue) Enqueue(_ context.Context, _ *relay.Domain, _ *verdict.Message, e verdict.Envelope, body verdict.Source, why string) error {
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	q.to, q.body, q.why = e.Addresses(), string(b), why
	return errors.Join(err, q.err)
}

// In continuity mode what the hop cannot take now is queued, and only that.
func TestContinuity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  relaytest.Fault
		mode   relay.Mode
		queue  *queue
		want   string
		queued bool
		why    string
	}{
		{"hop away", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, relay.Continuity, &queue{}, "250 2.0.0 queued", true, "greeting"},
		{"hop defers", relaytest.Fault{At: relaytest.AtDot, Reply: "451 4.3.0 later"}, relay.Continuity, &queue{}, "250 2.0.0 queued", true, "451 4.3.0 later"},
		{"nobody was asked", relaytest.Fault{}, relay.StoreAndForward, &queue{}, "250 2.0.0 queued", true, ""},
		{"hop refuses", relaytest.Fault{At: relaytest.AtDot, Reply: "554 5.6.0 no"}, relay.Continuity, &queue{}, "554", false, ""},
		{"one of two is refused", relaytest.Fault{At: relaytest.AtRcpt, Match: "<c@ex.net>", Reply: "550 5.1.1 no"}, relay.Continuity, &queue{}, "451 4.5.3", false, ""},
		{"queue full", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, relay.Continuity, &queue{err: errors.New("disk full")}, "451", true, "greeting"},
		{"no queue", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, relay.Continuity, nil, "451", false, ""},
		{"synchronous", relaytest.Fault{At: relaytest.AtConnect, Drop: true}, relay.Synchronous, &queue{}, "451", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sink := &relaytest.Sink{Faults: []relaytest.Fault{tt.fault}}
			c := greeted(t, serve(t, sink, func(s *relay.Server) {
				s.Directory.(relay.Static)["ex.net"].Mode = tt.mode
				if tt.queue != nil {
					s.Queue = tt.queue
				}
			}))
			c.mail(message("hello"), tt.want, "b@ex.net", "c@ex.net")
			if tt.queue == nil {
				return
			}
			if (tt.queue.to != nil) != tt.queued {
				t.Fatalf("queued for %v", tt.queue.to)
			}
			if tt.queued && (!cmp.Equal(tt.queue.to, []string{"b@ex.net", "c@ex.net"}) || !strings.HasSuffix(tt.queue.body, message("hello")) || !strings.Contains(tt.queue.body, "X-Postreeve-Verdict: CLEAN")) {
				t.Errorf("queued for %v:\n%s", tt.queue.to, tt.queue.body)
			}
			if !strings.Contains(tt.queue.why, tt.why) || tt.why == "" && tt.queue.why != "" {
				t.Errorf("queued since %q, want %q", tt.queue.why, tt.why)
			}
		})
	}
}

// Parameters are handed on as they came, to a hop that offers them; a hop that cannot take what the
// message needs is answered for.
func TestParameters(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		for _, tt := range []struct {
			name, mail, rcpt string
			without          []string
			want             string
			params, rparams  []string
		}{
			{"DSN", "MAIL FROM:<a@ex.org> RET=HDRS ENVID=QQ+2B1", "RCPT TO:<b@ex.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bx@ex.net", nil, "250", []string{"RET=HDRS", "ENVID=QQ+2B1"}, []string{"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;b+2Bx@ex.net"}},
			{"DSN to a hop without", "MAIL FROM:<a@ex.org> RET=HDRS ENVID=QQ1", "RCPT TO:<b@ex.net> NOTIFY=NEVER", []string{"DSN"}, "250", nil, nil},
			{"8BITMIME", "MAIL FROM:<a@ex.org> BODY=8BITMIME", "RCPT TO:<b@ex.net>", nil, "250", []string{"BODY=8BITMIME"}, nil},
			{"SMTPUTF8", "MAIL FROM:<ä@ex.org> SMTPUTF8", "RCPT TO:<ü@ex.net>", nil, "250", []string{"SMTPUTF8"}, nil},
			{"SMTPUTF8 to a hop without", "MAIL FROM:<ä@ex.org> SMTPUTF8", "RCPT TO:<b@ex.net>", []string{"SMTPUTF8"}, "550 5.6.7", nil, nil},
			{"null sender", "MAIL FROM:<>", "RCPT TO:<b@ex.net>", nil, "250", nil, nil},
			{"quoted", `MAIL FROM:<"a b"@ex.org>`, `RCPT TO:<"b\"c"@ex.net>`, nil, "250", nil, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				sink := &relaytest.Sink{Without: tt.without}
				c := greeted(t, serve(t, sink, func(s *relay.Server) { s.Engine, s.Notify = e, new(notifier) }))
				c.say(tt.mail, "250")
				c.say(tt.rcpt, "250")
				c.say("DATA", "354")
				c.send(message("hello") + ".\r\n")
				if c.expect(tt.want); tt.want != "250" {
					return
				}
				m := sink.Messages()[0]
				path := func(s string) string { return s[strings.IndexByte(s, '<')+1 : strings.LastIndexByte(s, '>')] }
				if m.From != path(tt.mail) || m.To[0] != path(tt.rcpt) {
					t.Errorf("from %q to %q", m.From, m.To)
				}
				for _, p := range tt.params {
					if !strings.Contains(" "+m.Params+" ", " "+p+" ") {
						t.Errorf("MAIL has %q, not %s", m.Params, p)
					}
				}
				for _, p := range tt.rparams {
					if !strings.Contains(" "+m.RcptParams[m.To[0]]+" ", " "+p+" ") {
						t.Errorf("RCPT has %q, not %s", m.RcptParams, p)
					}
				}
				if tt.without != nil && len(m.RcptParams) > 0 {
					t.Errorf("a hop without DSN got %q", m.RcptParams)
				}
			})
		}
	})
}

// A listed peer names the client it speaks for; anybody else is refused.
func TestXClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, command, want string
		listed              []netip.Prefix
		origin              string
	}{
		{"XFORWARD", "XFORWARD NAME=mail.ex.org ADDR=203.0.113.5 HELO=mail.ex.org", "250", loopback, "203.0.113.5"},
		{"XCLIENT", "XCLIENT NAME=mail.ex.org ADDR=203.0.113.5", "220", loopback, "203.0.113.5"},
		{"XCLIENT, IPv6", "XCLIENT ADDR=IPV6:2001:db8::5", "220", loopback, "2001:db8::5"},
		{"XFORWARD from a stranger", "XFORWARD ADDR=203.0.113.5", "550 5.7.0", nil, "127.0.0.1"},
		{"XCLIENT from a stranger", "XCLIENT ADDR=203.0.113.5", "550 5.7.0", nil, "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			origins := make(chan string, 1)
			c := greeted(t, serve(t, &relaytest.Sink{}, func(s *relay.Server) {
				s.XClient = tt.listed
				s.Judge = &verdict.Engine{Scanners: []verdict.Scanner{verdict.Func("origin", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
					origins <- m.Origin.Addr.Addr().String()
					return nil, nil
				})}}
			}))
			c.say(tt.command, tt.want)
			if tt.want == "220" {
				c.say("EHLO client.example", "250")
			}
			c.mail(message("hello"), "250", "b@ex.net")
			if got := <-origins; got != tt.origin {
				t.Errorf("origin %s, want %s", got, tt.origin)
			}
		})
	}
}

// certificate writes a certificate and its key for a name into dir.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	k, _, der := issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}})
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// STARTTLS works, what was said before it in the clear is forgotten, and a certificate that has changed
// on disk is used from the next handshake on; a broken one is not.
func TestSTARTTLS(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		dir := t.TempDir()
		cert, key := certificate(t, dir, "one.example")
		pair := &relay.CertFile{Cert: cert, Key: key}
		sink := &relaytest.Sink{}
		addr := serve(t, sink, func(s *relay.Server) {
			s.Engine, s.TLSConfig = e, &tls.Config{GetCertificate: pair.GetCertificate}
		})
		secure := func(cfg *tls.Config) (*client, error) {
			c := greeted(t, addr)
			c.say("STARTTLS", "220")
			nc := tls.Client(c.nc, cfg)
			return dialled(t, nc), nc.Handshake()
		}
		name := func(c *client) string {
			return c.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
		}
		c, err := secure(&tls.Config{InsecureSkipVerify: true})
		if err != nil || name(c) != "one.example" {
			t.Fatalf("%v", err)
		}
		c.send("RCPT TO:<b@ex.net>\r\n")
		c.expect("50") // neither EHLO nor MAIL was said under TLS
		if caps := c.say("EHLO client.example", "250"); strings.Contains(caps, "STARTTLS") {
			t.Error("STARTTLS is offered twice")
		}
		c.mail(message("hello"), "250", "b@ex.net")
		if got := fields(sink.Messages()[0].Data, "Received"); !strings.Contains(got[0], "with ESMTPS id ") || !strings.Contains(got[0], " tls TLS_") {
			t.Errorf("Received: %q", got)
		}
		if _, err := secure(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("TLS 1.1 is accepted")
		}

		time.Sleep(1100 * time.Millisecond) // files are looked at once a second
		certificate(t, dir, "two.example")
		if c, err := secure(&tls.Config{InsecureSkipVerify: true}); err != nil || name(c) != "two.example" {
			t.Errorf("after the change: %v", err)
		}
		time.Sleep(1100 * time.Millisecond)
		os.WriteFile(key, []byte("rubbish"), 0o600)
		if c, err := secure(&tls.Config{InsecureSkipVerify: true}); err != nil || name(c) != "two.example" {
			t.Errorf("with a broken key on disk: %v", err)
		}
		if pair.Err() == nil {
			t.Error("nobody learns that the key on disk is broken")
		}
	})
}

// Commands behind STARTTLS in the clear are never obeyed under TLS.
func TestSTARTTLSInjection(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		cert, key := certificate(t, t.TempDir(), "one.example")
		pair := &relay.CertFile{Cert: cert, Key: key}
		sink := &relaytest.Sink{}
		addr := serve(t, sink, func(s *relay.Server) {
			s.Engine, s.TLSConfig = e, &tls.Config{GetCertificate: pair.GetCertificate}
		})
		c := greeted(t, addr)
		c.send("STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA\r\n\r\nx\r\n.\r\n")
		if line, err := c.r.ReadLine(); err == nil && strings.HasPrefix(line, "220") {
			nc := tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true})
			if nc.Handshake() == nil {
				c = dialled(t, nc)
				c.say("NOOP", "") // whatever the answer, it must be to this command
				c.say("MAIL FROM:<a@ex.org>", "50")
			}
		}
		if n := len(sink.Messages()); n != 0 {
			t.Errorf("%d messages delivered", n)
		}
	})
}

// A header that cannot be read to its end is refused: nothing could be taken off it.
func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	c := greeted(t, serve(t, sink, nil))
	for name, h := range map[string]string{
		"fields": strings.Repeat("A: b\r\n", 5000),
		"bytes":  strings.Repeat("A: "+strings.Repeat("b", 900)+"\r\n", 1300),
	} {
		t.Run(name, func(t *testing.T) { c.mail(h+message("hello"), "554 5.6.0", "b@ex.net") })
	}
	c.mail(message("hello"), "250", "b@ex.net")
	if n := len(sink.Messages()); n != 1 {
		t.Errorf("%d messages delivered, want 1", n)
	}
}

// A spool that cannot be written to is a temporary error, and the connection goes on.
func TestDiskFull(t *testing.T) {
	onBoth(t, func(t *testing.T, e relay.Engine) {
		sink := &relaytest.Sink{}
		c := greeted(t, serve(t, sink, func(s *relay.Server) {
			s.Engine, s.Spool = e, &verdict.Spool{Memory: 1000, Dir: filepath.Join(t.TempDir(), "missing")}
		}))
		c.mail(message("hello")+strings.Repeat("0123456789\r\n", 20_000), "452 4.3.1", "b@ex.net")
		c.mail(message("hello"), "250", "b@ex.net")
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("%d messages delivered, want 1", n)
		}
	})
}
