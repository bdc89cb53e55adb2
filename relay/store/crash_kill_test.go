package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// victimEnv tells the test program that it is the one to be killed: round, database, bodies and the file that is
// the next hop.
const victimEnv = "POSTREEVE_STORE_VICTIM"

// victim queues and holds as fast as it can, and says on standard output what it has promised to keep.
func victim() {
	arg := strings.Split(os.Getenv(victimEnv), "\n")
	round, file := arg[0], arg[3]
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Database: arg[1], Bodies: arg[2], Node: "victim"}.Quick())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	d := &relay.Domain{Name: "ex.net", Next: fileHop(file), Mode: relay.StoreAndForward}
	go func() {
		if err := s.Run(ctx, store.RunConfig{Directory: relay.Static{"ex.net": d}}); err != nil {
			fmt.Println("error", err)
		}
	}()
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				m := message(fmt.Sprintf("%s-%d-%d", round, w, i), "b@ex.net")
				m.Envelope.ID = m.ID
				if w == 0 {
					if _, err := s.Hold(ctx, d, m, nil); err == nil {
						fmt.Println("held", m.ID)
					}
				} else if err := s.Enqueue(ctx, d, m, m.Envelope, m, ""); err == nil {
					fmt.Println("queued", m.ID)
				}
			}
		}()
	}
	select {}
}

// fileHop notes the ids of what it takes in a file.
func fileHop(file string) relay.NextHop {
	var mu sync.Mutex
	return relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if _, err := f.WriteString(e.ID + "\n"); err != nil {
			return nil, err
		}
		return []relay.Receipt{{Recipient: e.To[0].Address, Reply: &relay.Reply{Code: 250}}}, f.Close()
	})
}

// A process that is killed has kept what it promised to keep. KILLS says how often it is killed, 3 if it is not set.
func TestKill(t *testing.T) {
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			url := "sqlite:" + filepath.Join(dir, "rows.db")
			if name == "postgres" {
				url = database(t)
			}
			bodies, file := "file:"+filepath.Join(dir, "bodies"), filepath.Join(dir, "delivered")
			promised := map[string]bool{} // and whether it is held
			for round := range kills {
				killOne(t, []string{strconv.Itoa(round), url, bodies, file}, time.Duration(150+round*71%400)*time.Millisecond, promised)
			}
			s := open(t, store.Config{Database: url, Bodies: bodies, Node: "heir"}.Quick())
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: fileHop(file), Mode: relay.StoreAndForward}}})
			await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
			b, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			got, doubled := map[string]int{}, 0
			for id := range strings.FieldsSeq(string(b)) {
				if got[id]++; got[id] > 1 {
					doubled++
				}
			}
			lost := 0
			for id, held := range promised {
				if held {
					if _, err := s.HeldBody(t.Context(), id); err != nil {
						t.Errorf("held %s: %v", id, err)
						lost++
					}
				} else if got[id] == 0 {
					lost++
				}
			}
			t.Logf("%d kills, %d promised, %d delivered; lost %d, doubled %d", kills, len(promised), len(got), lost, doubled)
			if lost > 0 || len(promised) == 0 {
				t.Errorf("lost %d of %d", lost, len(promised))
			}
		})
	}
}

// killOne runs a victim, and kills it some time after its first promise.
func killOne(t *testing.T, arg []string, after time.Duration, promised map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), victimEnv+"="+strings.Join(arg, "\n"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		once.Do(func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) })
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "held", "queued":
			promised[id] = what == "held"
		default:
			t.Error(lines.Text())
		}
	}
	_ = cmd.Wait()
}
