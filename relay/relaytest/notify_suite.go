package relaytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// TestNotifier checks that a Notifier keeps to its contract. open returns one, and a function that has all notices leave
// and returns them. Relayed is called for many messages at once.
func TestNotifier(t *testing.T, open func(t *testing.T) (n relay.Notifier, sent func(ctx context.Context) ([]Kept, error))) {
	t.Helper()
	d := &relay.Domain{Name: "ex.net", Tenant: "t"}
	asked := func(id string) (*verdict.Message, []relay.Receipt) {
		m := suiteMessage(id, odd["plain"], "b@ex.net", "c@ex.net")
		m.Auth.SPF = verdict.SPFResult{Result: verdict.Pass, Domain: "ex.org", Identity: "mailfrom"}
		var receipts []relay.Receipt
		for i := range m.Envelope.To {
			m.Envelope.To[i].Notify = []string{"SUCCESS"}
			receipts = append(receipts, relay.Receipt{Recipient: m.Envelope.To[i].Address, Host: "mx.ex.net:25", Reply: &relay.Reply{Code: 250, Enhanced: relay.EnhancedCode{2, 0, 0}}})
		}
		return m, receipts
	}
	t.Run("one notice", func(t *testing.T) {
		n, sent := open(t)
		m, receipts := asked("id")
		if err := n.Relayed(t.Context(), d, m, m.Envelope, receipts); err != nil {
			t.Fatal(err)
		}
		list, err := sent(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%d notices: %v", len(list), err)
		}
		if e := list[0].Envelope; e.From != "" || len(e.To) != 1 || e.To[0].Address != "a@ex.org" || len(e.To[0].Notify) != 1 || e.To[0].Notify[0] != "NEVER" {
			t.Errorf("the envelope is %+v", e) // RFC 3461 section 6.1
		}
		body := bytesOf(t, list[0].Body)
		for _, want := range []string{"\r\nAction: relayed\r\n", "\r\nStatus: 2.0.0\r\n", "b@ex.net", "c@ex.net", "\r\nOriginal-Recipient: rfc822;b@ex.net\r\n", "\r\nOriginal-Envelope-Id: env+2Bid\r\n"} {
			if !strings.Contains(body, want) {
				t.Errorf("there is no %q in\n%s", want, body)
			}
		}
		if strings.Contains(body, "\r\nbody\r\n") { // RFC 3461 section 6.2
			t.Errorf("the body of the message is returned:\n%s", body)
		}
	})
	t.Run("nobody vouched", func(t *testing.T) {
		n, sent := open(t)
		m, receipts := asked("id")
		m.Auth = verdict.AuthResults{}
		if err := n.Relayed(t.Context(), d, m, m.Envelope, receipts); err != nil {
			t.Error(err)
		}
		if list, err := sent(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("%d notices to a sender who may be forged: %v", len(list), err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		n, sent := open(t)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				m, receipts := asked(fmt.Sprint("id", i))
				if err := n.Relayed(t.Context(), d, m, m.Envelope, receipts); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if list, err := sent(t.Context()); err != nil || len(list) != 20 {
			t.Errorf("%d notices of 20: %v", len(list), err)
		}
	})
	t.Run("context", func(t *testing.T) {
		n, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		m, receipts := asked("id")
		if err := n.Relayed(ctx, d, m, m.Envelope, receipts); err == nil {
			t.Error("Relayed goes on after its context has ended")
		}
	})
}
