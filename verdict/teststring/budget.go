package teststring

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// errLimit is in the chain of every error that says that an archive passes a limit.
var errLimit = errors.New("the archive passes a limit")

// ratioFrom is how many bytes have to have come out of a part before their ratio to it counts.
const ratioFrom = 1 << 20

// budget is what the archives of one message have used.
type budget struct {
	entries int
	out     int64
	until   time.Time // zero until the first archive

	size    int64 // of the part, decoded
	partOut int64 // what has come out of it
}

// begin begins with another part.
func (b *budget) begin() { b.size, b.partOut = 0, 0 }

// archive is called when an archive was found. depth is the number of archives around it.
func (x *scan) archive(depth int) error {
	if x.budget.until.IsZero() {
		x.budget.until = time.Now().Add(x.Time)
	}
	if depth >= x.Depth {
		return fmt.Errorf("%w: more than %d archives in each other", errLimit, x.Depth)
	}
	return x.overtime()
}

func (x *scan) overtime() error {
	if time.Now().After(x.budget.until) {
		return fmt.Errorf("%w: more than %v", errLimit, x.Time)
	}
	return x.ctx.Err()
}

// entry counts a member.
func (x *scan) entry() error {
	if x.budget.entries++; x.budget.entries > x.Entries {
		return fmt.Errorf("%w: more than %d members", errLimit, x.Entries)
	}
	return x.overtime()
}

// grow counts bytes that came out of an archive.
func (x *scan) grow(n int64) error {
	b := &x.budget
	b.out += n
	b.partOut += n
	switch {
	case b.out > x.Output:
		return fmt.Errorf("%w: more than %d bytes come out", errLimit, x.Output)
	case b.partOut > ratioFrom && b.partOut/x.Ratio > b.size:
		return fmt.Errorf("%w: %d bytes come out of %d, more than %d times as much", errLimit, b.partOut, b.size, x.Ratio)
	}
	return x.overtime()
}

// member reads what comes out of an archive, within the budget.
type member struct {
	r    io.Reader
	x    *scan
	free *int64 // bytes that do not count, since they stand in the archive as they are; nil for none
	// soft are errors at the end of the data, behind which there is nothing to look at. They end the
	// reading like io.EOF, and are kept.
	soft []error
	met  error
}

func (m *member) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	for _, s := range m.soft {
		if errors.Is(err, s) {
			m.met, err = err, io.EOF
		}
	}
	counted := int64(n)
	if m.free != nil {
		counted -= min(counted, *m.free)
		*m.free -= int64(n) - counted
	}
	if limit := m.x.grow(counted); limit != nil {
		return n, limit
	}
	return n, err
}
