package verdict

import (
	"bytes"
	"io"
	"os"
)

// Source is a sequence of bytes that can be read any number of times.
//
// A Source that is handed to a call is valid until that call returns, unless its documentation says more.
type Source interface {
	// Open returns a reader from offset 0. Readers are independent and may be used side by side.
	Open() (io.ReadCloser, error)
	// Size is the exact number of bytes.
	Size() int64
}

// Bytes is a Source in memory. It must not be changed while it is in use.
type Bytes []byte

// Open returns a reader over b. It never fails.
func (b Bytes) Open() (io.ReadCloser, error) { return bytesReader{bytes.NewReader(b)}, nil }

// Size returns len(b).
func (b Bytes) Size() int64 { return int64(len(b)) }

// ReadAt implements io.ReaderAt.
func (b Bytes) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(b).ReadAt(p, off) }

type bytesReader struct{ *bytes.Reader }

func (bytesReader) Close() error { return nil }

// File is a Source that is a file on disk, by its path. The file must not change while it is in use.
type File struct {
	path string
	size int64
}

// OpenFile returns the regular file at path as a Source.
func OpenFile(path string) (File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	if !fi.Mode().IsRegular() {
		return File{}, &os.PathError{Op: "open", Path: path, Err: os.ErrInvalid}
	}
	return File{path, fi.Size()}, nil
}

// Open opens the file.
func (f File) Open() (io.ReadCloser, error) { return os.Open(f.path) }

// Size returns the size that the file had when OpenFile looked.
func (f File) Size() int64 { return f.size }
