package verdicttest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/verdicttest"
)

const answer = "0123456789"

// answering says the same to everybody who has ended to speak.
func answering(network string) func(tb testing.TB) net.Addr {
	return func(tb testing.TB) net.Addr {
		address := "127.0.0.1:0"
		if network == "unix" {
			f, err := os.CreateTemp("", "sock")
			if err != nil {
				tb.Fatal(err)
			}
			f.Close()
			os.Remove(f.Name())
			address = f.Name()
		}
		ln, err := net.Listen(network, address)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.Copy(io.Discard, c)
					io.WriteString(c, answer)
				}()
			}
		}()
		return ln.Addr()
	}
}

// question sends something and returns what comes back within a time, of which it reads up to 1 MiB.
func question(t *testing.T, a net.Addr, patience time.Duration) (string, error) {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "question"); err != nil {
		return "", err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	return string(b), err
}

func TestFaultServer(t *testing.T) {
	t.Parallel()
	const short, some, long = 60 * time.Millisecond, 2 * time.Second, 30 * time.Second
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := verdicttest.NewFaultServer(t, answering(network)(t))
			for _, tt := range []struct {
				fault    verdicttest.Fault
				patience time.Duration
				min, max int
				prefix   string
				err      error // nil: none, io.EOF: any
			}{
				{verdicttest.Fault{}, long, 10, 10, answer, nil},
				{verdicttest.Fault{Kind: verdicttest.Refuse}, long, 0, 0, "", syscall.ECONNREFUSED},
				{verdicttest.Fault{Kind: verdicttest.Refuse}, long, 0, 0, "", syscall.ECONNREFUSED},
				{verdicttest.Fault{Kind: verdicttest.Deaf}, short, 0, 0, "", os.ErrDeadlineExceeded},
				{verdicttest.Fault{Kind: verdicttest.Hang}, short, 0, 0, "", os.ErrDeadlineExceeded},
				{verdicttest.Fault{Kind: verdicttest.Late, Delay: time.Hour}, short, 0, 0, "", os.ErrDeadlineExceeded},
				{verdicttest.Fault{Kind: verdicttest.Late, Delay: time.Millisecond}, long, 10, 10, answer, nil},
				{verdicttest.Fault{Kind: verdicttest.Drip, Delay: time.Hour}, some, 1, 1, answer[:1], os.ErrDeadlineExceeded},
				{verdicttest.Fault{Kind: verdicttest.Drip, Delay: time.Millisecond}, long, 10, 10, answer, nil},
				{verdicttest.Fault{Kind: verdicttest.Cut}, long, 0, 0, "", nil},
				{verdicttest.Fault{Kind: verdicttest.Cut, After: 7}, long, 7, 7, answer[:7], nil},
				{verdicttest.Fault{Kind: verdicttest.Cut, After: 10}, long, 10, 10, answer, nil},
				{verdicttest.Fault{Kind: verdicttest.Noise, After: 5}, long, 5 + 64<<10, 5 + 64<<10, answer[:5], nil},
				{verdicttest.Fault{Kind: verdicttest.Flood, After: 5}, long, 1 << 20, 1 << 20, answer[:5], nil},
				{verdicttest.Fault{}, long, 10, 10, answer, nil},
			} {
				s.Set(tt.fault)
				got, err := question(t, s.Addr(), tt.patience)
				if len(got) < tt.min || len(got) > tt.max || got[:len(tt.prefix)] != tt.prefix || !errors.Is(err, tt.err) {
					t.Errorf("%v: %d bytes, %.20q, %v", tt.fault, len(got), got, err)
				}
				if tt.fault == (verdicttest.Fault{}) && (s.Accepted() != 1 || s.Replied() != 10 || s.Sent() != 10) {
					t.Errorf("%v: %d connections, %d bytes said, %d sent", tt.fault, s.Accepted(), s.Replied(), s.Sent())
				}
			}
		})
	}
}

// Close and Reset are errors or ends, depending on the network and on who is first.
func TestFaultServerReset(t *testing.T) {
	t.Parallel()
	s := verdicttest.NewFaultServer(t, answering("tcp")(t))
	s.Set(verdicttest.Fault{Kind: verdicttest.Reset, After: 5})
	got, err := question(t, s.Addr(), 30*time.Second)
	if len(got) > 5 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %q, %v", got, err)
	}
	s.Set(verdicttest.Fault{Kind: verdicttest.Close})
	if got, _ := question(t, s.Addr(), 30*time.Second); got != "" {
		t.Errorf("close: %q", got)
	}
}

// Set ends the connections that are open.
func TestFaultServerSetCloses(t *testing.T) {
	t.Parallel()
	s := verdicttest.NewFaultServer(t, answering("tcp")(t))
	s.Set(verdicttest.Fault{Kind: verdicttest.Hang})
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for s.Accepted() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Set(verdicttest.Fault{})
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v; want the end", n, err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range verdicttest.Faults(2) {
		got = append(got, fmt.Sprint(f))
	}
	want := []string{"refuse", "close", "deaf", "hang", "late", "drip",
		"cut at 0", "cut at 1", "reset at 0", "reset at 1", "noise at 0", "noise at 1", "flood at 0", "flood at 1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := len(verdicttest.Faults(100)); n != 6+4*4 {
		t.Errorf("%d faults", n)
	}
	if got := verdicttest.Kind(99).String(); got != "kind(99)" {
		t.Error(got)
	}
}
