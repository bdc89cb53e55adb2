package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// What is long over and of which the Directory does not say where it goes is set aside, and not tried for ever. Who mends the
// Directory has it sent.
func TestNowhere(t *testing.T) {
	for name, lookup := range map[string]func() (*relay.Domain, error){
		"error":   func() (*relay.Domain, error) { return nil, errDown },
		"nothing": func() (*relay.Domain, error) { return nil, nil },
		"no hop":  func() (*relay.Domain, error) { return &relay.Domain{Name: "ex.net"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c store.Config) {
				s := open(t, c.Quick())
				h := &hop{}
				d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
				m := message("m1", "b@ex.net")
				if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
					t.Fatal(err)
				}
				if err := s.Rewrite(t.Context(), "UPDATE queued SET expires = @now - 10800000"); err != nil {
					t.Fatal(err)
				}
				var well atomic.Bool
				n := &way{}
				run(t, s, store.RunConfig{Bounces: n, Directory: directory(func(context.Context, string) (*relay.Domain, error) {
					if well.Load() {
						return d, nil
					}
					return lookup()
				})})
				sweepUntil(t, s, "end", func() bool { return waiting(t, s)[0].State == store.StateAside })
				if q := waiting(t, s)[0]; !strings.Contains(q.Last, "where the mail of its domain goes is not known") || q.Claimant != "" {
					t.Errorf("%+v", q)
				}
				well.Store(true)
				if _, err := s.RetryQueued(t.Context(), "admin", "m1"); err != nil {
					t.Fatal(err)
				}
				sweepUntil(t, s, "delivery", func() bool { return len(waiting(t, s)) == 0 })
				if h.count("b@ex.net") != 1 || len(n.sent()) != 0 {
					t.Errorf("delivered %d times, %d notices", h.count("b@ex.net"), len(n.sent()))
				}
			})
		})
	}
}

// A notice to a domain of ours without a hop ends in time, like one without a way. One of which nobody knows today whether its
// domain is ours does not: it is set aside.
func TestNoticeToNowhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		next *relay.Domain
		err  error
		over string // milliseconds since it expired
		ends bool
	}{
		"no hop":       {next: &relay.Domain{Name: "c.net"}, over: "3600000", ends: true},
		"nothing":      {over: "3600000", ends: true},
		"error":        {err: errDown, over: "10800000"},
		"never proven": {err: relay.ErrUnverified, over: "3600000", ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			q := &relay.Domain{Name: "q.net", Next: gone, Mode: relay.StoreAndForward}
			var asked atomic.Int64
			w := &way{says: func(verdict.Envelope) *relay.Reply { return ourselves }}
			run(t, s, store.RunConfig{Bounces: w, Directory: directory(func(_ context.Context, domain string) (*relay.Domain, error) {
				if domain == "q.net" {
					return q, nil
				}
				asked.Add(1)
				return c.next, c.err
			})})
			m := message("m1", "gone@q.net")
			m.Envelope.From = "user@c.net"
			if err := errors.Join(s.RecordMessage(t.Context(), q, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), q, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			await(t, "attempt", func() bool {
				list := waiting(t, s)
				return asked.Load() > 0 && len(list) == 1 && list[0].Attempts > 0
			})
			if err := s.Rewrite(t.Context(), "UPDATE queued SET due = 1, expires = @now - "+c.over); err != nil {
				t.Fatal(err)
			}
			if c.ends {
				sweepUntil(t, s, "end", func() bool { return len(waiting(t, s)) == 0 })
				if got := kinds(t, s, "m1"); len(got) != 2 || !strings.HasPrefix(got[1], store.StateNotTold) {
					t.Errorf("%q", got)
				}
				return
			}
			sweepUntil(t, s, "end", func() bool { return waiting(t, s)[0].State == store.StateAside })
		})
	}
}

var ourselves = &relay.Reply{Code: 554, Enhanced: relay.EnhancedCode{5, 4, 6}, Text: "next hop is ourselves"}

// loop is what a hop that finds hosts by MX says of a domain whose records lead here.
type loop struct{ asReceipt bool }

func (l loop) Deliver(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
	if l.asReceipt {
		return []relay.Receipt{{Recipient: e.To[0].Address, Reply: ourselves}}, nil
	}
	return nil, ourselves
}

// A notice to a domain that is not proven yet, whose MX records lead here already, waits until it is; one to a domain that is
// nobody's is refused.
func TestNoticeBeforeProof(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err       error
		asReceipt bool
		waits     bool
	}{
		"never proven":            {relay.ErrUnverified, false, true},
		"never proven, a receipt": {relay.ErrUnverified, true, true},
		"unknown":                 {relay.ErrUnknownDomain, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			q := &relay.Domain{Name: "q.net", Next: gone, Mode: relay.StoreAndForward}
			own := &way{}
			var proven atomic.Bool
			run(t, s, store.RunConfig{Bounces: loop{c.asReceipt}, Directory: directory(func(_ context.Context, domain string) (*relay.Domain, error) {
				switch {
				case domain == "q.net":
					return q, nil
				case proven.Load():
					return &relay.Domain{Name: "c.net", Next: own, Token: "s3cret"}, nil
				}
				return nil, c.err
			})})
			m := message("m1", "gone@q.net")
			m.Envelope.From = "user@c.net"
			if err := errors.Join(s.RecordMessage(t.Context(), q, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), q, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			if !c.waits {
				await(t, "refusal", func() bool { return len(waiting(t, s)) == 0 && len(kinds(t, s, "m1")) == 2 })
				return
			}
			await(t, "attempt", func() bool {
				list := waiting(t, s)
				return len(list) == 1 && list[0].Attempts > 0 || len(kinds(t, s, "m1")) > 1
			})
			if list := waiting(t, s); len(list) != 1 || !strings.Contains(list[0].Last, "451 4.4.6 next hop is ourselves") {
				t.Fatalf("%+v, %q", list, kinds(t, s, "m1"))
			}
			proven.Store(true)
			await(t, "notice", func() bool {
				if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
					t.Fatal(err)
				}
				return len(own.sent()) > 0
			})
			await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
			if got := kinds(t, s, "m1"); len(own.sent()) != 1 || len(got) != 2 || !strings.HasPrefix(got[1], store.StateTold+":") {
				t.Errorf("%d, %q", len(own.sent()), got)
			}
		})
	}
}
