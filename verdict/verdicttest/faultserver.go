package verdicttest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// FaultServer is a proxy in front of a server that breaks its connections on demand. It knows nothing
// of the protocol. Its methods may be called from many goroutines at once.
type FaultServer struct {
	tb      testing.TB
	backend net.Addr
	addr    net.Addr
	wg      sync.WaitGroup

	mu    sync.Mutex
	ln    net.Listener // nil while connections are refused
	fault Fault
	conns map[net.Conn]context.CancelFunc
	over  bool

	counts atomic.Pointer[counts]
}

// counts belong to the connections since one Set: an older one that is not quite closed counts elsewhere.
type counts struct{ accepted, replied, sent atomic.Int64 }

// NewFaultServer returns a proxy in front of the server at backend, on the same kind of network: a free
// port of 127.0.0.1 for "tcp", a socket in a folder of its own for "unix". It ends with the test.
func NewFaultServer(tb testing.TB, backend net.Addr) *FaultServer {
	tb.Helper()
	s := &FaultServer{tb: tb, backend: backend, conns: make(map[net.Conn]context.CancelFunc)}
	address := "127.0.0.1:0"
	if backend.Network() == "unix" {
		dir, err := os.MkdirTemp("", "fault") // the names of TB.TempDir are too long for a socket
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	s.counts.Store(new(counts))
	if err := s.begin(address); err != nil {
		tb.Fatalf("verdicttest: %v", err)
	}
	s.addr = s.ln.Addr()
	tb.Cleanup(s.close)
	return s
}

// begin listens at an address, or for TCP on a port that nobody is given while it refuses connections: one below those
// that systems give out by themselves.
func (s *FaultServer) begin(address string) error {
	if s.backend.Network() == "unix" {
		return s.listen(address)
	}
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000)))
		if err == nil {
			s.serveOn(ln)
			return nil
		}
	}
	return s.listen(address)
}

// serveOn takes connections.
func (s *FaultServer) serveOn(ln net.Listener) {
	s.ln = ln
	s.wg.Go(func() { s.accept(ln) })
}

// Addr returns the address to connect to. It stays the same.
func (s *FaultServer) Addr() net.Addr { return s.addr }

// Set closes all connections and breaks those that come from now on. The counters begin at 0 again.
func (s *FaultServer) Set(f Fault) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
	for c, cancel := range s.conns {
		cancel()
		c.Close()
	}
	clear(s.conns)
	s.counts.Store(new(counts))
	switch {
	case f.Kind == Refuse && s.ln != nil:
		s.ln.Close()
		s.ln = nil
	case f.Kind != Refuse && s.ln == nil && !s.over:
		if err := s.listen(s.addr.String()); err != nil {
			s.tb.Errorf("verdicttest: listening again: %v", err)
		}
	}
}

// Accepted returns the number of connections since the last Set.
func (s *FaultServer) Accepted() int { return int(s.counts.Load().accepted.Load()) }

// Replied returns how many bytes the server behind has said since the last Set.
func (s *FaultServer) Replied() int64 { return s.counts.Load().replied.Load() }

// Sent returns how many bytes have gone to clients since the last Set.
func (s *FaultServer) Sent() int64 { return s.counts.Load().sent.Load() }

// listen begins to listen. Another process may hold the port for a moment after it was given back.
func (s *FaultServer) listen(address string) error {
	network := s.backend.Network()
	if network == "unix" {
		os.Remove(address)
	}
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		var ln net.Listener
		if ln, err = net.Listen(network, address); err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // so that it refuses, instead of being gone
		}
		s.serveOn(ln)
		return nil
	}
	return err
}

func (s *FaultServer) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			c.Close()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.conns[c] = cancel
		fault, n := s.fault, s.counts.Load()
		s.mu.Unlock()
		n.accepted.Add(1)
		s.wg.Go(func() {
			s.serve(ctx, c, fault, n)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
			cancel()
			c.Close()
		})
	}
}

func (s *FaultServer) close() {
	s.mu.Lock()
	s.over = true
	if s.ln != nil {
		s.ln.Close()
	}
	for c, cancel := range s.conns {
		cancel()
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// serve is the life of one connection.
func (s *FaultServer) serve(ctx context.Context, c net.Conn, f Fault, counted *counts) {
	switch f.Kind {
	case Close, Refuse:
		return
	case Deaf:
		<-ctx.Done()
		return
	case Hang:
		io.Copy(io.Discard, c)
		<-ctx.Done() // the client may have closed its side only
		return
	}
	b, err := net.Dial(s.backend.Network(), s.backend.String())
	if err != nil {
		return
	}
	defer b.Close()
	stop := context.AfterFunc(ctx, func() { b.Close() })
	defer stop()
	s.wg.Go(func() {
		io.Copy(b, c)
		closeWrite(b)
	})
	s.answer(ctx, c, b, f, counted)
}

// answer carries what the server says to the client.
func (s *FaultServer) answer(ctx context.Context, c net.Conn, b io.Reader, f Fault, counted *counts) {
	p := make([]byte, 32<<10)
	w := &counter{c, &counted.sent}
	for total := int64(0); ; {
		n, err := b.Read(p)
		if n > 0 && total == 0 && f.Kind == Late && !pause(ctx, f.Delay) {
			return
		}
		counted.replied.Add(int64(n))
		if f.strikes() && total+int64(n) > f.After {
			w.Write(p[:max(0, f.After-total)])
			strike(w, f.Kind)
			return
		}
		total += int64(n)
		if f.Kind == Drip {
			for i := range n {
				if _, err := w.Write(p[i : i+1]); err != nil || !pause(ctx, f.Delay) {
					return
				}
			}
		} else if _, err := w.Write(p[:n]); err != nil {
			return
		}
		if err != nil {
			closeWrite(c)
			return
		}
	}
}

// strike ends a connection as the kind says. Cut needs nothing but its end.
func strike(w *counter, k Kind) {
	switch k {
	case Reset:
		if t, ok := w.Conn.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
	case Noise:
		w.Write(noise(64 << 10))
	case Flood:
		p := noise(64 << 10)
		for i := range p {
			p[i] = 'a' + p[i]%26
		}
		for {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
	}
}

// counter counts what is written.
type counter struct {
	net.Conn
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
}

// pause waits, and says whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
