package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/relay"
)

// front accepts connections and gives them to the server in force. A server cannot change its limits or
// its name; so a reload that changes them begins a new one, and the old one keeps the connections it has
// until they end by themselves.
type front struct {
	log *slog.Logger
	ctx context.Context // ends when the gateway is to drain

	mu      sync.Mutex
	current *generation
	wg      sync.WaitGroup
	failed  chan error // has room for one
}

func newFront(ctx context.Context, log *slog.Logger) *front {
	return &front{ctx: ctx, log: log, failed: make(chan error, 1)}
}

// generation is one server with the connections that it was given.
type generation struct {
	conns   chan net.Conn
	addr    net.Addr
	retired chan struct{} // closed: no new connections
	open    atomic.Int64

	once   sync.Once
	closed chan struct{} // closed by the server when it drains
}

// settle is how long a retired server is kept at least: connections that it has just been given are not
// counted before they have said their PROXY header.
const settle = 30 * time.Second

// use makes srv take the connections from now on.
func (f *front) use(srv *relay.Server, addr net.Addr) {
	g := &generation{conns: make(chan net.Conn), addr: addr, retired: make(chan struct{}), closed: make(chan struct{})}
	g.count(&srv.Trace)
	f.mu.Lock()
	old := f.current
	f.current = g
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(f.ctx)
	f.wg.Go(func() {
		defer cancel()
		defer g.Close()
		if err := srv.Serve(ctx, g); err != nil && f.ctx.Err() == nil {
			select {
			case f.failed <- err:
			default:
			}
		}
	})
	f.wg.Go(func() { g.retire(ctx, cancel) })
	if old != nil {
		close(old.retired)
	}
}

// count keeps the number of open connections.
func (g *generation) count(t *relay.Trace) {
	in, out := t.Connected, t.Disconnected
	t.Connected = func(a netip.Addr) {
		g.open.Add(1)
		if in != nil {
			in(a)
		}
	}
	t.Disconnected = func(a netip.Addr) {
		g.open.Add(-1)
		if out != nil {
			out(a)
		}
	}
}

// retire ends the server once it is retired and its last connection has ended.
func (g *generation) retire(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-g.retired:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(settle)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if g.open.Load() == 0 {
				cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// accept takes connections from ln until the gateway drains.
func (f *front) accept(ln net.Listener) {
	stop := context.AfterFunc(f.ctx, func() { ln.Close() })
	f.wg.Go(func() {
		defer stop()
		var pause time.Duration
		for {
			c, err := ln.Accept()
			switch {
			case err == nil:
				pause = 0
				f.give(c)
			case f.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
				return
			default: // out of files or memory: let others finish first
				pause = min(cmp.Or(2*pause, 5*time.Millisecond), time.Second)
				f.log.Error("cannot accept connections", "listen", ln.Addr().String(), "error", err, "retry", pause)
				select {
				case <-time.After(pause):
				case <-f.ctx.Done():
					return
				}
			}
		}
	})
}

// give hands a connection to the server in force.
func (f *front) give(c net.Conn) {
	for {
		f.mu.Lock()
		g := f.current
		f.mu.Unlock()
		select {
		case g.conns <- c:
			return
		case <-g.retired:
		case <-g.closed:
			c.Close()
			return
		}
	}
}

// wait returns when all servers have drained.
func (f *front) wait() { f.wg.Wait() }

// Accept implements net.Listener for the server.
func (g *generation) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *generation) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

// Addr implements net.Listener.
func (g *generation) Addr() net.Addr { return g.addr }
