//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dnsverify

import (
	"errors"
	"os"
	"syscall"
)

// lockFile waits for the lock on a file, which it makes if need be. The lock ends with the process at the latest.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: name, Err: err}, f.Close())
		}
	}
}
