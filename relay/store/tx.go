package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tx is a transaction that writes. A PostgreSQL may be some way off, and each answer costs the way there and back: so
// statements of which nobody wants one wait for those that do, or for the end, and travel together.
type tx struct {
	db     *db
	sqlite *sql.Tx // nil for PostgreSQL
	pg     pgx.Tx  // nil for SQLite
	late   pgx.Batch
}

// mostLate bounds what is kept back.
const mostLate = 1000

func (d *db) begin(ctx context.Context) (*tx, error) { return d.beginBy(ctx, "") }

// beginBy is begin by a statement of PostgreSQL's; empty: as usual.
func (d *db) beginBy(ctx context.Context, query string) (*tx, error) {
	if d.readOnly != "" {
		return nil, fmt.Errorf("%w: %s", ErrReadOnly, d.readOnly)
	}
	t := &tx{db: d}
	var err error
	if d.pool != nil {
		t.pg, err = d.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: query})
	} else {
		t.sqlite, err = d.write.BeginTx(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// put runs a statement of which nobody wants to know what it changed. It may not be run before something else is asked
// for, or the transaction ends, and its error may come only then. args must not change.
func (t *tx) put(ctx context.Context, query string, args ...any) error {
	if t.pg == nil {
		_, err := t.exec(ctx, query, args...)
		return err
	}
	t.late.Queue(t.db.bind(query), args...)
	if t.late.Len() < mostLate {
		return nil
	}
	return t.send(ctx)
}

// exec runs a statement, and says what it changed. For SQLite those that hot names are parsed once.
func (t *tx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.pg == nil {
		if s := t.db.hot[query]; s != nil {
			return t.sqlite.StmtContext(ctx, s).ExecContext(ctx, args...)
		}
		return t.sqlite.ExecContext(ctx, t.db.bind(query), args...)
	}
	var res driver.RowsAffected
	t.late.Queue(t.db.bind(query), args...).Exec(func(tag pgconn.CommandTag) error {
		res = driver.RowsAffected(tag.RowsAffected())
		return nil
	})
	err := t.send(ctx)
	return res, err
}

// send runs what put has kept back. All is parsed before any of it is run: what makes a table needs exec.
func (t *tx) send(ctx context.Context) error {
	if t.late.Len() == 0 {
		return nil
	}
	b := t.late
	t.late = pgx.Batch{}
	return t.pg.SendBatch(ctx, &b).Close()
}

// answer is sql.Rows, or what takes its place. It has to be closed before anything else is asked for.
type answer interface {
	Next() bool
	Scan(dst ...any) error
	Err() error
	Close() error
}

func (t *tx) query(ctx context.Context, query string, args ...any) (answer, error) {
	if t.pg == nil {
		return t.sqlite.QueryContext(ctx, t.db.bind(query), args...)
	}
	if err := t.send(ctx); err != nil {
		return nil, err
	}
	r, err := t.pg.Query(ctx, t.db.bind(query), args...)
	return pgRows{r}, err
}

func (t *tx) queryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if t.pg == nil {
		return t.sqlite.QueryRowContext(ctx, t.db.bind(query), args...)
	}
	if err := t.send(ctx); err != nil {
		return noRow{err}
	}
	return t.pg.QueryRow(ctx, t.db.bind(query), args...)
}

// texts returns a column of texts.
func (t *tx) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := t.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// commit makes everything durable. Whoever has to tell a statement that fails from a commit that does calls send before.
func (t *tx) commit(ctx context.Context) error {
	if t.pg == nil {
		return t.sqlite.Commit()
	}
	if err := t.send(ctx); err != nil {
		return err
	}
	return t.pg.Commit(ctx)
}

// rollback ends a transaction that was not committed. What is wrong with it then, its connection is not used again.
func (t *tx) rollback(ctx context.Context) {
	if t.pg == nil {
		_ = t.sqlite.Rollback()
		return
	}
	_ = t.pg.Rollback(ctx)
}

type pgRows struct{ pgx.Rows }

func (r pgRows) Close() error {
	r.Rows.Close()
	return r.Err()
}

type noRow struct{ err error }

func (r noRow) Scan(...any) error { return r.err }
