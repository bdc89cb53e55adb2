package store

import "time"

// JumpClocks sets the time of day forward while the gateway runs, as far as it can tell: here and in the database.
func (s *Store) JumpClocks(here, database time.Duration) {
	c := &s.deliveries.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.base = c.wall.Add(-here), c.base-database.Milliseconds()
}

// DeliveryTime bounds an attempt. It is called before Run.
func (s *Store) DeliveryTime(d time.Duration) { s.deliveries.limit = d }

// StopTime is how long deliveries under way may take after the end. It is called before Run.
func (s *Store) StopTime(d time.Duration) { s.deliveries.grace = d }

// DeleteTime bounds the deletion of a body.
func (s *Store) DeleteTime(limit time.Duration) {
	d := &s.deliveries.deleter
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = limit
}

// WrapBodies puts something around what keeps the bodies. It is called before Run.
func (s *Store) WrapBodies(wrap func(Bodies) Bodies) { s.bodies = wrap(s.bodies) }

// Claims is how long claims last.
func (c Config) Claims(d time.Duration) Config {
	c.claimFor = d
	return c
}

// Pauses is how long a destination is left alone after its first failure.
func (c Config) Pauses(d time.Duration) Config {
	c.pauseFor = d
	return c
}
