package store_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// vouchedFor has SPF speak for a@ex.org.
func vouchedFor(m *verdict.Message) *verdict.Message {
	m.Auth.SPF = verdict.SPFResult{Result: verdict.Pass, Domain: "ex.org", Identity: "mailfrom"}
	return m
}

// fates are what the notices of a way say: "relayed 2.1.5 b@ex.net", one for each recipient.
func fates(t *testing.T, w *way) (list []string) {
	t.Helper()
	for _, l := range w.sent() {
		for _, group := range strings.Split(l.text, "\r\n\r\n") {
			if m := perRecipient.FindStringSubmatch(group); m != nil {
				list = append(list, m[2]+" "+m[3]+" "+m[1])
			}
		}
	}
	return list
}

var perRecipient = regexp.MustCompile(`Final-Recipient: rfc822; (\S+)\r\nAction: (\S+)\r\nStatus: (\S+)\r\n`)

// kinds are the events about notices, without the ids.
func kinds(t *testing.T, s *store.Store, id string) (list []string) {
	t.Helper()
	e, err := s.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range e.Events {
		switch ev.What {
		case store.StateNotice, store.StateTold, store.StateNotTold:
			list = append(list, ev.What+": "+noticeID.ReplaceAllString(ev.Detail, "ID"))
		}
	}
	return list
}

var noticeID = regexp.MustCompile(`\b[a-z2-7]{16}\b`)

// Who asked to be told of the delivery is told that a message went to a hop without DSN, if the address is not forged.
func TestRelayed(t *testing.T) {
	t.Parallel()
	success := []string{"SUCCESS", "FAILURE"}
	for name, c := range map[string]struct {
		from    string
		forged  bool
		notify  []string
		receipt relay.Receipt
		told    []string
		events  []string
	}{
		"hop without DSN": {"a@ex.org", false, success, relay.Receipt{Reply: &relay.Reply{Code: 250, Enhanced: relay.EnhancedCode{2, 1, 5}}},
			[]string{"relayed 2.1.5 b@ex.net"}, []string{"notice: ID to a@ex.org is queued: relayed, 1 of 1 recipients", "told: notice ID to a@ex.org: mx.ex.org:25 250"}},
		"without a detail": {"a@ex.org", false, success, relay.Receipt{Reply: &relay.Reply{Code: 250}},
			[]string{"relayed 2.0.0 b@ex.net"}, []string{"notice: ID to a@ex.org is queued: relayed, 1 of 1 recipients", "told: notice ID to a@ex.org: mx.ex.org:25 250"}},
		"hop with DSN": {"a@ex.org", false, success, relay.Receipt{DSN: true, Reply: &relay.Reply{Code: 250}}, nil, nil},
		"not asked":    {"a@ex.org", false, nil, relay.Receipt{Reply: &relay.Reply{Code: 250}}, nil, nil},
		"failure only": {"a@ex.org", false, []string{"FAILURE"}, relay.Receipt{Reply: &relay.Reply{Code: 250}}, nil, nil},
		"forged":       {"a@ex.org", true, success, relay.Receipt{Reply: &relay.Reply{Code: 250}}, nil, []string{"not told: relayed: nobody vouched for the address"}},
		"null sender":  {"", false, success, relay.Receipt{Reply: &relay.Reply{Code: 250}}, nil, []string{"not told: relayed: the null sender"}},
		"refused": {"a@ex.org", false, success, relay.Receipt{Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}},
			[]string{"failed 5.1.1 b@ex.net"}, []string{"notice: ID to a@ex.org is queued: failed, 1 of 1 recipients", "told: notice ID to a@ex.org: mx.ex.org:25 250"}},
		"refused, never": {"a@ex.org", false, []string{"NEVER"}, relay.Receipt{Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}},
			nil, []string{"not told: failed: NOTIFY does not ask for it"}},
		"refused, null sender": {"", false, nil, relay.Receipt{Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}},
			nil, []string{"not told: failed: the null sender"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir(), Hostname: "mx.gw.example"}.Quick())
			h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
				return []relay.Receipt{c.receipt}, nil
			})
			w := &way{}
			d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
			m := message("m1", "b@ex.net")
			m.Envelope.From, m.Envelope.ID, m.Envelope.To[0].Notify, m.Envelope.To[0].Original = c.from, "QQ1", c.notify, "rfc822;list@ex.net"
			if !c.forged {
				vouchedFor(m)
			}
			if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: w})
			await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
			if d := cmp.Diff(c.told, fates(t, w)); d != "" {
				t.Error(d)
			}
			for _, l := range w.sent() {
				wellFormed(t, l.text)
				if l.e.From != "" || l.e.To[0].Address != c.from || strings.Contains(l.text, "\r\nbody") ||
					!strings.Contains(l.text, "\r\nOriginal-Envelope-Id: QQ1\r\n") || !strings.Contains(l.text, "\r\nOriginal-Recipient: rfc822;list@ex.net\r\n") {
					t.Errorf("%+v\n%s", l.e, l.text)
				}
			}
			if d := cmp.Diff(c.events, kinds(t, s, "m1")); d != "" {
				t.Error(d)
			}
		})
	}
}

// Each attempt that delivered to somebody makes one notice, however many got it.
func TestRelayedByAttempt(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &script{tries: map[string]int{}, says: map[string][]int{"b@ex.net": {250}, "c@ex.net": {250}, "grey@ex.net": {451, 250}, "gone@ex.net": {550}}}
		w := &way{}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		m := vouchedFor(message("m1", "b@ex.net", "c@ex.net", "grey@ex.net", "gone@ex.net"))
		for i := range m.Envelope.To {
			m.Envelope.To[i].Notify = []string{"SUCCESS", "FAILURE"}
		}
		if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: w})
		await(t, "end", func() bool {
			if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
				t.Fatal(err)
			}
			return len(waiting(t, s)) == 0
		})
		got := map[string]int{}
		for _, l := range w.sent() {
			got[strings.Join(fates(t, &way{got: []letter{l}}), ", ")]++
		}
		want := map[string]int{"relayed 2.2.1 b@ex.net, relayed 2.2.1 c@ex.net": 1, "relayed 2.2.1 grey@ex.net": 1, "failed 5.2.1 gone@ex.net": 1}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// A message that was held and is released by hand is relayed too.
func TestRelayedRelease(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]bool{"vouched": false, "forged": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			d := &relay.Domain{Name: "ex.net"}
			m := message("m1", "b@ex.net", "c@ex.net")
			m.Envelope.To[0].Notify = []string{"SUCCESS"}
			if !forged {
				vouchedFor(m)
			}
			id, err := s.Hold(t.Context(), d, m, nil)
			if err := errors.Join(err, s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: id})); err != nil {
				t.Fatal(err)
			}
			deliver := func(_ context.Context, _ store.Held, e verdict.Envelope, _ verdict.Source, _ string) ([]relay.Receipt, error) {
				return taken(e), nil
			}
			if _, err := s.Release(t.Context(), store.Release{ID: id, Who: "admin", Deliver: deliver}); err != nil {
				t.Fatal(err)
			}
			w := &way{}
			run(t, s, store.RunConfig{Directory: relay.Static{}, Bounces: w})
			await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
			told, events := []string{"relayed 2.0.0 b@ex.net"}, []string{"notice: ID to a@ex.org is queued: relayed, 1 of 2 recipients", "told: notice ID to a@ex.org: mx.ex.org:25 250"}
			if forged {
				told, events = nil, []string{"not told: relayed: nobody vouched for the address"}
			}
			if d := cmp.Diff(told, fates(t, w)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(events, kinds(t, s, id)); d != "" {
				t.Error(d)
			}
		})
	}
}

// What becomes of a notice stands with the message that it is about, and the log says when it is lost.
func TestNoticeIsTraced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drop bool
		want string
		log  bool
	}{
		"refused": {false, "not told: notice ID to a@ex.org: mx.ex.org:25 550 5.1.1 nobody of that name", true},
		"dropped": {true, "not told: notice ID to a@ex.org was dropped", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log dialogtest.Log
			s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}.Quick())
			reply := &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}, Text: "nobody of that name"}
			if c.drop {
				reply = &relay.Reply{Code: 451}
			}
			w := &way{says: func(verdict.Envelope) *relay.Reply { return reply }}
			d := &relay.Domain{Name: "ex.net", Next: gone, Mode: relay.StoreAndForward}
			m := message("m1", "b@ex.net")
			if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: w})
			var id string
			if c.drop {
				await(t, "notice", func() bool {
					list := waiting(t, s)
					return len(list) == 1 && list[0].Attempts > 0 && list[0].Domain == "(bounces) ex.org"
				})
				id = waiting(t, s)[0].ID
				if q, err := s.QueuedMessage(t.Context(), id); err != nil || q.About != "m1" {
					t.Errorf("about %q: %v", q.About, err)
				}
				await(t, "drop", func() bool { return s.DropQueued(t.Context(), id, "admin") == nil })
			}
			await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
			if d := cmp.Diff([]string{"notice: ID to a@ex.org is queued: failed, 1 of 1 recipients", c.want}, kinds(t, s, "m1")); d != "" {
				t.Error(d)
			}
			ev := events(t, s, "m1", store.StateNotice)
			if !noticeID.MatchString(ev[0].Detail) || c.drop && !strings.HasPrefix(ev[0].Detail, id+" ") {
				t.Errorf("%+v", ev)
			}
			if c.log {
				await(t, "line in the log", func() bool {
					return strings.Contains(log.String(), `msg="a notice could not be delivered, and nobody is told in its place" id=`+noticeID.FindString(ev[0].Detail)+" about=m1")
				})
			}
		})
	}
}
