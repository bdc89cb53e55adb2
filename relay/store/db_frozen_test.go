//go:build linux

package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// Beside a gateway that runs, its directory may be mounted so that it cannot be written there, as for a container that only
// looks. What is listed is what is there, or nothing is.
func TestReadOnlyView(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"beside a gateway": true, "after a gateway": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, view := t.TempDir(), t.TempDir()
			if err := syscall.Mount(dir, view, "", syscall.MS_BIND, ""); err != nil {
				t.Skipf("nothing can be mounted: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(view, 0); err != nil {
					t.Error(err)
				}
			})
			if err := syscall.Mount("", view, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			gateway := open(t, store.Config{Dir: dir})
			record := func(n int) {
				for i := range n {
					m := message(fmt.Sprintf("m%d-%d", n, i), "b@ex.net")
					if err := gateway.RecordMessage(t.Context(), &relay.Domain{Name: "ex.net"}, m, relay.Outcome{ID: m.ID}); err != nil {
						t.Fatal(err)
					}
				}
			}
			record(10)
			if err := gateway.Close(); err != nil { // all of it is in the file, and there is no log
				t.Fatal(err)
			}
			if running {
				gateway = open(t, store.Config{Dir: dir})
			}
			s, err := store.Open(t.Context(), store.Config{Dir: view, Existing: true})
			if !running {
				if err == nil {
					s.Close()
				}
				if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), view) {
					t.Errorf("%v, want ErrReadOnly", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := os.Stat(filepath.Join(dir, "postreeve.db-wal")); err != nil {
				t.Fatal(err)
			}
			record(20)
			list, err := s.Messages(t.Context(), store.Filter{Limit: 100})
			if err != nil || len(list) != 30 {
				t.Errorf("%d messages, want 30: %v", len(list), err)
			}
			if _, err := s.RetryQueued(t.Context(), "admin"); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%v, want ErrReadOnly", err)
			}
		})
	}
}

// Only a file system of this machine that is itself read-only is certain not to change.
func TestFrozen(t *testing.T) {
	t.Parallel()
	const info = "pos:\t0\nflags:\t0100000\nmnt_id:\t36\nino:\t7\n"
	for name, c := range map[string]struct {
		info, mounts string
		want         bool
	}{
		"the file system":               {info, "35 1 98:0 / / rw - ext4 /dev/a rw\n36 35 98:1 / /x ro,noatime master:1 - ext4 /dev/b ro,errors=remount-ro\n", true},
		"nothing but ro":                {info, "36 35 98:1 / /x ro - xfs /dev/b ro\n", true},
		"a space in its name":           {info, `36 35 98:1 / /x\040y ro shared:2 master:1 - tmpfs tmp\040fs ro,size=3k` + "\n", true},
		"no name":                       {info, "36 35 98:1 / /x ro - tmpfs  ro,size=3k\n", true},
		"the mount alone":               {info, "36 35 98:1 / /x ro,noatime - ext4 /dev/b rw,errors=remount-ro\n", false},
		"another mount":                 {info, "37 35 98:1 / /x ro - ext4 /dev/b ro\n", false},
		"a network":                     {info, "36 35 0:41 / /x ro - nfs4 a:/x ro,vers=4.2\n", false},
		"of the host of a machine":      {info, "36 35 0:41 / /x ro - virtiofs share ro\n", false},
		"layers":                        {info, "36 35 0:41 / /x ro - overlay overlay ro,lowerdir=/a\n", false},
		"an option that begins like it": {info, "36 35 98:1 / /x ro - ext4 /dev/b rough\n", false},
		"cut off":                       {info, "36 35 98:1 / /x ro - ext4\n36 35 98:1 / /x ro -\n36\n", false},
		"no mounts":                     {info, "", false},
		"no id":                         {"pos:\t0\n", "36 35 98:1 / /x ro - ext4 /dev/b ro\n\n", false},
		"an empty id":                   {"mnt_id:\n", "\n 35 98:1 / /x ro - ext4 /dev/b ro\n", false},
	} {
		if got := store.FrozenMount(c.info, c.mounts); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
