package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
// a second, see Watch. The audit trail tells who did it, see As.
func (s *Store) PutRecord(ctx context.Context, r Record) (int64, error) {
	if r.Kind == "" || r.ID == "" || text(r.ID, 512) != r.ID || len(r.Value) > maxRecord || text(r.Value, maxRecord) != r.Value {
		return 0, fmt.Errorf("store: record %s %q: a record has a kind, an id of at most 512 bytes and a value of at most %d, all of UTF-8 without NUL", r.Kind, text(r.ID, 64), maxRecord)
	}
	now, who := millis(time.Now()), whoOf(ctx)
	return r.Revision + 1, s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		var res sql.Result
		var err error
		if r.Revision == 0 {
			res, err = t.exec(ctx, "INSERT INTO record (kind, id, revision, at, value) VALUES (?, ?, 1, ?, ?) ON CONFLICT (kind, id) DO NOTHING", r.Kind, r.ID, now, r.Value)
		} else {
			res, err = t.exec(ctx, "UPDATE record SET revision = revision + 1, at = ?, value = ? WHERE kind = ? AND id = ? AND revision = ?", now, r.Value, r.Kind, r.ID, r.Revision)
		}
		if err := s.changed(ctx, t, res, err, r.Kind, r.ID); err != nil {
			return err
		}
		what := "change"
		if r.Revision == 0 {
			what = "add"
		} else if who == "" {
			return nil // bookkeeping of the gateway's own, which would bury what people do
		}
		return t.audit(ctx, cmp.Or(who, s.itself()), r.Kind+"."+what, r.ID, fmt.Sprintf("revision %d", r.Revision+1))
	})
}

// DeleteRecord removes a record that still has the revision that was read. The audit trail tells who did it, see As.
func (s *Store) DeleteRecord(ctx context.Context, kind, id string, revision int64) error {
	who := whoOf(ctx)
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		res, err := t.exec(ctx, "DELETE FROM record WHERE kind = ? AND id = ? AND revision = ?", kind, id, revision)
		if err := s.changed(ctx, t, res, err, kind, id); err != nil {
			return err
		}
		return t.audit(ctx, cmp.Or(who, s.itself()), kind+".delete", id, fmt.Sprintf("revision %d", revision))
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
		err = t.put(ctx, "SELECT pg_notify('"+channel+"', ?)", kind)
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

const (
	// stampTime is how long the small question may take that is asked twice a second.
	stampTime = 5 * time.Second
	// listenTime is how long nothing may be heard before the server has to show that it is there.
	listenTime = 20 * time.Second
)

// stamp is another one after each change of a kind.
func (s *Store) stamp(ctx context.Context, kind string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stampTime)
	defer cancel()
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
	config := s.db.pool.Config()
	dctx, cancel := context.WithTimeout(ctx, 2*config.ConnConfig.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(dctx, config.ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(dctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		n, err := waitFor(ctx, conn)
		if err != nil {
			return err
		}
		if n != nil && n.Payload == kind {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
}

// waitFor returns the next notification, or nil if there is none for a while and the server is alive.
func waitFor(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	wctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	n, err := conn.WaitForNotification(wctx)
	if err == nil || wctx.Err() == nil || ctx.Err() != nil {
		return n, err
	}
	pctx, cancel := context.WithTimeout(ctx, stampTime)
	defer cancel()
	return nil, conn.Ping(pctx)
}
