package inspect

import (
	"context"
	"fmt"
	"io"
)

// Budget counts what one inspection uses. It is for one goroutine.
type Budget struct {
	Limits Limits

	ctx     context.Context
	bytes   int64
	kept    int64
	objects int
	steps   int
}

// NewBudget returns a budget of l, with its defaults, that ends when ctx does.
func NewBudget(ctx context.Context, l Limits) *Budget {
	return &Budget{Limits: l.WithDefaults(), ctx: ctx}
}

// Used returns the objects and bytes spent so far.
func (b *Budget) Used() (objects int, bytes int64) { return b.objects, b.bytes }

// Err returns an error if the context is at its end.
func (b *Budget) Err() error {
	if err := b.ctx.Err(); err != nil {
		return fmt.Errorf("%w: no time left: %w", ErrLimit, err)
	}
	return nil
}

// Step is to be called in every loop whose length the content decides. It looks at the context now
// and then.
func (b *Budget) Step() error {
	if b.steps++; b.steps&0xFF == 0 {
		return b.Err()
	}
	return nil
}

// Object counts a stream, a record, an object.
func (b *Budget) Object() error {
	if b.objects++; b.objects > b.Limits.Objects {
		return fmt.Errorf("%w: more than %d objects", ErrLimit, b.Limits.Objects)
	}
	return b.Step()
}

// Spend counts n bytes that were decompressed or read.
func (b *Budget) Spend(n int64) error {
	if b.bytes += n; b.bytes > b.Limits.Bytes {
		return fmt.Errorf("%w: more than %d bytes after decompression", ErrLimit, b.Limits.Bytes)
	}
	return b.Err()
}

// Keep counts n bytes that stay in memory; a negative n gives them back.
func (b *Budget) Keep(n int64) error {
	if b.kept += n; b.kept > b.Limits.Kept {
		b.kept -= n
		return fmt.Errorf("%w: more than %d bytes in memory", ErrLimit, b.Limits.Kept)
	}
	return nil
}

// Reader returns a reader of r that spends what it gives.
func (b *Budget) Reader(r io.Reader) io.Reader { return &spender{r, b} }

type spender struct {
	r io.Reader
	b *Budget
}

func (s *spender) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if e := s.b.Spend(int64(n)); e != nil {
		return 0, e
	}
	return n, err
}

// ReadAll returns what is in r, spent and kept. Give it back with Keep if it does not stay. The hint is
// the size as far as known, or 0. With an error it returns what was read up to there, kept as well.
func (b *Budget) ReadAll(r io.Reader, hint int64) ([]byte, error) {
	const first = 4 << 10
	out := make([]byte, 0, first)
	for {
		n, err := r.Read(out[len(out):cap(out)])
		if e := b.Keep(int64(n)); e != nil {
			return out, e
		}
		out = out[:len(out)+n]
		if e := b.Spend(int64(n)); e != nil {
			return out, e
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if len(out) < cap(out) {
			continue
		}
		// A size that is a lie must not cost more than twice what is there, one that is true spares
		// the last copy.
		next := 2 * cap(out)
		if int64(next) > hint && hint > int64(len(out)) {
			next = int(hint) + 1
		}
		next = min(next, len(out)+int(min(b.Limits.Kept-b.kept, 1<<30))+1)
		out = append(make([]byte, 0, next), out...)
	}
}

// Limited returns a reader that ends with ErrLimit after n bytes, if there is more.
func Limited(r io.Reader, n int64) io.Reader { return &limited{r, n} }

type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.n+1 {
		p = p[:l.n+1]
	}
	n, err := l.r.Read(p)
	if l.n -= int64(n); l.n < 0 {
		l.n = 0
		return n - 1, fmt.Errorf("%w: an embedded file that is too large", ErrLimit)
	}
	return n, err
}

// Recover makes a panic the error of a function that defers it: a parser may have met what nobody
// thought of, and its caller must not end with it.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: the parser gave up: %v", ErrFormat, p)
	}
}
