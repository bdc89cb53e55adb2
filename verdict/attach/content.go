package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// errSpool is in the chain of errors that are ours and not the attachment's.
var errSpool = errors.New("attach: no place to unpack")

// content is what a file holds, at hand for reading out of order.
type content struct {
	head  []byte // the first verdict.SniffLen bytes, or all
	size  int64
	at    io.ReaderAt
	spool *verdict.Buffer // what at is, if it does not fit into head
	buf   *[verdict.SniffLen]byte
}

var heads = sync.Pool{New: func() any { return new([verdict.SniffLen]byte) }}

// load reads r to its end. The content has to be closed, with an error too.
func (x *scan) load(r io.Reader) (*content, error) {
	c := &content{buf: heads.Get().(*[verdict.SniffLen]byte)}
	n, err := fill(r, c.buf[:])
	c.head = c.buf[:n]
	c.size = int64(n)
	c.at = bytes.NewReader(c.head)
	switch {
	case err == io.EOF:
		return c, nil
	case err != nil:
		return c, err
	}
	c.spool = x.spool().New()
	c.at = c.spool
	if _, err := c.spool.Write(c.head); err != nil {
		return c, fmt.Errorf("%w: %w", errSpool, err)
	}
	_, err = io.Copy(spoolWriter{c.spool}, r)
	c.size = c.spool.Size()
	return c, err
}

// spoolWriter marks errors of the spool as such.
type spoolWriter struct{ b *verdict.Buffer }

func (w spoolWriter) Write(p []byte) (int, error) {
	n, err := w.b.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errSpool, err)
	}
	return n, err
}

// fill reads until p is full. Other than io.ReadFull it keeps an end and a failure apart.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var c int
		c, err = r.Read(p[n:])
		n += c
	}
	return n, err
}

func (c *content) close() {
	if c.spool != nil {
		c.spool.Close()
	}
	heads.Put(c.buf)
}

// tail returns the end, of up to n bytes.
func (c *content) tail(n int64) []byte {
	if c.spool == nil {
		return c.head[max(0, c.size-n):]
	}
	p := make([]byte, min(n, c.size))
	k, _ := c.at.ReadAt(p, c.size-int64(len(p)))
	return p[:k]
}

// text returns the beginning, of up to n bytes.
func (c *content) text(n int64) []byte {
	if c.spool == nil {
		return c.head[:min(n, c.size)]
	}
	p := make([]byte, min(n, c.size))
	k, _ := c.at.ReadAt(p, 0)
	return p[:k]
}

// endsInZip says whether it ends with the end record of a zip file and a comment of fitting length.
func (c *content) endsInZip() bool {
	tail := c.tail(unpack.TailLen)
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	return i >= 0 && i+22 <= len(tail) && i+22+int(tail[i+20])+int(tail[i+21])<<8 == len(tail)
}

// spool returns where to put what has to be at hand whole.
func (x *scan) spool() *verdict.Spool {
	if x.Spool != nil {
		return x.Spool
	}
	if x.own == nil {
		x.own = &verdict.Spool{Memory: 1 << 20, Total: 4 << 20}
	}
	return x.own
}

// watched ends with an error when the context ends.
type watched struct {
	r   io.Reader
	ctx context.Context
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
