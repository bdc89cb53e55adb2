package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

var errDown = errors.New("connection refused")

// orderly notes in which order messages came, and how many at once.
type orderly struct {
	hop
	active, before int
	order          []string
	alone          bool // the first one came alone
}

func (o *orderly) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	o.mu.Lock()
	o.active++
	o.mu.Unlock()
	out, err := o.hop.Deliver(ctx, e, body)
	o.mu.Lock()
	if err == nil {
		if len(o.order) == 0 {
			o.alone = o.active == 1
		}
		o.order = append(o.order, e.To[0].Address)
	} else {
		o.before++
	}
	o.active--
	o.mu.Unlock()
	return out, err
}

// The hop goes away and comes back: what was queued goes out once, first one alone, then the oldest.
func TestContinuity(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &orderly{}
		h.err = errDown
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		const most = 90
		for i := range most {
			m := message(fmt.Sprintf("q%02d", i), fmt.Sprintf("r%02d@ex.net", i))
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "attempts", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.before > 6 })
		if n := len(waiting(t, s)); n != most {
			t.Fatalf("%d of %d wait", n, most)
		}
		h.say(nil)
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.alone {
			t.Errorf("first came %s, and not alone", h.order[0])
		}
		var late []int
		for i := range 10 {
			if n := slices.Index(h.order, fmt.Sprintf("r%02d@ex.net", i)); n > 30 {
				late = append(late, n)
			}
		}
		if len(late) > 2 { // what was being tried when the hop came back is let go of after the others were taken
			t.Errorf("of the ten oldest some came as numbers %v", late)
		}
		for a, n := range h.got {
			if n != 1 {
				t.Errorf("%s: %d times", a, n)
			}
		}
		if len(h.got) != most {
			t.Errorf("%d of %d", len(h.got), most)
		}
	})
}

// script answers each recipient by the first words of the address, one more of them at each attempt.
type script struct {
	mu    sync.Mutex
	tries map[string]int
	says  map[string][]int
}

func (s *script) Deliver(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []relay.Receipt
	for _, to := range e.To {
		codes := s.says[to.Address]
		code := codes[min(s.tries[to.Address], len(codes)-1)]
		s.tries[to.Address]++
		out = append(out, relay.Receipt{Recipient: to.Address, Host: "mx.ex.net:25", Reply: &relay.Reply{
			Code: code, Enhanced: relay.EnhancedCode{code / 100, 2, 1}, Text: "said\nso", Err: errors.New("secret of the log")}})
	}
	return out, nil
}

// notices takes what we send to senders.
type notices struct {
	mu   sync.Mutex
	mail map[string][]string // by recipient
}

func (n *notices) Deliver(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, r); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mail[e.To[0].Address] = append(n.mail[e.To[0].Address], b.String())
	if e.From != "" {
		n.mail["not from the null sender"] = append(n.mail["not from the null sender"], e.From)
	}
	return []relay.Receipt{{Recipient: e.To[0].Address, Reply: &relay.Reply{Code: 250}}}, nil
}

func (n *notices) to(a string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.mail[a])
}

// Each recipient is done for itself: taken, refused for good and told to the sender, or tried again.
func TestPerRecipient(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &script{tries: map[string]int{}, says: map[string][]int{
			"ok@ex.net": {250}, "grey@ex.net": {451, 450, 250}, "gone@ex.net": {550}, "never@ex.net": {550}, "late@ex.net": {451, 554},
		}}
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		all := slices.Sorted(maps.Keys(h.says))
		for id, from := range map[string]string{"m1": "a@ex.org", "m2": ""} {
			m := message(id, all...)
			m.Envelope.From = from
			for i := range m.Envelope.To {
				if m.Envelope.To[i].Address == "never@ex.net" {
					m.Envelope.To[i].Notify = []string{"NEVER"}
				}
			}
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "end", func() bool {
			if _, err := s.RetryQueued(t.Context(), "admin"); err != nil { // nobody waits for a minute
				t.Fatal(err)
			}
			return len(waiting(t, s)) == 0
		})
		want := map[string]int{"ok@ex.net": 2, "gone@ex.net": 2, "never@ex.net": 2, "grey@ex.net": 3 + 1, "late@ex.net": 2 + 1}
		if d := cmp.Diff(want, h.tries); d != "" { // the tries of the two messages count together
			t.Error(d)
		}
		got := n.to("a@ex.org")
		if len(got) == 0 || len(got) > 2 || len(n.mail) != 1 { // one if both were refused in one attempt
			t.Fatalf("%d notices to the sender, %v", len(got), slices.Collect(maps.Keys(n.mail)))
		}
		text := strings.Join(got, "")
		for what, times := range map[string]int{"Final-Recipient: rfc822; gone@ex.net": 1, "Final-Recipient: rfc822; late@ex.net": 1,
			"never@": 0, "grey@": 0, "ok@": 0, "secret": 0, "Status: 5.2.1": 2, "Diagnostic-Code: smtp; 550 5.2.1 said / so\r\n": 1} {
			if got := strings.Count(text, what); got != times {
				t.Errorf("%q %d times, want %d, in\n%s", what, got, times, text)
			}
		}
		e, err := s.Audit(t.Context(), store.ActFilter{Object: "all", Limit: 1})
		if err != nil || len(e) != 1 {
			t.Errorf("%v %v", e, err)
		}
	})
}

// What is late is told once, to senders who were vouched for, and what is too late comes back.
func TestWarnAndExpire(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		c.WarnAfter = time.Millisecond
		s := open(t, c.Quick())
		h := &hop{err: errDown}
		n := &notices{mail: map[string][]string{}}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
		for id, from := range map[string]string{"m1": "a@ex.org", "m2": "", "m3": "victim@ex.com", "m4": "other@ex.com"} {
			m := message(id, "b@ex.net")
			m.Envelope.From = from
			m.Auth.SPF = verdict.SPFResult{Result: verdict.Pass, Domain: "ex.org", Identity: "mailfrom"}
			if id == "m4" { // it is not the sender who asks
				m.Envelope.To[0].Notify = []string{"DELAY", "FAILURE"}
			}
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "warning", func() bool {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(n.to("a@ex.org")) > 0
		})
		for range 2 {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Exec(t.Context(), "UPDATE queued SET expires = 1"); err != nil {
			t.Fatal(err)
		}
		await(t, "notice of failure", func() bool {
			if err := s.SweepQueue(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(n.to("a@ex.org")) > 1 && len(waiting(t, s)) == 0
		})
		got := n.to("a@ex.org")
		if len(got) != 2 || len(n.mail) != 3 {
			t.Fatalf("%d notices, to %v", len(got), slices.Collect(maps.Keys(n.mail)))
		}
		for _, a := range []string{"victim@ex.com", "other@ex.com"} {
			if got := n.to(a); len(got) != 1 || !strings.Contains(got[0], "Action: failed\r\n") {
				t.Errorf("%s: %v", a, got)
			}
		}
		for i, want := range [][]string{{"Action: delayed\r\n", "Status: 4.4.1\r\n", "Will-Retry-Until: "}, {"Action: failed\r\n", "Status: 5.4.7\r\n"}} {
			for _, w := range want {
				if !strings.Contains(got[i], w) {
					t.Errorf("no %q in\n%s", w, got[i])
				}
			}
			wellFormed(t, got[i])
		}
		if n := h.count("b@ex.net"); n != 0 {
			t.Errorf("delivered %d times", n)
		}
	})
}

// wellFormed reads a notice as RFC 6522 and RFC 3464 have it.
func wellFormed(t *testing.T, notice string) {
	t.Helper()
	m := verdict.NewMessage(verdict.Bytes(notice))
	if got := m.Header().Get("Content-Type"); !strings.HasPrefix(got, "multipart/report; report-type=delivery-status;") {
		t.Errorf("Content-Type: %s", got)
	}
	var kinds []string
	for p, err := range m.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		if p.Path != "" && p.Declared != "multipart/report" {
			kinds = append(kinds, p.Declared)
		}
		if p.Declared != "message/delivery-status" {
			continue
		}
		text, err := p.Text()
		if err != nil {
			t.Fatal(err)
		}
		groups := strings.Split(strings.TrimSpace(text), "\r\n\r\n")
		if len(groups) != 2 {
			t.Errorf("%d groups of fields in %q", len(groups), text)
		}
		for i, fields := range [][]string{{"Reporting-MTA: dns; ", "Arrival-Date: "}, {"Final-Recipient: rfc822; ", "Action: ", "Status: "}} {
			for _, f := range fields {
				if !strings.Contains("\r\n"+groups[min(i, len(groups)-1)], "\r\n"+f) {
					t.Errorf("no %s in group %d of %q", f, i, text)
				}
			}
		}
	}
	want := []string{"text/plain", "message/delivery-status", "text/rfc822-headers"}
	if d := cmp.Diff(want[:max(2, min(len(kinds), 3))], kinds); d != "" { // the last is not for everybody
		t.Error(d)
	}
	for line := range strings.Lines(notice) {
		if !strings.HasSuffix(line, "\r\n") || len(line) > 1000 {
			t.Errorf("line %q", line)
		}
	}
}

// What a sender wrote does not become fields of a notice, and the token of the tenant stays with the tenant.
func TestNoticeInjection(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Dir: t.TempDir(), Hostname: "mx.gw.example"}.Quick())
	n := &notices{mail: map[string][]string{}}
	evil := "b\r\nBcc: x@ex.org\r\n\r\n@ex.net"
	h := &script{tries: map[string]int{}, says: map[string][]int{evil: {550}}}
	d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
	run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}, Bounces: n})
	m := vouchedFor(message("m1", evil))
	m.Envelope.ID, m.Envelope.To[0].Original = "id\r\nX: y", "rfc822;\r\n\r\nz"
	stamped := verdict.Bytes("x-postreeve-TOKEN: secret-of-the\r\n tenant\r\nX-Postreeve-Id: m1\r\n" + mail)
	if err := s.Enqueue(t.Context(), d, m, m.Envelope, stamped, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "notice", func() bool { return len(n.to("a@ex.org")) == 1 })
	got := n.to("a@ex.org")[0]
	if strings.Contains(got, "secret-of-the") || strings.Contains(got, "X-Postreeve") || !strings.Contains(got, "\nMessage-ID: <1@ex.org>") {
		t.Errorf("returned:\n%s", got)
	}
	if strings.Contains(got, "\nBcc:") || strings.Contains(got, "\nX: y") {
		t.Error(got)
	}
	wellFormed(t, got)
}

// A person drops what waits; nobody is told, and it is written down.
func TestDrop(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		m := message("m1", "b@ex.net")
		d := &relay.Domain{Name: "ex.net", Mode: relay.Continuity}
		if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.DropQueued(t.Context(), "m1", ""); err == nil {
			t.Error("dropped by nobody")
		}
		if err := s.DropQueued(t.Context(), "m1", "admin"); err != nil {
			t.Fatal(err)
		}
		if err := s.DropQueued(t.Context(), "m1", "admin"); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		acts, err := s.Audit(t.Context(), store.ActFilter{Object: "m1"})
		if err != nil || len(acts) != 1 || acts[0].What != "queue.drop" {
			t.Errorf("%+v %v", acts, err)
		}
	})
}

// Rows that a wrong clock wrote wait for nobody.
func TestClockWasWrong(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c.Quick())
		h := &hop{}
		d := &relay.Domain{Name: "ex.net", Next: h, Mode: relay.StoreAndForward}
		for _, id := range []string{"due", "claimed"} {
			m := message(id, id+"@ex.net")
			if err := s.Enqueue(t.Context(), d, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
		}
		tomorrow := time.Now().Add(24 * time.Hour).UnixMilli()
		for _, q := range []string{"UPDATE queued SET due = ? WHERE id = 'due'", "UPDATE queued SET claimed = ?, claimant = 'n9/x' WHERE id = 'claimed'"} {
			if err := s.Exec(t.Context(), q, tomorrow); err != nil {
				t.Fatal(err)
			}
		}
		run(t, s, store.RunConfig{Directory: relay.Static{"ex.net": d}})
		await(t, "delivery", func() bool { return len(waiting(t, s)) == 0 })
	})
}
