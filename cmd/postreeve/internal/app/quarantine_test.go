package app_test

import (
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// heldRow is a line of quarantine list --json.
type heldRow struct {
	ID, Domain, Tenant, Subject, Class, State string
	MailFrom                                  string `json:"mail_from"`
	Recipients                                []struct{ Address, State, Detail string }
}

// kept runs a command about kept mail on the configuration of a gateway, and checks its exit code.
func (s *served) kept(t testing.TB, code int, args ...string) result {
	t.Helper()
	got := run(t, "", append([]string{args[0], args[1], "-c", s.file}, args[2:]...)...)
	if got.code != code {
		t.Errorf("%q ended with %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	if strings.ContainsAny(got.out+got.err, "\x1b\x07\u202e") {
		t.Errorf("%q speaks to the terminal: %q", args, got.out+got.err)
	}
	return got
}

// TestQuarantine holds messages, and looks at, releases and deletes them while the gateway runs and when it does not.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	state := filepath.Join(t.TempDir(), "state")
	s := serve(t, configFor(sink.Start(t), "state: "+state))
	send := func(subject, body string, to ...string) {
		t.Helper()
		if err := smtp.SendMail(s.addr(0), nil, "b@example.org", to, []byte(message(subject, body))); err != nil {
			t.Fatal(err)
		}
	}
	send("first \x1b[31m\u202e", teststring.Malicious+"\r\nhttps://evil.example/x\r\n", "a@ex.net", "C@ex.net")
	send("second", teststring.Malicious, "a@ex.net")
	send("third", "hello", "a@ex.net")

	list := lines[heldRow](t, s.kept(t, 0, "quarantine", "list", "--json").out)
	if len(list) != 2 || list[0].Subject != "second" || list[0].Class != "malicious" || list[0].Tenant != "default" || len(list[1].Recipients) != 2 {
		t.Fatalf("list: %+v", list)
	}
	first, second := list[1].ID, list[0].ID
	for _, c := range []struct {
		n    int
		args []string
	}{
		{1, []string{"--subject", "SECOND"}}, {1, []string{"--to", "c@ex"}}, {0, []string{"--from", "nobody"}}, {2, []string{"--since", "1h", "--class", "malicious"}},
		{0, []string{"--until", "1h"}}, {0, []string{"--domain", "ex.org"}}, {1, []string{"--limit", "1"}}, {1, []string{"--before", second}}, {0, []string{"--state", "released"}},
	} {
		if got := lines[heldRow](t, s.kept(t, 0, append([]string{"quarantine", "list", "--json"}, c.args...)...).out); len(got) != c.n {
			t.Errorf("%q: %d messages, want %d", c.args, len(got), c.n)
		}
	}
	text := s.kept(t, 0, "quarantine", "list").out
	if !strings.Contains(text, `first \x1b[31m\u202e`) || !strings.Contains(text, "a@ex.net +1 other") {
		t.Errorf("list: %s", text)
	}
	shown := s.kept(t, 0, "quarantine", "show", first).out
	for _, want := range []string{"malicious", "<c@ex.net> held since", "hxxps://evil[.]example/x", "One finding is enough: test.malicious", "Why malicious"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show lacks %q:\n%s", want, shown)
		}
	}
	if raw := run(t, "", "quarantine", "show", "-c", s.file, "--raw", first); !strings.Contains(raw.out, "Subject: first \x1b[31m") || !strings.HasSuffix(raw.out, "\r\n") {
		t.Errorf("raw: %+v", raw)
	}

	// Released by many at once: delivered once, first to one recipient and then to the rest.
	var wg sync.WaitGroup
	codes := make([]int, 4)
	for i := range codes {
		wg.Go(func() {
			codes[i] = run(t, "", "quarantine", "release", "-c", s.file, "--as", "ann", "--to", "c@EX.net", first).code
		})
	}
	wg.Wait()
	won := 0
	for _, c := range codes {
		if c == 0 {
			won++
		}
	}
	if n := len(sink.Messages()); n != 2 || won != 1 {
		t.Fatalf("%d messages at the next hop, want 2; exit codes %v", n, codes)
	}
	// Who has it, or is nobody, is none of those who have not got it.
	s.kept(t, 1, "quarantine", "release", "--to", "C@ex.net", first)
	s.kept(t, 1, "quarantine", "release", "--to", "nobody@ex.net", first)
	s.kept(t, 1, "quarantine", "release", "--to", "a@ex.net", "--to", "nobody@ex.net", first)
	if got := s.kept(t, 0, "quarantine", "list").out; !strings.Contains(got, "partly released") {
		t.Errorf("list: %s", got)
	}
	s.end(t)
	if got := s.kept(t, 0, "quarantine", "release", first).out; !strings.Contains(got, "a@ex.net  released") {
		t.Errorf("release: %s", got)
	}
	all := sink.Messages()
	last := string(all[len(all)-1].Data)
	if len(all) != 3 || !strings.Contains(last, "X-Postreeve-Verdict: MAL\r\n") || !strings.Contains(last, "https://evil.example/x\r\n") {
		t.Errorf("%d messages, the last one:\n%s", len(all), last)
	}
	s.kept(t, 1, "quarantine", "release", first)
	s.kept(t, 0, "quarantine", "delete", "--as", "bob", second)
	s.kept(t, 1, "quarantine", "delete", second)
	s.kept(t, 1, "quarantine", "release", second)
	s.kept(t, 1, "quarantine", "show", "none\x1b")
	shown = s.kept(t, 0, "quarantine", "show", second).out
	if !strings.Contains(shown, "bob  quarantine.delete") || !strings.Contains(shown, "Its bytes are gone.") {
		t.Errorf("show: %s", shown)
	}
	if shown = s.kept(t, 0, "message", "explain", first).out; !strings.Contains(shown, "by ann") || !strings.Contains(shown, "released") {
		t.Errorf("explain: %s", shown)
	}
	if len(sink.Messages()) != 3 {
		t.Error("a message was delivered twice")
	}
}

// TestReleaseAway: a release that the next hop does not take leaves the message where it was.
func TestReleaseAway(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Reply: "451 4.2.0 later", Times: 1}}}
	state := filepath.Join(t.TempDir(), "state")
	s := serve(t, configFor(sink.Start(t), "state: "+state))
	hold := func() string {
		t.Helper()
		if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious))); err != nil {
			t.Fatal(err)
		}
		return lines[heldRow](t, s.kept(t, 0, "quarantine", "list", "--json").out)[0].ID
	}
	id := hold()
	if got := s.kept(t, 2, "quarantine", "release", id); !strings.Contains(got.out, "held") || !strings.Contains(got.err, "451 4.2.0 later") {
		t.Errorf("release: %+v", got)
	}
	s.kept(t, 0, "quarantine", "release", id)
	if n := len(sink.Messages()); n != 1 {
		t.Errorf("%d messages at the next hop", n)
	}
	// Bytes that cannot be read are nothing that a next hop has not taken.
	id = hold()
	err := filepath.WalkDir(filepath.Join(state, "bodies"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == "postreeve-store" {
			return err
		}
		return os.Truncate(path, 10)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.kept(t, 1, "quarantine", "release", id); !strings.Contains(got.out, "held") {
		t.Errorf("release: %+v", got)
	}
	s.end(t)
}
