package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// Notices that nobody has to get take a part of the queue, and leave the rest to mail.
func TestRoomForNotices(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		const most = 64 << 10
		c.QueuedBytes, c.WarnAfter = most, time.Millisecond
		s := open(t, c.Quick())
		relayed := func(s *store.Store, id string) error {
			m := vouchedFor(message(id, "b@ex.net"))
			m.Envelope.To[0].Notify = []string{"SUCCESS"}
			return s.Relayed(t.Context(), nil, m, m.Envelope, taken(m.Envelope))
		}
		var err error
		n := 0
		for ; err == nil && n < 100; n++ {
			err = relayed(s, fmt.Sprint("r", n))
		}
		if !errors.Is(err, store.ErrFull) || n < 3 {
			t.Fatalf("notice %d: %v", n, err)
		}
		var sum int64
		for _, q := range waiting(t, s) {
			sum += q.Size
		}
		if sum > most/8 || len(bodyKeys(t, s)) != n-1 {
			t.Errorf("%d bytes of notices, %d bodies of %d", sum, len(bodyKeys(t, s)), n-1)
		}
		// Another node knows of them too.
		if err := relayed(open(t, c), "other"); !errors.Is(err, store.ErrFull) {
			t.Errorf("on another node: %v", err)
		}
		// Mail has room, and its sender is told what has to be told.
		h := &script{tries: map[string]int{}, says: map[string][]int{"b@ex.net": {250}, "gone@ex.net": {550}, "grey@ex.net": {451}}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		m := vouchedFor(message("m1", "b@ex.net", "gone@ex.net", "grey@ex.net"))
		m.Envelope.To[0].Notify = []string{"SUCCESS"}
		if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "attempt", func() bool { q, err := s.QueuedMessage(t.Context(), "m1"); return err == nil && q.Attempts > 0 })
		sweepUntil(t, s, "warning", func() bool { q, err := s.QueuedMessage(t.Context(), "m1"); return err == nil && q.Warned })
		var got []string
		for _, k := range kinds(t, s, "m1") {
			k, _, _ = strings.Cut(k, " bytes are kept")
			got = append(got, strings.TrimRight(k, "0123456789"))
		}
		want := []string{
			"notice: ID to a@ex.org is queued: failed, 1 of 3 recipients",
			"not told: relayed: there is no room for the notice: store: full: ",
			"not told: delayed: there is no room for the notice: store: full: ",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// Nobody waits for a database to learn that a sender who may be forged is not told, and the reason is in the log.
func TestRelayedForgedWritesNothing(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	gate := make(chan struct{})
	var log dialogtest.Log
	s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil)), Step: func(name string) error {
		if name == "tx.begin" && hang.Load() {
			<-gate
		}
		return nil
	}})
	hang.Store(true)
	defer close(gate)
	m := message("m1", "b@ex.net")
	m.Envelope.To[0].Notify = []string{"SUCCESS"}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Relayed(ctx, nil, m, m.Envelope, taken(m.Envelope)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `msg="the sender is not told" id=m1 why="relayed: nobody vouched for the address"`) {
		t.Error(log.String())
	}
}

// A sender whom nobody vouches for gets nothing of what a message says, by whatever way: it would be the words of a
// stranger in a message of ours.
func TestNoticeToForged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vouched, hosted, tls bool
	}{
		"hosted":                    {false, true, false},
		"elsewhere":                 {false, false, false},
		"elsewhere, and REQUIRETLS": {false, false, true},
		"vouched, hosted":           {true, true, false},
		"vouched, elsewhere":        {true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			w := &way{says: func(e verdict.Envelope) *relay.Reply {
				if e.RequireTLS {
					return &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 30}, Err: relay.ErrLacking}
				}
				return &relay.Reply{Code: 250}
			}}
			d := &relay.Domain{Name: "ex.net", Next: gone, Mode: relay.StoreAndForward}
			dir, rc := relay.Static{"ex.net": d}, store.RunConfig{Bounces: w}
			if c.hosted {
				dir["ex.org"], rc.Bounces = &relay.Domain{Name: "ex.org", Next: w, Token: "s3cret"}, nil
			}
			rc.Directory = dir
			m := message("m1", "b@ex.net")
			if c.vouched {
				vouchedFor(m)
			}
			m.Envelope.RequireTLS = c.tls
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, verdict.Bytes("X-Evil: click here\r\n"+mail), ""); err != nil {
				t.Fatal(err)
			}
			run(t, s, rc)
			await(t, "notice", func() bool { return len(w.sent()) > 0 })
			got := w.sent()[0]
			wellFormed(t, got.text)
			if strings.Contains(got.text, "click here") != c.vouched || strings.Contains(got.text, "rfc822-headers") != c.vouched {
				t.Error(got.text)
			}
			if d := cmp.Diff([]string{"failed 5.1.1 b@ex.net"}, fates(t, w)); d != "" {
				t.Error(d)
			}
			if !strings.HasSuffix(got.text, "--\r\n") || strings.HasPrefix(got.text, "X-Postreeve-Token: s3cret\r\n") != c.hosted {
				t.Error(got.text)
			}
		})
	}
}
