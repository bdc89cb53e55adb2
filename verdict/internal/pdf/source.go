package pdf

import (
	"bytes"
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

const (
	minWindow  = 4 << 10
	windowSize = 64 << 10
)

// source gives bytes by their place, of a file or of what was decompressed, through a window.
type source struct {
	r    io.ReaderAt
	size int64
	b    *inspect.Budget
	work *int64 // bytes that may still be looked at, everything together

	buf   []byte
	off   int64 // of the window
	chunk int64 // bytes that were read last
	err   error
}

func newSource(b *inspect.Budget, work *int64, r io.ReaderAt, size int64) *source {
	return &source{r: r, size: size, b: b, work: work, buf: make([]byte, 0, windowSize)}
}

// memory is a source of what is in memory.
func (s *source) memory(p []byte) *source {
	return &source{r: bytes.NewReader(p), size: int64(len(p)), b: s.b, work: s.work, buf: p}
}

// at returns the byte at pos; ok is false at the end and after an error.
func (s *source) at(pos int64) (c byte, ok bool) {
	if i := pos - s.off; i >= 0 && i < int64(len(s.buf)) {
		return s.buf[i], true
	}
	return s.load(pos)
}

func (s *source) load(pos int64) (byte, bool) {
	if pos < 0 || pos >= s.size || s.err != nil {
		return 0, false
	}
	// Where it goes on, more and more of it; from elsewhere, no more than an object is likely to have,
	// and a little of what comes before.
	if want := int64(len(s.buf)); want > 0 && pos == s.off+want {
		s.chunk = min(2*s.chunk, windowSize)
	} else {
		s.chunk = minWindow
	}
	s.off = max(0, pos-256)
	n, err := s.r.ReadAt(s.buf[:min(s.chunk, int64(cap(s.buf)), s.size-s.off)], s.off)
	s.buf = s.buf[:n]
	if err != nil && err != io.EOF {
		s.err = err
	} else {
		s.err = s.b.Err()
	}
	if i := pos - s.off; s.err == nil && i < int64(n) {
		return s.buf[i], true
	}
	return 0, false
}

// spend counts bytes that were looked at.
func (s *source) spend(n int64) error {
	if *s.work -= n; *s.work < 0 {
		return fmt.Errorf("%w: objects that overlap", ErrLimit)
	}
	return s.err
}

// find calls f with every place of the words, in order, and with the number of the word.
func (s *source) find(words []string, f func(pos int64, word int) error) error {
	return s.b.Find(s.r, s.size, words, f)
}
