package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// deliveries are what this node is delivering, by destination. Rows that are here are claimed by this node,
// and the claims are renewed as long as they are.
type deliveries struct {
	s   *Store
	dir relay.Directory

	mu      sync.Mutex
	running bool
	lanes   map[string]*lane
	have    int // rows here, and those reserved
	ids     map[string]bool
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
}

const (
	mostHere        = 2000 // rows in memory
	laneRoom        = 500  // of one destination
	laneConcurrency = 20
	manyRefusals    = 20 // temporary refusals of single messages in a row are about the hop
)

// backoff is how long a destination is left alone after so many failures: 15 s, doubled each time up to an
// hour, a quarter more or less, so that not all nodes come back at the same moment.
func backoff(failures int) time.Duration {
	d := time.Hour
	if failures < 9 {
		d = 15 * time.Second << (failures - 1)
	}
	d = min(d, time.Hour)
	return d*3/4 + rand.N(d/2)
}

// retryAfter is how long a single message waits after so many attempts: a minute, doubled up to two hours.
func retryAfter(attempts int) time.Duration {
	d := 2 * time.Hour
	if attempts < 8 {
		d = time.Minute << (attempts - 1)
	}
	d = min(d, 2*time.Hour)
	return d*3/4 + rand.N(d/2)
}

func (d *deliveries) start(ctx context.Context, dir relay.Directory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.ctx, d.dir = true, ctx, dir
	d.lanes, d.ids, d.have = make(map[string]*lane), make(map[string]bool), 0
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

// reserve makes room for a row that is about to be written as claimed by this node.
func (d *deliveries) reserve(domain string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running || d.have >= mostHere {
		return false
	}
	if l := d.lanes[domain]; l != nil && (len(l.waiting) >= laneRoom || time.Now().Before(l.pause)) {
		return false
	}
	d.have++
	return true
}

// cancel gives the room back.
func (d *deliveries) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have--
}

// add takes a row for which there is room.
func (d *deliveries) add(q Queued) {
	d.mu.Lock()
	if !d.running {
		d.have--
		ctx := d.ctx
		d.mu.Unlock()
		if ctx != nil {
			d.s.unclaim(context.WithoutCancel(ctx), []Queued{q}, time.Time{})
		}
		return
	}
	l := d.lane(q.Domain)
	l.waiting = append(l.waiting, q)
	d.ids[q.ID] = true
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

// dispatch starts what may start. The caller holds the lock.
func (d *deliveries) dispatch(l *lane) {
	for d.running && l.active < l.limit && len(l.waiting) > 0 && !time.Now().Before(l.pause) {
		q := l.waiting[0]
		l.waiting[0] = Queued{}
		l.waiting = l.waiting[1:]
		l.active++
		d.work.Go(func() { d.done(l, q, d.s.attempt(d.ctx, d.dir, q)) })
	}
	if d.running && !l.refilling && len(l.waiting) < laneRoom/4 && l.active > 0 && !time.Now().Before(l.pause) {
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
)

// done takes the result of an attempt.
func (d *deliveries) done(l *lane, q Queued, r result) {
	d.mu.Lock()
	l.active--
	d.have--
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
	var rest []Queued
	pause := time.Time{}
	if r == away && !time.Now().Before(l.pause) { // of those that fail together only the first counts
		l.failures++
		l.refusals, l.limit = 0, 1
		l.pause = time.Now().Add(backoff(l.failures))
		pause = l.pause
		rest = d.empty(l)
	}
	d.dispatch(l)
	d.mu.Unlock()
	if !pause.IsZero() {
		d.s.config.Log.Warn("next hop away: queue waits", "domain", l.name, "failures", l.failures, "until", pause.UTC().Format(time.RFC3339))
		d.s.unclaim(context.WithoutCancel(d.ctx), rest, time.Time{})
		d.s.wake(l.name, pause)
	}
}

// empty takes all waiting rows out of a lane. The caller holds the lock.
func (d *deliveries) empty(l *lane) []Queued {
	rest := l.waiting
	l.waiting = nil
	d.have -= len(rest)
	for _, q := range rest {
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
	l := d.lane(domain)
	room := min(laneRoom-len(l.waiting), mostHere-d.have)
	if time.Now().Before(l.pause) {
		d.mu.Unlock()
		return l.pause, nil
	}
	if !d.running || room <= 0 {
		d.mu.Unlock()
		return time.Time{}, nil
	}
	d.have += room
	d.mu.Unlock()
	rows, err := d.s.claim(ctx, domain, room)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have -= room - len(rows)
	for _, q := range rows {
		d.ids[q.ID] = true
	}
	l.waiting = append(l.waiting, rows...)
	d.dispatch(l)
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
