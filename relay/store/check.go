package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Problem is something about the store that somebody should look at.
type Problem struct {
	What   string `json:"what"`   // "database", "bodies", "disk", "queue", "quarantine"
	Detail string `json:"detail"` // what is wrong and what to do
}

// Check tries the store: it writes and reads a row and a body, and reports what was set aside, what nobody knows
// whether it was delivered, and limits that are nearly reached. Nothing to report is nil.
func (s *Store) Check(ctx context.Context) []Problem {
	var out []Problem
	add := func(what, format string, args ...any) { out = append(out, Problem{what, fmt.Sprintf(format, args...)}) }
	err := s.committer.commit(ctx, func(ctx context.Context, t *tx) error {
		return t.put(ctx, "INSERT INTO meta (name, value) VALUES ('checked', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			time.Now().UTC().Format(time.RFC3339Nano))
	})
	if err != nil {
		add("database", "it cannot be written, so that mail that should be held or queued is deferred: %v", err)
	}
	if err := s.checkBodies(ctx); err != nil {
		add("bodies", "they cannot be written and read, so that mail that should be held or queued is deferred: %v", err)
	}
	for _, c := range []struct{ what, query, say string }{
		{"queue", countAside, "messages that cannot be read or sent and were set aside: %d; see queue list, then retry or drop them"},
		{"quarantine", countUncertain, "of %d recipients nobody knows whether the next hop has what was released to them: ask them, then release again"},
	} {
		var n int
		if err := s.db.queryRow(ctx, c.query).Scan(&n); err != nil {
			add("database", "it cannot be read: %v", err)
		} else if n > 0 {
			add(c.what, c.say, n)
		}
	}
	if !s.deliveries.clock.sound() {
		add("clock", "a clock has jumped, so nothing expires and nothing is deleted: set it right, or start the gateway again if it is right now")
	}
	if free, ok := s.room.left(); ok && free < s.config.MinFree {
		add("disk", "%s are free, less than the %s that are to stay free: mail that should be held or queued is deferred", bytesText(free), bytesText(s.config.MinFree))
	} else if ok && free < 2*s.config.MinFree {
		add("disk", "%s are free: when it is less than %s, mail that should be held or queued is deferred", bytesText(free), bytesText(s.config.MinFree))
	}
	for _, c := range []struct {
		what string
		*quota
	}{{"quarantine", &s.heldBytes}, {"queue", &s.queuedBytes}} {
		if used, most, err := c.used(ctx); err == nil && used > most/10*9 {
			add(c.what, "%s of at most %s are in use: beyond that mail is deferred", bytesText(used), bytesText(most))
		}
	}
	return out
}

// bytesText writes a number of bytes for people, never more than it is.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", math.Floor(float64(n)/float64(u.size)*10)/10, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func (s *Store) checkBodies(ctx context.Context) error {
	key := newKey(time.Now())
	if err := s.bodies.Put(ctx, key, verdict.Bytes("check\r\n")); err != nil {
		return err
	}
	body, err := s.bodies.Get(ctx, key)
	if err == nil {
		var b strings.Builder
		if err = copyAll(&b, body); err == nil && b.String() != "check\r\n" {
			err = ErrDamaged
		}
	}
	return errors.Join(err, s.bodies.Delete(ctx, key))
}

// trouble tells the log when something stops working, and when it works again.
type trouble struct {
	what string
	log  *slog.Logger

	mu    sync.Mutex
	since time.Time
}

func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil && t.since.IsZero():
		t.since = time.Now()
		t.log.Error(t.what+" cannot be written: mail that would be held or queued is deferred", "error", err)
	case err == nil && !t.since.IsZero():
		t.log.Info(t.what+" can be written again", "after", time.Since(t.since).Round(time.Millisecond))
		t.since = time.Time{}
	}
}
