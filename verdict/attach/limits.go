package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Limits bound the work on one message, all its attachments together. The zero value of a field means
// its default.
//
// Content that meets a limit is not looked at further; the finding archive.limit or attachment.unread says
// so, with an Err.
type Limits struct {
	Depth   int           // of archives and documents in each other; default 5
	Entries int           // members of archives and documents; default 1000
	Output  int64         // bytes that come out of them; default 100 MiB
	Ratio   int64         // bytes that come out of an attachment for each byte of it, once 1 MiB has come out; default 200
	Time    time.Duration // from the first attachment that is opened; default 2 s
	Memory  int64         // bytes for dictionaries of decoders, at a time; default 64 MiB
}

func (l Limits) withDefaults() Limits {
	set(&l.Depth, 5)
	set(&l.Entries, 1000)
	set(&l.Output, 100<<20)
	set(&l.Ratio, 200)
	set(&l.Time, 2*time.Second)
	set(&l.Memory, 64<<20)
	return l
}

func set[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// errLimit is in the chain of every error that says that a limit was met.
var errLimit = inspect.ErrLimit

// ratioFrom is how many bytes have to have come out of a part before their ratio to it counts.
const ratioFrom = 1 << 20

// budget is what the attachments of one message have used.
type budget struct {
	limits  Limits
	mem     unpack.Memory
	entries int
	out     int64
	until   time.Time // zero until something is looked at

	size    int64 // of the part, decoded
	partOut int64 // what has come out of it
}

// begin begins with another part.
func (b *budget) begin(size int64) { b.size, b.partOut = size, 0 }

// start is called when a file is looked at. The clock starts with the first.
func (b *budget) start() {
	if b.until.IsZero() {
		b.until = time.Now().Add(b.limits.Time)
	}
}

// container is called when something with files in it was found. depth is the number of those around it.
func (b *budget) container(ctx context.Context, depth int) error {
	if depth >= b.limits.Depth {
		return fmt.Errorf("%w: more than %d archives or documents in each other", errLimit, b.limits.Depth)
	}
	return b.overtime(ctx)
}

func (b *budget) overtime(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if time.Now().After(b.until) {
		return fmt.Errorf("%w: more than %v", errLimit, b.limits.Time)
	}
	return nil
}

// entry counts a member.
func (b *budget) entry(ctx context.Context) error {
	if b.entries++; b.entries > b.limits.Entries {
		return fmt.Errorf("%w: more than %d members", errLimit, b.limits.Entries)
	}
	return b.overtime(ctx)
}

// grow counts bytes that came out.
func (b *budget) grow(ctx context.Context, n int64) error {
	b.out += n
	b.partOut += n
	switch {
	case b.out > b.limits.Output:
		return fmt.Errorf("%w: more than %d bytes come out", errLimit, b.limits.Output)
	case b.partOut > ratioFrom && b.partOut/b.limits.Ratio > b.size:
		return fmt.Errorf("%w: %d bytes come out of %d, more than %d times as much", errLimit, b.partOut, b.size, b.limits.Ratio)
	}
	return b.overtime(ctx)
}

// metered reads what comes out of an archive, within the budget.
type metered struct {
	r    io.Reader
	x    *scan
	free int64 // bytes that stand in the archive as they are, and so do not count
	n    int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	counted := int64(n) - min(int64(n), m.free)
	m.free -= int64(n) - counted
	if limit := m.x.budget.grow(m.x.ctx, counted); limit != nil {
		return n, limit
	}
	return n, err
}

// gate ends the reading of an archive when the time is over, and for good when the scan ends: a decoder
// may have goroutines that go on for a moment.
type gate struct {
	r io.ReaderAt
	x *scan
}

var errClosed = errors.New("the scan has ended")

func (g gate) ReadAt(p []byte, off int64) (int, error) {
	if g.x.ended.Load() {
		return 0, errClosed
	}
	if err := g.x.budget.overtime(g.x.ctx); err != nil {
		return 0, err
	}
	return g.r.ReadAt(p, off)
}
