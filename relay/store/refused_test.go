package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/internal/dialogtest"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// What a hop refuses for what it says, after we have taken it, is told only to a sender who is who it says; else it is
// kept in quarantine.
func TestRefusedContent(t *testing.T) {
	spf := verdict.AuthResults{SPF: verdict.SPFResult{Result: verdict.Pass, Domain: "EX.org", Identity: "mailfrom"}}
	policy := &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 1}, Text: "spam"}
	for name, c := range map[string]struct {
		from  string
		auth  verdict.AuthResults
		reply *relay.Reply
		told  bool
		held  bool
	}{
		"policy, nobody vouches": {"a@ex.org", verdict.AuthResults{}, policy, false, true},
		"policy, SPF":            {"a@ex.org", spf, policy, true, false},
		"policy, SPF of another": {"a@victim.example", spf, policy, false, true},
		"policy, SPF of HELO": {"a@ex.org", verdict.AuthResults{SPF: verdict.SPFResult{Result: verdict.Pass, Domain: "ex.org", Identity: "helo"}},
			policy, false, true},
		"policy, DKIM above": {"a@mail.ex.org", verdict.AuthResults{DKIM: []verdict.DKIMResult{{Result: "fail", Domain: "x.example"}, {Result: verdict.Pass, Domain: "ex.org"}}},
			policy, true, false},
		"policy, DKIM below":       {"a@ex.org", verdict.AuthResults{DKIM: []verdict.DKIMResult{{Result: verdict.Pass, Domain: "evil.ex.org"}}}, policy, false, true},
		"policy, DMARC":            {"a@ex.org", verdict.AuthResults{DMARC: verdict.DMARCResult{Result: verdict.Pass, Domain: "ex.org"}}, policy, true, false},
		"policy, null":             {"", verdict.AuthResults{}, policy, false, true},
		"content":                  {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 554, Enhanced: relay.EnhancedCode{5, 6, 0}}, false, true},
		"no detail":                {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 554, Text: "no"}, false, true},
		"no detail, RCPT":          {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 551, Text: "not here"}, true, false},
		"unknown":                  {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}, true, false},
		"unknown, null":            {"", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}}, false, false},
		"the hop lacks SMTPUTF8":   {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 6, 7}, Err: relay.ErrLacking}, false, true},
		"the hop lacks SIZE":       {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 552, Enhanced: relay.EnhancedCode{5, 3, 4}, Err: relay.ErrLacking}, false, true},
		"it lacks, null":           {"", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 30}, Err: relay.ErrLacking}, false, true},
		"it lacks, SPF":            {"a@ex.org", spf, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 30}, Err: relay.ErrLacking}, true, false},
		"the hop lacks REQUIRETLS": {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 30}, Err: fmt.Errorf("hop: %w", relay.ErrLacking)}, false, true},
		"the hop says 5.6.7":       {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 6, 7}}, false, true},
		"too large":                {"a@ex.org", verdict.AuthResults{}, &relay.Reply{Code: 552, Enhanced: relay.EnhancedCode{5, 3, 4}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log dialogtest.Log
			s := open(t, store.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}.Quick())
			h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
				return []relay.Receipt{{Recipient: e.To[0].Address, Host: "mx.ex.net:25", Reply: c.reply}}, nil
			})
			n := &notices{mail: map[string][]string{}}
			d := &relay.Domain{Name: "ex.net", Tenant: "acme", Next: h, Mode: relay.StoreAndForward}
			m := message("m1", "B@ex.net")
			m.Envelope.From, m.Auth = c.from, c.auth
			if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1", Class: verdict.Spam}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
				t.Fatal(err)
			}
			run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
			await(t, "end", func() bool { return len(waiting(t, s)) == 0 })
			if got := len(n.to(c.from)); got != 0 != c.told {
				t.Errorf("the sender was told %d times", got)
			}
			list, err := s.HeldMessages(t.Context(), store.StateHeld, store.Filter{Recipient: "b@ex.net"})
			if err != nil || len(list) != 0 != c.held {
				t.Fatalf("held: %+v, %v", list, err)
			}
			await(t, "deletion of the bodies that nobody needs", func() bool {
				bodies := 0
				for range s.Bodies().List(t.Context()) {
					bodies++
				}
				return bodies == len(list)
			})
			if !c.held {
				return
			}
			h1 := list[0]
			why, logged := "refused by the next hop: mx.ex.net:25 5", "the next hop refused it for what it says"
			if errors.Is(c.reply, relay.ErrLacking) {
				why, logged = "the next hop lacks what the message needs: mx.ex.net:25 5", "the next hop lacks what it needs"
			}
			await(t, "line in the log", func() bool { return strings.Contains(log.String(), logged) })
			if h1.ID != "m1" || h1.Tenant != "acme" || h1.Domain != "ex.net" || h1.Subject != "hello" || h1.Class != verdict.Spam || h1.MailFrom != c.from ||
				!strings.HasPrefix(h1.Recipients[0].Detail, why) || h1.Expires.Before(h1.At.AddDate(0, 0, 29)) {
				t.Errorf("%+v", h1)
			}
			if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), "m1") }); got != mail {
				t.Errorf("body %q", got)
			}
			if ev := events(t, s, "m1", store.StateHeld); len(ev) != 1 || !strings.Contains(ev[0].Detail, "B@ex.net: in quarantine as m1, "+why) {
				t.Errorf("%+v", ev)
			}
		})
	}
}

// One recipient's hop refuses the content, another one's has it wait: the message is kept once, when all is done.
func TestRefusedForSome(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		says := map[string][]*relay.Reply{
			"spam@ex.net":  {{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 1}}},
			"grey@ex.net":  {{Code: 451}, {Code: 250}},
			"later@ex.net": {{Code: 451}, {Code: 451}, {Code: 554, Enhanced: relay.EnhancedCode{5, 6, 0}}},
			"gone@ex.net":  {{Code: 550}}, // at RCPT, since it was taken for another one then
			"good@ex.net":  {{Code: 250}},
		}
		h := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) (out []relay.Receipt, _ error) {
			for _, to := range e.To {
				list := says[to.Address]
				out = append(out, relay.Receipt{Recipient: to.Address, Reply: list[0]})
				if len(list) > 1 {
					says[to.Address] = list[1:]
				}
			}
			return out, nil
		})
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		m := message("m1", "spam@ex.net", "grey@ex.net", "later@ex.net", "gone@ex.net", "good@ex.net")
		if err := errors.Join(s.RecordMessage(t.Context(), d, m, relay.Outcome{ID: "m1"}), s.Enqueue(t.Context(), d, m, m.Envelope, m, "")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Hold(t.Context(), d, m, nil); err != nil { // the same id is there already
			t.Fatal(err)
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		await(t, "end", func() bool {
			if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
				t.Fatal(err)
			}
			return len(waiting(t, s)) == 0
		})
		if got := n.to("a@ex.org"); len(got) != 1 || !strings.Contains(got[0], "gone@ex.net") || strings.Contains(got[0], "spam@") {
			t.Errorf("%v", got)
		}
		list, err := s.HeldMessages(t.Context(), "", store.Filter{})
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v %v", list, err)
		}
		kept := list[0]
		if kept.ID == "m1" {
			kept = list[1]
		}
		var to []string
		for _, r := range kept.Recipients {
			to = append(to, r.Address)
		}
		if d := cmp.Diff([]string{"spam@ex.net", "later@ex.net"}, to); d != "" {
			t.Error(d)
		}
		full, err := s.HeldMessage(t.Context(), kept.ID)
		if err != nil || len(full.Envelope.To) != 2 || full.Envelope.To[1].Address != "later@ex.net" {
			t.Errorf("%+v %v", full.Envelope, err)
		}
		if got := read(t, func() (verdict.Source, error) { return s.HeldBody(t.Context(), kept.ID) }); got != mail {
			t.Errorf("body %q", got)
		}
		if n := len(events(t, s, "m1", store.StateHeld)); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}
