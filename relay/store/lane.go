package store

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// deliveries are what this node is delivering, by destination. Rows that are here are claimed by this node,
// and the claims are renewed as long as they are.
type deliveries struct {
	s *Store

	mu      sync.Mutex
	dir     relay.Directory
	bounces relay.NextHop
	running bool
	lanes   map[string]*lane
	have    int             // rows here, and those reserved
	copied  int64           // bytes of their bodies that are here too
	ids     map[string]bool // of the rows here; true: claimed once more while it was being worked on
	work    sync.WaitGroup
	ctx     context.Context
}

// lane is one destination. Its messages go out oldest first, a few at a time: one more with each success, one
// alone after a failure of the hop, and none while it is away.
type lane struct {
	name      string
	waiting   []Queued
	active    int
	limit     int
	failures  int // of the hop, in a row
	refusals  int // temporary ones of single messages, in a row
	pause     time.Time
	refilling bool
	drained   time.Time // when there was nothing more in the database
}

const (
	mostHere        = 2000     // rows in memory
	mostCopied      = 16 << 20 // bytes of bodies in memory
	mostCopy        = 64 << 10 // of one
	laneRoom        = 500      // of one destination
	laneConcurrency = 20
	manyRefusals    = 20 // temporary refusals of single messages in a row are about the hop

	// drainedFor is how long a lane that found nothing more in the database does not ask it again: what comes
	// meanwhile mostly comes by way of this node, and asking is a transaction.
	drainedFor = time.Second
)

// firstPause is how long a destination is left alone after a failure.
const firstPause = 5 * time.Second

// backoff is how long a destination is left alone after so many failures: first, 5 s, doubled each time up to two
// minutes, a quarter more or less, so that not all nodes come back at the same moment. What comes back is one
// message, so that a hop that is up again is soon found out and a hop that is not is not bothered.
func backoff(first time.Duration, failures int) time.Duration {
	d := min(24*first, first<<min(max(1, failures)-1, 5))
	return d*3/4 + rand.N(d/2)
}

// retryAfter is how long a single message waits after so many attempts: a minute, doubled up to two hours.
func retryAfter(attempts int) time.Duration {
	d := 2 * time.Hour
	if attempts < 8 {
		d = min(d, time.Minute<<(max(1, attempts)-1))
	}
	return d*3/4 + rand.N(d/2)
}

// insane is how far in the future no time of a row can be unless the clock was wrong when it was written.
const insane = 3 * time.Hour

func (d *deliveries) start(ctx context.Context, c RunConfig) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.ctx, d.dir, d.bounces = true, ctx, c.Directory, c.Bounces
	d.lanes, d.ids, d.have, d.copied = make(map[string]*lane), make(map[string]bool), 0, 0
}

// stop waits for deliveries under way, and lets go of the rest.
func (d *deliveries) stop() {
	d.mu.Lock()
	d.running = false
	var rest []Queued
	for _, l := range d.lanes {
		rest = append(rest, d.empty(l)...)
	}
	d.mu.Unlock()
	d.s.unclaim(context.WithoutCancel(d.ctx), rest, time.Time{})
	d.work.Wait()
}

// reserve makes room for a row that is about to be written as claimed by this node, and for a copy of its body, which
// need not be read again then: copied is how large that may be.
func (d *deliveries) reserve(domain string, size int64) (ok bool, copied int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running || d.have >= mostHere {
		return false, 0
	}
	if l := d.lanes[domain]; l != nil && (len(l.waiting) >= laneRoom || time.Now().Before(l.pause)) {
		return false, 0
	}
	d.have++
	if size <= mostCopy && d.copied+size <= mostCopied {
		copied = size
	}
	d.copied += copied
	return true, copied
}

// cancel gives the room back.
func (d *deliveries) cancel(q Queued) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leave(q)
}

// leave gives back the room of a row. The caller holds the lock.
func (d *deliveries) leave(q Queued) {
	d.have--
	d.copied -= q.copied
}

// add takes a row for which there is room.
func (d *deliveries) add(q Queued) {
	d.mu.Lock()
	l := d.lane(q.Domain)
	if !d.running || time.Now().Before(l.pause) { // since there was room
		d.leave(q)
		ctx := context.WithoutCancel(d.ctx)
		d.mu.Unlock()
		d.s.unclaim(ctx, []Queued{q}, time.Time{})
		return
	}
	l.waiting = append(l.waiting, q)
	d.ids[q.ID] = false
	d.dispatch(l)
	d.mu.Unlock()
}

func (d *deliveries) lane(name string) *lane {
	l := d.lanes[name]
	if l == nil {
		l = &lane{name: name, limit: 4}
		d.lanes[name] = l
	}
	return l
}

// hurry ends the pause of a destination: a person asked for an attempt.
func (d *deliveries) hurry(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lanes[name]; l != nil && d.running {
		l.pause = time.Time{}
	}
}

// dispatch starts what may start. The caller holds the lock.
func (d *deliveries) dispatch(l *lane) {
	for d.running && l.active < l.limit && len(l.waiting) > 0 && !time.Now().Before(l.pause) {
		q := l.waiting[0]
		l.waiting[0] = Queued{}
		l.waiting = l.waiting[1:]
		l.active++
		d.work.Go(func() { d.done(l, q, d.s.attempt(d.ctx, q)) })
	}
	if d.running && !l.refilling && len(l.waiting) < laneRoom/4 && l.active > 0 && !time.Now().Before(l.pause) && time.Since(l.drained) > drainedFor {
		l.refilling = true
		d.work.Go(func() { d.refill(l) })
	}
}

// result is what one attempt says about the destination.
type result uint8

const (
	went    result = iota // delivered, or refused for good: the hop works
	refused               // a temporary refusal of this message
	away                  // the hop does not answer
	useless               // nothing was tried
	broken                // nothing was tried, since we ourselves cannot
)

// done takes the result of an attempt.
func (d *deliveries) done(l *lane, q Queued, r result) {
	d.mu.Lock()
	l.active--
	d.leave(q)
	var rest []Queued
	if d.ids[q.ID] { // let go of by the attempt, and claimed again before it got here
		rest = append(rest, q)
	}
	delete(d.ids, q.ID)
	switch r {
	case went:
		l.failures, l.refusals, l.pause = 0, 0, time.Time{}
		l.limit = min(l.limit+1, laneConcurrency)
	case refused:
		if l.refusals++; l.refusals >= manyRefusals {
			r = away
		}
	}
	var wait time.Duration
	failures := 0
	if (r == away || r == broken) && !time.Now().Before(l.pause) { // of those that fail together only the first counts
		l.failures++
		l.refusals, l.limit = 0, 1
		wait, failures = backoff(cmp.Or(d.s.config.pauseFor, firstPause), l.failures), l.failures
		l.pause = time.Now().Add(time.Hour) // until the rest is given back: else what is younger would be next
		rest = append(rest, d.empty(l)...)
	}
	d.dispatch(l)
	d.mu.Unlock()
	d.s.unclaim(context.WithoutCancel(d.ctx), rest, time.Time{})
	if wait > 0 {
		pause := time.Now().Add(wait)
		d.mu.Lock()
		l.pause = pause
		d.mu.Unlock()
		why := "next hop away: queue waits"
		if r == broken {
			why = "the store is in trouble: queue waits"
		}
		d.s.config.Log.Warn(why, "domain", l.name, "failures", failures, "until", pause.UTC().Format(time.RFC3339))
		d.s.wake(l.name, pause)
	}
}

// empty takes all waiting rows out of a lane. The caller holds the lock.
func (d *deliveries) empty(l *lane) []Queued {
	rest := l.waiting
	l.waiting = nil
	for _, q := range rest {
		d.leave(q)
		delete(d.ids, q.ID)
	}
	return rest
}

// refill claims more rows of a destination that is being served.
func (d *deliveries) refill(l *lane) {
	_, err := d.feed(d.ctx, l.name)
	if err != nil && d.ctx.Err() == nil {
		d.s.config.Log.Error("the queue cannot be read", "domain", l.name, "error", err)
	}
	d.mu.Lock()
	l.refilling = false
	d.mu.Unlock()
}

// feed claims the oldest rows that are due, as many as there is room for. It returns until when the
// destination is left alone, if it is.
func (d *deliveries) feed(ctx context.Context, domain string) (until time.Time, err error) {
	d.mu.Lock()
	if !d.running {
		d.mu.Unlock()
		return time.Time{}, nil
	}
	l := d.lane(domain)
	room := min(laneRoom-len(l.waiting), mostHere-d.have)
	if l.failures > 0 {
		room = min(room, laneConcurrency) // to see whether it is back
	}
	if until = l.pause; time.Now().Before(until) {
		d.mu.Unlock()
		return until, nil
	}
	if room <= 0 {
		d.mu.Unlock()
		return time.Time{}, nil
	}
	d.have += room
	d.mu.Unlock()
	rows, err := d.s.claim(context.WithoutCancel(ctx), domain, room) // whether it was made must be known
	d.mu.Lock()
	d.have -= room
	// A row that is still here was let go of by its attempt just now, or its claim was not renewed in time.
	rows = slices.DeleteFunc(rows, func(q Queued) bool {
		_, here := d.ids[q.ID]
		if here {
			d.ids[q.ID] = true
		}
		return here
	})
	if !d.running || time.Now().Before(l.pause) {
		d.mu.Unlock()
		d.s.unclaim(context.WithoutCancel(ctx), rows, time.Time{})
		return time.Time{}, err
	}
	if err == nil && len(rows) < room {
		l.drained = time.Now()
	}
	d.have += len(rows)
	for _, q := range rows {
		d.ids[q.ID] = false
	}
	l.waiting = append(l.waiting, rows...)
	d.dispatch(l)
	d.mu.Unlock()
	return time.Time{}, err
}

// mine lists the rows that are here.
func (d *deliveries) mine() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]string, 0, len(d.ids))
	for id := range d.ids {
		out = append(out, id)
	}
	return out
}

// hop says where a destination is reached.
func (d *deliveries) hops() (relay.Directory, relay.NextHop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dir, d.bounces
}
