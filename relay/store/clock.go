package store

import (
	"context"
	"sync"
	"time"
)

// mostJump is how far a clock may be set while the gateway runs, before nothing is deleted any more.
const mostJump = time.Hour

// clock notices that the time of day was set. What is kept for days would end at once after a jump, so nothing expires
// and nothing is deleted until the clock is back, or the gateway was started again by somebody who knows that it is
// right. A machine that slept for long looks the same.
type clock struct {
	mu    sync.Mutex
	start time.Time // when it was looked at first, by the clock that does not jump
	wall  time.Time // the time of day then
	base  int64     // @now then
	wrong bool
}

// note takes note of what the clock of the database says, and returns whether that and the clock of this node have run
// as the one that does not jump.
func (c *clock) note(s *Store, db int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start.IsZero() {
		c.start = time.Now()
		c.wall, c.base = c.start.Round(0), db
		return true
	}
	now := time.Now()
	ran := now.Sub(c.start)
	here := now.Round(0).Sub(c.wall) - ran
	there := time.Duration(db-c.base)*time.Millisecond - ran
	wrong := max(here.Abs(), there.Abs()) > mostJump
	switch {
	case wrong && !c.wrong:
		s.config.Log.Error("a clock has jumped: nothing expires and nothing is deleted until it is back or the gateway is started again",
			"by", here.Round(time.Second), "database", there.Round(time.Second))
	case !wrong && c.wrong:
		s.config.Log.Info("the clock is back: what is too old expires and is deleted again")
	}
	if c.wrong = wrong; !wrong && ran > 24*time.Hour { // what is corrected a little each day is no jump
		c.start, c.wall, c.base = now, now.Round(0), db
	}
	return !wrong
}

// sound says whether the clocks were right when they were looked at last.
func (c *clock) sound() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wrong
}

// now is the time of the database, which is one for all nodes, and whether something may be deleted by it.
func (s *Store) now(ctx context.Context) (now time.Time, sound bool, err error) {
	var ms int64
	if err := s.db.queryRow(ctx, "SELECT @now").Scan(&ms); err != nil {
		return time.Time{}, false, err
	}
	return fromMillis(ms), s.deliveries.clock.note(s, ms), nil
}
