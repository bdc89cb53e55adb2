package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
		with := func(raw string) *verdict.Message {
			m := verdict.NewMessage(verdict.Bytes(raw))
			m.Envelope = message("x", "b@ex.net").Envelope
			return m
		}
		body := strings.Index(mail, "\r\n\r\n") + 2
		head, rest := mail[:body], mail[body+2:]
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
			{"from another author", with(strings.Replace(mail, "a@ex.org", "evil@ex.org", 1)), mark, false},
			{"of another id", with(strings.Replace(mail, "<1@", "<2@", 1)), mark, false},
			{"with another body", with(head + "\r\nhttps://evil.example/\r\n"), mark, false},
			{"with more in it", with(mail + "https://evil.example/\r\n"), mark, false},
			{"with less in it", with(head + "\r\n"), mark, false},
			{"to be read in another way", with(head + "Content-Type: text/html\r\n\r\n" + rest), mark, false},
			{"with a trace of the way", with("Received: from a by b; now\r\nX-Spam: no\r\n" + head + "\r\n" + rest), mark, true},
			{"with other blanks and ends of lines", with(strings.ReplaceAll(head, "\r\n", "\n") + "\n" + strings.TrimRight(rest, "\r\n") + " \t \n\n\r\n"), mark, true},
			{"the mark of another release", message("x", "b@ex.net"), strings.Replace(mark, "m1.", "m2.", 1), false},
			{"the mark without what is in it", message("x", "b@ex.net"), mark[:strings.LastIndexByte(mark, '.')], false},
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
		if err := s.Enqueue(ctx, d, m, m.Envelope, m, ""); err != nil {
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

// A node that was taken for dead while it delivered changes nothing that others have begun since; where nobody has, what
// it knows counts.
func TestReleaseLate(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		for _, tt := range []struct{ name, meanwhile, want string }{
			{"claimed by another", "UPDATE held_recipient SET at = at + 5000", "releasing"},
			{"refused to another", "UPDATE held_recipient SET at = at + 5000, state = 'held'", "held"},
			{"deleted by another", "UPDATE held_recipient SET state = 'deleted'", "deleted"},
			{"given up", "UPDATE held_recipient SET state = 'uncertain'", "released"},
		} {
			if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message(tt.name, "b@ex.net"), nil); err != nil {
				t.Fatal(err)
			}
			h := &hop{}
			_, err := s.Release(t.Context(), store.Release{ID: tt.name, Who: "ann", Deliver: func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, _ string) ([]relay.Receipt, error) {
				if err := s.Exec(ctx, tt.meanwhile+" WHERE held = ?", tt.name); err != nil {
					return nil, err
				}
				return h.Deliver(ctx, e, body)
			}})
			if (err == nil) != (tt.want == "released") || h.count("b@ex.net") != 1 {
				t.Errorf("%s: %v", tt.name, err)
			}
			got, err := s.HeldMessage(t.Context(), tt.name)
			if err != nil || got.Recipients[0].State != tt.want {
				t.Errorf("%s: %+v, %v", tt.name, got.Recipients, err)
			}
		}
	})
}

// What was known about the sender is known when a message is released.
func TestHeldAuth(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		want := verdict.AuthResults{
			SPF: verdict.SPFResult{Result: "fail", Domain: "ex.org", Identity: "mailfrom", Err: errors.New("no\x00 such host: é")},
			DKIM: []verdict.DKIMResult{{Result: "pass", Domain: "ex.org", Selector: "s1"},
				{Result: "permerror", Domain: "list.example", Selector: "a b", Err: errors.New("x: y")}},
			DMARC: verdict.DMARCResult{Result: "fail", Domain: "ex.org", Policy: "reject", Applied: "quarantine"},
			ARC:   verdict.ARCResult{Result: "pass", Sealer: "fwd.example", Vouches: true},
		}
		for id, auth := range map[string]verdict.AuthResults{"m1": want, "m2": {}} {
			m := message(id, "b@ex.net")
			m.Auth = auth
			if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, m, nil); err != nil {
				t.Fatal(err)
			}
			var got verdict.AuthResults
			if _, err := s.Release(t.Context(), store.Release{ID: id, Who: "ann", Deliver: func(ctx context.Context, h store.Held, e verdict.Envelope, body verdict.Source, _ string) ([]relay.Receipt, error) {
				got = h.Auth
				return (&hop{}).Deliver(ctx, e, body)
			}}); err != nil {
				t.Fatal(err)
			}
			words := cmp.Transformer("words", func(err error) string {
				if err == nil {
					return ""
				}
				return strings.ReplaceAll(err.Error(), "\x00", "\uFFFD")
			})
			if diff := cmp.Diff(auth, got, words); diff != "" {
				t.Errorf("%s: %s", id, diff)
			}
		}
		if err := s.Exec(t.Context(), "UPDATE held SET client = '{\"auth\":{\"spf\":\"pass ex.org\"}}' WHERE id = 'm1'"); err != nil {
			t.Fatal(err)
		}
		if h, err := s.HeldMessage(t.Context(), "m1"); err != nil || h.Auth.SPF.Result != "" { // of a version before
			t.Errorf("%+v, %v", h.Auth, err)
		}
	})
}

// A body that is about to get its row is not swept, and the others are.
func TestSweepLooksTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir})
	if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), nil); err != nil {
		t.Fatal(err)
	}
	late, orphan := store.NewKey(), store.NewKey()
	for _, key := range []string{late, orphan} {
		if err := s.Bodies().Put(t.Context(), key, verdict.Bytes(mail)); err != nil {
			t.Fatal(err)
		}
	}
	const age = 4 * time.Second // how long it waits before it looks again
	if err := filepath.WalkDir(filepath.Join(dir, "bodies"), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Sweep(t.Context(), age) }()
	time.Sleep(age / 2) // it waits now
	if err := s.Exec(t.Context(), "INSERT INTO held SELECT 'm2', at, expires, tenant, domain, mail_from, author, subject, message_id, size, class, envelope, client, report, ?, state FROM held", late); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]error{late: nil, orphan: store.ErrNoBody} {
		if _, err := s.Bodies().Get(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "m1") }); got != mail {
		t.Errorf("%q", got)
	}
}
