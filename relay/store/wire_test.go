package store_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// middle stands between a store and its database.
type middle struct {
	mu    sync.Mutex
	conns []net.Conn
}

// between returns the URL of a database behind a middle. pass has what comes by a client's connection go on by the
// server's, and back, until one of them ends.
func between(t testing.TB, rawURL string, pass func(run func(func()), server, client net.Conn)) (string, *middle) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, to := &middle{}, u.Host
	u.Host = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			m.mu.Lock()
			m.conns = append(m.conns, c, s)
			m.mu.Unlock()
			pass(wg.Go, s, c)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		m.cut()
		wg.Wait()
	})
	return u.String(), m
}

// cut ends all connections that there are. New ones work.
func (m *middle) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
}

// wire is the network to a PostgreSQL: what goes there takes its time, and it is counted how often somebody waits for
// an answer.
type wire struct {
	*middle
	trip  time.Duration // there and back
	waits atomic.Int64
}

// wired returns the URL of a database at the other end of a wire.
func wired(t testing.TB, rawURL string, trip time.Duration) (string, *wire) {
	t.Helper()
	w := &wire{trip: trip}
	var far string
	far, w.middle = between(t, rawURL, func(run func(func()), s, c net.Conn) {
		run(func() { w.there(s, c) })
		run(func() { _, _ = io.Copy(c, s); c.Close() })
	})
	return far, w
}

// there passes on what the client says. It waits after each Sync, and after each Query.
func (w *wire) there(s, c net.Conn) {
	late := &delayed{dst: s, by: w.trip, queue: make(chan parcel, 1024), done: make(chan struct{})}
	go late.run()
	defer func() {
		close(late.queue)
		<-late.done
		s.Close()
	}()
	b := pgproto3.NewBackend(io.TeeReader(c, late), io.Discard)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	for {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			w.waits.Add(1)
		}
	}
}

type parcel struct {
	bytes []byte
	due   time.Time
}

// delayed writes everything by a time later, in the order in which it came.
type delayed struct {
	dst   io.Writer
	by    time.Duration
	queue chan parcel
	done  chan struct{}
}

func (d *delayed) Write(p []byte) (int, error) {
	if d.by == 0 {
		return d.dst.Write(p)
	}
	d.queue <- parcel{append([]byte(nil), p...), time.Now().Add(d.by)}
	return len(p), nil
}

func (d *delayed) run() {
	defer close(d.done)
	for p := range d.queue {
		if rest := syscall.NsecToTimespec(int64(time.Until(p.due))); rest.Nano() > 0 {
			_ = syscall.Nanosleep(&rest, nil) // time.Sleep takes a millisecond and more
		}
		_, _ = d.dst.Write(p.bytes) // who reads notices
	}
}
