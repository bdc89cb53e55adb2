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

// wire is the network to a PostgreSQL: what goes there takes its time, and it is counted how often somebody waits for
// an answer.
type wire struct {
	to    string
	trip  time.Duration // there and back
	waits atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
}

// wired returns the URL of a database at the other end of a wire.
func wired(t testing.TB, rawURL string, trip time.Duration) (string, *wire) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: u.Host, trip: trip}
	u.Host = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", w.to)
			if err != nil {
				c.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, c, s)
			w.mu.Unlock()
			wg.Go(func() { w.there(s, c) })
			wg.Go(func() { _, _ = io.Copy(c, s); c.Close() })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.cut()
		wg.Wait()
	})
	return u.String(), w
}

// cut ends all connections that there are. New ones work.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
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
