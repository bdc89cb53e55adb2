package store

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// deleteTime bounds the deletion of a body: a place that swallows what it is asked keeps nobody waiting for long.
	deleteTime = 10 * time.Second

	deletersAtOnce = 16
	mostDoomed     = 10_000 // keys in memory
)

// deleter deletes the bodies of what is delivered, aside from the deliveries: no destination waits for it. What it
// cannot delete is swept.
type deleter struct {
	s *Store

	mu     sync.Mutex
	limit  time.Duration   // of one deletion, for tests; 0 means deleteTime
	ctx    context.Context // of all of them, nil while none is made
	cancel context.CancelFunc
	keys   []string // that wait
	active int
	work   sync.WaitGroup
}

// start begins to take keys. What waits when ctx ends is deleted all the same.
func (d *deleter) start(ctx context.Context, s *Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s = s
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
}

// take deletes a body soon, or never.
func (d *deleter) take(key string) {
	if key == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return // we stop
	}
	if len(d.keys) >= mostDoomed {
		d.s.config.Log.Warn("a body was not deleted and will be swept: others wait", "body", key)
		return
	}
	d.keys = append(d.keys, key)
	if d.active < deletersAtOnce {
		d.active++
		ctx := d.ctx
		d.work.Go(func() { d.run(ctx) })
	}
}

// run deletes until nothing waits.
func (d *deleter) run(ctx context.Context) {
	for {
		d.mu.Lock()
		if len(d.keys) == 0 || ctx.Err() != nil {
			d.active--
			d.mu.Unlock()
			return
		}
		key := d.keys[0]
		d.keys = d.keys[1:]
		d.mu.Unlock()
		d.s.deleteBody(ctx, key)
	}
}

// stop takes no more, and gives what waits as much time as one deletion may take.
func (d *deleter) stop() {
	d.mu.Lock()
	cancel := d.cancel
	d.ctx = nil
	d.mu.Unlock()
	end := time.AfterFunc(d.most(), cancel)
	defer end.Stop()
	d.work.Wait()
	cancel()
	if n := len(d.keys); n > 0 {
		d.s.config.Log.Warn("bodies were not deleted and will be swept", "bodies", n)
	}
}

// most is how long a deletion may take.
func (d *deleter) most() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.limit, deleteTime)
}
