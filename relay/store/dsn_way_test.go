package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// way is a hop that keeps what it gets, with the envelopes, and answers what it is told to.
type way struct {
	says func(e verdict.Envelope) *relay.Reply // nil: 250

	mu  sync.Mutex
	got []letter
}

type letter struct {
	e    verdict.Envelope
	text string
}

func (w *way) Deliver(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if int64(len(text)) != body.Size() {
		return nil, fmt.Errorf("%d bytes, and Size says %d", len(text), body.Size())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	reply := &relay.Reply{Code: 250}
	if w.says != nil {
		reply = w.says(e)
	}
	if reply.Code == 250 {
		w.got = append(w.got, letter{e, string(text)})
	}
	var out []relay.Receipt
	for _, to := range e.To {
		out = append(out, relay.Receipt{Recipient: to.Address, Host: "mx.ex.org:25", Reply: reply})
	}
	return out, nil
}

func (w *way) sent() []letter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// gone refuses everybody.
var gone = relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) (out []relay.Receipt, _ error) {
	for _, to := range e.To {
		out = append(out, relay.Receipt{Recipient: to.Address, Host: "mx.q.net:25", Reply: &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 1, 1}, Text: "no such user"}})
	}
	return out, nil
})

// A notice to a sender whose domain has its mail taken here goes by the hop of that domain, with its token, and the rest
// goes by the way of bounces: the MX records of the first lead to ourselves.
func TestNoticeToHosted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from   string
		lookup func(hosted *relay.Domain) (*relay.Domain, error) // of the sender's domain
		none   bool                                              // there is no way of bounces
		want   string
	}{
		"hosted":               {"user@C.net", func(d *relay.Domain) (*relay.Domain, error) { return d, nil }, false, "hop"},
		"hosted, no other way": {"user@c.net", func(d *relay.Domain) (*relay.Domain, error) { return d, nil }, true, "hop"},
		"elsewhere":            {"user@c.net", func(*relay.Domain) (*relay.Domain, error) { return nil, relay.ErrUnknownDomain }, false, "bounces"},
		"never proven":         {"user@c.net", func(*relay.Domain) (*relay.Domain, error) { return nil, fmt.Errorf("c.net: %w", relay.ErrUnverified) }, false, "bounces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir(), HeaderPrefix: "X-Gate"}.Quick())
			hop, bounces := &way{}, &way{}
			q := &relay.Domain{Name: "q.net", Next: gone, Mode: relay.StoreAndForward}
			dir := directory(func(_ context.Context, domain string) (*relay.Domain, error) {
				if domain == "q.net" {
					return q, nil
				}
				if domain != "c.net" {
					t.Errorf("asked for %q", domain)
				}
				return c.lookup(&relay.Domain{Name: "c.net", Next: hop, Token: "s3cret"})
			})
			rc := store.RunConfig{Directory: dir, Bounces: bounces}
			if c.none {
				rc.Bounces = nil
			}
			run(t, s, rc)
			m := message("m1", "gone@q.net")
			m.Envelope.From = c.from
			if err := s.Enqueue(t.Context(), q, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			await(t, "notice", func() bool { return len(hop.sent())+len(bounces.sent()) > 0 })
			got, other := hop.sent(), bounces.sent()
			if c.want == "bounces" {
				got, other = other, got
			}
			if len(got) != 1 || len(other) != 0 {
				t.Fatalf("%d by the right way, %d by the other", len(got), len(other))
			}
			wellFormed(t, got[0].text)
			if token := strings.HasPrefix(got[0].text, "X-Gate-Token: s3cret\r\nDate: "); token != (c.want == "hop") {
				t.Errorf("token: %v\n%s", token, got[0].text)
			}
		})
	}
}

// directory makes a Directory of a function.
type directory func(ctx context.Context, domain string) (*relay.Domain, error)

func (d directory) Lookup(ctx context.Context, domain string) (*relay.Domain, error) {
	return d(ctx, domain)
}

// While it is not known whose mail a sender's domain is, the notice waits.
func TestNoticeWaitsForDirectory(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Dir: t.TempDir()}.Quick())
	hop, bounces := &way{}, &way{}
	q := &relay.Domain{Name: "q.net", Next: gone, Mode: relay.StoreAndForward}
	var mu sync.Mutex
	tries := 0
	dir := directory(func(_ context.Context, domain string) (*relay.Domain, error) {
		if domain == "q.net" {
			return q, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries == 1 {
			return nil, errors.New("the database is away")
		}
		return &relay.Domain{Name: "c.net", Next: hop}, nil
	})
	run(t, s, store.RunConfig{Directory: dir, Bounces: bounces})
	m := message("m1", "gone@q.net")
	m.Envelope.From = "user@c.net"
	if err := s.Enqueue(t.Context(), q, m, m.Envelope, m, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "notice", func() bool {
		if _, err := s.RetryQueued(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		return len(hop.sent()) > 0
	})
	if len(bounces.sent()) != 0 {
		t.Error("it went by MX")
	}
}

// A notice about a message with REQUIRETLS has REQUIRETLS too, or nothing of the message (RFC 8689 section 5).
func TestNoticeRequireTLS(t *testing.T) {
	t.Parallel()
	lacks := &relay.Reply{Code: 550, Enhanced: relay.EnhancedCode{5, 7, 30}, Err: relay.ErrLacking}
	for name, c := range map[string]struct {
		require bool
		says    func(e verdict.Envelope) *relay.Reply
		tls     bool // of the notice
		header  bool // is returned
	}{
		"not asked for": {false, nil, false, true},
		"the way can":   {true, nil, true, true},
		"it cannot": {true, func(e verdict.Envelope) *relay.Reply {
			if e.RequireTLS {
				return lacks
			}
			return &relay.Reply{Code: 250}
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Dir: t.TempDir()}.Quick())
			w := &way{says: c.says}
			q := &relay.Domain{Name: "q.net", Next: gone, Mode: relay.StoreAndForward}
			run(t, s, store.RunConfig{Directory: relay.Static{"q.net": q}, Bounces: w})
			m := vouchedFor(message("m1", "gone@q.net"))
			m.Envelope.RequireTLS = c.require
			if err := s.Enqueue(t.Context(), q, m, m.Envelope, verdict.Bytes("Subject: very secret\r\n"+mail), ""); err != nil {
				t.Fatal(err)
			}
			await(t, "notice", func() bool { return len(w.sent()) > 0 })
			got := w.sent()[0]
			if got.e.RequireTLS != c.tls || strings.Contains(got.text, "very secret") != c.header {
				t.Errorf("REQUIRETLS %v:\n%s", got.e.RequireTLS, got.text)
			}
			if c.header {
				wellFormed(t, got.text)
				return
			}
			var kinds []string
			for p, err := range verdict.NewMessage(verdict.Bytes(got.text)).Parts() {
				if err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, p.Declared)
			}
			if d := cmp.Diff([]string{"multipart/report", "text/plain", "message/delivery-status"}, kinds); d != "" {
				t.Errorf("%s\n%s", d, got.text)
			}
			if !strings.Contains(got.text, "\r\nAction: failed\r\n") || !strings.HasSuffix(got.text, "--\r\n") {
				t.Error(got.text)
			}
		})
	}
}
