package app_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
	"github.com/postreeve/postreeve/m365/m365test"
	"github.com/postreeve/postreeve/relay/relaytest"
)

// TestTenantTargets: a message that nobody could look for is refused before anything is done, with its place.
func TestTenantTargets(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	file := filepath.Join(d.dir, "targets")
	const good = `{"message_id": "<1@evil.example>", "recipient": "u1@contoso.example", "our_id": "7q2k"}` + "\n"
	for _, c := range []struct{ text, want string }{
		{good + `{"message_id": "<1@evil.example>", "recipient": "not an address", "our_id": "q"}`, `targets:2: "not an address" is no address`},
		{good + "\n" + `{"recipient": "u1@contoso.example", "our_id": "q"}`, `targets:3: "" is no Message-ID`},
		{`{"message_id": "<1@evil.example>", "recipient": "u1@contoso.example"}`, "targets:1: the message <1@evil.example>"},
		{good + `{"message_id": "` + strings.Repeat("x", 1<<17) + `"}`, "targets:2: longer than"},
		{good + "x", "targets:2: want an object"},
		{"\n", "targets: there is no message in it"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.run(t, 1, "remediate", "--targets", file, "--dry-run"); !strings.Contains(got.err, c.want) {
			t.Errorf("%.80q: %s", c.text, got.err)
		}
	}
	d.run(t, 64, "remediate", "--message-id", "<1@evil.example>", "--our-id", "q", "--to", "not an address", "--dry-run")
}

// TestTenantRemedyMailed: whoever is told by mail reads in the subject how it went.
func TestTenantRemedyMailed(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	d.AddMessage("u1@contoso.example", m365test.Message{MessageID: "<1@evil.example>", Headers: map[string]string{"X-Postreeve-Id": "7q2k"}})
	sink := &relaytest.Sink{}
	args := []string{"--message-id", "<1@evil.example>", "--our-id", "7q2k", "--cure", "soft", "--yes", "--report-to", "soc@ex.org", "--report-via", sink.Start(t)}
	got := d.run(t, 2, "remediate", append(args, "--to", "u1@contoso.example", "--to", "u2@contoso.example")...)
	const sum = "1 cured, 1 not found, 0 skipped, 0 failed"
	all := sink.Messages()
	if len(all) != 1 || !strings.Contains(got.out, sum) {
		t.Fatalf("%+v, %+v", got, all)
	}
	header, body, _ := strings.Cut(string(all[0].Data), "\r\n\r\n")
	text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\r\n", ""))
	if !strings.Contains(header, "Subject: Mail was taken back (soft): "+sum) || err != nil || !strings.Contains(string(text), sum) {
		t.Errorf("%s\n%s, %v", header, text, err)
	}
}

// TestTenantRemedyCut: what ends early is kept, summed up and mailed all the same.
func TestTenantRemedyCut(t *testing.T) {
	t.Parallel()
	d := newGoogleDesk(t)
	d.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups) // and not for mailboxes
	d.AddUser(gworkspacetest.User{Email: "anna@ex.net", Unit: "/"})
	sink := &relaytest.Sink{}
	got := d.run(t, 1, "remediate", "--message-id", "<1@evil.example>", "--our-id", "7q2k", "--to", "anna@ex.net", "--yes", "--out", d.file("out.json"),
		"--report-to", "soc@ex.org", "--report-via", sink.Start(t))
	raw, err := os.ReadFile(d.file("out.json"))
	if err != nil || !strings.Contains(string(raw), "anna@ex.net") || !strings.Contains(got.out, "0 cured, ") || !strings.Contains(got.err, gworkspace.ScopeModify) {
		t.Errorf("%+v\n%s, %v", got, raw, err)
	}
	if all := sink.Messages(); len(all) != 1 || !strings.Contains(strings.ReplaceAll(string(all[0].Data), "\r\n ", " "), "it ended early") {
		t.Errorf("mailed: %+v", all)
	}
}

// TestTenantUndo: whoever does a step reads how to go back.
func TestTenantUndo(t *testing.T) {
	t.Parallel()
	if got := newTenantDesk(t, m365Profile).run(t, 2, "plan"); !strings.Contains(got.out, "      undo: ") {
		t.Errorf("m365:\n%s", got.out)
	}
	if got := newGoogleDesk(t).run(t, 2, "plan"); !strings.Contains(got.out, "      undo: ") {
		t.Errorf("gworkspace:\n%s", got.out)
	}
}
