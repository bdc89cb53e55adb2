package app_test

import (
	"errors"
	"net/smtp"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// DSN is announced where notices have a way to leave, and nowhere else.
func TestDSNAnnounced(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]bool{"": false, "state: STATE": false, "state: STATE\nbounces: mx": true} {
		s := serve(t, configFor("192.0.2.1:25", strings.ReplaceAll(more, "STATE", filepath.Join(t.TempDir(), "state"))))
		c, err := smtp.Dial(s.addr(0))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := c.Extension("DSN"); got != want {
			t.Errorf("%q: DSN is announced: %v", more, got)
		}
		c.Close()
	}
}

// TestNoticesRest: while the store is ill it is not asked for each notice, and one that failed costs the ledger nothing.
func TestNoticesRest(t *testing.T) {
	t.Parallel()
	m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n"))
	m.ID, m.Envelope = "m1", verdict.Envelope{From: "a@c.net", To: []verdict.Recipient{{Address: "b@ex.net", Notify: []string{"SUCCESS"}}}}
	m.Auth.SPF = verdict.SPFResult{Result: verdict.Pass, Domain: "c.net", Identity: "mailfrom"}
	const rests = "the store failed a moment ago"
	for _, first := range []string{"notice", "ledger"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			st := opened(t, t.TempDir())
			k := app.NewKeeper(st)
			do := map[string]func() error{
				"notice": func() error {
					return k.Relayed(t.Context(), nil, m, m.Envelope, []relay.Receipt{{Recipient: "b@ex.net", Reply: &relay.Reply{Code: 250}}})
				},
				"ledger": func() error { return k.RecordMessage(t.Context(), nil, m, relay.Outcome{ID: "m1"}) },
			}
			if err := errors.Join(do["notice"](), do["ledger"]()); err != nil {
				t.Fatal(err)
			}
			st.Close()
			if err := do[first](); err == nil || strings.Contains(err.Error(), rests) {
				t.Errorf("the first: %v", err)
			}
			for what, resting := range map[string]bool{"notice": true, "ledger": first == "ledger"} {
				if err := do[what](); err == nil || strings.Contains(err.Error(), rests) != resting {
					t.Errorf("then %s: %v", what, err)
				}
			}
		})
	}
}

// TestNotices: a sender in a domain of the gateway is told what became of its mail, by the next hop of that domain
// although notices leave by MX, and the ledger has it.
func TestNotices(t *testing.T) {
	t.Parallel()
	full := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtRcpt, Reply: "550 5.1.1 no such user"}}}
	plain, mailbox := &relaytest.Sink{Without: []string{"DSN"}}, &relaytest.Sink{}
	dns := newResolver(t, map[string]string{"c.net": "v=spf1 ip4:127.0.0.1 -all"})
	s := serve(t, configFor(plain.Start(t), "state: "+filepath.Join(t.TempDir(), "state")+"\nbounces: mx\n"+dns.section())+
		"  q.net: {next-hop: \""+full.Start(t)+"\", verification: waived, mode: queue}\n"+
		"  c.net: {next-hop: \""+mailbox.Start(t)+"\", verification: waived, mode: queue}\n")
	send := func(to, notify string) {
		t.Helper()
		c, _ := greeting(t, s.addr(0))
		defer c.Close()
		for _, l := range []struct{ line, want string }{
			{"EHLO c.net", "250"}, {"MAIL FROM:<user@c.net> ENVID=QQ1", "250"}, {"RCPT TO:<" + to + ">" + notify, "250"}, {"DATA", "354"}, {message("hello", "hello") + ".", "250"},
		} {
			if got := say(t, c, l.line); !strings.HasPrefix(got, l.want) {
				t.Fatalf("%q: %s", l.line, got)
			}
		}
	}
	explain := func(to string) string {
		t.Helper()
		type row struct{ ID string }
		id := lines[row](t, s.kept(t, 0, "message", "list", "--json", "--to", to).out)[0].ID
		return s.kept(t, 0, "message", "explain", id).out
	}
	notice := func(n int) string {
		t.Helper()
		eventually(t, "the notice", func() bool { return len(mailbox.Messages()) == n })
		m := mailbox.Messages()[n-1]
		if m.From != "" || m.To[0] != "user@c.net" {
			t.Errorf("from %q to %q", m.From, m.To)
		}
		return string(m.Data)
	}

	send("gone@q.net", "")
	if got := notice(1); !strings.Contains(got, "\r\nAction: failed\r\n") {
		t.Errorf("after a failure:\n%s", got)
	}
	eventually(t, "what became of the notice", func() bool { return strings.Contains(explain("gone@q.net"), "  told  ") })

	send("a@ex.net", " NOTIFY=SUCCESS")
	if got := notice(2); !strings.Contains(got, "\r\nAction: relayed\r\n") || !strings.Contains(got, "\r\nOriginal-Envelope-Id: QQ1\r\n") {
		t.Errorf("after a relay:\n%s", got)
	}
	eventually(t, "what became of the notice", func() bool { return strings.Contains(explain("a@ex.net"), "  told  ") })
}
