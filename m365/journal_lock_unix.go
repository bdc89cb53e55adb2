//go:build unix

package m365

import (
	"errors"
	"os"
	"syscall"
)

// lockDir takes a lock that ends with the process, however that ends.
func lockDir(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("another run is at work with it: wait for its end")
	}
	return f.Close, nil
}
