package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// committer is the one writer of a node. Writes that come at about the same time go into one transaction: the more
// there is to do, the larger the batches.
type committer struct {
	db    *db
	step  func(string) error
	ill   trouble
	most  int           // writes in a batch
	limit time.Duration // for a batch; a quarter of it for a write that is made alone

	company bool // the last batch had several writes

	queue chan *write
	done  chan struct{}
	stop  sync.Once
	quit  chan struct{}
}

// write is one thing to be written, in a transaction with others. do may be run again, after what it did has
// been rolled back.
type write struct {
	do    func(ctx context.Context, t *tx) error
	err   chan error
	over  <-chan struct{} // the writer has given up
	state atomic.Int32
}

// States of a write. Only one that waits is begun or withdrawn: what was withdrawn is never made.
const (
	writeWaits int32 = iota
	writeBegun
	writeWithdrawn
)

// begin says whether the writer still waits for it: else the sender has been told 451.
func (w *write) begin() bool {
	select {
	case <-w.over:
		return false
	default:
		return w.state.CompareAndSwap(writeWaits, writeBegun)
	}
}

// unwritten is the error of a write that was not made, and will not be, for certain. Of any other error that is not known.
type unwritten struct{ error }

func (u unwritten) Unwrap() error { return u.error }

// commitTime is how long one transaction may take. SQLite waits half as long for another process that writes.
const commitTime = 20 * time.Second

var errClosed = errors.New("store: closed")

func newCommitter(d *db, step func(string) error, log *slog.Logger) *committer {
	c := &committer{
		db: d, step: step, ill: trouble{what: "the database", log: log}, most: 256, limit: commitTime,
		queue: make(chan *write, 1024), done: make(chan struct{}), quit: make(chan struct{}),
	}
	go c.run()
	return c
}

// commit returns when the write is durable, or is known not to be. When ctx ends first, or the commit fails, the write may
// still be made, unless the error is unwritten.
func (c *committer) commit(ctx context.Context, do func(ctx context.Context, t *tx) error) error {
	w := &write{do: do, err: make(chan error, 1), over: ctx.Done()}
	select {
	case <-c.quit:
		return errClosed
	default:
	}
	select {
	case c.queue <- w:
	case <-c.quit:
		return errClosed
	case <-ctx.Done():
		return unwritten{tooSlow(ctx)}
	}
	select {
	case err := <-w.err:
		return err
	case <-ctx.Done():
		if w.state.CompareAndSwap(writeWaits, writeWithdrawn) {
			return unwritten{tooSlow(ctx)}
		}
		return tooSlow(ctx)
	case <-c.done:
		select {
		case err := <-w.err:
			return err
		default:
			return errClosed
		}
	}
}

func tooSlow(ctx context.Context) error {
	return fmt.Errorf("store: the database is too slow: %w", context.Cause(ctx))
}

// close writes what waits and stops.
func (c *committer) close() {
	c.stop.Do(func() { close(c.quit) })
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case w := <-c.queue:
			c.batch(c.gather(w))
		case <-c.quit:
			for {
				select {
				case w := <-c.queue:
					c.batch(c.gather(w))
				default:
					return
				}
			}
		}
	}
}

// linger is how long a batch stays open for writes that are on their way, where they come in company.
const linger = time.Millisecond

// gather takes what waits. A commit costs about the same however much is in it, so where the last one had several
// writes, and others will follow soon, this one waits a moment for them.
func (c *committer) gather(w *write) []*write {
	batch := []*write{w}
	if c.company {
		moment := time.NewTimer(linger)
		defer moment.Stop()
		for open := true; open && len(batch) < c.most; {
			select {
			case w := <-c.queue:
				batch = append(batch, w)
			case <-moment.C:
				open = false
			}
		}
	}
	for len(batch) < c.most && len(c.queue) > 0 { // nobody else takes from it
		batch = append(batch, <-c.queue)
	}
	c.company = len(batch) > 1
	return batch
}

func (c *committer) batch(batch []*write) {
	live := batch[:0]
	for _, w := range batch {
		if w.begin() {
			live = append(live, w)
		}
	}
	if len(live) == 0 {
		return
	}
	err, bad := c.attempt(live, c.limit)
	if err == nil || !bad || len(live) == 1 {
		for _, w := range live {
			w.err <- err
		}
		return
	}
	// One of them cannot be written, or waits for somebody. Rolled back, so each gets a transaction of its own, if it is
	// still wanted: that takes its time.
	for _, w := range live {
		w.state.Store(writeWaits)
	}
	for _, w := range live {
		if !w.begin() {
			continue
		}
		if err == nil || bad {
			err, bad = c.attempt([]*write{w}, c.limit/4)
		}
		w.err <- err // also of the others, when it is the database that fails
	}
}

func (c *committer) attempt(batch []*write, limit time.Duration) (err error, bad bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err, bad = c.transaction(ctx, batch)
	if rolledBack(err) { // whoever it was in the way of goes on now
		err, bad = c.transaction(ctx, batch)
	}
	if !bad {
		c.ill.note(err)
	}
	return err, bad
}

// rolledBack says whether a PostgreSQL has undone a transaction, for certain, that may succeed another time: nodes had locked
// rows in different orders, or what it had read was not true any more. That goes for the commit too.
func rolledBack(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == deadlock || e.Code == notSerial)
}

// PostgreSQL, appendix A.
const (
	deadlock  = "40P01"
	notSerial = "40001"
)

// transaction makes all writes or none. bad says that one of them failed, and not the commit. Until the commit is tried the
// error is unwritten.
func (c *committer) transaction(ctx context.Context, batch []*write) (err error, bad bool) {
	if err := c.step("tx.begin"); err != nil {
		return unwritten{err}, false
	}
	t, err := c.db.beginBy(ctx, beginHasty)
	if err != nil {
		return unwritten{fmt.Errorf("store: begin: %w", err)}, false
	}
	defer t.rollback(ctx)
	for _, w := range batch {
		if err := c.step("tx.write"); err != nil {
			return unwritten{err}, true
		}
		if err := w.do(ctx, t); err != nil {
			return unwritten{err}, true
		}
	}
	if err := t.send(ctx); err != nil { // before the commit: it is one of the writes that failed
		return unwritten{err}, true
	}
	if err := c.step("tx.commit"); err != nil {
		return err, false
	}
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("store: commit: %w", err), false
	}
	return c.step("tx.committed"), false
}
