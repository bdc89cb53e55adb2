package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// quota bounds the bytes of a table. The sum is read now and then; what this node adds in between is counted.
// Other nodes can pass it by what they add in between.
type quota struct {
	db    *db
	query string // the sum
	most  int64

	mu    sync.Mutex
	known int64
	added int64
	read  time.Time
}

const quotaAge = 10 * time.Second

// take counts n bytes. What is not kept in the end is given back by the next reading.
func (q *quota) take(ctx context.Context, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.read) > quotaAge {
		var sum int64
		if err := q.db.queryRow(ctx, q.query).Scan(&sum); err != nil {
			return err
		}
		q.known, q.added, q.read = sum, 0, time.Now()
	}
	if q.known+q.added+n > q.most {
		return fmt.Errorf("%w: %d bytes are kept, at most %d", ErrFull, q.known+q.added, q.most)
	}
	q.added += n
	return nil
}
