package dialogtest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Pipe returns the two ends of a connection in memory. Other than that of net.Pipe it has a buffer, of
// capacity octets in each direction, as a socket has; 0 means 1 MiB. The addresses are those of the ends.
func Pipe(client, server netip.AddrPort, capacity int) (clientEnd, serverEnd *PipeConn) {
	if capacity <= 0 {
		capacity = 1 << 20
	}
	up, down := newStream(capacity), newStream(capacity)
	ca, sa := net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(server)
	return &PipeConn{in: down, out: up, local: ca, remote: sa}, &PipeConn{in: up, out: down, local: sa, remote: ca}
}

// PipeConn is one end of a Pipe.
type PipeConn struct {
	in, out       *stream
	local, remote net.Addr
}

// stream carries octets in one direction.
type stream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	capacity int
	ended    bool // the writer has closed
	gone     bool // the reader has closed

	read, write deadline
}

// deadline wakes those who wait when its time has come.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newStream(capacity int) *stream {
	s := &stream{capacity: capacity}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (s *stream) set(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

func (c *PipeConn) Read(p []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (c *PipeConn) Write(p []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for {
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.gone:
			return n, io.ErrClosedPipe
		case s.write.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := s.capacity - len(s.buf); room > 0 {
			m := min(room, len(p)-n)
			s.buf = append(s.buf, p[n:n+m]...)
			n += m
			s.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		s.changed.Wait()
	}
}

// CloseWrite ends what this end sends.
func (c *PipeConn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.ended = true
	c.out.changed.Broadcast()
	return nil
}

// Close ends both directions.
func (c *PipeConn) Close() error {
	c.in.mu.Lock()
	c.in.gone = true
	c.in.changed.Broadcast()
	c.in.mu.Unlock()
	c.in.set(&c.in.read, time.Time{})
	c.out.set(&c.out.write, time.Time{})
	return c.CloseWrite()
}

func (c *PipeConn) LocalAddr() net.Addr  { return c.local }
func (c *PipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *PipeConn) SetDeadline(t time.Time) error {
	return firstError(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *PipeConn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

func (c *PipeConn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}

// Listener hands out connections in memory.
type Listener struct {
	// Client is the address that clients come from; each gets another port. The zero value is 192.0.2.1.
	Client netip.Addr
	// Capacity is that of each Pipe.
	Capacity int

	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	port  uint16
}

// Listen returns a listener that nobody has connected to yet.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{}), port: 10000}
}

var serverAddr = netip.MustParseAddrPort("192.0.2.25:25")

// Dial connects to the listener. It waits until the connection is accepted or ctx ends.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client := l.Client
	if !client.IsValid() {
		client = netip.MustParseAddr("192.0.2.1")
	}
	l.mu.Lock()
	l.port++
	addr := netip.AddrPortFrom(client, l.port)
	l.mu.Unlock()
	c, s := Pipe(addr, serverAddr, l.Capacity)
	select {
	case l.conns <- s:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(serverAddr) }
