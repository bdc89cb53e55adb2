package mailauth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/verdict/mailauth"
)

// A server that answers nothing costs the first messages their patience, and not every one.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	mute := serveDNS(t, func(dns.Question, string) *dns.Msg { return nil })
	d := &mailauth.DNS{Servers: []string{mute.addr}, Attempts: 1, Timeout: 30 * time.Millisecond}
	for i := range 100 {
		if _, err := d.Lookup(t.Context(), fmt.Sprintf("n%d.example", i), mailauth.TXT); !errors.Is(err, mailauth.ErrTemporary) {
			t.Fatal(err)
		}
	}
	if n := mute.count.Load(); n > 10 {
		t.Errorf("a silent server was asked %d times", n)
	}
}

// Names whose own servers are slow say nothing about the server that we ask, and the next server is asked.
func TestSlowZone(t *testing.T) {
	t.Parallel()
	answer := func(q dns.Question, _ string) *dns.Msg {
		m := new(dns.Msg)
		switch {
		case strings.HasSuffix(q.Name, "slow.example."):
			return nil
		case q.Name == ".":
			m.Rcode = dns.RcodeRefused
		default:
			m.Answer = []dns.RR{rr(t, q.Name+" 60 A 192.0.2.1")}
		}
		return m
	}
	for _, servers := range [][]string{
		{serveDNS(t, answer).addr},
		{serveDNS(t, func(dns.Question, string) *dns.Msg { return nil }).addr, serveDNS(t, answer).addr},
	} {
		d := &mailauth.DNS{Servers: servers, Attempts: 1, Timeout: 500 * time.Millisecond}
		for i := range 5 {
			if _, err := d.Lookup(t.Context(), fmt.Sprintf("n%d.slow.example", i), mailauth.A); !errors.Is(err, mailauth.ErrTemporary) {
				t.Errorf("a name without an answer: %v", err)
			}
		}
		if _, err := d.Lookup(t.Context(), "quick.example", mailauth.A); err != nil {
			t.Errorf("%d servers: %v", len(servers), err)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h mailauth.Health
		for i, want := range []bool{false, false, true, false, false} {
			if got := h.Missed(); got != want {
				t.Errorf("miss %d: suspected %v", i+1, got)
			}
		}
		if h.Usable() {
			t.Error("usable at once")
		}
		time.Sleep(6 * time.Second)
		if !h.Usable() || h.Usable() {
			t.Error("not one question after a while")
		}
		h.Answered()
		if !h.Usable() || h.Missed() {
			t.Error("an answer does not count")
		}
	})
}
