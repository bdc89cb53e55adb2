package smtpwire

import (
	"errors"
	"io"
)

// ErrTooLarge is returned by a Body that is longer than its limit.
var ErrTooLarge = errors.New("message too large")

// BodyLimits say what a message may be. The zero value of a field means its default.
type BodyLimits struct {
	// Bytes bounds the message as it comes over the wire: before doubled dots are removed, without the
	// line with the single dot. 0 means no bound.
	Bytes int64
	// Line bounds a line with its CRLF. 0 means 64 KiB.
	Line int
	// Normalize turns each bare CR and each bare LF into CRLF instead of refusing the message. Only
	// CRLF.CRLF ends it all the same, and a doubled dot is removed only behind a CRLF that was sent as such.
	// It changes what signatures were made over.
	Normalize bool
}

// Body is the content of one message, without anything that belongs to the transport.
//
// It ends with io.EOF when the message is complete; an end of the connection before that is
// io.ErrUnexpectedEOF. A fault in the content is a *ContentError or ErrTooLarge: the rest of the message
// is still in the connection, and Drain must be called before anything else is read. Content that has
// been handed out before a fault must not be used.
type Body struct {
	r      *Reader
	limits BodyLimits

	// Behind DATA.
	start bool // the next octet begins a line

	// In BDAT chunks.
	chunked bool
	left    int64 // octets of the chunk
	last    bool
	more    func(*Body) error

	wire    int64  // octets so far, as BodyLimits.Bytes counts them
	pending []byte // raw content that is not checked yet
	mend    mender
	lines   lines
	checked bool   // frame has found nothing wrong with the piece, and lines has seen it
	held    []byte // content that Read has not handed out yet

	err   error // sticky
	fault error // the first *ContentError or ErrTooLarge
	done  bool  // the end of the message was read
}

// Data returns the message that follows now, up to CRLF.CRLF. It is valid until the next call of Data or
// Chunks.
func (r *Reader) Data(limits BodyLimits) *Body {
	r.grow()
	r.body = Body{r: r, limits: limits, start: true}
	r.body.init()
	return &r.body
}

// Chunks returns the message whose first chunk follows now (RFC 3030), valid like that of Data. When a
// chunk ends that is not the last, more is called; it must read the next command and call Next, or return
// an error, which the Body then returns for good.
//
// A chunk is octets, but a message is lines: the last line may lack its CRLF. Who hands it on by DATA adds
// that (DotWriter does).
func (r *Reader) Chunks(limits BodyLimits, size int64, last bool, more func(*Body) error) *Body {
	r.grow()
	r.body = Body{r: r, limits: limits, chunked: true, left: size, last: last, more: more}
	r.body.init()
	return &r.body
}

func (b *Body) init() {
	b.limits.Line = orDefault(b.limits.Line, 64<<10)
	b.lines.max = b.limits.Line
}

// Next says what chunk follows.
func (b *Body) Next(size int64, last bool) {
	b.r.grow()
	b.left, b.last = size, last
}

// Fault returns the *ContentError or ErrTooLarge that was found, or nil.
func (b *Body) Fault() error { return b.fault }

// Done says whether the end of the message was read.
func (b *Body) Done() bool { return b.done }

// Chunk returns the octets of the present chunk that were not read yet, and whether it is the last.
func (b *Body) Chunk() (left int64, last bool) { return b.left, b.last }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.held) == 0 {
		var err error
		if b.held, err = b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.held)
	b.held = b.held[n:]
	return n, nil
}

// WriteTo implements io.WriterTo. It hands w slices of the read buffer, which w must not change or keep.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for {
		if len(b.held) > 0 {
			m, err := w.Write(b.held)
			n += int64(m)
			b.held = b.held[m:]
			if err != nil {
				return n, err
			}
			if len(b.held) > 0 {
				return n, io.ErrShortWrite
			}
		}
		var err error
		b.held, err = b.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// next returns the next piece of content, or the error that ends it.
func (b *Body) next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	piece, err := b.piece()
	if err == nil {
		if b.checked {
			b.checked = false
			return piece, nil
		}
		if fault := b.lines.check(piece); fault != nil {
			return nil, b.refuse(fault)
		}
		return piece, nil
	}
	if err == io.EOF {
		if fault := b.lines.finish(); fault != nil {
			return nil, b.refuse(fault)
		}
	}
	b.err = err
	return nil, err
}

// piece returns raw content, mended if that is wanted. It is never empty.
func (b *Body) piece() ([]byte, error) {
	for {
		if len(b.pending) == 0 {
			raw, err := b.raw()
			if err == io.EOF && b.limits.Normalize && b.mend.cr {
				b.mend.cr = false
				return crlf, nil
			}
			if err != nil {
				return nil, err
			}
			b.pending = raw
		}
		if !b.limits.Normalize {
			raw := b.pending
			b.pending = nil
			return raw, nil
		}
		var out []byte
		if out, b.pending = b.mend.cut(b.pending); len(out) > 0 {
			return out, nil
		}
	}
}

// refuse notes the first fault.
func (b *Body) refuse(fault error) error {
	b.fault, b.err = fault, fault
	b.pending, b.held = nil, nil
	return fault
}

// raw returns the next octets without framing, never none. An error of the connection or of more is final.
func (b *Body) raw() ([]byte, error) {
	if b.done {
		b.r.shrink()
		return nil, io.EOF
	}
	if b.chunked {
		return b.rawChunk()
	}
	return b.rawData()
}

// count adds octets of the wire.
func (b *Body) count(n int) error {
	b.wire += int64(n)
	if b.limits.Bytes > 0 && b.wire > b.limits.Bytes && b.fault == nil {
		return b.refuse(ErrTooLarge)
	}
	return nil
}

// Drain reads on to the real end of the message and throws away what it finds. It goes on looking for a
// fault as long as there was none. Its error is one of the connection or of more.
func (b *Body) Drain() error {
	b.held = nil
	for b.fault == nil && b.err == nil {
		_, _ = b.next()
	}
	if b.done {
		return nil
	}
	if b.fault == nil {
		return b.err
	}
	for !b.done {
		if _, err := b.raw(); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}
