package app_test

import (
	"net/smtp"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// eventually waits until something is so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// TestContinuity: the next hop is away, the sender is told 250, the hop comes back and has the message.
func TestContinuity(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Reply: "421 4.3.2 down", Drop: true, Times: 1}}}
	hop := sink.Start(t)
	never := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Reply: "421 4.3.2 \x1b[31mdown", Drop: true}}}
	s := serve(t, configFor("192.0.2.1:25", "state: "+filepath.Join(t.TempDir(), "state")+"\nmetrics: \"127.0.0.1:0\"\nbounces: mx")+
		"  away.example: {next-hop: \""+hop+"\", verification: waived, mode: continuity}\n"+
		"  never.example: {next-hop: \""+never.Start(t)+"\", verification: waived, mode: continuity}\n"+
		"  later.example: {next-hop: \""+hop+"\", verification: waived, mode: queue}\n")
	send := func(to, subject string) {
		t.Helper()
		if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{to}, []byte(message(subject, "hello"))); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
	}
	type row struct {
		ID, Domain, State, Last string
		Attempts                int
	}
	list := func(args ...string) []row {
		t.Helper()
		return lines[row](t, s.kept(t, 0, append([]string{"queue", "list", "--json"}, args...)...).out)
	}

	send("a@away.example", "away")
	queued := list()
	if len(queued) != 1 || queued[0].Domain != "away.example" || queued[0].State != "waiting" || !strings.Contains(queued[0].Last, "421 4.3.2 down") {
		t.Fatalf("list: %+v", queued)
	}
	id := queued[0].ID
	why := s.kept(t, 0, "message", "explain", id).out
	for _, want := range []string{"clean -> deliver, queued", "in mode continuity", "In the queue", "tried 0 times"} {
		if !strings.Contains(strings.Join(strings.Fields(why), " "), want) {
			t.Errorf("explain lacks %q:\n%s", want, why)
		}
	}
	_, url, _ := strings.Cut(strings.TrimSpace(s.out.String()), "metrics on ")
	if text := fetch(t, url); !strings.Contains(text, "postreeve_queued_messages 1\n") || !strings.Contains(text, `postreeve_store_writes_total{op="queue",result="ok"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	if got := s.kept(t, 0, "queue", "retry", "--all").out; got != "1 message is due now\n" {
		t.Errorf("retry: %q", got)
	}
	eventually(t, "the message at the hop that is back", func() bool { return len(sink.Messages()) == 1 })
	eventually(t, "an empty queue", func() bool { return len(list()) == 0 })
	if why = s.kept(t, 0, "message", "explain", id).out; !strings.Contains(why, "What became of it later") || !strings.Contains(why, "delivered") {
		t.Errorf("explain: %s", why)
	}

	send("a@later.example", "later")
	eventually(t, "the message of the queue", func() bool { return len(sink.Messages()) == 2 })

	send("a@never.example", "never")
	eventually(t, "the message in the queue alone", func() bool { return len(list()) == 1 })
	id = list("--domain", "never.example", "--to", "a@never", "--since", "1h")[0].ID
	if got := s.kept(t, 0, "queue", "show", id).out; !strings.Contains(got, "<a@never.example> waiting") {
		t.Errorf("show: %s", got)
	}
	const bob = "bob\x1b\u202e"
	eventually(t, "the drop", func() bool { return run(t, "", "queue", "drop", "-c", s.file, "--as", bob, id).code == 0 })
	for _, what := range []string{"drop", "retry", "show"} {
		if got := s.kept(t, 1, "queue", what, id).err; !strings.Contains(got, "there is no queued message") || !strings.Contains(got, "postreeve message explain "+id+" says what became of it") {
			t.Errorf("%s of what was dropped: %s", what, got)
		}
		if got := s.kept(t, 1, "queue", what, "none").err; !strings.Contains(got, "there is no queued message") || strings.Contains(got, "explain") {
			t.Errorf("%s of what never was: %s", what, got)
		}
	}
	type act struct{ At, Who, What, Object string }
	acts := lines[act](t, s.kept(t, 0, "audit", "list", "--json", "--since", "1h").out)
	if len(acts) != 2 || acts[0].Who != bob || acts[0].What != "queue.drop" || acts[0].Object != id || acts[1].What != "queue.retry" || acts[1].Object != "all" {
		t.Errorf("the audit trail: %+v", acts)
	}
	for _, c := range []struct {
		n    int
		args []string
	}{
		{1, []string{"--object", id}}, {1, []string{"--object", "all"}}, {1, []string{"--who", "BO"}}, {0, []string{"--who", "ann"}}, {2, []string{"--what", "queue"}},
		{0, []string{"--until", "1h"}}, {1, []string{"--limit", "1"}},
	} {
		if got := lines[act](t, s.kept(t, 0, append([]string{"audit", "list", "--json"}, c.args...)...).out); len(got) != c.n {
			t.Errorf("%q: %d lines, want %d", c.args, len(got), c.n)
		}
	}
	first := s.kept(t, 0, "audit", "list", "--limit", "1")
	_, before, _ := strings.Cut(strings.TrimSpace(first.err), "--before ")
	if !strings.Contains(first.out, `bob\x1b\u202e  queue.drop  `+id) {
		t.Errorf("the first page: %+v", first)
	}
	if next := s.kept(t, 0, "audit", "list", "--before", before); !strings.Contains(next.out, "queue.retry  all") || strings.Contains(next.out, "queue.drop") {
		t.Errorf("the page after %q: %+v", before, next)
	}
	s.kept(t, 64, "audit", "list", "--since", "soon")
	s.kept(t, 64, "audit", "list", "--limit", "0")
	if why = s.kept(t, 0, "message", "show", id).out; !strings.Contains(why, "dropped") || !strings.Contains(why, "by bob") {
		t.Errorf("show: %s", why)
	}
	s.end(t)
}

// TestMessageExplain: what each scanner said, why the class and why the action.
func TestMessageExplain(t *testing.T) {
	t.Parallel()
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+filepath.Join(t.TempDir(), "state"))+
		"  strict.example: {next-hop: \"192.0.2.1:25\", verification: waived, policy: {spam: reject, malicious: reject, block: [bad.example]}}\n")
	for _, m := range []struct{ from, to, body string }{
		{"b@example.org", "a@ex.net", teststring.Spam}, {"b@example.org", "a@ex.net", teststring.Unknown},
		{"b@example.org", "a@strict.example", teststring.Malicious}, {"b@bad.example", "a@strict.example", "hello"},
	} {
		_ = smtp.SendMail(s.addr(0), nil, m.from, []string{m.to}, []byte(message("x", m.body)))
	}
	rows := lines[struct{ ID, Class, Action, Domain, Reply string }](t, s.kept(t, 0, "message", "list", "--json").out)
	if len(rows) != 4 {
		t.Fatalf("list: %+v", rows)
	}
	for i, c := range []struct {
		class, action string
		want          []string
	}{
		{"malicious", "reject", []string{"blocked sender bad.example", "The policy of the domain says so, whatever was found"}},
		{"malicious", "reject", []string{"The policy of strict.example says reject for malicious.", "reply 550 5.7.1"}},
		{"unknown", "defer", []string{"Nobody can tell, which never counts as clean", "The policy of ex.net says defer for unknown."}},
		{"spam", "tag", []string{"teststring done", "structure done", "test.spam spam", "One finding is enough: test.spam", "The policy of ex.net says tag for spam.", "next hop 127.0.0.1:"}},
	} {
		if rows[i].Class != c.class || rows[i].Action != c.action {
			t.Errorf("%d: %+v, want %s and %s", i, rows[i], c.class, c.action)
		}
		got := s.kept(t, 0, "message", "explain", rows[i].ID).out
		for _, want := range c.want {
			if !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
				t.Errorf("%d: explain lacks %q:\n%s", i, want, got)
			}
		}
	}
	if got := lines[struct{ ID string }](t, s.kept(t, 0, "message", "list", "--json", "--action", "reject", "--from", "BAD.example").out); len(got) != 1 {
		t.Errorf("filtered: %+v", got)
	}
	if got := lines[map[string]any](t, s.kept(t, 0, "message", "explain", "--json", rows[3].ID).out)[0]; got["why_class"] == "" || got["report"] == nil {
		t.Errorf("explain --json: %+v", got)
	}
	s.kept(t, 1, "message", "explain", "none")

	// A policy that has changed since is not told as the one that was applied.
	s.write(t, strings.Replace(read(t, s.file), "  ex.net: {", "  ex.net: {policy: {spam: deliver}, ", 1))
	if got := s.kept(t, 0, "message", "explain", rows[3].ID).out; !strings.Contains(got, "the policy has changed since") {
		t.Errorf("explain: %s", got)
	}
	s.end(t)
}

// TestKeptWithout: commands about kept mail where nothing is kept.
func TestKeptWithout(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	for yaml, want := range map[string]struct {
		code int
		text string
	}{
		configFor("192.0.2.1:25", ""):                                            {64, "set state:"},
		configFor("192.0.2.1:25", "state: "+filepath.Join(t.TempDir(), "state")): {1, "nothing has been kept yet"},
	} {
		replace(t, file, yaml)
		for _, args := range [][]string{{"quarantine", "list"}, {"quarantine", "release", "x"}, {"queue", "retry", "--all"}, {"message", "explain", "x"}} {
			got := run(t, "", append([]string{args[0], args[1], "-c", file}, args[2:]...)...)
			if got.code != want.code || !strings.Contains(got.err, want.text) {
				t.Errorf("%q: %+v, want %d %q", args, got, want.code, want.text)
			}
		}
	}
}
