package verdict

import (
	"errors"
	"io"
	"os"
	"sync"
)

// decoder decodes a content transfer encoding piece by piece. It never fails: what cannot be decoded is
// left out or kept as it is, as mail clients do, and flagged.
type decoder interface {
	// decode reads from src and writes to dst, which has at least len(src)+decodeSlack bytes. Unless src
	// is the last piece it may leave some of it unread, but not all of decodeSize bytes.
	decode(dst, src []byte, last bool) (written, read int)
	// flags says what was odd so far.
	flags() decodeFlags
	// clone returns a decoder that goes on from here.
	clone() decoder
}

type decodeFlags uint8

const (
	base64Junk    decodeFlags = 1 << iota // bytes that are neither alphabet nor blank
	base64Padding                         // content behind padding, or padding where none can be
	base64Length                          // not a whole number of bytes
	qpEscape                              // an equals sign that begins neither an escape nor a soft break
	uuLine                                // a line that is no uuencoded one
)

const (
	decodeSize  = 32 << 10
	decodeSlack = 8
)

// newDecoder returns nil for an encoding that changes nothing or is not known.
func newDecoder(encoding string) decoder {
	switch encoding {
	case encBase64:
		return &base64Decoder{}
	case encQuoted:
		return &qpDecoder{}
	case encUU:
		return &uuDecoder{}
	}
	return nil
}

type decodeBuffers struct {
	in  [decodeSize]byte
	out [decodeSize + decodeSlack]byte
}

var decodePool = sync.Pool{New: func() any { return new(decodeBuffers) }}

// decodeReader puts a decoder behind a reader, which it closes.
type decodeReader struct {
	src  io.ReadCloser
	dec  decoder
	buf  *decodeBuffers // nil once closed
	in   []byte         // read and not decoded yet
	out  []byte         // decoded and not returned yet
	last bool           // nothing comes behind in
	err  error          // to return when out is empty

	enc, decoded int64          // offsets: of in, and behind out
	stream       *decodedStream // where marks are set, or nil
}

func newDecodeReader(src io.ReadCloser, d decoder) *decodeReader {
	return &decodeReader{src: src, dec: d, buf: decodePool.Get().(*decodeBuffers)}
}

// Read implements io.Reader.
func (r *decodeReader) Read(p []byte) (int, error) {
	if r.buf == nil {
		return 0, os.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it saves io.Copy one copy.
func (r *decodeReader) WriteTo(w io.Writer) (int64, error) {
	if r.buf == nil {
		return 0, os.ErrClosed
	}
	var total int64
	for {
		if len(r.out) > 0 {
			n, err := w.Write(r.out)
			total += int64(n)
			r.out = r.out[n:]
			if err != nil {
				return total, err
			}
		}
		switch {
		case len(r.out) > 0:
			return total, io.ErrShortWrite
		case r.err == io.EOF:
			return total, nil
		case r.err != nil:
			return total, r.err
		}
		r.fill()
	}
}

// fill decodes the next piece into out, which is empty.
func (r *decodeReader) fill() {
	r.mark()
	if !r.last {
		n := copy(r.buf.in[:], r.in)
		end := decodeSize
		if r.stream != nil {
			end = min(n+markEvery, decodeSize) // marks lie between pieces
		}
		m, err := readSome(r.src, r.buf.in[n:end])
		r.in = r.buf.in[:n+m]
		if err != nil && err != io.EOF {
			r.err = err
			return
		}
		r.last = err == io.EOF
	}
	w, n := r.dec.decode(r.buf.out[:], r.in, r.last)
	r.in = r.in[n:]
	r.out = r.buf.out[:w]
	r.enc += int64(n)
	r.decoded += int64(w)
	switch {
	case r.last:
		r.err = io.EOF
		if r.stream != nil {
			r.stream.length = r.decoded
		}
	case n == 0 && len(r.in) == decodeSize:
		r.err = errors.New("verdict: decoder makes no progress")
	}
}

func (r *decodeReader) mark() {
	s := r.stream
	if s == nil || r.decoded == 0 {
		return
	}
	if k := len(s.marks); k > 0 && r.decoded-s.marks[k-1].dec < markEvery {
		return
	}
	s.marks = append(s.marks, mark{r.enc, r.decoded, r.dec.clone()})
}

// Close gives the buffers back and closes the source. A second call does nothing.
func (r *decodeReader) Close() error {
	if r.buf == nil {
		return nil
	}
	decodePool.Put(r.buf)
	r.buf, r.in, r.out = nil, nil, nil
	return r.src.Close()
}
