package inspect

import (
	"errors"
	"fmt"
	"io"
)

// The errors of all parsers wrap one of these.
var (
	// ErrLimit means that there is more in the content than Limits, or the time of the context, allow.
	ErrLimit = errors.New("limit met")
	// ErrFormat means that the content is not of the format, or too broken to be read to its end.
	ErrFormat = errors.New("broken content")
	// ErrEncrypted means that something in the content cannot be read without a password.
	ErrEncrypted = errors.New("encrypted content")
)

// Limits bound one inspection. The zero value of a field means its default.
type Limits struct {
	Bytes   int64 // read after decompression, all streams together; default 64 MiB
	Kept    int64 // bytes of text and streams kept in memory at a time; default 16 MiB
	Objects int   // streams, records, objects, tokens; default 500 000
	Files   int   // embedded files and other findings of one kind; default 1000
	Depth   int   // of what is nested; default 16
}

// WithDefaults returns the limits in force.
func (l Limits) WithDefaults() Limits {
	set(&l.Bytes, 64<<20)
	set(&l.Kept, 16<<20)
	set(&l.Objects, 500_000)
	set(&l.Files, 1000)
	set(&l.Depth, 16)
	return l
}

func set[T int | int64](field *T, def T) {
	if *field <= 0 {
		*field = def
	}
}

// File is a file within a document.
type File struct {
	Name  string // as the document gives it, which may be with a path, a lie, or nothing
	Where string // the place in the document: a stream, a member of a zip file, an object
	Size  int64  // bytes as far as known without reading them; -1 if not known

	open func() (io.ReadCloser, error)
}

// NewFile returns a file whose content open gives.
func NewFile(name, where string, size int64, open func() (io.ReadCloser, error)) File {
	return File{Name: name, Where: where, Size: size, open: open}
}

// Open returns a reader of the content. It needs the content that was inspected, and works any number
// of times, side by side. A reader ends with ErrLimit rather than giving more than Limits.Bytes.
func (f File) Open() (io.ReadCloser, error) {
	if f.open == nil {
		return nil, fmt.Errorf("%w: %q has no content of its own", ErrFormat, f.Name)
	}
	return f.open()
}
