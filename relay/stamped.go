package relay

import (
	"io"

	"github.com/postreeve/postreeve/verdict"
)

// stamped is a message as it is delivered: our header fields, and the original without the fields that
// were taken off. Nothing else changes, so signatures survive. It is valid as long as the original is.
type stamped struct {
	head []byte
	src  verdict.Source
	cut  []span // ranges of src that are left out, ascending and apart
}

// span is a range of bytes, from start to before end.
type span struct{ start, end int64 }

// Size implements verdict.Source.
func (s *stamped) Size() int64 {
	n := int64(len(s.head)) + s.src.Size()
	for _, c := range s.cut {
		n -= c.end - c.start
	}
	return n
}

// Open implements verdict.Source.
func (s *stamped) Open() (io.ReadCloser, error) {
	r, err := s.src.Open()
	if err != nil {
		return nil, err
	}
	return &stampedReader{head: s.head, body: r, cut: s.cut}, nil
}

type stampedReader struct {
	head []byte // still to be read
	body io.ReadCloser
	off  int64  // in body
	cut  []span // still ahead
}

func (r *stampedReader) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	for len(r.cut) > 0 {
		c := r.cut[0]
		if r.off < c.start {
			p = p[:min(int64(len(p)), c.start-r.off)]
			break
		}
		n, err := io.CopyN(io.Discard, r.body, c.end-r.off)
		r.off += n
		if err != nil {
			return 0, unexpected(err)
		}
		r.cut = r.cut[1:]
	}
	n, err := r.body.Read(p)
	r.off += int64(n)
	return n, err
}

// WriteTo hands everything on in the slices in which it lies, as soon as nothing more is left out.
func (r *stampedReader) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.head)
	total := int64(n)
	if r.head = r.head[n:]; err != nil {
		return total, err
	}
	if len(r.cut) > 0 {
		n, err := r.writeCut(w)
		if total += n; err != nil {
			return total, err
		}
	}
	m, err := io.Copy(w, r.body)
	return total + m, err
}

// writeCut writes up to the end of the last range that is left out.
func (r *stampedReader) writeCut(w io.Writer) (total int64, err error) {
	buf := make([]byte, 4096)
	for len(r.cut) > 0 {
		n, rerr := r.Read(buf)
		m, err := w.Write(buf[:n])
		if total += int64(m); err != nil {
			return total, err
		}
		if rerr == io.EOF {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
	return total, nil
}

func (r *stampedReader) Close() error { return r.body.Close() }

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
