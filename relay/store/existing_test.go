package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// A program that looks after a store finds it as it is, makes nothing, and can do all that a store can.
func TestExisting(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		existing := c
		existing.Existing = true
		empty := func(when string) {
			t.Helper()
			before := tree(t, c.Dir)
			if s, err := store.Open(t.Context(), existing); !errors.Is(err, store.ErrEmpty) {
				if err == nil {
					s.Close()
				}
				t.Fatalf("%s: %v, want ErrEmpty", when, err)
			}
			if diff := cmp.Diff(before, tree(t, c.Dir)); diff != "" {
				t.Errorf("%s something was made (-before +after):\n%s", when, diff)
			}
		}
		empty("before the first start")
		gateway := open(t, c)
		d := &relay.Domain{Name: "ex.net"}
		if _, err := gateway.Hold(t.Context(), d, message("m1", "b@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		s := open(t, existing)
		list, err := s.HeldMessages(t.Context(), store.StateHeld, store.Filter{})
		if err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		h := &hop{}
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Deliver: deliverBy(h)}); err != nil || h.count("b@ex.net") != 1 {
			t.Errorf("release: %v", err)
		}
		if s.Mark("m1") != gateway.Mark("m1") {
			t.Error("another secret")
		}
	})
}

// While somebody writes, others open and read.
func TestExistingReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gateway := open(t, store.Config{Dir: dir})
	if _, err := gateway.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Exec(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if err := gateway.Exec(t.Context(), "BEGIN IMMEDIATE"); err != nil { // the one writer there can be
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{Dir: dir, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := s.HeldMessage(t.Context(), "m1"); err != nil || h.Domain != "ex.net" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := s.Counts(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := gateway.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("reading has written (-before +after):\n%s", diff)
	}
}

// tree has the content of all files of a directory but for the index of the log of SQLite, which knows who reads.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	if dir == "" {
		return out
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, "-shm") {
			return err
		}
		out[path] = "directory"
		if !e.IsDir() {
			data, err := os.ReadFile(path)
			out[path] = string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is of another version is left as it is, and brought up to date by a gateway that starts.
func TestExistingVersions(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "x.db") },
		"postgres": func(t *testing.T) string { return database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := store.Config{Database: url(t), Bodies: "file:" + t.TempDir(), Node: "n1"}
			existing := c
			existing.Existing = true
			if err := store.MigrateTo(t.Context(), c.Database, 1); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := store.Open(t.Context(), existing)
				if !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), "schema 1, this one needs") {
					t.Fatalf("an older one: %v", err)
				}
			}
			s := open(t, c)
			open(t, existing)
			if err := s.Exec(t.Context(), "UPDATE meta SET value = '1000' WHERE name = 'schema'"); err != nil {
				t.Fatal(err)
			}
			for _, c := range []store.Config{c, existing} {
				if _, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrNewer) {
					t.Errorf("a newer one, Existing %v: %v", c.Existing, err)
				}
			}
		})
	}
}

// Bodies that are not mounted are said, and none are made in their place.
func TestExistingBodies(t *testing.T) {
	t.Parallel()
	c := store.Config{Dir: t.TempDir()}
	if err := open(t, c).Close(); err != nil {
		t.Fatal(err)
	}
	c.Existing = true
	bodies := filepath.Join(c.Dir, "bodies")
	mark := filepath.Join(bodies, "postreeve-store")
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return os.WriteFile(mark, []byte("another"), 0o600) }, "belong to another database"},
		{func() error { return os.Remove(mark) }, "do not say whose they are"},
		{func() error { return os.RemoveAll(bodies) }, "not where they should be"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%v, want %q", err, step.want)
		}
	}
	if _, err := os.Stat(bodies); !os.IsNotExist(err) {
		t.Errorf("a place for bodies was made: %v", err)
	}
}
