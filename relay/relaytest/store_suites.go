package relaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Kept is what a store says it has kept under an id.
type Kept struct {
	Envelope verdict.Envelope
	Body     verdict.Source
}

// odd are messages that a store must give back as they came, byte by byte.
var odd = map[string]string{
	"plain":      "From: a@ex.org\r\nTo: b@ex.net\r\nSubject: hello\r\nMessage-ID: <1@ex.org>\r\n\r\nbody\r\n",
	"no body":    "From: a@ex.org\r\n\r\n",
	"no headers": "\r\nbody\r\n",
	"8 bit":      "Subject: \xe4\xf6\xfc \xff\xfe\r\nMessage-ID: <\xff@x>\r\n\r\n\x80\x81\x00\x01\r\n",
	"bare":       "Subject: x\n\nbare \r and \n, no end",
	"dots":       "Subject: x\r\n\r\n.\r\n..\r\n.\r\n",
	"long":       "Subject: " + strings.Repeat("x", 100_000) + "\r\n\r\n" + strings.Repeat("0123456789", 30_000) + "\r\n",
	"many lines": "Subject: x\r\n\r\n" + strings.Repeat("line\r\n", 20_000),
}

func suiteMessage(id, mail string, to ...string) *verdict.Message {
	m := verdict.NewMessage(verdict.Bytes(mail))
	m.ID, m.Received = id, time.Now()
	m.Envelope = verdict.Envelope{From: "a@ex.org", Body: "8BITMIME", Return: "HDRS", ID: "env+2Bid"}
	for _, a := range to {
		m.Envelope.To = append(m.Envelope.To, verdict.Recipient{Address: a, Notify: []string{"FAILURE", "DELAY"}, Original: "rfc822;" + a})
	}
	return m
}

func bytesOf(t *testing.T, s verdict.Source) string {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != s.Size() {
		t.Errorf("%d bytes, and Size says %d", len(b), s.Size())
	}
	return string(b)
}

func same(t *testing.T, got Kept, m *verdict.Message, mail string) {
	t.Helper()
	if d := cmp.Diff(m.Envelope, got.Envelope); d != "" {
		t.Errorf("the envelope is another:\n%s", d)
	}
	if b := bytesOf(t, got.Body); b != mail {
		t.Errorf("%d bytes came back of %d, or others", len(b), len(mail))
	}
}

// TestHolder checks that a Holder keeps to its contract. open returns an empty one, and a function that returns
// what is held under an id. Hold is called for many messages at once.
func TestHolder(t *testing.T, open func(t *testing.T) (relay.Holder, func(ctx context.Context, id string) (Kept, error))) {
	t.Helper()
	d := &relay.Domain{Name: "ex.net", Tenant: "t"}
	t.Run("bytes and envelope", func(t *testing.T) {
		h, held := open(t)
		for name, mail := range odd {
			m := suiteMessage("id-"+strings.ReplaceAll(name, " ", "-"), mail, "b@ex.net", "C@ex.net", "\"odd name\"@ex.net")
			id, err := h.Hold(t.Context(), d, m, &verdict.Report{Class: verdict.Malicious})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := held(t.Context(), id)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			same(t, got, m, mail)
		}
	})
	t.Run("nothing about it", func(t *testing.T) {
		h, held := open(t)
		m := suiteMessage("id", odd["plain"])
		id, err := h.Hold(t.Context(), nil, m, nil) // no domain, no report, nobody
		if err != nil {
			t.Fatal(err)
		}
		if _, err := held(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		h, held := open(t)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				m := suiteMessage(fmt.Sprint("id", i), fmt.Sprintf("Subject: %d\r\n\r\n", i), "b@ex.net")
				id, err := h.Hold(t.Context(), d, m, nil)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := held(t.Context(), id)
				if err != nil || got.Body.Size() != m.Size() {
					t.Errorf("%+v %v", got, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("broken source", func(t *testing.T) {
		h, held := open(t)
		m := suiteMessage("id", "", "b@ex.net")
		bad := verdict.NewMessage(brokenSource{})
		bad.ID, bad.Envelope = m.ID, m.Envelope
		if id, err := h.Hold(t.Context(), d, bad, nil); err == nil {
			t.Errorf("a message that cannot be read is held as %s", id)
		}
		if _, err := held(t.Context(), m.ID); err == nil {
			t.Error("half a message is there")
		}
	})
	t.Run("context", func(t *testing.T) {
		h, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Hold(ctx, d, suiteMessage("id", odd["plain"], "b@ex.net"), nil); err == nil {
			t.Error("Hold goes on after its context has ended")
		}
	})
}

// brokenSource ends before its size.
type brokenSource struct{}

func (brokenSource) Size() int64 { return 100 }
func (brokenSource) Open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("Subject: x\r\n\r\nhalf")), nil
}

// TestQueue checks that a Queue keeps to its contract. open returns an empty one that delivers nothing yet, and a
// function that has it deliver all it has to a hop, and returns when that has happened.
func TestQueue(t *testing.T, open func(t *testing.T, hop relay.NextHop) (q relay.Queue, drain func(ctx context.Context) error)) {
	t.Helper()
	t.Run("bytes and envelope", func(t *testing.T) {
		var mu sync.Mutex
		got := map[string]Kept{}
		hop := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
			r, err := body.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			if _, again := got[e.To[0].Address]; again {
				t.Errorf("%s: delivered again", e.To[0].Address)
			}
			got[e.To[0].Address] = Kept{e, verdict.Bytes(bytes.Clone(b))}
			out := make([]relay.Receipt, len(e.To))
			for i := range out {
				out[i] = relay.Receipt{Recipient: e.To[i].Address, Reply: &relay.Reply{Code: 250}}
			}
			return out, nil
		})
		q, drain := open(t, hop)
		d := &relay.Domain{Name: "ex.net", Next: hop, Mode: relay.StoreAndForward}
		kept := map[string]*verdict.Message{}
		for name, mail := range odd {
			id := strings.ReplaceAll(name, " ", "-")
			// What is queued is not the message, but what the hop is to get, and for whom.
			m := suiteMessage(id, "Subject: the message\r\n\r\n", id+"@ex.net", "other@ex.net")
			if err := q.Enqueue(t.Context(), d, m, m.Envelope, verdict.Bytes(mail), ""); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			kept[id] = m
		}
		if err := drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for name, mail := range odd {
			id := strings.ReplaceAll(name, " ", "-")
			if g, ok := got[id+"@ex.net"]; !ok {
				t.Errorf("%s: lost", name)
			} else {
				same(t, g, kept[id], mail)
			}
		}
	})
	t.Run("each recipient once", func(t *testing.T) {
		var mu sync.Mutex
		tries, taken := 0, map[string]int{}
		hop := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			tries++
			if tries == 1 {
				return nil, errors.New("away")
			}
			out := make([]relay.Receipt, len(e.To))
			for i := range out {
				reply := &relay.Reply{Code: 250}
				if tries == 2 && i > 0 {
					reply = &relay.Reply{Code: 451}
				} else {
					taken[e.To[i].Address]++
				}
				out[i] = relay.Receipt{Recipient: e.To[i].Address, Reply: reply}
			}
			return out, nil
		})
		q, drain := open(t, hop)
		m := suiteMessage("id", odd["plain"], "b@ex.net", "c@ex.net", "d@ex.net")
		if err := q.Enqueue(t.Context(), &relay.Domain{Name: "ex.net", Next: hop, Mode: relay.StoreAndForward}, m, m.Envelope, m, ""); err != nil {
			t.Fatal(err)
		}
		if err := drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if d := cmp.Diff(map[string]int{"b@ex.net": 1, "c@ex.net": 1, "d@ex.net": 1}, taken); d != "" {
			t.Error(d)
		}
	})
	t.Run("broken source", func(t *testing.T) {
		hop := relay.NextHopFunc(func(context.Context, verdict.Envelope, verdict.Source) ([]relay.Receipt, error) {
			t.Error("half a message is delivered")
			return nil, errors.New("no")
		})
		q, drain := open(t, hop)
		m := suiteMessage("id", "", "b@ex.net")
		if err := q.Enqueue(t.Context(), &relay.Domain{Name: "ex.net", Next: hop, Mode: relay.StoreAndForward}, m, m.Envelope, brokenSource{}, ""); err == nil {
			t.Error("a message that cannot be read is queued")
		}
		if err := drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLedger checks that a Ledger takes what a Server tells it. open returns an empty one, and a function that says
// whether there is a row for an id.
func TestLedger(t *testing.T, open func(t *testing.T) (relay.Ledger, func(ctx context.Context, id string) (bool, error))) {
	t.Helper()
	l, has := open(t)
	for name, mail := range odd {
		id := "id-" + strings.ReplaceAll(name, " ", "-")
		m := suiteMessage(id, mail, "b@ex.net")
		o := relay.Outcome{ID: id, Domain: "ex.net", Size: m.Size(), Class: verdict.Spam, Action: relay.Tag, Reply: &relay.Reply{Code: 250, Text: "x\x00\xff"}, Hop: "\xff\x00",
			Report: &verdict.Report{Class: verdict.Spam, Findings: []verdict.Finding{{Scanner: "s", Code: "c.d", Detail: "\x00\xff" + strings.Repeat("x", 400_000)}}}}
		for range 2 { // told twice it is one row
			if err := l.RecordMessage(t.Context(), &relay.Domain{Name: "ex.net"}, m, o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if ok, err := has(t.Context(), id); err != nil || !ok {
			t.Errorf("%s: %v %v", name, ok, err)
		}
	}
	if err := l.RecordMessage(t.Context(), nil, suiteMessage("bare", "", "b@ex.net"), relay.Outcome{ID: "bare"}); err != nil {
		t.Errorf("an outcome without anything: %v", err)
	}
	if ok, err := has(t.Context(), "never"); err != nil || ok {
		t.Errorf("a message that nobody told of: %v %v", ok, err)
	}
}
