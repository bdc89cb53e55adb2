package store

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// Counts are numbers about what is kept, by all nodes of a fleet. Of more than a million messages of a kind a million
// are counted, with their bytes.
type Counts struct {
	Held      int64 // messages in quarantine that somebody has not got
	HeldBytes int64 // that Config.HeldBytes bounds: of these, and of released messages until they expire
	Uncertain int64 // recipients of whom nobody knows whether the next hop has what was released to them

	Queued      int64     // messages that wait
	QueuedBytes int64     // that Config.QueuedBytes bounds
	Oldest      time.Time // when the first of those that wait came; zero without any
	Aside       int64     // queued messages that cannot be read
}

const (
	// These read an index and no row, as far as they count.
	countHeld     = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT size FROM held WHERE state = 'held' LIMIT 1000000) AS h"
	countReleased = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT size FROM held WHERE state = 'released' LIMIT 1000000) AS h"
	countQueued   = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT size FROM queued LIMIT 1000000) AS q"
	// These read an index that has nothing but what is counted.
	countAside     = "SELECT COUNT(*) FROM queued WHERE state = 'aside'"
	countUncertain = "SELECT COUNT(*) FROM held_recipient WHERE state = 'uncertain'"
	// oldestQueued asks the index once or twice for each destination. With state = 'waiting' the index by state would
	// be taken, and all of a destination be sorted.
	oldestQueued = `WITH RECURSIVE d (name) AS (SELECT MIN(domain) FROM queued UNION ALL
 SELECT (SELECT MIN(domain) FROM queued WHERE domain > d.name) FROM d WHERE d.name IS NOT NULL)
 SELECT MIN((SELECT at FROM queued WHERE domain = d.name AND state <> 'aside' ORDER BY at LIMIT 1)) FROM d WHERE name IS NOT NULL`
)

const (
	countsAge   = 10 * time.Second // for which counts are good
	countsShare = 50               // and so many times as long as it took to count
)

// counted remembers counts.
type counted struct {
	mu   sync.Mutex
	last Counts
	read time.Time // zero: never
	took time.Duration
	err  error // of the last time; asked again after countsAge
}

// Counts counts what is kept, by indexes and without reading a row. It is done every 10 s at most, and less often
// where it takes so long that it would need more than a fiftieth of the time; in between it is what was counted last.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	c := &s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && time.Since(c.read) < max(countsAge, countsShare*c.took) {
		return c.last, c.err
	}
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	n, err := s.count(within)
	if err != nil && ctx.Err() != nil {
		return Counts{}, err // of who asked, and not of the database
	}
	c.last, c.err, c.read, c.took = n, err, time.Now(), time.Since(start)
	if err != nil {
		c.last, c.took = Counts{}, 0
	}
	return c.last, err
}

func (s *Store) count(ctx context.Context) (Counts, error) {
	var n Counts
	var released int64
	var oldest sql.NullInt64
	err := firstError(
		s.db.queryRow(ctx, countHeld).Scan(&n.Held, &n.HeldBytes),
		s.db.queryRow(ctx, countReleased).Scan(&released),
		s.db.queryRow(ctx, countQueued).Scan(&n.Queued, &n.QueuedBytes),
		s.db.queryRow(ctx, countAside).Scan(&n.Aside),
		s.db.queryRow(ctx, countUncertain).Scan(&n.Uncertain),
		s.db.queryRow(ctx, oldestQueued).Scan(&oldest),
	)
	n.HeldBytes += released
	n.Queued = max(0, n.Queued-n.Aside)
	if oldest.Valid {
		n.Oldest = fromMillis(oldest.Int64)
	}
	return n, err
}
