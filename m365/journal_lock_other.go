//go:build !unix

package m365

import (
	"errors"
	"io/fs"
	"os"
)

// lockDir takes a lock that has to be removed by hand after a crash.
func lockDir(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errors.New("another run is at work with it: wait for its end, or remove the file " + path + " if there is none")
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}
