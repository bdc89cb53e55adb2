package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// placeDir is where the bodies of a configuration are on disk.
func placeDir(t *testing.T, c store.Config) string {
	t.Helper()
	if c.Bodies == "" {
		return filepath.Join(c.Dir, "bodies")
	}
	if dir, ok := strings.CutPrefix(c.Bodies, "file:"); ok {
		return dir
	}
	g, err := versitygw()
	if err != nil {
		t.Fatal(err)
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(c.Bodies, "s3://"), "?")
	return filepath.Join(g.dir, path)
}

const markFile = "postreeve-store"

// An empty place is not taken for that of the bodies, unless somebody says that it is meant.
func TestEmptyPlace(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		old := s.OldMark()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		dir := placeDir(t, c)
		mark, err := os.ReadFile(filepath.Join(dir, markFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, dir+"-elsewhere"); err != nil {
			t.Fatal(err)
		}
		try := func(what, want string) {
			t.Helper()
			s, err := store.Open(t.Context(), c)
			if err == nil {
				s.Close()
			}
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
		write := func(mark string) {
			t.Helper()
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, markFile), []byte(mark), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			try("nothing there", "is something not mounted")
		}
		write("another database\n")
		try("the place of another database", "belong to another database")
		write(old + " another")
		try("another place", "share the bodies")
		write(old)
		try("a place without a name", "share the bodies")
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+"-elsewhere", dir)); err != nil {
			t.Fatal(err)
		}
		try("mounted again", "")
		if now, err := os.ReadFile(filepath.Join(dir, markFile)); err != nil || string(now) != string(mark) {
			t.Errorf("%q, was %q: %v", now, mark, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		write("new\n")
		for range 2 {
			try("empty on purpose", "")
		}
		if now, err := os.ReadFile(filepath.Join(dir, markFile)); err != nil || string(now) == string(mark) {
			t.Errorf("%q, was %q: %v", now, mark, err)
		}
	})
}

// What a version made that gave places no name gets one, if it is there.
func TestPlaceWithoutName(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		if err := errors.Join(
			s.Exec(t.Context(), "DELETE FROM meta WHERE name = 'bodies'"),
			os.WriteFile(filepath.Join(placeDir(t, c), markFile), []byte(s.OldMark()), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		existing := c
		existing.Existing = true
		open(t, existing)
		for range 2 {
			open(t, c)
			open(t, existing)
		}
		mark, err := os.ReadFile(filepath.Join(placeDir(t, c), markFile))
		if err != nil || !strings.HasPrefix(string(mark), s.OldMark()+" ") {
			t.Errorf("%q, %v", mark, err)
		}
		// The same without the place: there are bodies, so they must be somewhere.
		if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Exec(t.Context(), "DELETE FROM meta WHERE name = 'bodies'"), os.Remove(filepath.Join(placeDir(t, c), markFile))); err != nil {
			t.Fatal(err)
		}
		if s, err := store.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "is something not mounted") {
			t.Errorf("%v", err)
			if err == nil {
				s.Close()
			}
		}
	})
}

// Nodes that share rows and not bodies would look for half of them in vain.
func TestNodesWithOwnBodies(t *testing.T) {
	t.Parallel()
	a, b := shared(t)
	b.Bodies = "file:" + t.TempDir()
	open(t, a)
	for range 2 {
		if s, err := store.Open(t.Context(), b); err == nil || !strings.Contains(err.Error(), "whose they are") {
			t.Errorf("%v", err)
			if err == nil {
				s.Close()
			}
		}
	}
}

// Bodies that go away all at once while the gateway runs are waited for, and not given up one by one.
func TestPlaceGoes(t *testing.T) {
	t.Parallel()
	c := store.Config{Dir: t.TempDir()}.Quick()
	h := &hop{}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	const most = 20
	for i := range most {
		m := message(fmt.Sprint("m", i), "b@ex.net")
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	dir := placeDir(t, c)
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	away := t.TempDir()
	move := func(from, to string) {
		t.Helper()
		for _, e := range names {
			if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(dir, away)
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	await(t, "attempt", func() bool { // that was put off
		for _, q := range waiting(t, s) {
			if q.Due.After(time.Now()) {
				return true
			}
		}
		return false
	})
	time.Sleep(100 * time.Millisecond)
	for _, q := range waiting(t, s) {
		if q.State != store.StateWaiting {
			t.Fatalf("%s is %s: %s", q.ID, q.State, q.Last)
		}
	}
	move(away, dir)
	await(t, "delivery", func() bool {
		if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		return len(waiting(t, s)) == 0
	})
	if n := h.count("b@ex.net"); n != most {
		t.Errorf("delivered %d times", n)
	}
}

// Where the place is there and works, bodies may be missing. Many in a row are a matter of the store where it does not.
func TestMissingBodies(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var broken atomic.Bool
		c.Step = func(string) error {
			if broken.Load() {
				return errDown
			}
			return nil
		}
		s := open(t, c)
		gone := fmt.Errorf("x: %w", store.ErrNoBody)
		for i, step := range []struct {
			err  error
			want bool
		}{{gone, false}, {gone, false}, {nil, false}, {gone, false}, {store.ErrDamaged, false}, {gone, false}, {gone, false}, {gone, false}, {gone, false}, {nil, false}, {gone, false}} {
			if got := s.BodyGone(step.err); got != step.want {
				t.Errorf("step %d: %v", i, got)
			}
		}
		broken.Store(true)
		for i, want := range []bool{false, false, true, true} { // one was missing already
			if got := s.BodyGone(gone); got != want {
				t.Errorf("broken, step %d: %v", i, got)
			}
		}
		broken.Store(false)
		if s.BodyGone(gone) {
			t.Error("the place works again, and that is not noticed")
		}
		if err := os.Remove(filepath.Join(placeDir(t, c), markFile)); err != nil {
			t.Fatal(err)
		}
		if !s.BodyGone(gone) {
			t.Error("the place is gone, and that is not noticed")
		}
	})
}

// The directory of bodies may be exchanged under a running store: what comes then is written to the new one, if that is
// the same place, and refused if it is not.
func TestPlaceExchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bodies, old := filepath.Join(dir, "bodies"), filepath.Join(dir, "old")
	s := open(t, store.Config{Dir: dir})
	d := &relay.Domain{Name: "ex.net"}
	hold := func(id string) error {
		_, err := s.Hold(t.Context(), d, message(id, "b@ex.net"), nil)
		return err
	}
	if err := hold("m1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(bodies, old); err != nil {
		t.Fatal(err)
	}
	if err := hold("m2"); err == nil {
		t.Error("there is no directory, and yet a message is kept")
	}
	if err := os.Mkdir(bodies, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := hold("m3"); err == nil || !strings.Contains(err.Error(), "bring them back") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.CopyFS(filepath.Join(bodies, "x"), os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(bodies, filepath.Join(dir, "wrong")), os.Rename(filepath.Join(dir, "wrong", "x"), bodies), os.RemoveAll(old)); err != nil {
		t.Fatal(err)
	}
	if err := hold("m4"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"m1", "m4"} {
		if read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), id) }) == "" {
			t.Errorf("%s is lost", id)
		}
	}
}

// The same while a body is being written: whatever was done of it by then, nobody is told that it is kept.
func TestPlaceExchangedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"body.mkdir", "body.create", "body.write", "body.sync", "body.dirsync"} {
		for _, how := range []string{"the same", "another", "none"} {
			t.Run(at+"/"+how, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				bodies, old := filepath.Join(dir, "bodies"), filepath.Join(dir, "old")
				var armed atomic.Bool
				s := open(t, store.Config{Dir: dir, Step: func(name string) error {
					if name != at || !armed.CompareAndSwap(true, false) {
						return nil
					}
					err := os.Rename(bodies, old)
					switch how {
					case "the same":
						err = errors.Join(err, os.CopyFS(bodies, os.DirFS(old)))
					case "another":
						err = errors.Join(err, os.Mkdir(bodies, 0o700))
					}
					return err
				}})
				d := &relay.Domain{Name: "ex.net"}
				armed.Store(true)
				if _, err := s.Hold(t.Context(), d, message("m1", "b@ex.net"), nil); err == nil {
					_, err := s.HeldBody(t.Context(), "m1")
					t.Errorf("held, and its body is in the old place: %v", err)
				}
				if left, err := filepath.Glob(filepath.Join(old, "*", "*", "*")); err != nil || len(left) != 0 {
					t.Errorf("left in the old place: %v, %v", left, err)
				}
				_, err := s.Hold(t.Context(), d, message("m2", "b@ex.net"), nil)
				if (err == nil) != (how == "the same") {
					t.Errorf("afterwards: %v", err)
				}
				if how == "the same" && read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "m2") }) != mail {
					t.Error("m2 is lost")
				}
			})
		}
	}
}
