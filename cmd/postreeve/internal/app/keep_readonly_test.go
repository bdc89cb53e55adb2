//go:build linux

package app_test

import (
	"net/smtp"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// TestReadOnlyDisk: what is kept on a disk that nobody can write any more can be looked at, and whatever wants to write
// names the disk.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200m"); err != nil {
		t.Skipf("a file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	state := filepath.Join(disk, "state")
	s := serve(t, configFor((&relaytest.Sink{}).Start(t), "state: "+state))
	if err := smtp.SendMail(s.addr(0), nil, "b@example.org", []string{"a@ex.net"}, []byte(message("x", teststring.Malicious))); err != nil {
		t.Fatal(err)
	}
	s.end(t)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	list := lines[heldRow](t, s.kept(t, 0, "quarantine", "list", "--json").out)
	if len(list) != 1 {
		t.Fatalf("list: %+v", list)
	}
	id := list[0].ID
	for _, args := range [][]string{{"quarantine", "show", id}, {"queue", "list"}, {"message", "list"}, {"message", "explain", id}, {"audit", "list"}} {
		s.kept(t, 0, args...)
	}
	for _, args := range [][]string{{"quarantine", "release", id}, {"quarantine", "delete", id}, {"queue", "retry", "--all"}} {
		got := s.kept(t, 1, args...).err
		if !strings.Contains(got, "the file system is read-only: "+state) || strings.Contains(got, "level=") {
			t.Errorf("%q: %s", args, got)
		}
	}
	if got := run(t, "", "serve", "-c", s.file); got.code != 1 || !strings.Contains(got.err, "the file system is read-only: "+state) || !strings.Contains(got.err, "mount it so that it can be written") {
		t.Errorf("serve: %+v", got)
	}
	found := false
	for _, r := range lines[checkRow](t, run(t, "", "check", "-c", s.file, "--json", "--timeout", "30s").out) {
		found = found || r.Check == "store" && r.State == "FAIL" && strings.Contains(r.Detail, "the file system is read-only: "+state)
	}
	if !found {
		t.Error("check does not name the disk")
	}
}
