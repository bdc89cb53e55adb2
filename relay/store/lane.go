package store

import (
	"context"
	"maps"
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
	have    int                 // rows here, and those reserved
	copied  int64               // bytes of their bodies that are here too
	rows    map[string]*claimed // the rows here, by id
	notices int                 // of ours, being delivered
	queue   bool                // some notices could not begin, there were mostNotices of them
	work    sync.WaitGroup
	ctx     context.Context

	deleter deleter
	clock   clock
	limit   time.Duration // of one delivery, for tests; 0 means deliveryTime
	grace   time.Duration // after the end of Run, for tests; 0 means stopTime
}

// lane is one destination. Its messages go out oldest first, a few at a time: one more with each success, one
// alone after a failure of the hop, and none while it is away.
//
// A message at which the hop breaks down looks like a hop that is away. So from its second attempt on the message
// that found the hop away is put off, and another one finds out whether it is back. When it is, those that were put
// off are innocent, mostly: they are due at once, and the oldest goes first. If one is accused again it stays put off.
// So it goes with a message at which we ourselves break down, for its body may be the reason, from the first attempt on.
type lane struct {
	name      string
	notices   bool // ours
	waiting   []Queued
	active    int
	limit     int
	feeding   int
	failures  int // of the hop or of ourselves, in a row
	gone      int // of the hop alone
	refusals  int // temporary ones of single messages, in a row
	pause     time.Time
	refilling bool
	drained   time.Time // when there was nothing more in the database

	accused   map[string]bool // put off since the hop was there last
	acquitted map[string]bool // not once more
}

const (
	mostHere        = 2000     // rows in memory
	mostCopied      = 16 << 20 // bytes of bodies in memory
	mostCopy        = 64 << 10 // of one
	laneRoom        = 500      // of one destination
	laneConcurrency = 20
	manyRefusals    = 20 // temporary refusals of single messages in a row are about the hop
	mostLanes       = 2000
	mostAccused     = 1000
	mostNotices     = 50 // delivered at once, since each sender's domain is a destination
	noticesAtOnce   = 4  // of one of them

	// drainedFor is how long a lane that found nothing more in the database does not ask it again: what comes
	// meanwhile mostly comes by way of this node, and asking is a transaction.
	drainedFor = time.Second
)

func (d *deliveries) start(ctx context.Context, c RunConfig) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.ctx, d.dir, d.bounces = true, ctx, c.Directory, c.Bounces
	d.lanes, d.rows, d.have, d.copied = make(map[string]*lane), make(map[string]*claimed), 0, 0
	d.deleter.start(ctx, d.s)
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
	d.s.unclaim(context.WithoutCancel(d.ctx), rest)
	d.work.Wait()
	d.deleter.stop()
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
		d.s.unclaim(ctx, []Queued{q})
		return
	}
	l.waiting = append(l.waiting, q)
	d.rows[q.ID] = &claimed{since: q.since}
	d.dispatch(l)
	d.mu.Unlock()
}

func (d *deliveries) lane(name string) *lane {
	l := d.lanes[name]
	if l == nil {
		if len(d.lanes) >= mostLanes { // what is not busy can be forgotten
			maps.DeleteFunc(d.lanes, func(_ string, l *lane) bool {
				return l.active == 0 && len(l.waiting) == 0 && l.feeding == 0 && !l.refilling && !time.Now().Before(l.pause)
			})
		}
		l = &lane{name: name, notices: isBounce(name), limit: 4, accused: make(map[string]bool), acquitted: make(map[string]bool)}
		d.lanes[name] = l
	}
	return l
}

// most is how many messages of a destination are delivered at once.
func (l *lane) most() int {
	if l.notices {
		return noticesAtOnce
	}
	return laneConcurrency
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
	for d.running && l.active < l.limit && len(l.waiting) > 0 && !time.Now().Before(l.pause) && d.admit(l) {
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

// admit bounds the notices under way. The caller holds the lock.
func (d *deliveries) admit(l *lane) bool {
	if l.notices && d.notices >= mostNotices {
		d.queue = true
		return false
	}
	if l.notices {
		d.notices++
	}
	return true
}

// noticesHere counts those in memory. The caller holds the lock.
func (d *deliveries) noticesHere() int {
	n := 0
	for _, l := range d.lanes {
		if l.notices {
			n += len(l.waiting) + l.active
		}
	}
	return n
}

// readmit begins with notices that had to wait. The caller holds the lock.
func (d *deliveries) readmit() {
	if !d.queue {
		return
	}
	d.queue = false
	for _, l := range d.lanes {
		if l.notices && len(l.waiting) > 0 {
			d.dispatch(l)
		}
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
	if l.notices {
		d.notices--
	}
	var rest []Queued
	if c := d.rows[q.ID]; c != nil && c.again { // let go of by the attempt, and claimed again before it got here
		rest = append(rest, q)
	}
	delete(d.rows, q.ID)
	if r == away && putOff(q) || r == broken {
		l.accuse(q.ID)
	}
	back := r == went && l.failures > 0
	switch r {
	case went:
		delete(l.acquitted, q.ID)
		l.failures, l.gone, l.refusals, l.pause = 0, 0, 0, time.Time{}
		l.limit = min(l.limit+1, l.most())
	case refused:
		if l.refusals++; l.refusals >= manyRefusals {
			r = away
		}
	}
	var hasten []string
	failures := 0
	if back {
		hasten = l.acquit()
	}
	failed := (r == away || r == broken) && !time.Now().Before(l.pause) // of those that fail together only the first counts
	if failed {
		l.failures++
		l.gone++
		if r == broken {
			l.gone = 0
		}
		l.refusals, l.limit = 0, 1
		failures = l.failures
	}
	if failed || back {
		l.pause = time.Now().Add(time.Hour) // until the rest is given back: else what is younger would be next
		rest = append(rest, d.empty(l)...)
	}
	d.dispatch(l)
	d.readmit()
	d.mu.Unlock()
	ctx := context.WithoutCancel(d.ctx)
	d.s.unclaim(ctx, rest)
	d.s.hasten(ctx, hasten)
	switch {
	case failed:
		d.leaveAlone(l, r, failures)
	case back:
		d.mu.Lock()
		l.pause, l.drained = time.Time{}, time.Time{}
		if d.running && !l.refilling {
			l.refilling = true
			d.work.Go(func() { d.refill(l) })
		}
		d.mu.Unlock()
	}
}

// empty takes all waiting rows out of a lane. The caller holds the lock.
func (d *deliveries) empty(l *lane) []Queued {
	rest := l.waiting
	l.waiting = nil
	for _, q := range rest {
		d.leave(q)
		delete(d.rows, q.ID)
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
	if l.notices { // a flood of them must not take the room of what they are about
		room = min(room, 2*noticesAtOnce, mostHere/4-d.noticesHere())
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
	l.feeding++
	// Every second time it is not the oldest that finds out, in case that it is these at which the hop breaks down.
	least := l.failures > 0 && l.failures%2 == 0
	d.mu.Unlock()
	rows, err := d.s.claim(context.WithoutCancel(ctx), domain, least, room) // whether it was made must be known
	d.mu.Lock()
	d.have -= room
	l.feeding--
	// A row that is still here was let go of by its attempt just now, or its claim was not renewed in time.
	rows = slices.DeleteFunc(rows, func(q Queued) bool {
		c, here := d.rows[q.ID]
		if here {
			*c = claimed{since: q.since, again: true}
		}
		return here
	})
	if !d.running || time.Now().Before(l.pause) {
		d.mu.Unlock()
		d.s.unclaim(context.WithoutCancel(ctx), rows)
		return time.Time{}, err
	}
	if err == nil && len(rows) < room {
		l.drained = time.Now()
	}
	d.have += len(rows)
	for _, q := range rows {
		d.rows[q.ID] = &claimed{since: q.since}
	}
	l.waiting = append(l.waiting, rows...)
	d.dispatch(l)
	d.mu.Unlock()
	return time.Time{}, err
}

// hop says where a destination is reached.
func (d *deliveries) hops() (relay.Directory, relay.NextHop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dir, d.bounces
}
