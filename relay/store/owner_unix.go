//go:build unix

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// owner is to whom a file is given that root makes: a command that root runs must not leave anything where the user
// of the gateway cannot write. The zero value gives nothing away.
type owner struct {
	give     bool
	uid, gid int
}

// ownerOf is whose a file or directory is, if we are root and it is not ours.
func ownerOf(path string) owner {
	if os.Geteuid() != 0 {
		return owner{}
	}
	fi, err := os.Stat(path)
	if err != nil {
		return owner{}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return owner{}
	}
	return owner{true, int(st.Uid), int(st.Gid)}
}

func giveFile(f *os.File, o owner) error {
	if !o.give {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

func givePath(path string, o owner) error {
	if !o.give {
		return nil
	}
	return os.Lchown(path, o.uid, o.gid)
}

// giveIn gives away what is in a directory.
func giveIn(root *os.Root, name string, o owner) error {
	if !o.give {
		return nil
	}
	return root.Lchown(name, o.uid, o.gid)
}

// makeDir makes a directory and those above it, for their user alone. What root makes is given to the owner of the
// directory it is in.
func makeDir(dir string) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	if up := filepath.Dir(dir); up != dir {
		if err := makeDir(up); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return os.MkdirAll(dir, 0o700) // made by another one meanwhile, or no directory
	}
	if err != nil {
		return err
	}
	up := filepath.Dir(dir)
	return errors.Join(givePath(dir, ownerOf(up)), syncNames(up))
}

// syncNames makes the names in a directory durable.
func syncNames(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) { // it can be passed and not be read: then the system has to do
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
