package peertest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// fleet is two nodes on one PostgreSQL, whose URL it returns, and one bucket.
func fleet(t *testing.T) (a, b *keptGateway, url string) {
	t.Helper()
	url = postgres(t)
	shared := fmt.Sprintf("database: %q\n%s", url, bucket(t))
	return kept(t, "a", shared), kept(t, "b", shared), url
}

// inFlight is how many messages of a domain one node delivers at once.
const inFlight = 20

// Of two nodes under load one is killed for good. The other delivers all that either has answered with 250, and twice
// only what the dead one was handing over.
//
// The dead one's claims end after a minute. This minute is left out by moving their end in the rows; FIGURES waits
// for it, and keeps the load up for longer.
//
//	FIGURES=1 go test -run TestFleetKill -v ./cmd/internal/peertest
func TestFleetKill(t *testing.T) {
	long, before, after := os.Getenv("FIGURES") != "", 1500*time.Millisecond, time.Second
	if long {
		before, after = 8*time.Second, 8*time.Second
	} else {
		t.Parallel()
	}
	// A hop so slow that the queue grows: a hundred messages a second from each node.
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Delay: inFlight * 10 * time.Millisecond}}}
	way := fmt.Sprintf("mode: queue, next-hop: %q", sink.Start(t))
	a, b, url := fleet(t)
	a.start(way)
	victim := b.start(way)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())

	acked := &acks{ids: map[string]bool{}}
	var killed time.Time
	var survivor sync.WaitGroup
	survivor.Go(func() { load(t, a.addr, 1, before+after, acked, func() {}) })
	load(t, b.addr, 2, before, acked, func() {
		killed = time.Now()
		victim.Process.Kill()
	})
	victim.Wait()
	queued, claims := a.all("queue"), map[string]bool{}
	for _, q := range queued {
		if strings.HasPrefix(q.Claimant, "b/") {
			claims[q.ID] = true
		}
	}
	known := len(sink.Messages()) // what comes now is by the survivor
	survivor.Wait()
	if len(claims) == 0 {
		t.Error("nothing was claimed by the node that was killed")
	}
	if !long {
		if _, err := db.Exec(t.Context(), "UPDATE queued SET claimed = claimed - 60000 WHERE claimant LIKE 'b/%'"); err != nil {
			t.Fatal(err)
		}
	}

	var first, old, all time.Duration // since the kill
	for next := known; all == 0; time.Sleep(20 * time.Millisecond) {
		got := sink.Messages()
		for ; next < len(got); next++ {
			if first == 0 && claims[idOf(got[next].Data)] {
				first = time.Since(killed)
			}
		}
		var waiting, older int
		if err := db.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE at <= $1) FROM queued", killed.UnixMilli()).Scan(&waiting, &older); err != nil {
			t.Fatal(err)
		}
		if old == 0 && older == 0 {
			old = time.Since(killed)
		}
		if waiting == 0 {
			all = time.Since(killed)
		} else if time.Since(killed) > 5*time.Minute {
			t.Fatalf("%d are queued five minutes after the kill, %d of them since then", waiting, waiting-older)
		}
	}

	seen, byID := map[string]int{}, map[string]int{}
	for _, m := range sink.Messages() {
		seen[subjectOf(m.Data)]++
		byID[idOf(m.Data)]++
	}
	lost, doubled, byVictim := 0, 0, 0
	for id := range acked.ids {
		if seen[id] == 0 {
			lost++
		}
		if strings.HasPrefix(id, "r2-") {
			byVictim++
		}
	}
	for id, n := range byID {
		doubled += n - 1
		if n > 2 || n == 2 && !claims[id] {
			t.Errorf("%s was delivered %d times, and the node that was killed had claimed it: %v", id, n, claims[id])
		}
	}
	t.Logf("%d answered 250, %d of them by the node that was killed; of %d that were queued then it had claimed %d", len(acked.ids), byVictim, len(queued), len(claims))
	t.Logf("since the kill: the first of its claims delivered after %v, all that was queued then after %v, all after %v; lost %d, delivered twice %d",
		first.Round(time.Millisecond), old.Round(time.Millisecond), all.Round(time.Millisecond), lost, doubled)
	if lost > 0 || byVictim == 0 || byVictim == len(acked.ids) {
		t.Errorf("lost %d of %d", lost, len(acked.ids))
	}
	if doubled > inFlight {
		t.Errorf("%d were delivered twice, and no more than %d were being handed over", doubled, inFlight)
	}
}

var receivedID = regexp.MustCompile(`\bid ([0-9A-Za-z-]+)`)

// idOf is the gateway's id of a message that the next hop has, from the first line in which it stands.
func idOf(b []byte) string {
	if m := receivedID.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}
