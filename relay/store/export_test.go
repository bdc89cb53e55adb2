package store

import (
	"context"
	"time"
)

// Quick shortens the time that claims last and that a destination is left alone, and has a node look all the time
// for what is nobody's.
func (c Config) Quick() Config {
	c.claimFor, c.lookFor, c.pauseFor = 400*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond
	return c
}

// Retain removes what has been kept long enough.
func (s *Store) Retain(ctx context.Context) error { return s.retain(ctx) }

// Sweep deletes bodies without a row that are older than age.
func (s *Store) Sweep(ctx context.Context, age time.Duration) error { return s.sweepBodies(ctx, age) }

// SweepQueue expires and warns.
func (s *Store) SweepQueue(ctx context.Context) error { return s.sweepQueue(ctx) }

// Exec changes rows behind the store's back.
func (s *Store) Exec(ctx context.Context, query string, args ...any) error {
	_, err := s.db.write.ExecContext(ctx, s.db.bind(query), args...)
	return err
}

// Bodies returns what keeps the bodies.
func (s *Store) Bodies() Bodies { return s.bodies }

// NewKey returns a key for a body.
func NewKey() string { return newKey(time.Now()) }

// Ticket is what is signed into a link.
func (s *Store) Ticket(held, recipient string, until time.Time) string {
	return s.ticket(held, recipient, until)
}

// Waiting is how many writes wait for a transaction.
func (s *Store) Waiting() int { return len(s.committer.queue) }
