package store

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// quota bounds the bytes of a table. The sum is read now and then, by one while others go on; what this node
// adds in between is counted. Other nodes can pass it by what they add in between.
type quota struct {
	db    *db
	query string // the sum
	what  string // whose, and where it is set
	most  int64

	mu      sync.Mutex
	known   int64
	added   int64
	read    time.Time // zero: never
	reading bool
}

const (
	quotaAge  = 10 * time.Second
	quotaFull = time.Second // when it is reached, for something may have been deleted
)

// take counts n bytes. What is not kept in the end is given back by the next reading.
func (q *quota) take(ctx context.Context, n int64) error {
	q.mu.Lock()
	age := quotaAge
	if q.known+q.added+n > q.most {
		age = quotaFull
	}
	if stale := q.read.IsZero() || time.Since(q.read) > age && !q.reading; stale {
		q.reading = true
		added := q.added
		q.mu.Unlock()
		var sum int64
		err := q.db.queryRow(ctx, q.query).Scan(&sum)
		q.mu.Lock()
		q.reading = false
		if err != nil {
			q.mu.Unlock()
			return err
		}
		// What was added while the sum was read may or may not be in it: it counts.
		q.known, q.added, q.read = sum, max(0, q.added-added), time.Now()
	}
	defer q.mu.Unlock()
	if q.known+q.added+n > q.most {
		return fmt.Errorf("%w: %d bytes are kept of at most %d (%s)", ErrFull, q.known+q.added, q.most, q.what)
	}
	q.added += n
	return nil
}

// used is how much of the limit is in use, as of the last reading.
func (q *quota) used(ctx context.Context) (bytes, most int64, err error) {
	var sum int64
	err = q.db.queryRow(ctx, q.query).Scan(&sum)
	return sum, q.most, err
}
