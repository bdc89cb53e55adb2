package peertest

import (
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// A held message that is released on two nodes at the same moment is delivered once, and one of them says so.
func TestFleetRelease(t *testing.T) {
	t.Parallel()
	// So slow that both are at it at once.
	sink := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Delay: 200 * time.Millisecond}}}
	a, b, _ := fleet(t)
	nodes, hop := []*keptGateway{a, b}, sink.Start(t)
	for i, g := range nodes {
		g.start(fmt.Sprintf("policy: {block: [ex.org]}, next-hop: %q", hop))
		acked := &acks{ids: map[string]bool{}}
		load(t, g.addr, i, 50*time.Millisecond, acked, func() {})
		if len(acked.ids) == 0 {
			t.Fatal("nothing was held")
		}
	}
	held := a.all("quarantine")
	if len(sink.Messages()) > 0 || len(held) < 8 {
		t.Fatalf("%d held, %d delivered", len(held), len(sink.Messages()))
	}
	held = held[:min(len(held), 12)]
	for _, h := range held[:5] { // one by one
		if codes := release(t, nodes, h.ID); (codes[0] == 0) == (codes[1] == 0) {
			t.Errorf("%s: exit codes %v, and one of them is to be 0", h.ID, codes)
		}
	}
	var ids []string
	for _, h := range held[5:] { // many with one command
		ids = append(ids, h.ID)
	}
	release(t, nodes, ids...)
	seen := map[string]int{}
	for _, m := range sink.Messages() {
		seen[m.From+" "+idOf(m.Data)]++
	}
	for _, h := range held {
		if n := seen["a@ex.org "+h.ID]; n != 1 {
			t.Errorf("%s was delivered %d times", h.ID, n)
		}
	}
	if len(seen) != len(held) {
		t.Errorf("%d were delivered, and %d released", len(seen), len(held))
	}
}

// release runs the command on all nodes at once and returns how they ended.
func release(t *testing.T, nodes []*keptGateway, ids ...string) []int {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]int, len(nodes))
	var wg sync.WaitGroup
	for i, g := range nodes {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), bin, append([]string{"quarantine", "release", "-c", g.file, "--json"}, ids...)...)
			out, err := cmd.CombinedOutput()
			if codes[i] = cmd.ProcessState.ExitCode(); codes[i] < 0 || codes[i] == 64 {
				t.Errorf("release: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	return codes
}
