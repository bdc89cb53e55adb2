//go:build unix

package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// What root makes in the directory of the gateway's user belongs to that user.
func TestRootLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can leave what others cannot write")
	}
	const uid, gid = 12345, 12346
	dir := t.TempDir()
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Config{Dir: filepath.Join(dir, "a", "state")})
	if p := s.Check(t.Context()); p != nil {
		t.Errorf("%+v", p)
	}
	d := &relay.Domain{Name: "ex.net", Next: &hop{}, Mode: relay.StoreAndForward}
	if _, err := s.Hold(t.Context(), d, message("m1", "b@ex.net"), nil); err != nil {
		t.Fatal(err)
	}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
	await(t, "jobs", func() bool { // whose log is given away when it is open
		fi, err := os.Stat(filepath.Join(dir, "a", "state", "jobs.db-wal"))
		return err == nil && fi.Sys().(*syscall.Stat_t).Uid == uid
	})
	seen := make(map[string]bool)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		seen[filepath.Ext(path)] = true
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil || !seen[".db"] || !seen[".db-wal"] || !seen[".db-shm"] {
		t.Errorf("%v, %v", seen, err)
	}
}
