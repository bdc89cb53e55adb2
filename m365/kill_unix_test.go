//go:build unix

package m365_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// TestChild is the process that the tests below kill. By itself it does nothing.
func TestChild(t *testing.T) {
	base := os.Getenv("M365_CHILD_URL")
	if base == "" {
		t.Skip("for other tests only")
	}
	c, err := m365.NewClient(m365.ClientConfig{Tenant: os.Getenv("M365_CHILD_TENANT"), BaseURL: base, Tokens: m365.StaticToken(os.Getenv("M365_CHILD_TOKEN"))})
	if err != nil {
		t.Fatal(err)
	}
	tenant := &m365.Tenant{Profile: profile(m365.EOPFirst, m365.Classic), Exchange: c, Journal: os.Getenv("M365_CHILD_JOURNAL"), NoWait: true, Times: m365.Times{Settle: 3 * time.Second}}
	full, _ := strconv.Atoi(os.Getenv("M365_CHILD_FULL"))
	signal.Ignore(syscall.SIGXFSZ)
	tenant.Progress = func(e m365.Event) {
		if e.What != m365.EventWrite {
			return
		}
		if full--; full == 0 { // the disk is full in the middle of the next record
			info, err := os.Stat(filepath.Join(tenant.Journal, "journal.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			most := uint64(info.Size()) + 70
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
				t.Fatal(err)
			}
		}
	}
	plan, err := tenant.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
}

// child starts a process that plans and applies.
func child(t *testing.T, s *m365test.Server, journal string, full int) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	token, err := s.Tokens().Token(t.Context(), exchangeToken())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "M365_CHILD_URL="+s.ExchangeURL(), "M365_CHILD_TENANT="+s.TenantID(), "M365_CHILD_TOKEN="+token.Value,
		"M365_CHILD_JOURNAL="+journal, "M365_CHILD_FULL="+strconv.Itoa(full))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// finish applies in a new process and takes everything out in this one: the tenant is as it was.
func finish(t *testing.T, s *m365test.Server, journal, what, want string, before []byte) {
	t.Helper()
	if cmd, out := child(t, s, journal, 0); cmd.Run() != nil {
		t.Fatalf("%s: the next run: %s", what, out)
	}
	if d := cmp.Diff(want, shape(s)); d != "" {
		t.Errorf("%s: another end (-want +got):\n%s", what, d)
	}
	b := newBench(t, s, profile(m365.EOPFirst, m365.Classic))
	b.Journal = journal
	b.offboard(t)
	if d := cmp.Diff(string(before), string(s.Snapshot())); d != "" {
		t.Errorf("%s: the tenant is not as it was (-before +after):\n%s", what, d)
	}
}

// whole is what an undisturbed run leads to.
func whole(t *testing.T) (want string, writes int, took time.Duration) {
	t.Helper()
	s := m365test.New(t, m365test.Config{})
	addForeign(s)
	start := time.Now()
	if cmd, out := child(t, s, filepath.Join(t.TempDir(), "journal"), 0); cmd.Run() != nil {
		t.Fatalf("an undisturbed run: %s", out)
	}
	return shape(s), s.Writes(), time.Since(start)
}

// A process that is killed at a write, or at any moment, is finished by the next one, and what it added is known.
func TestKill9(t *testing.T) {
	t.Parallel()
	want, writes, took := whole(t)
	for i := range 6 {
		s := m365test.New(t, m365test.Config{})
		addForeign(s)
		before := s.Snapshot()
		journal := filepath.Join(t.TempDir(), "journal")
		cmd, out := child(t, s, journal, 0)
		var what string
		started := make(chan struct{})
		kill := func() { <-started; _ = cmd.Process.Kill() }
		if i < 4 {
			n := 1 + rand.N(writes)
			kind := []m365test.FaultKind{m365test.DropBefore, m365test.DropAfter}[i%2]
			what = fmt.Sprintf("killed at write %d of %d (fault %d)", n, writes, kind)
			s.Inject(m365test.Fault{Kind: kind, Write: n, Then: kill})
		} else {
			after := took/4 + rand.N(took)
			what = "killed after " + after.String()
			defer time.AfterFunc(after, kill).Stop()
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		if err := cmd.Wait(); i < 4 && (err == nil || !strings.Contains(err.Error(), "killed")) {
			t.Fatalf("%s: %v, %s", what, err, out)
		}
		finish(t, s, journal, what, want, before)
	}
}

// When the disk is full nothing more is written to the tenant, and the next run goes on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	want, writes, _ := whole(t)
	for _, at := range []int{1, 2, writes / 2, writes - 1} {
		s := m365test.New(t, m365test.Config{})
		addForeign(s)
		before := s.Snapshot()
		journal := filepath.Join(t.TempDir(), "journal")
		cmd, out := child(t, s, journal, at)
		if cmd.Run() == nil || !strings.Contains(out.String(), "nothing more is written to the tenant") {
			t.Fatalf("full at write %d: %s", at, out)
		}
		if n := s.Writes(); n != at {
			t.Errorf("full at write %d: %d writes were made, one more than the journal knows of", at, n)
		}
		if raw, err := os.ReadFile(filepath.Join(journal, "journal.jsonl")); err != nil || bytes.HasSuffix(raw, []byte("\n")) {
			t.Errorf("full at write %d: the last record is whole (%v)", at, err)
		}
		finish(t, s, journal, fmt.Sprintf("full at write %d", at), want, before)
	}
}
