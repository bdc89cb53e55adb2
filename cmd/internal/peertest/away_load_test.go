package peertest

import (
	"fmt"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay/relaytest"
)

// door is an address that refuses connections until it is opened. It is nobody else's meanwhile, which an address
// that was free a while ago may be.
type door struct {
	fd   int
	addr string
}

func shut(t *testing.T) *door {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{fd: fd}
	t.Cleanup(func() {
		if d.fd >= 0 {
			syscall.Close(d.fd)
		}
	})
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	d.addr = fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	return d
}

// open lets a sink answer there until the test ends.
func (d *door) open(t *testing.T, sink *relaytest.Sink) {
	t.Helper()
	if err := syscall.Listen(d.fd, 128); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(d.fd), "door")
	d.fd = -1
	ln, err := net.FileListener(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		sink.Close()
	})
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go sink.Serve(nc)
		}
	}()
}

// stream is a load that comes at its own pace, however long the answers take.
type stream struct {
	rate, sessions, size int // messages a second, connections, bytes of a message
	acks
	took []time.Duration // from when a message should have left to its 250
}

// run sends for a time. Senders are id@ex.org, with ids of their own.
func (s *stream) run(t *testing.T, addr string, d time.Duration) {
	t.Helper()
	total := int(d.Seconds() * float64(s.rate))
	due := make(chan int, total)
	s.ids = make(map[string]bool, total)
	start, pace := time.Now(), time.Second/time.Duration(s.rate)
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", s.size/78)
	var wg sync.WaitGroup
	for n := range s.sessions {
		wg.Go(func() {
			if err := s.session(addr, due, start, pace, body); err != nil {
				t.Errorf("session %d: %v", n, err)
			}
		})
	}
	for i := range total {
		time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
		due <- i
	}
	close(due)
	wg.Wait()
	slices.Sort(s.took)
}

func (s *stream) session(addr string, due <-chan int, start time.Time, pace time.Duration, body string) error {
	nc, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer nc.Close()
	c := textproto.NewConn(nc)
	say := func(line string, codes ...int) error {
		nc.SetDeadline(time.Now().Add(2 * time.Minute))
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		for _, code := range codes {
			if _, _, err := c.ReadResponse(code); err != nil {
				return fmt.Errorf("after %.40q: %w", line, err)
			}
		}
		return nil
	}
	if err := say("", 220); err != nil {
		return err
	}
	if err := say("EHLO load.example", 250); err != nil {
		return err
	}
	for i := range due {
		id := fmt.Sprintf("m%d", i)
		if err := say("MAIL FROM:<"+id+"@ex.org>\r\nRCPT TO:<b@ex.net>\r\nDATA", 250, 250, 354); err != nil {
			return err
		}
		if err := say("Subject: "+id+"\r\n\r\n"+body+".", 250); err != nil {
			return err
		}
		s.mu.Lock()
		s.ids[id+"@ex.org"] = true
		s.took = append(s.took, time.Since(start.Add(time.Duration(i)*pace)))
		s.mu.Unlock()
	}
	return say("QUIT", 221)
}

// at is how long the answer took at most for a part of all messages.
func (s *stream) at(part float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[min(int(part*float64(len(s.took))), len(s.took)-1)].Round(time.Millisecond)
}
