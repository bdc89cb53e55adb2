package peertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
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
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return fmt.Sprintf("database: %q\n", postgres(t)) },
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
	hop, nobody, addr := sink.Start(t), free(t), free(t)
	g := &keptGateway{t: t, file: filepath.Join(t.TempDir(), "postreeve.yaml"), addr: addr,
		base: fmt.Sprintf("hostname: mx.gw.example\nlisten: [%q]\nnode: gw\n%sstate: %q\nauth: none\nscanners: []\n", addr, database, t.TempDir())}
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
		load(t, addr, round, time.Duration(round*37%100)*time.Millisecond, acked, func() {
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
	for len(g.list("queue", "--limit", "1")) > 0 {
		if time.Since(begin) > 10*time.Minute {
			t.Fatal("the queue does not get empty")
		}
		time.Sleep(250 * time.Millisecond)
	}
	seen, held := map[string]int{}, map[string]int{}
	for _, m := range sink.Messages() {
		seen[subjectOf(m.Data)]++
	}
	for page := g.list("quarantine", "--limit", "5000"); len(page) > 0; {
		for _, h := range page {
			held[h.Subject]++
		}
		page = g.list("quarantine", "--limit", "5000", "--before", page[len(page)-1].ID)
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

type keptRow struct{ ID, Subject string }

// list runs `postreeve queue list` or `postreeve quarantine list` beside the running gateway.
func (g *keptGateway) list(what string, args ...string) []keptRow {
	g.t.Helper()
	bin, err := build()
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := exec.Command(bin, append([]string{what, "list", "-c", g.file, "--json"}, args...)...).Output()
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

// postgres starts a PostgreSQL of its own, which ends with the test, and returns the URL of a database.
func postgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		missing(t, "PostgreSQL is not installed: apt-get install postgresql")
	}
	slices.Sort(found)
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "peer-postgres-*") // t.TempDir is not open to the user postgres
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() == 0 { // as which PostgreSQL refuses to run
		u, err := user.Lookup("postgres")
		if err != nil {
			missing(t, err.Error())
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postreeve", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := free(t)
	out := &log{}
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", "127.0.0.1", "-p", port(addr))
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = attr, dir, out, out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", out)
		}
	})
	ready := filepath.Join(bin, "pg_isready")
	wait(t, "PostgreSQL", func() bool {
		return exec.Command(ready, "-q", "-h", "127.0.0.1", "-p", port(addr)).Run() == nil
	})
	return "postgres://postreeve@127.0.0.1:" + port(addr) + "/postgres?sslmode=disable"
}
