//go:build linux || darwin || freebsd

package store

import (
	"errors"
	"syscall"
)

// freeBytes is how much an ordinary user may still write to the disk of a directory.
func freeBytes(dir string) (int64, bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// readOnlyDisk says whether nobody can write to the disk of a directory, not even root.
func readOnlyDisk(dir string) bool {
	const write = 2 // W_OK of access(2), which says so before it looks at who asks
	return errors.Is(syscall.Access(dir, write), syscall.EROFS)
}
