package verdict

import (
	"context"
	"fmt"
)

// MaxSize asks a scanner only about messages of up to limit bytes. A larger one is what c says, by the
// finding CodeScannerSize: with Unknown it is one that nobody could tell about, unless another scanner
// finds it malicious; with Clean it passes this scanner unseen. A limit of 0 or less lets everything through.
//
// Of the guards it belongs outermost: MaxSize(Cache(Breaker(Deadline(s, …), …), …), …).
func MaxSize(s Scanner, limit int64, c Class) Scanner {
	w := wrap(s)
	w.run = func(ctx context.Context, m *Message, scan scanFunc) ([]Finding, error) {
		size := m.Size()
		if limit <= 0 || size <= limit {
			return scan(ctx, m)
		}
		f := Found(CodeScannerSize)
		f.Class = c
		f.Detail = fmt.Sprintf("%d bytes, and %s is asked about no more than %d", size, nameOf(s), limit)
		if c == Unknown {
			f.Err = fmt.Errorf("%w: larger than %d bytes", ErrUnscannable, limit)
		}
		return []Finding{f}, nil
	}
	return w
}
