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

// Audit lists what was done, newest first: to one object, or to all if it is empty.
func (s *Store) Audit(ctx context.Context, object string, limit int) ([]Act, error) {
	var w where
	if object != "" {
		w.add("object = ?", object)
	}
	rows, err := s.db.search(ctx, "SELECT id, at, who, what, object, detail FROM audit"+w.String()+
		fmt.Sprintf(" ORDER BY at DESC, id LIMIT %d", Filter{Limit: limit}.limit()), w.args...)
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
