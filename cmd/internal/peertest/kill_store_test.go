package peertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// Killed again and again while it holds and queues what it takes, the gateway has told nobody 250 for what is
// neither delivered nor held nor queued. KILLS says how often, 3 if it is not set.
//
//	KILLS=200 go test -run TestKillStore -timeout 60m -v ./cmd/internal/peertest
func TestKillStore(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(t *testing.T) string{
		"sqlite":      func(*testing.T) string { return "" },
		"postgres":    func(t *testing.T) string { return fmt.Sprintf("database: %q\n", postgres(t)) },
		"postgres+s3": func(t *testing.T) string { return fmt.Sprintf("database: %q\n%s", postgres(t), bucket(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killStore(t, database(t))
		})
	}
}

// The ways a message takes: all three say 250 without the next hop.
var keeping = []string{
	"mode: queue",
	"mode: continuity, next-hop: %s", // where nobody is
	"policy: {block: [ex.org]}",      // held
}

func killStore(t *testing.T, database string) {
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	sink := &relaytest.Sink{}
	hop, nobody := sink.Start(t), free(t)
	g := kept(t, "gw", fmt.Sprintf("%sstate: %q\n", database, t.TempDir()))
	acked := &acks{ids: map[string]bool{}}
	for round := range kills {
		way := keeping[round%len(keeping)]
		if way == keeping[1] {
			way = fmt.Sprintf(way, strconv.Quote(nobody))
		} else {
			way += fmt.Sprintf(", next-hop: %q", hop)
		}
		cmd := g.start(way)
		before := acked.count()
		load(t, g.addr, round, time.Duration(round*37%100)*time.Millisecond, acked, func() {
			for end := time.Now().Add(15 * time.Second); acked.count() < before+20+round*7%60 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			cmd.Process.Kill()
		})
		cmd.Wait()
	}

	// Started once more, and left alone until nothing waits.
	g.start(fmt.Sprintf("mode: queue, next-hop: %q", hop))
	begin := time.Now()
	g.drained(3*time.Minute + time.Duration(kills)*2*time.Second)
	seen, held := map[string]int{}, map[string]int{}
	for _, m := range sink.Messages() {
		seen[subjectOf(m.Data)]++
	}
	for _, h := range g.all("quarantine") {
		held[h.Subject]++
	}
	lost, doubled := 0, 0
	for id := range acked.ids {
		if seen[id]+held[id] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		doubled += n - 1
	}
	t.Logf("%d kills: %d answered 250; %d at the next hop, %d held; the queue was empty after %v; lost %d, delivered more than once %d",
		kills, len(acked.ids), len(seen), len(held), time.Since(begin).Round(time.Millisecond), lost, doubled)
	if lost > 0 || len(acked.ids) == 0 {
		t.Errorf("lost %d of %d", lost, len(acked.ids))
	}
}

// count is how many there are.
func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// keptGateway is a gateway that is started again and again with the same store.
type keptGateway struct {
	t                *testing.T
	file, base, addr string
}

// kept is a node of a name, with more lines of configuration, that judges nothing.
func kept(t *testing.T, node, more string) *keptGateway {
	t.Helper()
	addr := free(t)
	return &keptGateway{t: t, file: filepath.Join(t.TempDir(), "postreeve.yaml"), addr: addr,
		base: fmt.Sprintf("hostname: mx.gw.example\nlisten: [%q]\nnode: %s\n%sauth: none\nscanners: []\n", addr, node, more)}
}

// start runs it, with what it says of ex.net.
func (g *keptGateway) start(domain string) *exec.Cmd {
	g.t.Helper()
	bin, err := build()
	if err != nil {
		g.t.Fatal(err)
	}
	config := g.base + "domains:\n  ex.net: {verification: waived, " + domain + "}\n"
	if err := os.WriteFile(g.file, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
	cmd, out := process(g.t, bin, "serve", "-c", g.file)
	wait(g.t, "the gateway", func() bool {
		if bytes.Contains([]byte(out.String()), []byte("postreeve: ready")) {
			return true
		}
		if cmd.ProcessState != nil {
			g.t.Fatal("the gateway has ended")
		}
		return false
	})
	return cmd
}

// keptRow is what tests want to know of a held or queued message.
type keptRow struct{ ID, Subject, Claimant string }

// all lists everything, page by page.
func (g *keptGateway) all(what string) []keptRow {
	g.t.Helper()
	var rows []keptRow
	for page := g.list(what, "--limit", "5000"); len(page) > 0; {
		rows = append(rows, page...)
		page = g.list(what, "--limit", "5000", "--before", page[len(page)-1].ID)
	}
	return rows
}

// drained waits until nothing is queued.
func (g *keptGateway) drained(most time.Duration) {
	g.t.Helper()
	for begin := time.Now(); len(g.list("queue", "--limit", "1")) > 0; time.Sleep(250 * time.Millisecond) {
		if time.Since(begin) > most {
			g.t.Fatalf("the queue is not empty after %v: %d wait", most, len(g.all("queue")))
		}
	}
}

// list runs `postreeve queue list` or `postreeve quarantine list` beside the running gateway.
func (g *keptGateway) list(what string, args ...string) []keptRow {
	g.t.Helper()
	bin, err := build()
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, append([]string{what, "list", "-c", g.file, "--json"}, args...)...).Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, e.Stderr)
		}
		g.t.Fatal(err)
	}
	var rows []keptRow
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var r keptRow
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			g.t.Fatalf("%s: %v", s.Bytes(), err)
		}
		rows = append(rows, r)
	}
	return rows
}
