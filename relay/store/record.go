package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Record is a document with a revision: a domain, its proof, a tenant, the journal of a plan.
type Record struct {
	Kind     string // "domain", "proof", "tenant", …
	ID       string
	Revision int64 // 1 for a new one; each change adds one
	At       time.Time
	Value    string // JSON
}

// ErrConflict says that somebody else has changed the record in the meantime: read it again.
var ErrConflict = errors.New("store: the record has changed")

// maxRecord bounds a record.
const maxRecord = 4 << 20

// Records lists the records of a kind by id.
func (s *Store) Records(ctx context.Context, kind string) ([]Record, error) {
	rows, err := s.db.query(ctx, "SELECT kind, id, revision, at, value FROM record WHERE kind = ? ORDER BY id", kind)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Record
	for rows.Next() {
		var r Record
		var at int64
		if err := rows.Scan(&r.Kind, &r.ID, &r.Revision, &at, &r.Value); err != nil {
			return nil, err
		}
		r.At = fromMillis(at)
		out = append(out, r)
	}
	return out, rows.Err()
}

// Record returns one record, or ErrNotFound.
func (s *Store) Record(ctx context.Context, kind, id string) (Record, error) {
	r := Record{Kind: kind, ID: id}
	var at int64
	err := s.db.queryRow(ctx, "SELECT revision, at, value FROM record WHERE kind = ? AND id = ?", kind, id).Scan(&r.Revision, &at, &r.Value)
	r.At = fromMillis(at)
	return r, notFound(err, kind, id)
}

// PutRecord writes a record and returns its new revision. r.Revision is the one that was read, 0 if there was
// none: if there is another one now it is ErrConflict and nothing is written. All nodes see the change within
// a second, see Watch.
func (s *Store) PutRecord(ctx context.Context, r Record) (int64, error) {
	if r.Kind == "" || r.ID == "" || text(r.ID, 512) != r.ID || len(r.Value) > maxRecord || text(r.Value, maxRecord) != r.Value {
		return 0, fmt.Errorf("store: record %s %q: a record has a kind, an id of at most 512 bytes and a value of at most %d, all of UTF-8 without NUL", r.Kind, text(r.ID, 64), maxRecord)
	}
	now := millis(time.Now())
	return r.Revision + 1, s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		var res sql.Result
		var err error
		if r.Revision == 0 {
			res, err = t.exec(ctx, "INSERT INTO record (kind, id, revision, at, value) VALUES (?, ?, 1, ?, ?) ON CONFLICT (kind, id) DO NOTHING", r.Kind, r.ID, now, r.Value)
		} else {
			res, err = t.exec(ctx, "UPDATE record SET revision = revision + 1, at = ?, value = ? WHERE kind = ? AND id = ? AND revision = ?", now, r.Value, r.Kind, r.ID, r.Revision)
		}
		return s.changed(ctx, t, res, err, r.Kind, r.ID)
	})
}

// DeleteRecord removes a record that still has the revision that was read.
func (s *Store) DeleteRecord(ctx context.Context, kind, id string, revision int64) error {
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, "DELETE FROM record WHERE kind = ? AND id = ? AND revision = ?", kind, id, revision)
		return s.changed(ctx, t, res, err, kind, id)
	})
}

const channel = "postreeve_record"

// changed says whether one row was changed, and tells the other nodes when the transaction is committed.
func (s *Store) changed(ctx context.Context, t *tx, res sql.Result, err error, kind, id string) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return firstError(err, fmt.Errorf("%w: %s %s", ErrConflict, kind, text(id, 64)))
	}
	if s.db.pool != nil {
		_, err = t.exec(ctx, "SELECT pg_notify('"+channel+"', ?)", kind)
	}
	return err
}

// Watch calls changed whenever records of the kind may have changed, and once at its begin, until ctx ends.
// With PostgreSQL it listens; and everywhere it looks twice a second whether the newest change is another one.
func (s *Store) Watch(ctx context.Context, kind string, changed func(ctx context.Context)) {
	heard := make(chan struct{}, 1)
	if s.db.pool != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.listen(ctx, kind, heard)
		}()
		defer func() { <-done }()
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		now, err := s.stamp(ctx, kind)
		if err == nil && now != last {
			last = now
			changed(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-heard:
		case <-tick.C:
		}
	}
}

// stamp is another one after each change of a kind.
func (s *Store) stamp(ctx context.Context, kind string) (string, error) {
	var n, revisions, at sql.NullInt64
	err := s.db.queryRow(ctx, "SELECT COUNT(*), SUM(revision), MAX(at) FROM record WHERE kind = ?", kind).Scan(&n, &revisions, &at)
	return fmt.Sprint(n.Int64, revisions.Int64, at.Int64), err
}

// listen waits for notifications on a connection of its own, and connects again when that breaks.
func (s *Store) listen(ctx context.Context, kind string, heard chan<- struct{}) {
	for ctx.Err() == nil {
		err := s.listenOnce(ctx, kind, heard)
		if err != nil && ctx.Err() == nil {
			s.config.Log.Debug("listening for changes failed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *Store) listenOnce(ctx context.Context, kind string, heard chan<- struct{}) error {
	conn, err := pgx.ConnectConfig(ctx, s.db.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload == kind {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
}
