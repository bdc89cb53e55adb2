package verdict

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
)

// ErrTooLarge is returned when a message passes a limit on its size.
var ErrTooLarge = errors.New("verdict: message too large")

// Spool says where the bodies of messages live while they are in transit: in memory as long as they
// are small and there is room, in unnamed temporary files otherwise. The zero value is ready for use.
// Its fields must not change once it is in use. It may be used by many goroutines at once.
type Spool struct {
	// Memory is the size in bytes up to which one body stays in memory, rounded up to a multiple of
	// 64 KiB. 0 means 8 MiB.
	Memory int64
	// Total is the memory in bytes that all bodies together may take, rounded down to a multiple of
	// 64 KiB; a body that finds none left goes on in a file. 0 means 64 MiB.
	Total int64
	// Dir is where the files are made. Empty means the system's directory for temporary files.
	Dir string

	used atomic.Int64
}

const chunkSize = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

func (s *Spool) memory() int64 { return orDefault(s.Memory, 8<<20) }
func (s *Spool) total() int64  { return orDefault(s.Total, 64<<20) }

func orDefault(v, def int64) int64 {
	if v > 0 {
		return v
	}
	return def
}

// New returns an empty buffer. The caller must Close it.
func (s *Spool) New() *Buffer { return &Buffer{spool: s} }

// reserve takes memory for one more chunk out of the budget. It never takes more than there is, not
// even for a moment: two bodies that ask for the last chunk must not both be refused.
func (s *Spool) reserve() bool {
	for {
		used := s.used.Load()
		if used+chunkSize > s.total() {
			return false
		}
		if s.used.CompareAndSwap(used, used+chunkSize) {
			return true
		}
	}
}

// Buffer is a Source that is written once and then read. Writes come from one goroutine, before the
// first Open; readers may then be used side by side.
type Buffer struct {
	spool *Spool
	size  int64

	chunks []*[chunkSize]byte // while in memory
	file   *os.File           // once it has outgrown memory

	mu     sync.Mutex
	users  int  // readers that are copying out of chunks at this moment
	closed bool // no new users; the last one frees
}

// Write appends p. An error of the file system is wrapped and returned, with the number of bytes that
// are safe; the buffer is then of no more use. After Close the error is os.ErrClosed.
func (b *Buffer) Write(p []byte) (int, error) {
	if err := b.acquire(); err != nil {
		return 0, err
	}
	defer b.release()
	n := 0
	for b.file == nil && n < len(p) {
		at := int(b.size % chunkSize)
		if at == 0 && !b.grow() {
			if err := b.spill(); err != nil {
				return n, err
			}
			break
		}
		c := copy(b.chunks[len(b.chunks)-1][at:], p[n:])
		b.size += int64(c)
		n += c
	}
	if n < len(p) {
		c, err := b.file.Write(p[n:])
		b.size += int64(c)
		n += c
		if err != nil {
			return n, fmt.Errorf("spooling a message: %w", err)
		}
	}
	return n, nil
}

func (b *Buffer) grow() bool {
	if b.size >= b.spool.memory() || !b.spool.reserve() {
		return false
	}
	b.chunks = append(b.chunks, chunks.Get().(*[chunkSize]byte))
	return true
}

// spill moves what is in memory to a file. The file has no name from the start, so that nothing is
// left behind by a crash.
func (b *Buffer) spill() error {
	f, err := os.CreateTemp(b.spool.Dir, "postreeve-*")
	if err != nil {
		return fmt.Errorf("spooling a message: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return fmt.Errorf("spooling a message: %w", err)
	}
	for i, c := range b.chunks {
		if _, err := f.Write(c[:min(chunkSize, b.size-int64(i)*chunkSize)]); err != nil {
			f.Close()
			return fmt.Errorf("spooling a message: %w", err)
		}
	}
	b.free()
	b.file = f
	return nil
}

func (b *Buffer) free() {
	for _, c := range b.chunks {
		chunks.Put(c)
	}
	b.spool.used.Add(-chunkSize * int64(len(b.chunks)))
	b.chunks = nil
}

// Size returns the number of bytes written so far.
func (b *Buffer) Size() int64 { return b.size }

// InMemory says whether the bytes are in memory.
func (b *Buffer) InMemory() bool { return b.file == nil }

// Close gives the memory or the file back. Readers that are still open fail from then on with
// os.ErrClosed; one that is just copying finishes first, and Close does not wait for it.
func (b *Buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.users == 0 {
		b.free()
	}
	if b.file != nil {
		return b.file.Close()
	}
	return nil
}

// A reader that outlives its message must never see the next message that uses the same memory:
// hence the count of users.
func (b *Buffer) acquire() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return os.ErrClosed
	}
	b.users++
	return nil
}

func (b *Buffer) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users--
	if b.closed && b.users == 0 {
		b.free()
	}
}

// ReadAt implements io.ReaderAt.
func (b *Buffer) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("verdict: negative offset")
	}
	if err := b.acquire(); err != nil {
		return 0, err
	}
	defer b.release()
	if b.file != nil && off < b.size {
		return b.file.ReadAt(p, off)
	}
	n := 0
	for n < len(p) && off < b.size {
		c := copy(p[n:], b.slice(off))
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// slice returns what is in memory from off to the end of the chunk that holds it.
func (b *Buffer) slice(off int64) []byte {
	i := off / chunkSize
	return b.chunks[i][off%chunkSize : min(chunkSize, b.size-i*chunkSize)]
}

// Open returns a reader from offset 0. The reader implements io.WriterTo and io.Seeker.
func (b *Buffer) Open() (io.ReadCloser, error) {
	if err := b.acquire(); err != nil {
		return nil, err
	}
	b.release()
	return &bufferReader{SectionReader: *io.NewSectionReader(b, 0, b.size), b: b}, nil
}

type bufferReader struct {
	io.SectionReader
	b *Buffer
}

func (r *bufferReader) Close() error { return nil }

// WriteTo hands what is in memory to w without copying it.
func (r *bufferReader) WriteTo(w io.Writer) (int64, error) {
	if r.b.file != nil {
		buf := chunks.Get().(*[chunkSize]byte)
		defer chunks.Put(buf)
		return io.CopyBuffer(struct{ io.Writer }{w}, &r.SectionReader, buf[:])
	}
	if err := r.b.acquire(); err != nil {
		return 0, err
	}
	defer r.b.release()
	off, _ := r.Seek(0, io.SeekCurrent)
	var total int64
	for off < r.b.size {
		p := r.b.slice(off)
		n, err := w.Write(p)
		if err == nil && n != len(p) {
			err = io.ErrShortWrite // or a writer that takes nothing would hold us here for ever
		}
		total += int64(n)
		off += int64(n)
		r.Seek(off, io.SeekStart)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// ReadAll reads r into a new buffer, up to max bytes; one byte more is ErrTooLarge.
// If max is 0 there is no limit.
func (s *Spool) ReadAll(r io.Reader, max int64) (*Buffer, error) {
	b := s.New()
	src := r
	if max > 0 && max < math.MaxInt64 {
		src = io.LimitReader(r, max+1)
	}
	if _, err := io.Copy(b, src); err != nil {
		b.Close()
		return nil, err
	}
	if max > 0 && b.size > max {
		b.Close()
		return nil, ErrTooLarge
	}
	return b, nil
}
