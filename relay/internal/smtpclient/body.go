package smtpclient

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
	"github.com/postreeve/postreeve/verdict"
)

func isBodyError(err error) bool { return errors.Is(err, ErrBody) }

// writeBDAT sends the body as one last chunk (RFC 3030 section 2).
func (c *Conn) writeBDAT(body verdict.Source) error {
	b := append(c.bw.AvailableBuffer(), "BDAT "...)
	b = strconv.AppendInt(b, body.Size(), 10)
	b = append(b, " LAST\r\n"...)
	if _, err := c.bw.Write(b); err != nil {
		return err
	}
	if err := c.copyBody(c.bw, body); err != nil {
		return err
	}
	return c.flush()
}

// writeDATA sends the body with the dots doubled, then the end of data (RFC 5321 section 4.5.2). If the
// body cannot be read to its end there is no end of data either, and the server must not take it.
func (c *Conn) writeDATA(body verdict.Source) error {
	w := smtpwire.NewDotWriter(c.bw)
	if err := c.copyBody(pieceWriter{w}, body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.flush()
}

// pieceWriter passes large slices on in pieces that stay in the cache of the processor while they are
// looked through, and lets the server begin with the first while the next is looked at.
type pieceWriter struct{ w io.Writer }

func (p pieceWriter) Write(b []byte) (int, error) {
	n := 0
	for piece := range slices.Chunk(b, 64<<10) {
		m, err := p.w.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// spoken says whether the server has said something although it is not its turn. Under TLS only what
// was read ahead is known: there are records that say nothing.
func (c *Conn) spoken() bool {
	if c.br.Buffered() > 0 {
		return true
	}
	_, encrypted := c.nc.(*tls.Conn)
	return !encrypted && c.probe.readable()
}

var errEarly = fmt.Errorf("%w: a reply before the message was sent", ErrProtocol)

var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// copyBody writes exactly the bytes that body announced. Where its reader can write itself the slices
// go through without a copy. The last byte is held back until the reader has confirmed that it was the
// last: without it the server has no whole message, even in a chunk.
func (c *Conn) copyBody(w io.Writer, body verdict.Source) error {
	r, err := body.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	defer r.Close()
	x := &exactWriter{w: w, left: body.Size()}
	if err := pump(x, r); err != nil {
		if x.err != nil {
			return x.err // the connection's fault
		}
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	if x.left != 0 {
		return fmt.Errorf("%w: %d bytes are missing", ErrBody, x.left)
	}
	if body.Size() > writeBuffer/2 && c.spoken() { // the rest is on its way for a while now
		return errEarly
	}
	return x.finish()
}

// pump copies r into w. A file is read through a buffer of ours: its own way out allocates one.
func pump(w io.Writer, r io.Reader) error {
	if wt, ok := r.(io.WriterTo); ok {
		if _, file := r.(*os.File); !file {
			_, err := wt.WriteTo(w)
			return err
		}
	}
	buf := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buf)
	_, err := io.CopyBuffer(w, struct{ io.Reader }{r}, buf[:])
	return err
}

// exactWriter lets no more bytes through than were announced, holds back the last, and keeps errors of
// the connection apart from those of the reader.
type exactWriter struct {
	w    io.Writer
	left int64
	last [1]byte
	held bool
	err  error
}

func (x *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > x.left {
		x.err = fmt.Errorf("%w: it is longer than it said", ErrBody)
		return 0, x.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	now := p
	if int64(len(p)) == x.left {
		now = p[:len(p)-1]
		x.last[0], x.held = p[len(p)-1], true
	}
	if _, x.err = x.w.Write(now); x.err != nil {
		return 0, x.err
	}
	x.left -= int64(len(p))
	return len(p), nil
}

// finish writes the last byte.
func (x *exactWriter) finish() error {
	if x.held {
		_, x.err = x.w.Write(x.last[:])
	}
	return x.err
}

// has8Bit says whether a body has a byte over 127. It stops at the first.
func has8Bit(body verdict.Source) (bool, error) {
	r, err := body.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	err = pump(sevenBit{}, r)
	if errors.Is(err, errEightBit) {
		return true, nil
	}
	return false, err
}

var errEightBit = errors.New("8 bit")

// sevenBit is a writer that fails at the first byte over 127.
type sevenBit struct{}

func (sevenBit) Write(p []byte) (int, error) {
	const high = 0x8080808080808080
	b := p
	for ; len(b) >= 32; b = b[32:] {
		x := binary.NativeEndian.Uint64(b) | binary.NativeEndian.Uint64(b[8:]) |
			binary.NativeEndian.Uint64(b[16:]) | binary.NativeEndian.Uint64(b[24:])
		if x&high != 0 {
			return 0, errEightBit
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return 0, errEightBit
		}
	}
	return len(p), nil
}
