package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Quick shortens the time that claims last and that a destination is left alone, and has a node look all the time
// for what is nobody's.
func (c Config) Quick() Config {
	c.claimFor, c.lookFor, c.pauseFor = 400*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond
	return c
}

// Commit has something written by the committer, which takes at most limit for a batch from now on if that is not 0.
func (s *Store) Commit(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) error {
	if limit > 0 {
		s.committer.limit = limit
	}
	return s.committer.commit(ctx, func(ctx context.Context, _ *tx) error { return do(ctx) })
}

// Retain removes what has been kept long enough.
func (s *Store) Retain(ctx context.Context) error { return s.retain(ctx) }

// Remediate does the orders that are due.
func (s *Store) Remediate(ctx context.Context, by Remediator) error { return s.remediate(ctx, by) }

// Renew keeps the claims of this node.
func (s *Store) Renew(ctx context.Context) error { return s.renew(ctx) }

// Sweep deletes bodies without a row that are older than age.
func (s *Store) Sweep(ctx context.Context, age time.Duration) error { return s.sweepBodies(ctx, age) }

// SweepQueue expires and warns.
func (s *Store) SweepQueue(ctx context.Context) error { return s.sweepQueue(ctx) }

// Exec changes rows behind the store's back.
func (s *Store) Exec(ctx context.Context, query string, args ...any) error {
	_, err := s.db.write.ExecContext(ctx, s.db.bind(query), args...)
	return err
}

// Rewrite is Exec for a store that runs: a second writer might lock rows in another order.
func (s *Store) Rewrite(ctx context.Context, query string, args ...any) error {
	return s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, query, args...)
		return err
	})
}

// Bodies returns what keeps the bodies.
func (s *Store) Bodies() Bodies { return s.bodies }

// NewKey returns a key for a body.
func NewKey() string { return newKey(time.Now()) }

// Ticket is what is signed into a link.
func (s *Store) Ticket(held, recipient string, until time.Time) string {
	return s.seal(ticket{held: held, to: recipient, who: recipient, until: until})
}

// Waiting is how many writes wait for a transaction.
func (s *Store) Waiting() int { return len(s.committer.queue) }

// Mark is the mark of a release of an empty message.
func (s *Store) Mark(id string) string { return s.mark(id, nil) }

// BodyGone is asked about what Get has returned.
func (s *Store) BodyGone(err error) bool { return s.bodyGone(err) }

// Patience is how long a database may take to answer.
func (s *Store) Patience(d time.Duration) { s.db.patience = d }

// Pool is how the connections to a PostgreSQL are made.
func (s *Store) Pool() *pgxpool.Config { return s.db.pool.Config() }

// ExpireKeys has the keys of the object store read again.
func (s *Store) ExpireKeys() { s.bodies.(*objects).keys.creds.Expire() }

// OldMark is the mark of a version that gave places no name.
func (s *Store) OldMark() string { return s.sign("bodies", "") }
