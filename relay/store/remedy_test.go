package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// mailboxes is a Remediator that remembers where mail is.
type mailboxes struct {
	mu    sync.Mutex
	gone  map[string]bool // message and recipient
	asked int
	say   func(orders []store.Remedy) ([]store.RemedyResult, error) // nil: all is done
}

func (b *mailboxes) Remediate(_ context.Context, domain string, restore bool, orders []store.Remedy) ([]store.RemedyResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.say != nil {
		return b.say(orders)
	}
	var out []store.RemedyResult
	for _, o := range orders {
		if o.Domain != domain || o.Restore != restore || o.MessageID != "<1@ex.org>" {
			return nil, fmt.Errorf("an order for somebody else: %+v", o)
		}
		b.gone[o.Message+" "+o.Recipient] = !restore
		out = append(out, store.RemedyResult{State: store.StateDone, Detail: "1 message"})
	}
	return out, nil
}

func record(t *testing.T, s *store.Store, id string, o relay.Outcome, to ...string) {
	t.Helper()
	o.ID, o.Domain = id, "ex.net"
	if o.Reply == nil {
		o.Reply = &relay.Reply{Code: 250, Text: "ok"}
	}
	if err := s.RecordMessage(t.Context(), nil, message(id, to...), o); err != nil {
		t.Fatal(err)
	}
}

// orders are those about a message, in short.
func orders(t *testing.T, s *store.Store, id string) []string {
	t.Helper()
	list, err := s.Remedies(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s restore=%v %s %d %s", r.Recipient, r.Restore, r.State, r.Attempts, r.Detail)))
	}
	return out
}

// became are the events of a message.
func became(t *testing.T, s *store.Store, id string) []string {
	t.Helper()
	m, err := s.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range m.Events {
		out = append(out, strings.TrimSpace(e.What+" "+e.Who+" "+e.Detail))
	}
	return out
}

func TestCondemn(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, ctx := open(t, c), t.Context()
		record(t, s, "m1", relay.Outcome{Action: relay.Deliver}, "Ann@ex.net", "bob@ex.net")
		if _, err := s.Condemn(ctx, "anna", "it phishes", "m1"); err != nil {
			t.Fatal(err)
		}
		b := &mailboxes{gone: map[string]bool{}}
		stop := run(t, s, store.RunConfig{Directory: relay.Static{}, Remediator: b}) // what was ordered before it ran
		await(t, "taking back", func() bool { return len(became(t, s, "m1")) == 3 })
		stop()
		want := []string{"condemned anna it phishes", "taken back anna ann@ex.net: 1 message", "taken back anna bob@ex.net: 1 message"}
		if d := cmp.Diff(want, became(t, s, "m1")); d != "" {
			t.Error(d)
		}
		if err := s.Remediate(ctx, b); err != nil || b.asked != 1 {
			t.Errorf("asked %d times, %v: what is done is done again", b.asked, err)
		}
		if _, err := s.Absolve(ctx, "anna", "it was honest", "m1"); err != nil {
			t.Fatal(err)
		}
		if err := s.Remediate(ctx, b); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"ann@ex.net restore=true done 1 1 message", "bob@ex.net restore=true done 1 1 message"}, orders(t, s, "m1")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string]bool{"m1 ann@ex.net": false, "m1 bob@ex.net": false}, b.gone); d != "" {
			t.Error(d)
		}
		if _, err := s.Absolve(ctx, "anna", "", "m1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("absolved twice: %v", err)
		}
	})
}

// TestCondemnRefused: what nobody got cannot be taken back, and one such message leaves the others alone.
func TestCondemnRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, ctx := open(t, c), t.Context()
		record(t, s, "good", relay.Outcome{Action: relay.Deliver}, "ann@ex.net")
		record(t, s, "refused", relay.Outcome{Action: relay.Reject, Reply: &relay.Reply{Code: 550, Text: "no"}}, "ann@ex.net")
		record(t, s, "bounced", relay.Outcome{Action: relay.Deliver, Reply: &relay.Reply{Code: 550, Text: "no"}}, "ann@ex.net")
		held := message("held", "ann@ex.net")
		id, err := s.Hold(ctx, &relay.Domain{Name: "ex.net"}, held, nil)
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, "held", relay.Outcome{Action: relay.Hold, Held: id}, "ann@ex.net")
		queued := message("queued", "Ann@ex.net")
		if err := s.Enqueue(ctx, &relay.Domain{Name: "ex.net"}, queued, queued.Envelope, queued, ""); err != nil {
			t.Fatal(err)
		}
		record(t, s, "queued", relay.Outcome{Action: relay.Deliver, Queued: true}, "Ann@ex.net")
		for id, want := range map[string]string{
			"refused": "was not delivered", "bounced": "was not delivered", "held": "in quarantine", "queued": "still in the queue", "none": "not found",
		} {
			_, err := s.Condemn(ctx, "anna", "", "good", id)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", id, err, want)
			}
			if id == "none" && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%v is not ErrNotFound", err)
			}
		}
		if got := orders(t, s, "good"); got != nil {
			t.Errorf("ordered all the same: %q", got)
		}
		d := &relay.Domain{Name: "ex.net"}
		two := message("two", "ann@ex.net", "bob@ex.net")
		if id, err = s.Hold(ctx, d, two, nil); err != nil {
			t.Fatal(err)
		}
		record(t, s, "two", relay.Outcome{Action: relay.Hold, Held: id}, "ann@ex.net", "bob@ex.net")
		if err := s.Rewrite(ctx, "UPDATE held_recipient SET state = 'released' WHERE held = ? AND n = 0", id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Condemn(ctx, "anna", "", "two"); err == nil || !strings.Contains(err.Error(), "still in quarantine for bob@ex.net") {
			t.Errorf("bob can still release it: %v", err)
		}
		if err := s.DeleteHeld(ctx, id, "anna"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Condemn(ctx, "anna", "", "two"); err != nil || len(got) != 1 || got[0].Recipient != "ann@ex.net" {
			t.Errorf("%v, %v: ann has got it", got, err)
		}
		hop := &hop{}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": {Name: "ex.net", Next: hop}}})
		if _, err := s.RetryQueued(ctx, "anna"); err != nil {
			t.Fatal(err)
		}
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		if got, err := s.Condemn(ctx, "anna", "", "queued"); err != nil || len(got) != 1 {
			t.Errorf("%v, %v: it has left the queue", got, err)
		}
	})
}

// TestRemedyAfterKill: a process that was killed while it took mail back keeps the next one from nothing.
func TestRemedyAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	record(t, s, "m1", relay.Outcome{Action: relay.Deliver}, "ann@ex.net")
	if _, err := s.Condemn(t.Context(), "anna", "", "m1"); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir() // what a kill leaves
	b := &mailboxes{gone: map[string]bool{}}
	b.say = func([]store.Remedy) ([]store.RemedyResult, error) {
		b.say = nil
		return []store.RemedyResult{{State: store.StateFailed, Again: true}}, os.CopyFS(copied, os.DirFS(dir))
	}
	stop := run(t, s, store.RunConfig{Directory: relay.Static{}, Remediator: b})
	await(t, "the first look", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.say == nil })
	stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, store.Config{Dir: copied})
	run(t, s, store.RunConfig{Directory: relay.Static{}, Remediator: b})
	await(t, "taking back", func() bool { return len(became(t, s, "m1")) == 2 })
}

// TestRemedyRetried: what goes wrong is tried again, for a while.
func TestRemedyRetried(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, ctx := open(t, c), t.Context()
		for _, c := range []struct {
			name  string
			say   func([]store.Remedy) ([]store.RemedyResult, error)
			tries int
			then  string
		}{
			{"away", func([]store.Remedy) ([]store.RemedyResult, error) { return nil, errors.New("no route") }, 7, "waiting 7 no route"},
			{"short", func([]store.Remedy) ([]store.RemedyResult, error) { return nil, nil }, 1, "waiting 1 the remediator gave 0 results for 1 orders"},
			{"panics", func([]store.Remedy) ([]store.RemedyResult, error) { panic("oops") }, 1, "waiting 1 the remediator panicked: oops"},
			{"late", func([]store.Remedy) ([]store.RemedyResult, error) {
				return []store.RemedyResult{{State: store.StateMissing, Again: true}}, nil
			}, 4, "waiting 4"},
			{"never", func([]store.Remedy) ([]store.RemedyResult, error) {
				return []store.RemedyResult{{State: store.StateMissing, Again: true}}, nil
			}, 9, "missing 5"},
			{"no mailbox", func([]store.Remedy) ([]store.RemedyResult, error) {
				return []store.RemedyResult{{State: store.StateMissing, Detail: "suspended"}}, nil
			}, 3, "missing 1 suspended"},
			{"nonsense", func([]store.Remedy) ([]store.RemedyResult, error) {
				return []store.RemedyResult{{State: "who knows"}}, nil
			}, 3, "failed 1"},
		} {
			id := strings.ReplaceAll(c.name, " ", "-")
			record(t, s, id, relay.Outcome{Action: relay.Tag}, "ann@ex.net")
			if _, err := s.Condemn(ctx, "anna", "", id); err != nil {
				t.Fatal(err)
			}
			b := &mailboxes{say: c.say}
			for range c.tries {
				if err := s.Remediate(ctx, b); err != nil {
					t.Fatal(err)
				}
				if err := s.Rewrite(ctx, "UPDATE remedy SET due = 0 WHERE message = ?", id); err != nil {
					t.Fatal(err)
				}
			}
			if got := orders(t, s, id); len(got) != 1 || got[0] != "ann@ex.net restore=false "+c.then {
				t.Errorf("%s: %q, want %q", c.name, got, c.then)
			}
			if told := len(became(t, s, id)) == 2; told == strings.HasPrefix(c.then, "waiting") {
				t.Errorf("%s: %q", c.name, became(t, s, id))
			}
			if err := s.Rewrite(ctx, "UPDATE remedy SET state = 'done' WHERE message = ?", id); err != nil {
				t.Fatal(err)
			}
		}
		record(t, s, "old", relay.Outcome{Action: relay.Tag}, "ann@ex.net")
		if _, err := s.Condemn(ctx, "anna", "", "old"); err != nil {
			t.Fatal(err)
		}
		if err := s.Rewrite(ctx, "UPDATE remedy SET at = at - 90000000 WHERE message = 'old'"); err != nil { // 25 h
			t.Fatal(err)
		}
		away := &mailboxes{say: func([]store.Remedy) ([]store.RemedyResult, error) { return nil, errors.New("no route") }}
		if err := s.Remediate(ctx, away); err != nil {
			t.Fatal(err)
		}
		if got := orders(t, s, "old"); got[0] != "ann@ex.net restore=false failed 1 no route" {
			t.Errorf("after a day: %q", got)
		}
	})
}

// TestRemedyOvertaken: a message that is absolved while it is being taken back is put back.
func TestRemedyOvertaken(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s, ctx := open(t, c), t.Context()
		record(t, s, "m1", relay.Outcome{Action: relay.Deliver}, "ann@ex.net")
		if _, err := s.Condemn(ctx, "anna", "", "m1"); err != nil {
			t.Fatal(err)
		}
		b := &mailboxes{gone: map[string]bool{}}
		b.say = func([]store.Remedy) ([]store.RemedyResult, error) {
			b.say = nil
			b.gone["m1 ann@ex.net"] = true
			if _, err := s.Absolve(ctx, "bert", "", "m1"); err != nil {
				t.Error(err)
			}
			return []store.RemedyResult{{State: store.StateDone}}, nil
		}
		if err := s.Remediate(ctx, b); err != nil {
			t.Fatal(err)
		}
		if b.gone["m1 ann@ex.net"] || b.asked != 2 {
			t.Errorf("asked %d times, and it is gone: %v", b.asked, orders(t, s, "m1"))
		}
		if got := became(t, s, "m1"); len(got) != 3 || got[2] != "put back bert ann@ex.net: 1 message" {
			t.Errorf("%q", got)
		}
	})
}
