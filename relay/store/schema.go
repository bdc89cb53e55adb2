package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

//go:embed schema.sql
var schema1 string

// schema2 finds the few rows that somebody has to look at without reading all the others.
const schema2 = `
CREATE INDEX held_recipient_uncertain ON held_recipient (held) WHERE state = 'uncertain';
CREATE INDEX queued_aside ON queued (domain) WHERE state = 'aside';
`

// schema3 has the orders to take delivered mail back.
const schema3 = `
CREATE TABLE remedy (
  message    TEXT NOT NULL,
  recipient  TEXT NOT NULL,
  domain     TEXT NOT NULL,
  message_id TEXT NOT NULL,
  restore    INTEGER NOT NULL, -- 1: to put it back
  state      TEXT NOT NULL,    -- waiting, done, missing, failed
  at         BIGINT NOT NULL,  -- of the order
  due        BIGINT NOT NULL,
  attempts   INTEGER NOT NULL,
  who        TEXT NOT NULL,
  detail     TEXT NOT NULL,
  PRIMARY KEY (message, recipient)
);
CREATE INDEX remedy_due ON remedy (due) WHERE state = 'waiting';
CREATE INDEX remedy_at ON remedy (at);
`

// migrations are run in order, each once. What has been released is never changed.
var migrations = []string{schema1, schema2, schema3}

// ErrNewer says that the database was written by a newer version, whose rows this one might misread.
var ErrNewer = errors.New("store: the database is of a newer version of postreeve")

// migrate brings the schema up to date. Nodes that start at the same time wait for each other.
func (d *db) migrate(ctx context.Context) error {
	t, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer t.rollback(ctx)
	if d.pool != nil {
		if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(7269384501)"); err != nil { // a number of our own
			return err
		}
	}
	if _, err := t.exec(ctx, "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"); err != nil {
		return fmt.Errorf("store: the schema cannot be made: %w", err)
	}
	have := 0
	rows, err := t.query(ctx, "SELECT value FROM meta WHERE name = 'schema'")
	if err != nil {
		return err
	}
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return errors.Join(err, rows.Close())
		}
		if have, err = strconv.Atoi(v); err != nil {
			return errors.Join(fmt.Errorf("store: schema version %q: %w", v, err), rows.Close())
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if have > len(migrations) {
		return newer(have)
	}
	if have == len(migrations) {
		return nil
	}
	for i, m := range migrations[have:] {
		for stmt := range statements(m) {
			if _, err := t.exec(ctx, stmt); err != nil {
				return fmt.Errorf("store: schema %d: %w in %.80q", have+i+1, err, stmt)
			}
		}
	}
	if _, err := t.exec(ctx, "INSERT INTO meta (name, value) VALUES ('schema', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", strconv.Itoa(len(migrations))); err != nil {
		return err
	}
	return t.commit(ctx)
}

func newer(have int) error {
	return fmt.Errorf("%w: schema %d, this one knows %d", ErrNewer, have, len(migrations))
}

// statements yields the statements of a script without its comments.
func statements(script string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var b strings.Builder
		for line := range strings.Lines(script) {
			line, _, _ = strings.Cut(line, "--")
			b.WriteString(line)
			if strings.HasSuffix(strings.TrimSpace(line), ";") {
				if !yield(strings.TrimSpace(b.String())) {
					return
				}
				b.Reset()
			}
		}
	}
}
