package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

const (
	smallBuffer = 4 << 10  // held as long as the connection
	largeBuffer = 64 << 10 // held only while a message is read
	maxLine     = smallBuffer
	maxSkip     = 1 << 20 // of one line that is thrown away
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// ErrEndless is returned for a line that goes on far beyond any limit. The connection should be closed.
var ErrEndless = errors.New("line without end")

// Reader reads command lines and messages from one connection. It is for one goroutine.
//
// An error of the connection is kept: once a read has failed, every later one fails with the same error,
// so that nothing that arrives after a timeout is ever taken for a command.
type Reader struct {
	src   io.Reader
	small *[smallBuffer]byte
	large *[largeBuffer]byte // nil outside of messages
	buf   []byte             // one of the two
	r, w  int                // buf[r:w] is what was read and not yet used
	err   error              // of src, for good

	limit   int   // octets of a command line with its CRLF
	skip    bool  // in a refused line whose end has not come yet
	skipped int   // octets of it thrown away so far
	after   error // what ReadLine returns when a line that was too long has ended

	body Body
}

// NewReader returns a reader of src. A command line may have up to line octets with its CRLF; 0, and
// anything above, means 4096. Release must be called when the connection is done.
func NewReader(src io.Reader, line int) *Reader {
	if line <= 0 || line > maxLine {
		line = maxLine
	}
	r := &Reader{src: src, limit: line, small: smallBuffers.Get().(*[smallBuffer]byte)}
	r.buf = r.small[:]
	return r
}

// Release gives the buffers back. The reader and everything it has handed out are of no more use.
func (r *Reader) Release() {
	if r.small == nil {
		return
	}
	r.freeLarge()
	smallBuffers.Put(r.small)
	r.small, r.buf, r.r, r.w = nil, nil, 0, 0
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
}

// Buffered returns the number of octets that were read and not yet used.
func (r *Reader) Buffered() int { return r.w - r.r }

// Err returns the error that the connection has failed with, or nil.
func (r *Reader) Err() error { return r.err }

// fill reads more octets behind those that are there. There must be room for them.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}

// grow changes to the large buffer.
func (r *Reader) grow() {
	if r.large != nil {
		return
	}
	r.large = largeBuffers.Get().(*[largeBuffer]byte)
	r.w = copy(r.large[:], r.buf[r.r:r.w])
	r.r = 0
	r.buf = r.large[:]
}

// shrink goes back to the small buffer if what is left fits there.
func (r *Reader) shrink() {
	if r.large == nil || r.w-r.r > len(r.small) {
		return
	}
	r.w = copy(r.small[:], r.buf[r.r:r.w])
	r.r = 0
	r.freeLarge()
}

func (r *Reader) freeLarge() {
	if r.large == nil {
		return
	}
	largeBuffers.Put(r.large)
	r.large = nil
	r.buf = r.small[:]
}

// ReadLine returns the next command line without its CRLF. It is valid until the next read.
//
// A line with a bare CR, a bare LF or a NUL is refused with ErrBareCR, ErrBareLF or ErrNUL, and one that
// is too long with ErrLineTooLong. Its octets are thrown away up to its CRLF, and the next call returns
// the line behind it. A bare LF is reported as soon as it is seen, so that a client which ends its lines
// with LF alone is told. Every other error is one of the connection.
func (r *Reader) ReadLine() ([]byte, error) {
	r.shrink()
	if r.skip {
		if err := r.skipLine(); err != nil {
			return nil, err
		}
		if err := r.after; err != nil {
			r.after = nil
			return nil, err
		}
	}
	seen := 0 // octets known to hold no CRLF
	for {
		b := r.buf[r.r:r.w]
		if i := bytes.Index(b[seen:], []byte("\r\n")); i >= 0 {
			line := b[:seen+i]
			r.r += len(line) + 2
			if err := lineFault(line[:min(len(line), r.limit)]); err != nil {
				return nil, err
			}
			if len(line)+2 > r.limit {
				return nil, ErrLineTooLong
			}
			return line, nil
		}
		if err := r.refusePart(b); err != nil {
			return nil, err
		}
		if r.skip {
			return r.ReadLine()
		}
		seen = max(len(b)-1, 0)
		if err := r.fill(); err != nil {
			if len(b) > 0 {
				err = noEOF(err)
			}
			return nil, err
		}
	}
}

// refusePart looks at the beginning of a line whose end is not there yet.
func (r *Reader) refusePart(b []byte) error {
	whole := b
	b = b[:min(len(b), r.limit)]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1] // its LF may come
	}
	if err := lineFault(b); err != nil {
		r.skip, r.skipped, r.after = true, 0, nil
		return err
	}
	if len(whole) >= r.limit {
		r.skip, r.skipped, r.after = true, 0, ErrLineTooLong
	}
	return nil
}

func lineFault(line []byte) error {
	for _, c := range line {
		switch c {
		case 0:
			return ErrNUL
		case '\n':
			return ErrBareLF
		case '\r':
			return ErrBareCR
		}
	}
	return nil
}

// skipLine throws octets away until behind the next CRLF.
func (r *Reader) skipLine() error {
	for {
		b := r.buf[r.r:r.w]
		if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
			r.r += i + 2
			r.skip = false
			return nil
		}
		n := len(b)
		if n > 0 && b[n-1] == '\r' {
			n--
		}
		r.r += n
		if r.skipped += n; r.skipped > maxSkip {
			r.err = ErrEndless
		}
		if err := r.fill(); err != nil {
			return noEOF(err)
		}
	}
}

// Discard throws n octets away: a chunk that nobody wants.
func (r *Reader) Discard(n int64) error {
	if n > smallBuffer {
		r.grow()
		defer r.shrink()
	}
	for n > 0 {
		if r.r == r.w {
			if err := r.fill(); err != nil {
				return noEOF(err)
			}
		}
		take := min(n, int64(r.w-r.r))
		r.r += int(take)
		n -= take
	}
	return nil
}
