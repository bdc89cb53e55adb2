package peertest

import (
	"fmt"
	"net/smtp"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// A gateway that is started before its database serves what needs none, answers nothing for good that it cannot know,
// and is whole when the database has come.
func TestFleetLate(t *testing.T) {
	t.Parallel()
	sink := &relaytest.Sink{}
	hop, database := sink.Start(t), free(t)
	g := kept(t, "late", fmt.Sprintf("database: %q\nbodies: %q\nbounces: mx\n", postgresURL(database), "file:"+t.TempDir()))
	config := g.base + fmt.Sprintf(`domains:
  ex.net: {verification: waived, next-hop: %[1]q}
  held.example: {verification: waived, next-hop: %[1]q, policy: {block: [ex.org]}}
  away.example: {verification: waived, next-hop: %[2]q, mode: continuity}
  queue.example: {verification: waived, next-hop: %[1]q, mode: queue}
  ex.com: {next-hop: %[1]q}
`, hop, free(t))
	if err := os.WriteFile(g.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := process(t, bin, "serve", "-c", g.file)
	says := func(text string) {
		t.Helper()
		wait(t, text, func() bool { return strings.Contains(out.String(), text) })
	}
	says("postreeve: ready")
	type answers map[string]string // by domain, how they begin
	expect := func(when string, want answers) {
		t.Helper()
		for domain, w := range want {
			got := "250"
			if err := smtp.SendMail(g.addr, nil, "a@ex.org", []string{"b@" + domain}, []byte("Subject: x\r\n\r\nx\r\n")); err != nil {
				got = strings.ReplaceAll(err.Error(), `"`, "")
			}
			if !strings.HasPrefix(got, w) {
				t.Errorf("%s: mail for %s: %s, want %s", when, domain, got, w)
			}
		}
	}
	away := answers{
		"ex.net": "250", "held.example": "451 4.3.0", "away.example": "451 4.", "queue.example": "451 4.3.0",
		"ex.com": "451 4.7.1", "elsewhere.example": "550 5.7.1",
	}
	expect("without a database", away)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	says("configuration reloaded")
	expect("after a reload", away)
	if n := len(sink.Messages()); n != 2 {
		t.Errorf("%d were delivered without a database, want 2", n)
	}

	postgresAt(t, database)
	says("the store is there")
	expect("with the database", answers{
		"ex.net": "250", "held.example": "250", "away.example": "250", "queue.example": "250",
		"ex.com": "451 4.7.1", "elsewhere.example": "550 5.7.1",
	})
	wait(t, "what was queued at the next hop", func() bool { return len(sink.Messages()) == 4 })
	if held, queued := g.all("quarantine"), g.all("queue"); len(held) != 1 || len(queued) != 1 {
		t.Errorf("%d held and %d queued, want 1 of each", len(held), len(queued))
	}
	if rows := g.list("message"); len(rows) != 4 {
		t.Errorf("%d rows in the ledger, want 4: those since the database has come", len(rows))
	}
	text := out.String()
	for _, once := range []string{"the store cannot be reached, and is taken", "domains are watched"} {
		if n := strings.Count(text, once); n != 1 {
			t.Errorf("the log says %q %d times", once, n)
		}
	}
	if !strings.Contains(text, "its ownership was never proven") || strings.Contains(text, "did not take note") {
		t.Error("the log does not say what was known of the domain in the end, or has a record for each message without a row")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
