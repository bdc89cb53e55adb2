package relay

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// The engine and the end of the time to drain may close a connection at the same moment: it is counted out
// once.
func TestGatedConnCloseTwice(t *testing.T) {
	t.Parallel()
	var gone atomic.Int32
	s := &Server{Hostname: "mx", Trace: Trace{Disconnected: func(netip.Addr) { gone.Add(1) }}}
	s.init()
	for range 50 {
		c, peer := net.Pipe()
		defer peer.Close()
		g := &gatedConn{Conn: c, srv: s, ctx: t.Context()}
		g.open()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { g.Close() })
		}
		wg.Wait()
	}
	if s.admit.total != 0 || gone.Load() != 50 {
		t.Errorf("%d connections are counted, %d were told as gone, want 0 and 50", s.admit.total, gone.Load())
	}
}
