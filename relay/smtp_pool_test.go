package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// pipeHop is a next hop over pipes, for tests about time.
func pipeHop(t *testing.T, s *relaytest.Sink) *relay.SMTP {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { s.Close() })
	return &relay.SMTP{
		Hosts: []string{"192.0.2.1"}, Hostname: "gw.example",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			wg.Go(func() { s.Serve(b) })
			return a, nil
		},
	}
}

func mustDeliver(t *testing.T, h relay.NextHop, to ...string) {
	t.Helper()
	got := codes(h.Deliver(t.Context(), hopEnvelope(to...), verdict.Bytes(crlfBody)))
	if slices.ContainsFunc(got, func(c string) bool { return c != "250 2.0.0" }) {
		t.Fatalf("delivery to %q: %q", to, got)
	}
}

// A hop that ends idle sessions, in whatever way, costs one new connection and no error.
func TestSMTPStaleConnection(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*relaytest.Fault{
		"closed silently while idle": nil,
		"closed at the next command": {At: relaytest.AtMail, Skip: 1, Times: 1, Drop: true},
		"421 at the next command":    {At: relaytest.AtMail, Skip: 1, Times: 1, Reply: "421 4.4.2 idle"},
	} {
		s := &relaytest.Sink{}
		if f != nil {
			s.Faults = []relaytest.Fault{*f}
		}
		h := newHop(t, s)
		mustDeliver(t, h, "b")
		if f == nil {
			s.Hangup()
		}
		mustDeliver(t, h, "c")
		if n := len(s.Messages()); n != 2 || s.Conns() != 2 {
			t.Errorf("%s: %d messages over %d connections, want 2 over 2", name, n, s.Conns())
		}
	}
}

// A reply out of turn would be taken for that to the next command, and all after it too.
func TestSMTPReplyWhileIdle(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Match: "<c>", Reply: "554 5.7.1 no"}}}
	h := newHop(t, s)
	mustDeliver(t, h, "b")
	s.Say("250 2.0.0 out of turn")
	got := codes(h.Deliver(t.Context(), hopEnvelope("c"), verdict.Bytes(crlfBody)))
	if d := cmp.Diff([]string{"554 5.7.1"}, got); d != "" || s.Conns() != 2 {
		t.Errorf("%d connections, want 2; %s", s.Conns(), d)
	}
}

// Only one retry, and never after the hop has had the whole message.
func TestSMTPNoRepeat(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Skip: 1, Drop: true, Keep: true}}}
	h := newHop(t, s)
	mustDeliver(t, h, "b")
	got, err := h.Deliver(t.Context(), hopEnvelope("c"), verdict.Bytes(crlfBody))
	if d := cmp.Diff([]string{"451 4.4.2"}, codes(got, err)); d != "" || !errors.Is(got[0].Reply, relay.ErrUncertain) {
		t.Errorf("%s %v", d, got)
	}
	if n := len(s.Messages()); n != 2 || s.Conns() != 1 {
		t.Errorf("%d messages over %d connections, want 2 over 1", n, s.Conns())
	}

	s = &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtMail, Skip: 1, Drop: true}}}
	h = newHop(t, s)
	mustDeliver(t, h, "b")
	if got := codes(h.Deliver(t.Context(), hopEnvelope("c"), verdict.Bytes(crlfBody))); got[0] != "error 451 4.4.2" || s.Conns() != 2 {
		t.Errorf("%q over %d connections, want one retry", got, s.Conns())
	}
}

func TestSMTPMaxConns(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{}
	var open, most atomic.Int32
	h := newHop(t, s)
	h.MaxConns = 3
	h.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if n := open.Add(1); n > most.Load() {
			most.Store(n)
		}
		return countedConn{nc, sync.OnceFunc(func() { open.Add(-1) })}, err
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for j := range 10 {
				if got := codes(h.Deliver(t.Context(), hopEnvelope(fmt.Sprint(i, "-", j, "@ex.net")), verdict.Bytes(crlfBody))); got[0] != "250 2.0.0" {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || len(s.Messages()) != 120 {
		t.Errorf("%d messages over up to %d connections, want 120 over 3", len(s.Messages()), most.Load())
	}
	h.Close()
	if open.Load() != 0 {
		t.Errorf("%d connections left open", open.Load())
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c countedConn) Close() error { c.closed(); return c.Conn.Close() }

func TestSMTPWaiterGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtDot, Delay: time.Minute, Times: 1}}}
		h := pipeHop(t, s)
		h.MaxConns = 1
		var wg sync.WaitGroup
		wg.Go(func() { mustDeliver(t, h, "b") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		got := codes(h.Deliver(ctx, hopEnvelope("c"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"error 451 4.4.5"}, got); d != "" || time.Since(start) != time.Second {
			t.Errorf("after %v: %s", time.Since(start), d)
		}
		wg.Wait()
		h.Close()
	})
}

// The bubble would not end if a goroutine or connection were left.
func TestSMTPIdleEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{}
		h := pipeHop(t, s)
		h.IdleTimeout = time.Minute
		mustDeliver(t, h, "b")
		time.Sleep(40 * time.Second)
		mustDeliver(t, h, "c")
		time.Sleep(59 * time.Second)
		if s.Open() != 1 || s.Conns() != 1 {
			t.Errorf("%d of %d connections open before the time, want 1 of 1", s.Open(), s.Conns())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.Open() != 0 {
			t.Errorf("%d connections open after the time", s.Open())
		}
		if last := s.Commands()[len(s.Commands())-1]; last != "1 QUIT" {
			t.Errorf("last command %q, want QUIT", last)
		}
		mustDeliver(t, h, "d")
		h.Close()
		synctest.Wait()
		if s.Open() != 0 || s.Conns() != 2 {
			t.Errorf("%d of %d connections open at the end, want 0 of 2", s.Open(), s.Conns())
		}
	})
}

// Connections do not live for ever, since servers end long sessions.
func TestSMTPConnectionLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{}
		h := pipeHop(t, s)
		for range 100 {
			mustDeliver(t, h, "b")
			time.Sleep(20 * time.Second)
		}
		if s.Conns() != 3 { // 33 minutes
			t.Errorf("%d connections, want 3", s.Conns())
		}
		h.Close()
	})
}

func TestSMTPClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []relaytest.Stage{relaytest.AtConnect, relaytest.AtMail, relaytest.AtDot} {
			s := &relaytest.Sink{Faults: []relaytest.Fault{{At: at, Delay: time.Hour, Times: 1}}}
			h := pipeHop(t, s)
			done := make(chan error, 1)
			go func() {
				got, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody))
				if err == nil {
					err = got[0].Reply
				}
				done <- err
			}()
			synctest.Wait()
			start := time.Now()
			h.Close()
			h.Close()
			if err := <-done; err == nil || !relay.Temporary(err) || time.Since(start) > time.Second {
				t.Errorf("%s: %v after %v, want a temporary error at once", at, err, time.Since(start))
			}
			if _, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody)); !errors.Is(err, relay.ErrClosed) {
				t.Errorf("%s: after Close: %v", at, err)
			}
			s.Close()
		}
	})
}

func TestSMTPLimits(t *testing.T) {
	t.Parallel()
	to := []string{"a@x", "b@x", "c@y", "d@y", "e@x"}
	for _, c := range []struct {
		limits  string
		perConn int
		idle    int
		parts   [][]string // of each of two deliveries
		conns   int
	}{
		{"RCPTMAX=2", 0, 0, [][]string{{"a@x", "b@x"}, {"c@y", "d@y"}, {"e@x"}}, 1},
		{"RCPTDOMAINMAX=1", 0, 0, [][]string{{"a@x", "b@x"}, {"c@y", "d@y"}, {"e@x"}}, 1},
		{"RCPTMAX=4 MAILMAX=1", 0, 0, [][]string{{"a@x", "b@x", "c@y", "d@y"}, {"e@x"}}, 4},
		{"RCPTMAX=0 NONSENSE FOO=1", 0, 0, [][]string{to}, 1},
		{"MAILMAX=1", 0, 0, [][]string{to}, 2},
		{"", 1, 0, [][]string{to}, 2},
		{"", 0, -1, [][]string{to}, 2},
	} {
		s := &relaytest.Sink{Also: []string{strings.TrimSpace("LIMITS " + c.limits)}}
		h := newHop(t, s)
		h.MaxPerConn, h.MaxIdle = c.perConn, c.idle
		mustDeliver(t, h, to...)
		mustDeliver(t, h, to...)
		var got [][]string
		for _, m := range s.Messages() {
			got = append(got, m.To)
		}
		if d := cmp.Diff(slices.Concat(c.parts, c.parts), got); d != "" || s.Conns() != c.conns {
			t.Errorf("%s: %d connections, want %d; %s", c.limits, s.Conns(), c.conns, d)
		}
	}
	s := &relaytest.Sink{Also: []string{"LIMITS RCPTMAX=2"}}
	if got := codes(newHop(t, s).DeliverAll(t.Context(), hopEnvelope(to...), verdict.Bytes(crlfBody))); !slices.Equal(got, []string{"451 4.3.0", "451 4.3.0", "452 4.5.3", "452 4.5.3", "452 4.5.3"}) || len(s.Messages()) > 0 {
		t.Errorf("DeliverAll over the limit: %q", got)
	}
}

// Many deliveries over a hop that fails all the time: what is accepted was taken exactly once, what is
// refused for good was not taken.
func TestSMTPStorm(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{Faults: []relaytest.Fault{
		{At: relaytest.AtConnect, Skip: 5, Times: 3, Drop: true},
		{At: relaytest.AtMail, Skip: 20, Times: 10, Drop: true},
		{At: relaytest.AtRcpt, Match: "-3@", Reply: "550 5.1.1 who"},
		{At: relaytest.AtRcpt, Match: "-5@", Reply: "421 4.3.2 bye"},
		{At: relaytest.AtDot, Match: "-7@", Drop: true},
		{At: relaytest.AtBody, Match: "-9@", Drop: true},
	}}
	h := newHop(t, s)
	h.MaxConns, h.BreakAfter = 5, -1
	type outcome struct{ to, code string }
	var mu sync.Mutex
	var all []outcome
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 30 {
				to := fmt.Sprintf("%d.%d-%d@ex.net", i, j, j%10)
				got := codes(h.Deliver(t.Context(), hopEnvelope(to), verdict.Bytes(crlfBody)))
				mu.Lock()
				all = append(all, outcome{to, got[0]})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	taken := map[string]int{}
	for _, m := range s.Messages() {
		taken[m.To[0]]++
	}
	for _, o := range all {
		want := 0
		if o.code == "250 2.0.0" {
			want = 1
		}
		if taken[o.to] != want {
			t.Errorf("%s was told %q and taken %d times", o.to, o.code, taken[o.to])
		}
		if o.code == "550 5.1.1" && !strings.Contains(o.to, "-3@") {
			t.Errorf("%s was told %q", o.to, o.code)
		}
	}
	if len(s.Messages()) < 8*30/2 {
		t.Errorf("only %d of 240 were taken", len(s.Messages()))
	}
}
