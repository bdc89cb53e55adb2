package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

func states(list []store.HeldRecipient) (out []string) {
	for _, r := range list {
		out = append(out, r.State)
	}
	return out
}

// What becomes of a release, by what the next hop says, and what the next release does then.
func TestReleaseOutcomes(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		reply := func(code int, err error) *relay.Reply { return &relay.Reply{Code: code, Text: "x", Err: err} }
		for i, tt := range []struct {
			name    string
			replies []*relay.Reply // to two recipients
			err     error
			want    []string
			again   int // deliveries of the next release, to how many
			force   int // of one that says Again
		}{
			{"taken", []*relay.Reply{reply(250, nil), reply(250, nil)}, nil, []string{"released", "released"}, 0, 0},
			{"one refused", []*relay.Reply{reply(250, nil), reply(550, nil)}, nil, []string{"released", "held"}, 1, 1},
			{"away", nil, errDown, []string{"held", "held"}, 2, 2},
			{"lost reply", nil, fmt.Errorf("x: %w", relay.ErrUncertain), []string{"uncertain", "uncertain"}, 0, 2},
			{"lost reply to one", []*relay.Reply{reply(250, nil), reply(451, relay.ErrUncertain)}, nil, []string{"released", "uncertain"}, 0, 1},
			{"no reply", []*relay.Reply{nil, reply(250, nil)}, nil, []string{"uncertain", "released"}, 0, 1},
		} {
			t.Run(tt.name, func(t *testing.T) {
				id := fmt.Sprintf("m%d", i)
				if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message(id, "b@ex.net", "c@ex.net"), nil); err != nil {
					t.Fatal(err)
				}
				_, err := s.Release(t.Context(), store.Release{ID: id, Who: "admin", Deliver: func(context.Context, store.Held, verdict.Envelope, verdict.Source, string) ([]relay.Receipt, error) {
					var out []relay.Receipt
					for _, r := range tt.replies {
						out = append(out, relay.Receipt{Reply: r})
					}
					return out, tt.err
				}})
				if (err == nil) != (tt.name == "taken") {
					t.Errorf("error %v", err)
				}
				h, err := s.HeldMessage(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, states(h.Recipients)); d != "" {
					t.Error(d)
				}
				next := func(again bool) (n int) {
					_, _ = s.Release(t.Context(), store.Release{ID: id, Who: "admin", Again: again, Deliver: func(_ context.Context, _ store.Held, e verdict.Envelope, _ verdict.Source, _ string) ([]relay.Receipt, error) {
						n = len(e.To)
						return nil, errDown
					}})
					return n
				}
				if n := next(false); n != tt.again {
					t.Errorf("the next release goes to %d, want %d", n, tt.again)
				}
				if n := next(true); n != tt.force {
					t.Errorf("with Again it goes to %d, want %d", n, tt.force)
				}
			})
		}
	})
}

// A node that dies while it releases leaves it uncertain, and nothing stuck.
func TestReleaseCrash(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		var s *store.Store
		dead := false
		c.Step = func(name string) error {
			if dead {
				return errCrash
			}
			return nil
		}
		s = open(t, c)
		h := &hop{}
		if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
			t.Fatal(err)
		}
		_, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Deliver: func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, _ string) ([]relay.Receipt, error) {
			dead = true
			return h.Deliver(ctx, e, body)
		}})
		if !errors.Is(err, errCrash) {
			t.Errorf("a release that cannot be written down: %v", err)
		}
		dead = false
		if err := s.DeleteHeld(t.Context(), "m1", "admin"); err == nil {
			t.Error("deleted while it is being released")
		}
		if err := s.Exec(t.Context(), "UPDATE held_recipient SET at = ?", time.Now().Add(-time.Hour).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if err := s.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := s.HeldMessage(t.Context(), "m1")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"uncertain"}, states(got.Recipients)); d != "" {
			t.Error(d)
		}
		if p := s.Check(t.Context()); len(p) != 1 || p[0].What != "quarantine" {
			t.Errorf("%+v", p)
		}
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Deliver: deliverBy(h)}); err == nil || h.count("b@ex.net") != 1 {
			t.Errorf("%v, delivered %d times", err, h.count("b@ex.net"))
		}
		if err := s.DeleteHeld(t.Context(), "m1", "admin"); err != nil {
			t.Error(err)
		}
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Again: true, Deliver: deliverBy(h)}); err == nil || h.count("b@ex.net") != 1 {
			t.Errorf("released after it was deleted: %v", err)
		}
		if _, err := s.HeldBody(t.Context(), "m1"); !errors.Is(err, store.ErrNoBody) {
			t.Error(err)
		}
	})
}

// The mark of a release holds for the same message and its recipients, and for nothing else.
func TestReleasedMark(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		for _, id := range []string{"m1", "m2"} {
			if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message(id, "b@ex.net", "c@ex.net"), nil); err != nil {
				t.Fatal(err)
			}
		}
		var mark string
		if _, err := s.Release(t.Context(), store.Release{ID: "m1", Who: "admin", Recipients: []string{"B@ex.net"},
			Deliver: func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, m string) ([]relay.Receipt, error) {
				mark = m
				return (&hop{}).Deliver(ctx, e, body)
			}}); err != nil {
			t.Fatal(err)
		}
		other := verdict.NewMessage(verdict.Bytes("From: evil@ex.org\r\nMessage-ID: <1@ex.org>\r\n\r\nx\r\n"))
		other.Envelope = message("x", "b@ex.net").Envelope
		for _, tt := range []struct {
			name string
			m    *verdict.Message
			mark string
			want bool
		}{
			{"the message", message("x", "b@ex.net"), mark, true},
			{"with space", message("x", "B@ex.net"), " " + mark + " ", true},
			{"to one who did not get it", message("x", "c@ex.net"), mark, false},
			{"to one more", message("x", "b@ex.net", "z@ex.net"), mark, false},
			{"to nobody", message("x"), mark, false},
			{"from another author", other, mark, false},
			{"one that was not released", message("x", "b@ex.net"), s.Mark("m2"), false},
			{"one that is not there", message("x", "b@ex.net"), s.Mark("m3"), false},
			{"forged", message("x", "b@ex.net"), mark[:len(mark)-2] + "xx", false},
			{"empty", message("x", "b@ex.net"), "", false},
		} {
			if got := s.Released(t.Context(), tt.m, tt.mark); got != tt.want {
				t.Errorf("%s: %v", tt.name, got)
			}
		}
	})
}

// What is old enough goes, with its bytes; nothing else does.
func TestRetention(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		c.LedgerFor = time.Hour
		s := open(t, c)
		ctx := t.Context()
		d := &relay.Domain{Name: "ex.net"}
		for _, id := range []string{"old", "new"} {
			m := message(id, "b@ex.net")
			if _, err := s.Hold(ctx, d, m, &verdict.Report{}); err != nil {
				t.Fatal(err)
			}
			if err := s.RecordMessage(ctx, d, m, relay.Outcome{ID: id, Domain: "ex.net", Size: m.Size()}); err != nil {
				t.Fatal(err)
			}
		}
		m := message("queued", "b@ex.net")
		if err := s.Enqueue(ctx, d, m, m.Envelope, m); err != nil {
			t.Fatal(err)
		}
		if err := s.Bodies().Put(ctx, store.NewKey(), verdict.Bytes("orphan")); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(ctx, "UPDATE held SET expires = 1 WHERE id = 'old'"); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(ctx, "UPDATE message SET at = 1 WHERE id = 'old'"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Retain(ctx), s.Sweep(ctx, 0)); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]bool{"old": false, "new": true} {
			if _, err := s.HeldMessage(ctx, id); (err == nil) != want {
				t.Errorf("held %s: %v", id, err)
			}
			if _, err := s.Message(ctx, id); (err == nil) != want {
				t.Errorf("message %s: %v", id, err)
			}
		}
		if got := read(t, func() (verdict.Source, error) { return s.HeldBody(ctx, "new") }); got != mail {
			t.Errorf("%q", got)
		}
		if got := read(t, func() (verdict.Source, error) { return s.QueuedBody(ctx, "queued") }); got != mail {
			t.Errorf("%q", got)
		}
		n := 0
		for _, err := range s.Bodies().List(ctx) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != 2 {
			t.Errorf("%d bodies are left, want 2", n)
		}
	})
}
