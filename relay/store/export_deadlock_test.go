package store

import "context"

// LockMany are the statements that change many queued rows at once, by what they are for. The rows are those of ex.net, and
// claimed by this node.
func (s *Store) LockMany(ids ...string) map[string]func(ctx context.Context) {
	var list []Queued
	for _, id := range ids {
		list = append(list, Queued{ID: id})
	}
	return map[string]func(ctx context.Context){
		"retry":   func(ctx context.Context) { _, _ = s.RetryQueued(ctx, "admin") },
		"hurry":   func(ctx context.Context) { _ = s.hurry(ctx, "ex.net", true) },
		"hasten":  func(ctx context.Context) { s.hasten(ctx, ids) },
		"unclaim": func(ctx context.Context) { s.unclaim(ctx, list) },
		"expire":  func(ctx context.Context) { _ = s.SweepQueue(ctx) },
	}
}

// Claimant is who this node is in claims.
func (s *Store) Claimant() string { return s.claimant }
