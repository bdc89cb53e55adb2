package relay_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{}
		h := pipeHop(t, s)
		var log bytes.Buffer
		h.Logger = slog.New(slog.NewTextHandler(&log, nil))
		h.MaxIdle = -1
		pipe := h.Dial
		var dials atomic.Int32
		var down atomic.Bool
		h.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			if down.Load() {
				return nil, errors.New("refused")
			}
			return pipe(ctx, network, address)
		}
		try := func(want bool, tried int32) {
			t.Helper()
			before := dials.Load()
			_, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody))
			if (err == nil) != want || dials.Load()-before != tried {
				t.Errorf("at %v: %v after %d dials, want %v after %d", time.Now(), err, dials.Load()-before, want, tried)
			}
		}
		try(true, 1)
		down.Store(true)
		since := time.Now()
		for range 5 {
			try(false, 1)
		}
		try(false, 0) // open
		_, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody))
		if got := codes(nil, err); got[0] != "error 451 4.4.1" || !strings.Contains(err.Error(), since.UTC().Format(time.RFC3339)) {
			t.Errorf("%v does not say since when", err)
		}
		time.Sleep(11 * time.Second)
		try(false, 1) // a probe, and open again for longer
		time.Sleep(11 * time.Second)
		try(false, 0)
		time.Sleep(10 * time.Second)
		down.Store(false)
		try(true, 1)
		try(true, 1)
		if !strings.Contains(log.String(), "leaving it alone") || !strings.Contains(log.String(), "answers again") {
			t.Errorf("log: %s", &log)
		}
		h.Close()
	})
}

// While a probe is under way others do not wait for it, and one that was given up does not count.
func TestBreakerProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Times: 5, Drop: true}, {At: relaytest.AtConnect, Times: 1, Delay: 20 * time.Second}}}
		h := pipeHop(t, s)
		for range 5 {
			h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody))
		}
		time.Sleep(11 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := h.Deliver(ctx, hopEnvelope("b"), verdict.Bytes(crlfBody))
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		if _, err := h.Deliver(t.Context(), hopEnvelope("b"), verdict.Bytes(crlfBody)); err == nil || time.Since(start) > 0 || s.Conns() != 6 {
			t.Errorf("%v after %v and %d connections, want an error at once", err, time.Since(start), s.Conns())
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		mustDeliver(t, h, "b")
		h.Close()
	})
}

// A host that fails does not keep mail from the next one, and a working backup is left for the first
// choice after a while.
func TestSMTPFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &relaytest.Sink{}, &relaytest.Sink{Hostname: "backup.example"}
		a, b := pipeHop(t, first), pipeHop(t, second)
		var down atomic.Bool
		down.Store(true)
		h := &relay.SMTP{Hosts: []string{"192.0.2.1", "[2001:db8::2]:2525"}, Hostname: "gw.example", IdleTimeout: time.Hour}
		h.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			switch {
			case address == "[2001:db8::2]:2525":
				return b.Dial(ctx, network, address)
			case address != "192.0.2.1:25":
				t.Errorf("dialled %s", address)
			case down.Load():
				<-ctx.Done() // a black hole
				return nil, ctx.Err()
			}
			return a.Dial(ctx, network, address)
		}
		start := time.Now()
		mustDeliver(t, h, "b")
		if d := time.Since(start); d != 10*time.Second || len(second.Messages()) != 1 {
			t.Errorf("%d messages at the second after %v, want 1 after 10 s", len(second.Messages()), d)
		}
		down.Store(false)
		mustDeliver(t, h, "b")
		if len(second.Messages()) != 2 {
			t.Error("the connection to the backup was not used again")
		}
		time.Sleep(61 * time.Second)
		mustDeliver(t, h, "b")
		if len(first.Messages()) != 1 {
			t.Error("the first choice was not tried again")
		}
		h.Close()
	})
}
