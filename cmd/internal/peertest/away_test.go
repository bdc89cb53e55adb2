package peertest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// While mail comes in the next hop refuses connections; then it is there again. All that was answered 250 is
// delivered, and once. With FIGURES the hop is away for ten minutes, or for AWAY, and what it took is measured.
//
//	FIGURES=1 go test -run TestAway -timeout 90m -v ./cmd/internal/peertest
//	FIGURES=1 AWAY=10m go test -run 'TestAway/queue$' -timeout 40m -v ./cmd/internal/peertest
func TestAway(t *testing.T) {
	d, long := 2*time.Second, os.Getenv("FIGURES") != ""
	if long {
		var err error
		if d, err = time.ParseDuration(cmp.Or(os.Getenv("AWAY"), "10m")); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Parallel()
	}
	sqlite := func(t *testing.T) string { return fmt.Sprintf("state: %q\n", t.TempDir()) }
	for _, tt := range []struct {
		name, mode string
		kept       func(t *testing.T) string
		figure     bool // only
	}{
		{"queue", "queue", sqlite, false},
		{"continuity", "continuity", sqlite, false},
		{"postgres+s3", "queue", func(t *testing.T) string { return fmt.Sprintf("database: %q\n%s", postgres(t), bucket(t)) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !long {
				t.Parallel()
			}
			if tt.figure {
				figures(t)
			}
			away(t, kept(t, "gw", tt.kept(t)), tt.mode, d)
		})
	}
}

func away(t *testing.T, g *keptGateway, mode string, d time.Duration) {
	t.Helper()
	hop := shut(t)
	cmd := g.start(fmt.Sprintf("mode: %s, next-hop: %q", mode, hop.addr))
	idle := peak(t, cmd)
	in := &stream{rate: 200, sessions: 20, size: 10 << 10}
	begin := time.Now()
	in.run(t, g.addr, d)
	t.Logf("away: %d answered 250 in %v; half of them within %v, 99%% within %v, all within %v; memory %d MiB at the most, %d MiB at the beginning",
		len(in.ids), time.Since(begin).Round(time.Millisecond), in.at(0.5), in.at(0.99), in.at(1), peak(t, cmd)>>10, idle>>10)
	if len(in.ids) != int(d.Seconds()*float64(in.rate)) {
		t.Errorf("%d answered 250 of %d", len(in.ids), int(d.Seconds()*float64(in.rate)))
	}

	sink := &relaytest.Sink{Discard: true}
	hop.open(t, sink)
	up := time.Now()
	// A hop that was away for long is left alone for two minutes and a half, and what is slower than ten a second is stuck.
	most := 3*time.Minute + time.Duration(len(in.ids))*time.Second/10
	var first, last time.Duration
	for known := 0; known < len(in.ids); {
		time.Sleep(20*time.Millisecond + time.Duration(known)*2*time.Microsecond) // to look means to copy them
		if n := len(sink.Messages()); n > known {
			if last = time.Since(up); known == 0 {
				first = last
			}
			known = n
		} else if time.Since(up) > most {
			t.Errorf("%d of %d were delivered in %v", known, len(in.ids), most)
			break
		}
	}
	g.drained(time.Minute)
	seen := map[string]int{}
	for _, m := range sink.Messages() {
		seen[m.From]++
	}
	lost, doubled := 0, 0
	for id := range in.ids {
		if seen[id] == 0 {
			lost++
		}
	}
	for id, n := range seen {
		doubled += n - 1
		if !in.ids[id] {
			t.Errorf("%s was delivered, and nobody was told 250", id)
		}
	}
	t.Logf("up again: the first delivered after %v, all after %v: %.0f messages a second from first to last; memory %d MiB at the most; lost %d, delivered twice %d",
		first.Round(time.Millisecond), last.Round(time.Millisecond), float64(len(seen))/max(last-first, 20*time.Millisecond).Seconds(), peak(t, cmd)>>10, lost, doubled)
	if lost > 0 || doubled > 0 {
		t.Errorf("lost %d, doubled %d of %d", lost, doubled, len(in.ids))
	}
}

// peak is the most memory that a process has had, in KiB, from /proc.
func peak(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	return status(t, cmd, "VmHWM")
}
