package app_test

import (
	"context"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// strangerID is a Message-ID that a shell must not be given as it is.
const strangerID = "<it's$HOME;id@evil.example>"

// condemnable is a gateway that has delivered a message to both tenants and was ended; its configuration, and the
// message's id.
type condemnable struct {
	*served
	desk  *remedyDesk
	state string
	id    string
	held  string // what is in quarantine
}

func newCondemnable(t *testing.T) *condemnable {
	t.Helper()
	d := newRemedyDesk(t)
	sink := &relaytest.Sink{}
	hop := sink.Start(t)
	state := filepath.Join(t.TempDir(), "state")
	c := &condemnable{desk: d, state: state, served: serve(t, configFor(hop, "state: "+state+"\n"+d.yaml())+"  contoso.example: {next-hop: \""+hop+"\", verification: waived}\n")}
	for id, m := range map[*string]struct{ to, head, body string }{
		&c.id: {"anna@ex.net", "Message-ID: " + strangerID + "\r\n", "hello"}, &c.held: {"ben@ex.net", "", teststring.Malicious},
	} {
		if err := smtp.SendMail(c.addr(0), nil, "b@evil.example", []string{m.to}, []byte(m.head+message("x", m.body))); err != nil {
			t.Fatal(err)
		}
		*id = lines[store.Entry](t, c.kept(t, 0, "message", "list", "--json", "--to", m.to).out)[0].ID
	}
	c.end(t)
	d.google.AddUser(gworkspacetest.User{Email: "anna@ex.net", Unit: "/"})
	d.google.AddMessage("anna@ex.net", gworkspacetest.Message{MessageID: strangerID, Header: map[string]string{"X-Postreeve-Id": c.id}})
	return c
}

// again is the gateway started once more.
func (c *condemnable) again(t *testing.T) *served {
	t.Helper()
	yaml, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, string(yaml))
}

func (c *condemnable) labels() string {
	return strings.Join(c.desk.google.Mailbox("anna@ex.net")[0].Labels, "+")
}

// TestCondemn: delivered mail is taken back and put back, and it is told who wanted it and what came of it.
func TestCondemn(t *testing.T) {
	t.Parallel()
	c := newCondemnable(t)
	if got := c.kept(t, 64, "message", "condemn", c.id); !strings.Contains(got.err, "--yes") {
		t.Errorf("nobody agreed: %s", got.err)
	}
	got := c.kept(t, 0, "message", "condemn", "--yes", "--reason", "phishing", "--as", "eve", c.id, c.id)
	if !strings.Contains(got.out, c.id+"  anna@ex.net  ordered\n") || !strings.Contains(got.out, "postreeve message show -c "+c.file+" "+c.id) || strings.Count(got.out, "anna@ex.net") != 1 {
		t.Errorf("condemn:\n%s", got.out)
	}
	for _, verb := range []string{"show", "explain"} {
		if got := c.kept(t, 0, "message", verb, c.id); !strings.Contains(got.out, "<anna@ex.net>  is to be taken back") || !strings.Contains(got.out, "phishing") || !strings.Contains(got.out, "by eve") {
			t.Errorf("%s:\n%s", verb, got.out)
		}
	}
	type row struct{ Remedies []store.Remedy }
	for _, verb := range []string{"show", "explain"} {
		if got := lines[row](t, c.kept(t, 0, "message", verb, "--json", c.id).out)[0].Remedies; len(got) != 1 || got[0].State != store.StateWaiting || got[0].Who != "eve" {
			t.Errorf("%s --json: %+v", verb, got)
		}
	}
	if got := c.kept(t, 3, "message", "condemn", "--yes", "--as", "eve", "--wait", "50ms", c.id); !strings.Contains(got.out, "1 order still waits") {
		t.Errorf("nobody does it:\n%s", got.out)
	}

	gateway := c.again(t)
	eventually(t, "the message to be taken back", func() bool { return c.labels() == "TRASH" })
	eventually(t, "the note of it", func() bool {
		return strings.Contains(c.kept(t, 0, "message", "show", c.id).out, "taken back  by eve  anna@ex.net")
	})
	if got := c.kept(t, 0, "message", "show", c.id); strings.Contains(got.out, "is to be taken back") {
		t.Errorf("what is done is shown as if it waited:\n%s", got.out)
	}
	gateway.end(t)

	waited := make(chan result, 1)
	go func() {
		waited <- run(t, "", "message", "absolve", "-c", c.file, "--yes", "--json", "--wait", "40s", c.id)
	}()
	eventually(t, "the order", func() bool { return strings.Contains(c.kept(t, 0, "message", "show", c.id).out, "is to be put back") })
	c.again(t)
	back := <-waited
	if all := lines[store.Remedy](t, back.out); back.code != 0 || len(all) != 1 || all[0].State != store.StateDone || !all[0].Restore || c.labels() != "INBOX" {
		t.Errorf("absolve: %+v, and the message is in %s", back, c.labels())
	}
	if got := c.kept(t, 1, "message", "absolve", "--yes", c.id); !strings.Contains(got.err, "absolved already") {
		t.Errorf("absolve again: %s", got.err)
	}
}

// TestCondemnEnds: what becomes of an order is the exit code of --wait.
func TestCondemnEnds(t *testing.T) {
	t.Parallel()
	c := newCondemnable(t)
	c.kept(t, 0, "message", "condemn", "--yes", c.id)
	for state, want := range map[string]int{store.StateMissing: 2, store.StateFailed: 1} {
		waited := make(chan result, 1)
		go func() {
			waited <- run(t, "", "message", "condemn", "-c", c.file, "--yes", "--reason", state, "--wait", "40s", c.id)
		}()
		eventually(t, "the order", func() bool { return strings.Contains(c.kept(t, 0, "message", "show", c.id).out, state) })
		st := opened(t, c.state)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- st.Run(ctx, store.RunConfig{Directory: relay.Static{}, Remediator: fate(store.RemedyResult{State: state, Detail: "so it is"})})
		}()
		got := <-waited
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		st.Close()
		if word := map[string]string{store.StateMissing: "not found", store.StateFailed: "failed"}[state]; got.code != want || !strings.Contains(got.out, "anna@ex.net  "+word+"  so it is") {
			t.Errorf("%s: %+v, want exit %d", state, got, want)
		}
	}
}

// fate is what becomes of every order.
type fate store.RemedyResult

func (f fate) Remediate(_ context.Context, _ string, _ bool, orders []store.Remedy) ([]store.RemedyResult, error) {
	out := make([]store.RemedyResult, len(orders))
	for i := range out {
		out[i] = store.RemedyResult(f)
	}
	return out, nil
}

// TestCondemnRefused: nothing is ordered that cannot be done, and it is said how it can.
func TestCondemnRefused(t *testing.T) {
	t.Parallel()
	c := newCondemnable(t)
	for name, args := range map[string][]string{
		"there is no message none":              {"1", "condemn", "--yes", c.id, "none"},
		"there is no condemned message " + c.id: {"1", "absolve", "--yes", c.id},
		"has no Message-ID":                     {"1", "condemn", "--yes", c.held},
		"--wait wants a time":                   {"64", "condemn", "--yes", "--wait=-1s", c.id},
	} {
		got := run(t, "", append([]string{"message", args[1], "-c", c.file}, args[2:]...)...)
		if want := map[string]int{"1": 1, "64": 64}[args[0]]; got.code != want || !strings.Contains(got.err, name) {
			t.Errorf("%q: %+v, want exit %d and %q", args, got, want, name)
		}
	}
	whole, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	without := strings.Replace(string(whole), c.desk.yaml(), "headers: {prefix: X-Gate}\n", 1)
	for how, want := range map[string][]string{
		"verification: waived":                         {"postreeve m365 remediate ", "postreeve gworkspace remediate "},
		"verification: waived, connection: m365":       {"postreeve m365 remediate ", "--cure soft "},
		"verification: waived, connection: gworkspace": {"postreeve gworkspace remediate ", "--cure trash "},
	} {
		c.write(t, strings.Replace(without, "verification: waived", how, 1))
		got := c.kept(t, 64, "message", "condemn", "--yes", c.id)
		for _, part := range append(want, "nothing was ordered", "a profile with ex.net", `--message-id='<it'\''s$HOME;id@evil.example>'`, "--our-id="+c.id, "--to=anna@ex.net", "--id-header=X-Gate-Id") {
			if !strings.Contains(got.err, part) {
				t.Errorf("%s: %q is not said:\n%s", how, part, got.err)
			}
		}
		if n := strings.Count(got.err, "\n  postreeve "); n != len(want) && n != 1 {
			t.Errorf("%s: %d command lines", how, n)
		}
	}
	c.write(t, string(whole))
	if got := c.kept(t, 0, "message", "show", c.id); strings.Contains(got.out, "ordered") || strings.Contains(got.out, "condemned") {
		t.Errorf("something was ordered:\n%s", got.out)
	}
	c.kept(t, 0, "message", "condemn", "--yes", c.id)
	c.write(t, without)
	if got := c.kept(t, 64, "message", "absolve", "--yes", c.id); !strings.Contains(got.err, "--cure restore ") || !strings.Contains(got.err, "--cure untrash ") {
		t.Errorf("absolve without configuration:\n%s", got.err)
	}
}

// TestShellWord has a shell say what it gets.
func TestShellWord(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	for _, s := range []string{"", "a", "a@ex.net", strangerID, "'", `\`, "`id`", "$HOME", "a b\tc", "!x", "~", "-n", "a;b|c&d>e<f", "*", "#"} {
		out, err := exec.CommandContext(t.Context(), sh, "-c", "printf %s "+app.ShellWord(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q becomes %q, %v", s, out, err)
		}
	}
}
