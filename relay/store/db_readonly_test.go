//go:build linux

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// A disk that nobody can write any more, as it is after a failure: what is kept can be looked at, and whoever wants to
// write is told why not.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		running bool     // when the disk failed
		lost    []string // files of the database
		opens   bool
	}{
		"after a gateway that has ended":        {false, nil, true},
		"under a gateway":                       {true, nil, true},
		"under a gateway, the index of its log": {true, []string{"postreeve.db-shm"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
				t.Skipf("a small file system cannot be mounted: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			})
			first := t.TempDir()
			gateway := open(t, store.Config{Dir: first})
			if _, err := gateway.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
				t.Fatal(err)
			}
			if !c.running {
				if err := gateway.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS(dir, os.DirFS(first)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "postreeve.db-wal")); (err == nil) != c.running {
				t.Fatalf("the log: %v", err)
			}
			for _, f := range c.lost {
				if err := os.Remove(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			if s, err := store.Open(t.Context(), store.Config{Dir: dir}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), dir) {
				if err == nil {
					s.Close()
				}
				t.Errorf("a gateway: %v, want ErrReadOnly", err)
			}
			s, err := store.Open(t.Context(), store.Config{Dir: dir, Existing: true})
			if !c.opens {
				if !errors.Is(err, store.ErrReadOnly) {
					t.Errorf("%v, want ErrReadOnly", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			list, err := s.HeldMessages(t.Context(), store.StateHeld, store.Filter{})
			if err != nil || len(list) != 1 || list[0].ID != "m1" {
				t.Errorf("%+v, %v", list, err)
			}
			if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "m1") }); got != mail {
				t.Errorf("%q", got)
			}
			h := &hop{}
			for what, err := range map[string]error{
				"delete": s.DeleteHeld(t.Context(), "m1", "admin"),
				"release": func() error {
					_, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Deliver: deliverBy(h)})
					return err
				}(),
			} {
				if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%s: %v, want ErrReadOnly", what, err)
				}
			}
			if h.count("b@ex.net") != 0 {
				t.Error("it was delivered, and that cannot be written down")
			}
			found := ""
			for _, p := range s.Check(t.Context()) {
				found += p.What + " "
			}
			if !strings.HasPrefix(found, "database bodies ") {
				t.Errorf("check: %s", found)
			}
			if len(tree(t, dir)) != len(before) {
				t.Error("something was written")
			}
		})
	}
}

// What check says about the room on a disk compares what is free with what is to stay free, in the units of people.
func TestCheckRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	const amount = `\d+(\.\d)? [KMGT]iB`
	for name, c := range map[string]struct {
		least int64
		want  string
	}{
		"too little": {2 * free, "^" + amount + " are free, less than the " + amount + " that are to stay free: mail that should be held or queued is deferred$"},
		"little":     {free / 3 * 2, "^" + amount + " are free: when it is less than " + amount + ", mail that should be held or queued is deferred$"},
		"enough":     {1, ""},
	} {
		said := ""
		for _, p := range open(t, store.Config{MinFree: c.least}).Check(t.Context()) {
			if p.What == "disk" {
				said = p.Detail
			}
		}
		if !regexp.MustCompile(c.want).MatchString(said) || (said == "") != (c.want == "") {
			t.Errorf("%s: %q", name, said)
		}
	}
}
