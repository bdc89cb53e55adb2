package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postreeve/postreeve/verdict"
)

// errTakenBack is what a library gets that reads on when the scan is over.
var errTakenBack = errors.New("the scan is over")

// Body lends a message to a library that may go on reading after its call has returned, as the transport
// of net/http does. Take ends that.
type Body struct {
	ctx  context.Context
	open func() (io.ReadCloser, error)
	want int64

	mu    sync.Mutex
	r     io.ReadCloser
	read  int64
	err   error
	taken bool
}

// NewBody returns a Body of want bytes that open opens, any number of times.
func NewBody(ctx context.Context, want int64, open func() (io.ReadCloser, error)) *Body {
	return &Body{ctx: ctx, want: want, open: open}
}

// Raw returns a Body of the raw bytes of a message.
func Raw(ctx context.Context, m *verdict.Message) *Body {
	return NewBody(ctx, m.Size(), func() (io.ReadCloser, error) { return Open(m) })
}

// Size returns the number of bytes.
func (b *Body) Size() int64 { return b.want }

// Reopen begins again at the first byte. One reader is open at a time.
func (b *Body) Reopen() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken {
		return nil, errTakenBack
	}
	b.close()
	r, err := b.open()
	if err != nil {
		b.err = err
		return nil, err
	}
	b.r, b.read = r, 0
	return &bodyReader{b, r}, nil
}

func (b *Body) close() {
	if b.r != nil {
		b.r.Close()
		b.r = nil
	}
}

// Take ends all reading. It returns nil if the message was read to its end, and why not otherwise: an
// answer to half a message is none.
func (b *Body) Take() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = true
	b.close()
	switch {
	case b.err != nil:
		return b.err
	case b.read != b.want:
		return fmt.Errorf("%w: it came when %d of %d bytes had been read", ErrAnswer, b.read, b.want)
	}
	return nil
}

// Err returns the error of the message, if there was one: it explains what a library made of it.
func (b *Body) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

type bodyReader struct {
	b *Body
	r io.ReadCloser
}

func (r *bodyReader) Read(p []byte) (int, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken || b.r != r.r {
		return 0, errTakenBack
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	b.read += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (r *bodyReader) Close() error {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if r.b.r == r.r {
		r.b.close()
	}
	return nil
}
