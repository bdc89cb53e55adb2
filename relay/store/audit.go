package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Act is one line of the audit trail.
type Act struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	What   string    `json:"what"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
}

type whoKey struct{}

// As says who does what is done with ctx, for the audit trail: PutRecord and DeleteRecord ask for it. Where nobody is
// named it is the gateway itself, and of records that it only changes nothing is written down.
func As(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}

// whoOf is who was named by As, or empty.
func whoOf(ctx context.Context) string {
	who, _ := ctx.Value(whoKey{}).(string)
	return who
}

// itself is who does something when nobody else does.
func (s *Store) itself() string { return "node " + s.config.Node }

const insertAudit = `INSERT INTO audit (id, at, who, what, object, detail) VALUES (?, ?, ?, ?, ?, ?)`

// audit writes a line in the transaction of what it tells about: neither is there without the other.
func (t *tx) audit(ctx context.Context, who, what, object, detail string) error {
	if who == "" {
		return fmt.Errorf("store: %s of %s: nobody is named who does it", what, object)
	}
	return t.put(ctx, insertAudit, rand.Text(), millis(time.Now()), text(who, 256), what, object, text(detail, 1024))
}

// ActFilter chooses lines of the audit trail. The zero value chooses all.
type ActFilter struct {
	Object string    // exactly: the id of a message, the name of a domain, "all" for the whole queue
	Who    string    // part of who did it
	What   string    // part of what was done, as in "quarantine" or "release"
	Since  time.Time // the first that counts
	Until  time.Time // the first that does not
	Before string    // Act.ID: those that come after it in the list, for the next page
	Limit  int       // 0 means 100, at most 10 000
}

// Audit lists who did what, newest first, as long as Config.LedgerFor keeps it.
func (s *Store) Audit(ctx context.Context, f ActFilter) ([]Act, error) {
	var w where
	if f.Object != "" {
		w.add("object = ?", f.Object)
	}
	if f.Who != "" {
		w.add(`lower(who) LIKE ? ESCAPE '\'`, like(f.Who))
	}
	if f.What != "" {
		w.add(`what LIKE ? ESCAPE '\'`, like(f.What))
	}
	if !f.Since.IsZero() {
		w.add("at >= ?", millis(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("at < ?", millis(f.Until))
	}
	if f.Before != "" {
		w.add("(at, id) < (SELECT at, id FROM audit WHERE id = ?)", f.Before)
	}
	rows, err := s.db.search(ctx, "SELECT id, at, who, what, object, detail FROM audit"+w.String()+
		fmt.Sprintf(" ORDER BY at DESC, id DESC LIMIT %d", Filter{Limit: f.Limit}.limit()), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Act
	for rows.Next() {
		var a Act
		var at int64
		if err := rows.Scan(&a.ID, &at, &a.Who, &a.What, &a.Object, &a.Detail); err != nil {
			return nil, err
		}
		a.At = fromMillis(at)
		out = append(out, a)
	}
	return out, rows.Err()
}

func notFound(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: no %s %q", ErrNotFound, what, text(id, 64))
	}
	return err
}
