package relay

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
)

const (
	connLife   = 15 * time.Minute // some servers end sessions after 20
	backupLife = time.Minute      // of a connection to other than the first choice
)

// hopConn is a connection that is ready for MAIL.
type hopConn struct {
	*smtpclient.Conn
	at      candidate
	expires time.Time // not kept after that
	since   time.Time // idle since
}

// pool holds the connections of one next hop. Idle connections cost no goroutine: whether one still
// lives is found out when it is taken, and one timer closes those that were idle for too long.
type pool struct {
	ctx     context.Context // ends with the pool
	cancel  context.CancelFunc
	slots   chan struct{}
	maxIdle int
	timeout time.Duration

	mu     sync.Mutex
	closed bool
	idle   []*hopConn // longest idle first
	busy   map[*hopConn]bool
	timer  *time.Timer // runs while there are idle connections
}

func (p *pool) init(conns, idle int, timeout time.Duration) {
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.slots = make(chan struct{}, conns)
	p.maxIdle = min(idle, conns)
	if idle == 0 {
		p.maxIdle = conns
	}
	p.timeout = timeout
	p.busy = map[*hopConn]bool{}
}

// acquire waits for the right to use a connection.
func (p *pool) acquire(ctx context.Context) error {
	if p.ctx.Err() != nil {
		return ErrClosed
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.ctx.Done():
		return ErrClosed
	}
}

func (p *pool) release() { <-p.slots }

// take returns an idle connection that is still good, the last one used first, or nil.
func (p *pool) take() *hopConn {
	for {
		c := p.pop()
		if c == nil {
			return nil
		}
		if time.Now().Before(c.expires) && c.Alive() {
			return c
		}
		p.drop(c)
	}
}

func (p *pool) pop() *hopConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	p.busy[c] = true
	return c
}

// add takes a new connection into the books. It returns false if the pool is closed.
func (p *pool) add(c *hopConn) bool {
	p.mu.Lock()
	var surplus *hopConn
	ok := !p.closed
	if ok {
		p.busy[c] = true
		if len(p.idle) > 0 && len(p.idle)+len(p.busy) > cap(p.slots) {
			surplus = p.idle[0]
			p.idle = slices.Delete(p.idle, 0, 1)
		}
	}
	p.mu.Unlock()
	if surplus != nil {
		surplus.Quit()
	}
	return ok
}

// put keeps a connection for the next message, or ends it.
func (p *pool) put(c *hopConn) {
	c.since = time.Now()
	if !c.since.Before(c.expires) || !c.Reusable() {
		p.drop(c)
		return
	}
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < p.maxIdle
	if keep {
		delete(p.busy, c)
		p.idle = append(p.idle, c)
		p.arm()
	}
	p.mu.Unlock()
	if !keep {
		p.drop(c)
	}
}

// drop ends a connection that is in use by the caller.
func (p *pool) drop(c *hopConn) {
	p.mu.Lock()
	delete(p.busy, c)
	p.mu.Unlock()
	c.Quit()
}

// arm starts the timer for the connection that has been idle longest. The lock is held.
func (p *pool) arm() {
	if p.timer != nil || len(p.idle) == 0 {
		return
	}
	p.timer = time.AfterFunc(time.Until(p.idle[0].since.Add(p.timeout)), p.sweep)
}

// sweep ends what has been idle for too long.
func (p *pool) sweep() {
	p.mu.Lock()
	p.timer = nil
	limit := time.Now().Add(-p.timeout)
	n := 0
	for n < len(p.idle) && !p.idle[n].since.After(limit) {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.arm()
	p.mu.Unlock()
	for _, c := range old {
		c.Quit()
	}
}

// close ends everything and waits until nobody uses a connection.
func (p *pool) close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	idle := p.idle
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cancel()
	for c := range p.busy {
		c.Close()
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.Quit()
	}
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
}
