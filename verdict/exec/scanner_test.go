//go:build unix

package execscan_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	execscan "github.com/postreeve/postreeve/verdict/exec"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// sh is a scanner that runs a small script.
func sh(script string) *execscan.Scanner {
	return &execscan.Scanner{Path: "/bin/sh", Args: []string{"-c", script}}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]func() *execscan.Scanner{
		"status": func() *execscan.Scanner { return sh("if grep -q GTUBE; then echo spam; exit 1; fi") },
		"JSON": func() *execscan.Scanner {
			s := sh(`if grep -q GTUBE; then echo '{"class":"spam"}'; else echo '{"class":"clean"}'; fi`)
			s.JSON = true
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdicttest.Run(t, verdicttest.Suite{
				New:     func(testing.TB, net.Addr) verdict.Scanner { return s() },
				Hit:     verdicttest.Spam,
				Want:    verdict.Spam,
				Timeout: 30 * time.Second,
			})
		})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	clamscan := map[int]verdict.Class{0: verdict.Clean, 1: verdict.Malicious}
	for _, tt := range []struct {
		name, script string
		json         bool
		exit         map[int]verdict.Class
		want, err    string
	}{
		{"clean", "cat >/dev/null", false, nil, "", ""},
		{"clean, without looking", ":", false, nil, "", ""},
		{"spam", "echo 'a \t reason'; echo more; exit 1", false, nil, "exec.verdict=spam a reason", ""},
		{"malicious", "exit 2", false, nil, "exec.verdict=malicious ", ""},
		{"unknown", "exit 3", false, nil, "", "status 3"},
		{"another status", "echo broken; exit 127", false, nil, "", "status 127: broken"},
		{"a signal", "kill -9 $$", false, nil, "", "did not end well"},
		{"statuses of another program", "exit 1", false, clamscan, "exec.verdict=malicious ", ""},
		{"a status that is not in it", "exit 2", false, clamscan, "", "status 2"},
		{"endless output", "yes", false, nil, "", "more than"},
		{"JSON", `echo '{"class":"malicious","findings":[{"code":"a.b","class":"spam","score":2}]}'`, true, nil, "exec.a.b=spam ,exec.verdict=malicious ", ""},
		{"JSON, clean", `echo '{"class":"clean"}'`, true, nil, "", ""},
		{"JSON, unknown", `echo '{"class":"unknown","detail":"no database"}'`, true, nil, "", "could not tell: no database"},
		{"JSON, status", `echo '{"class":"clean"}'; exit 1`, true, nil, "", "status 1"},
		{"JSON, half", `printf '{"class":"clean"'`, true, nil, "", "cannot be read"},
		{"JSON, nothing", ":", true, nil, "", "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sh(tt.script)
			s.JSON, s.Exit = tt.json, tt.exit
			fs, err := s.Scan(t.Context(), verdicttest.Clean(t))
			var got []string
			for _, f := range fs {
				got = append(got, fmt.Sprintf("%s=%v %s", f.Code, f.Class, f.Detail))
			}
			if s := strings.Join(got, ","); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "sh", "/nonexistent/program", "/"} {
		s := &execscan.Scanner{Path: path, Args: []string{"hunter2"}}
		if _, err := s.Scan(t.Context(), verdicttest.Clean(t)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", path, err)
		}
	}
}

// The environment is what is documented, whatever ours is and whatever the mail says.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	m := verdict.NewMessage(verdict.Bytes("Subject: x\r\n\r\n"))
	m.ID = "abc"
	m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:5"), Helo: "a\nPATH=/x\x00", Name: ""}
	m.Envelope = verdict.Envelope{From: "a@example.org", To: []verdict.Recipient{{Address: "b@example.net\nc"}, {Address: "d@example.net"}}}
	file := filepath.Join(t.TempDir(), "env")
	s := &execscan.Scanner{Path: "/usr/bin/env", Env: []string{"MODE=test", "SENDER=mine"}, Stderr: os.Stderr}
	s.Path, s.Args = "/bin/sh", []string{"-c", `env > "$0"`, file}
	if _, err := s.Scan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(file)
	got := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[k] = v
	}
	for _, k := range []string{"PWD", "SHLVL", "_", "OLDPWD"} { // of the shell
		delete(got, k)
	}
	want := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "MODE": "test", "MESSAGE_ID": "abc", "MESSAGE_SIZE": "14",
		"CLIENT_ADDR": "192.0.2.1", "CLIENT_HELO": "a?PATH=/x?", "CLIENT_NAME": "", "SENDER": "a@example.org", "RECIPIENT_COUNT": "2",
		"RECIPIENTS": "b@example.net?c", "d@example.net": ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What the program has started is killed with it, at the deadline and after an answer, also if it holds on to the output.
func TestProcessGroup(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"deadline":        `sleep 1000 & echo $! > "$0"; wait`,
		"answered":        `sleep 1000 > /dev/null 2>&1 & echo $! > "$0"`,
		"holds on to it":  `sleep 1000 & echo $! > "$0"`,
		"deaf to signals": `trap '' TERM INT HUP; sleep 1000 & echo $! > "$0"; while :; do wait; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &execscan.Scanner{Path: "/bin/sh", Args: []string{"-c", script, file}}
			var ended time.Time
			var wg sync.WaitGroup
			if name != "answered" {
				wg.Go(func() { // the time is over as soon as the program has started its own
					for ctx.Err() == nil && !written(file) {
						time.Sleep(time.Millisecond)
					}
					ended = time.Now()
					cancel()
				})
			}
			_, err := s.Scan(ctx, verdicttest.Clean(t))
			wg.Wait()
			if took := time.Since(ended); !ended.IsZero() && took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			if name != "answered" && err == nil || name == "answered" && err != nil {
				t.Errorf("error %v", err)
			}
			b, _ := os.ReadFile(file)
			pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(30 * time.Second); running(pid); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					syscall.Kill(pid, syscall.SIGKILL)
					t.Fatal("what the program has started is still running")
				}
			}
		})
	}
}

// written says whether a line is in a file.
func written(file string) bool {
	b, _ := os.ReadFile(file)
	return bytes.HasSuffix(b, []byte("\n"))
}

// running says whether a process is there and no zombie, which waits for its parent.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

// No more than Limit run at once, and who waits for a place gives up with its context.
func TestLimit(t *testing.T) {
	t.Parallel()
	s := sh("sleep 1000")
	s.Limit = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	started := filepath.Join(t.TempDir(), "started")
	s.Args = []string{"-c", `touch "$0"; sleep 1000`, started}
	go func() {
		_, err := s.Scan(ctx, verdicttest.Clean(t))
		done <- err
	}()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the first was not started")
		}
	}
	os.Remove(started)
	second, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := s.Scan(second, verdicttest.Clean(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second: %v", err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("the second was started")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
}
