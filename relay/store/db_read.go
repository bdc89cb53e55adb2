package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	// readTime is how long a database may take for the first row of an answer, and for each that follows. A server
	// that was cut off does not say so, and whoever waits for it without end does nothing else.
	readTime = 30 * time.Second
	// searchTime is readTime for what may read all there is.
	searchTime = 5 * time.Minute
)

var errSilent = fmt.Errorf("store: the database does not answer: %w", context.DeadlineExceeded)

// query asks outside of a transaction. Its rows have to be closed.
func (d *db) query(ctx context.Context, query string, args ...any) (*rows, error) {
	return d.ask(ctx, d.readFor(), query, args...)
}

// search is query for lists that people ask for: there may be no index for what they look for.
func (d *db) search(ctx context.Context, query string, args ...any) (*rows, error) {
	return d.ask(ctx, searchTime, query, args...)
}

func (d *db) readFor() time.Duration { return cmp.Or(d.patience, readTime) }

func (d *db) ask(ctx context.Context, patience time.Duration, query string, args ...any) (*rows, error) {
	w := newWatch(ctx, patience)
	r, err := d.read.QueryContext(w.ctx, d.bind(query), args...)
	if err != nil {
		return nil, w.end(err)
	}
	return &rows{r, w}, nil
}

// queryRow is query for one row, which is read by Scan.
func (d *db) queryRow(ctx context.Context, query string, args ...any) row {
	w := newWatch(ctx, d.readFor())
	return row{d.read.QueryRowContext(w.ctx, d.bind(query), args...), w}
}

// watch ends a context when nothing has happened for too long.
type watch struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
}

func newWatch(ctx context.Context, patience time.Duration) *watch {
	w := &watch{patience: patience}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(patience, func() { w.cancel(errSilent) })
	return w
}

// why is the error of what was watched.
func (w *watch) why(err error) error {
	if err != nil && context.Cause(w.ctx) == errSilent {
		return errSilent
	}
	return err
}

// end ends the watch of what has ended with err.
func (w *watch) end(err error) error {
	err = w.why(err)
	w.timer.Stop()
	w.cancel(nil)
	return err
}

// rows are sql.Rows that have to come.
type rows struct {
	*sql.Rows
	watch *watch
}

func (r *rows) Next() bool {
	ok := r.Rows.Next()
	if ok {
		r.watch.timer.Reset(r.watch.patience)
	}
	return ok
}

func (r *rows) Err() error { return r.watch.why(r.Rows.Err()) }

func (r *rows) Close() error { return r.watch.end(r.Rows.Close()) }

// row is an sql.Row that has to come.
type row struct {
	row   *sql.Row
	watch *watch
}

func (r row) Scan(dst ...any) error { return r.watch.end(r.row.Scan(dst...)) }
