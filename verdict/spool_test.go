package verdict_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/postreeve/postreeve/verdict"
)

const chunk = 64 << 10

// pattern returns n bytes that differ from place to place, and for each seed.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16) ^ seed
	}
	return p
}

// fill returns a buffer with p, written in pieces of the given size. It is closed at the end of the test.
func fill(t testing.TB, s *verdict.Spool, p []byte, piece int) *verdict.Buffer {
	t.Helper()
	b := s.New()
	t.Cleanup(func() { b.Close() })
	for q := p; len(q) > 0; {
		n := min(piece, len(q))
		if c, err := b.Write(q[:n]); c != n || err != nil {
			t.Fatalf("Write: %d of %d, %v", c, n, err)
		}
		q = q[n:]
	}
	return b
}

func read(t testing.TB, s verdict.Source) []byte {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// same fails the test if a buffer does not hold want by every way of reading it.
func same(t testing.TB, b *verdict.Buffer, want []byte) {
	t.Helper()
	if b.Size() != int64(len(want)) {
		t.Errorf("size %d, want %d", b.Size(), len(want))
	}
	if got := read(t, b); !bytes.Equal(got, want) {
		t.Errorf("reads %d bytes that are not the %d written", len(got), len(want))
	}
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	off := int64(len(want) / 3)
	if _, err := r.(io.Seeker).Seek(off, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if n, err := r.(io.WriterTo).WriteTo(&out); err != nil || n != int64(out.Len()) || !bytes.Equal(out.Bytes(), want[off:]) {
		t.Errorf("WriteTo from %d: %d bytes of %d, %v", off, n, len(want)-int(off), err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read behind WriteTo: %d, %v", n, err)
	}
}

func TestSpoolBoundaries(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 3*chunk + 7} {
		for _, piece := range []int{1000, chunk, chunk + 1, 1 << 20} {
			for name, s := range map[string]*verdict.Spool{
				"memory": {},
				"file":   {Memory: 1, Total: 1, Dir: t.TempDir()},
				"both":   {Memory: 2 * chunk, Dir: t.TempDir()},
			} {
				b := fill(t, s, pattern(n, 1), piece)
				same(t, b, pattern(n, 1))
				if inMemory := name == "memory" || name == "both" && n <= 2*chunk || n == 0; b.InMemory() != inMemory {
					t.Errorf("%s, %d bytes: in memory %v", name, n, b.InMemory())
				}
			}
		}
	}
}

// The readers keep all promises of io.Reader, io.Seeker and io.ReaderAt, with reads of every size.
func TestBufferReaderContract(t *testing.T) {
	t.Parallel()
	want := pattern(chunk+1000, 1)
	for name, s := range map[string]*verdict.Spool{"memory": {}, "file": {Memory: 1, Total: 1, Dir: t.TempDir()}} {
		r, err := fill(t, s, want, chunk).Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.(io.Seeker).Seek(chunk-100, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(io.NewSectionReader(r.(io.ReaderAt), chunk-100, 1100), want[chunk-100:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := iotest.TestReader(struct{ io.Reader }{r}, want[chunk-100:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpoolTotal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &verdict.Spool{Total: 3 * chunk, Dir: dir}
	a := fill(t, s, pattern(2*chunk, 1), 5000)
	b := fill(t, s, pattern(chunk, 2), 5000)
	c := fill(t, s, pattern(chunk, 3), 5000)
	if !a.InMemory() || !b.InMemory() || c.InMemory() {
		t.Errorf("in memory %v %v %v, want the last in a file", a.InMemory(), b.InMemory(), c.InMemory())
	}
	if _, err := b.Write(pattern(10, 2)); err != nil || b.InMemory() {
		t.Errorf("one more byte than there is memory for: in memory %v, %v", b.InMemory(), err)
	}
	same(t, a, pattern(2*chunk, 1))
	same(t, b, append(pattern(chunk, 2), pattern(10, 2)...))
	same(t, c, pattern(chunk, 3))
	if d := fill(t, s, pattern(chunk, 4), 5000); !d.InMemory() {
		t.Error("what went to a file has not given its memory back")
	}
	a.Close()
	a.Close() // must not give it back twice
	if d := fill(t, s, pattern(2*chunk+1, 5), 5000); d.InMemory() {
		t.Error("a second Close has made memory out of nothing")
	}
	if d := fill(t, s, pattern(2*chunk, 6), 5000); !d.InMemory() {
		t.Error("Close has not given the memory back")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the files have names: %v, %v", left, err)
	}
}

// Two bodies that ask for the last chunk at the same moment are not both refused.
func TestSpoolLastChunk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 200 {
		s := &verdict.Spool{Total: chunk, Dir: dir}
		b := [2]*verdict.Buffer{s.New(), s.New()}
		var wg sync.WaitGroup
		for i := range b {
			wg.Go(func() { b[i].Write([]byte{1}) })
		}
		wg.Wait()
		if b[0].InMemory() == b[1].InMemory() {
			t.Errorf("in memory: %v and %v, want one of them", b[0].InMemory(), b[1].InMemory())
		}
		b[0].Close()
		b[1].Close()
	}
}

func TestBufferReaders(t *testing.T) {
	t.Parallel()
	want := pattern(3*chunk+100, 9)
	for name, s := range map[string]*verdict.Spool{"memory": {}, "file": {Memory: 1, Dir: t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fill(t, s, want, 7777)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if got := read(t, b); !bytes.Equal(got, want) {
						t.Error("another message")
					}
					p := make([]byte, 1000)
					off := int64(i * 20011)
					if n, err := b.ReadAt(p, off); n != len(p) || err != nil || !bytes.Equal(p, want[off:off+1000]) {
						t.Errorf("ReadAt %d: %d, %v", off, n, err)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestBufferReadAt(t *testing.T) {
	t.Parallel()
	want := pattern(chunk+10, 3)
	for name, s := range map[string]*verdict.Spool{"memory": {}, "file": {Memory: 1, Total: 1, Dir: t.TempDir()}} {
		b := fill(t, s, want, chunk)
		for _, tt := range []struct {
			off  int64
			n    int
			want int
			err  error
		}{
			{0, chunk + 10, chunk + 10, nil},
			{chunk - 1, 2, 2, nil},
			{chunk, 11, 10, io.EOF},
			{chunk + 10, 1, 0, io.EOF},
			{math.MaxInt64, 1, 0, io.EOF},
		} {
			p := make([]byte, tt.n)
			n, err := b.ReadAt(p, tt.off)
			if n != tt.want || !errors.Is(err, tt.err) || tt.off < int64(len(want)) && !bytes.Equal(p[:n], want[tt.off:][:n]) {
				t.Errorf("%s: %d bytes at %d: %d, %v", name, tt.n, tt.off, n, err)
			}
		}
		if n, err := b.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
			t.Errorf("%s: negative offset: %d, %v", name, n, err)
		}
	}
}

// A reader that outlives its message sees its own bytes or an error, never another message's.
func TestBufferClose(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*verdict.Spool{"memory": {}, "file": {Memory: 1, Total: 1, Dir: t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := pattern(2*chunk, 1)
			for range 50 {
				b := fill(t, s, want, chunk)
				var wg sync.WaitGroup
				for range 4 {
					r, err := b.Open()
					if err != nil {
						t.Fatal(err)
					}
					wg.Go(func() {
						p := make([]byte, len(want))
						n, err := io.ReadFull(r, p)
						if err != nil && !errors.Is(err, os.ErrClosed) || !bytes.Equal(p[:n], want[:n]) {
							t.Errorf("read %d bytes that are not of this message, %v", n, err)
						}
					})
				}
				b.Close()
				other := fill(t, s, pattern(2*chunk, 77), chunk)
				wg.Wait()
				other.Close()
			}
		})
	}
}

// slowWriter lets a test act while a reader copies.
type slowWriter struct {
	out     bytes.Buffer
	entered chan struct{}
	leave   chan struct{}
	once    sync.Once
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.entered); <-w.leave })
	return w.out.Write(p)
}

func TestBufferCloseWhileCopying(t *testing.T) {
	t.Parallel()
	s := &verdict.Spool{Total: 2 * chunk, Dir: t.TempDir()}
	want := pattern(2*chunk, 1)
	b := fill(t, s, want, chunk)
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &slowWriter{entered: make(chan struct{}), leave: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { r.(io.WriterTo).WriteTo(w) })
	<-w.entered
	b.Close() // must not wait
	if other := fill(t, s, pattern(10, 2), 10); other.InMemory() {
		t.Error("the memory was given to another message while a reader was copying out of it")
	}
	close(w.leave)
	wg.Wait()
	if !bytes.Equal(w.out.Bytes(), want) {
		t.Error("the reader has copied something else than its message")
	}
	if other := fill(t, s, want, chunk); !other.InMemory() {
		t.Error("the last reader has not given the memory back")
	}
	if _, err := b.Open(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if _, err := b.Write([]byte{1}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

type shortWriter struct{ n int }

func (w shortWriter) Write(p []byte) (int, error) { return min(w.n, len(p)), nil }

func TestBufferWriteToErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("no more")
	for name, s := range map[string]*verdict.Spool{"memory": {}, "file": {Memory: 1, Total: 1, Dir: t.TempDir()}} {
		b := fill(t, s, pattern(3*chunk, 1), chunk)
		for _, tt := range []struct {
			name string
			w    io.Writer
			want error
			n    int64
		}{
			{"nothing taken", shortWriter{0}, io.ErrShortWrite, 0},
			{"less taken", shortWriter{10}, io.ErrShortWrite, 10},
			{"an error at once", errWriter{boom}, boom, 0},
		} {
			r, err := b.Open()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := r.(io.WriterTo).WriteTo(tt.w); !errors.Is(err, tt.want) || n != tt.n {
				t.Errorf("%s, %s: %d, %v; want %d, %v", name, tt.name, n, err, tt.n, tt.want)
			}
			if at, _ := r.(io.Seeker).Seek(0, io.SeekCurrent); name == "memory" && at != tt.n {
				t.Errorf("%s, %s: stands at %d behind %d bytes", name, tt.name, at, tt.n)
			}
		}
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

// An error of the file system is an error of Write, which says how much is safe: nothing is lost in silence.
func TestSpoolUnwritable(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	s := &verdict.Spool{Memory: chunk, Dir: missing}
	b := s.New()
	defer b.Close()
	p := pattern(chunk+10, 1)
	n, err := b.Write(p)
	if n != chunk || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Write: %d, %v; want the chunk that fits and that the folder is missing", n, err)
	}
	if _, err := s.ReadAll(bytes.NewReader(p), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadAll: %v", err)
	}
	if err := os.Mkdir(missing, 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Write(p[n:]); n != 10 || err != nil {
		t.Fatalf("Write into the folder that has come back: %d, %v", n, err)
	}
	same(t, b, p)
}

func TestSpoolReadAll(t *testing.T) {
	t.Parallel()
	boom := errors.New("the peer is gone")
	for _, tt := range []struct {
		name string
		in   io.Reader
		max  int64
		want int64
		err  error
	}{
		{"no limit", bytes.NewReader(pattern(chunk+1, 1)), 0, chunk + 1, nil},
		{"at the limit", bytes.NewReader(pattern(100, 1)), 100, 100, nil},
		{"above the limit", bytes.NewReader(pattern(101, 1)), 100, 0, verdict.ErrTooLarge},
		{"the largest limit there is", bytes.NewReader(pattern(100, 1)), math.MaxInt64, 100, nil},
		{"an error", iotest.ErrReader(boom), 0, 0, boom},
		{"an error within the limit", io.MultiReader(bytes.NewReader(pattern(10, 1)), iotest.ErrReader(boom)), 100, 0, boom},
	} {
		s := &verdict.Spool{Total: 2 * chunk, Dir: t.TempDir()}
		b, err := s.ReadAll(tt.in, tt.max)
		if !errors.Is(err, tt.err) || (b == nil) != (tt.err != nil) || b != nil && b.Size() != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if b != nil {
			same(t, b, pattern(int(tt.want), 1))
			b.Close()
		}
		if b := fill(t, s, pattern(2*chunk, 1), chunk); !b.InMemory() {
			t.Errorf("%s: memory is lost", tt.name)
		}
	}
}

// FuzzBuffer writes and reads as the input says and compares with bytes.Buffer.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint32(chunk), uint32(chunk))
	f.Add([]byte{255, 255, 255, 255, 0, 7}, uint32(2*chunk), uint32(3*chunk))
	f.Add([]byte{128, 128, 1, 128, 128, 1}, uint32(1), uint32(10*chunk))
	f.Fuzz(func(t *testing.T, ops []byte, memory, total uint32) {
		s := &verdict.Spool{Memory: int64(memory % (8 * chunk)), Total: int64(total % (8 * chunk)), Dir: t.TempDir()}
		b := s.New()
		defer b.Close()
		var model bytes.Buffer
		for i, op := range ops[:min(len(ops), 40)] {
			p := pattern(int(op)*int(op)/2, byte(i)) // up to half a chunk
			model.Write(p)
			if n, err := b.Write(p); n != len(p) || err != nil {
				t.Fatalf("Write: %d of %d, %v", n, len(p), err)
			}
		}
		same(t, b, model.Bytes())
		for i, op := range ops {
			off := (int(op)<<10 + i*997) % (model.Len() + 1)
			p := make([]byte, int(op)*300)
			n, err := b.ReadAt(p, int64(off))
			if want := model.Bytes()[off:]; n != min(len(p), len(want)) || !bytes.Equal(p[:n], want[:n]) || n < len(p) && err != io.EOF {
				t.Fatalf("ReadAt %d of %d: %d, %v", off, model.Len(), n, err)
			}
		}
	})
}
