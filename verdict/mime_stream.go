package verdict

import (
	"errors"
	"io"
	"os"
	"slices"
)

// mimeStream is a byte sequence that parts lie in: the raw message, or a nested one behind an encoding.
type mimeStream interface {
	// section returns the n bytes from off; a reader that ends earlier says io.ErrUnexpectedEOF.
	section(off, n int64) (io.ReadCloser, error)
	size() int64
}

// rawStream is the message itself.
type rawStream struct{ src Source }

func (s rawStream) size() int64 { return s.src.Size() }

func (s rawStream) section(off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 {
		return nil, errors.New("verdict: section outside of the message")
	}
	if b, ok := s.src.(Bytes); ok {
		off = min(off, int64(len(b)))
		return b[off:min(off+n, int64(len(b)))].Open()
	}
	if ra, ok := s.src.(io.ReaderAt); ok {
		return &limitedReader{r: io.NewSectionReader(ra, off, n), left: n}, nil
	}
	r, err := s.src.Open()
	if err != nil {
		return nil, err
	}
	if err := skip(r, off); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &limitedReader{r: r, left: n, closer: r}, nil
}

// skip moves r forward by n bytes.
func skip(r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekCurrent)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// limitedReader returns the next left bytes of r, and says so if they are not there: a source that
// shrinks must not look like a shorter part.
type limitedReader struct {
	r      io.Reader
	left   int64
	closer io.Closer // nil if there is nothing to close
	closed bool
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.closed {
		return 0, os.ErrClosed
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err == io.EOF && l.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (l *limitedReader) Close() error {
	if l.closed || l.closer == nil {
		l.closed = true
		return nil
	}
	l.closed = true
	return l.closer.Close()
}

const (
	// markEvery is the distance of the marks in a decoded stream: what has to be decoded at most, at
	// each level, to get to a part in it.
	markEvery = 4 << 10
	// keepDecoded is how many bytes of decoded streams may stay in memory, all of a message together.
	// Without them many small parts in many levels of encoding would cost too much to open.
	keepDecoded = 256 << 10
)

// mark is a place where decoding can begin: offsets in the encoded and in the decoded content, and the
// state of the decoder there.
type mark struct {
	enc, dec int64
	state    decoder
}

// decodedStream is the content of an encoded part, in which a nested message lies. Unless it is small it
// is not held, but decoded again for each reader, from the last mark on. measure comes before all else.
type decodedStream struct {
	parent   mimeStream
	off, n   int64 // of the encoded content in parent
	encoding string
	marks    []mark
	length   int64
	kept     []byte // all of it, or nil
}

func (s *decodedStream) size() int64 { return s.length }

// measure decodes the stream once, to find its length and to set its marks. most is how long it may be;
// up to keep bytes are held.
func (s *decodedStream) measure(most, keep int64) error {
	src, err := s.parent.section(s.off, s.n)
	if err != nil {
		return readError(err)
	}
	r := newDecodeReader(src, newDecoder(s.encoding))
	r.stream = s
	for r.err == nil && r.decoded <= most {
		r.fill()
		if r.decoded <= keep {
			s.kept = append(s.kept, r.out...)
		}
	}
	if r.decoded > keep {
		s.kept = nil
	} else {
		s.marks = nil
	}
	tooLong := r.decoded > most
	if err = r.err; tooLong || err == io.EOF {
		err = nil
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return readError(err)
	}
	if tooLong {
		return tooComplex("more decoded bytes of attached messages than allowed")
	}
	return nil
}

func (s *decodedStream) section(off, n int64) (io.ReadCloser, error) {
	if s.kept != nil {
		return rawStream{Bytes(s.kept)}.section(off, n)
	}
	i, ok := slices.BinarySearchFunc(s.marks, off, func(m mark, off int64) int {
		if m.dec <= off {
			return -1
		}
		return 1
	})
	if !ok {
		i--
	}
	at := mark{state: newDecoder(s.encoding)}
	if i >= 0 {
		at = s.marks[i]
	}
	r, err := s.parent.section(s.off+at.enc, s.n-at.enc)
	if err != nil {
		return nil, err
	}
	d := newDecodeReader(r, at.state.clone())
	if err := skip(d, off-at.dec); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &limitedReader{r: d, left: n, closer: d}, nil
}
