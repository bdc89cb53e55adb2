package relay

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestAdmission(t *testing.T) {
	t.Parallel()
	a1, a2 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	six1, six2 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:2")
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		a := newAdmission(Limits{Connections: 2})
		if a.connect(a1) != nil || a.connect(a2) != nil {
			t.Fatal("refused below the limit")
		}
		if r := a.connect(six1); r == nil || r.Code != 421 {
			t.Errorf("%v, want 421", r)
		}
		a.disconnect(a1)
		if r := a.connect(six1); r != nil {
			t.Errorf("%v after one has gone", r)
		}
	})
	t.Run("per address", func(t *testing.T) {
		t.Parallel()
		a := newAdmission(Limits{PerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}})
		if a.connect(six1) != nil || a.connect(a1) != nil || a.connect(a2) != nil || a.connect(a2) != nil {
			t.Fatal("refused below the limit, or though exempt")
		}
		if r := a.connect(six2); r == nil || r.Enhanced != (EnhancedCode{4, 7, 0}) {
			t.Errorf("the same /64: %v, want 4.7.0", r)
		}
		if r := a.connect(netip.MustParseAddr("::ffff:192.0.2.1")); r == nil {
			t.Error("the same address, mapped: let in")
		}
	})
	t.Run("bytes in flight", func(t *testing.T) {
		t.Parallel()
		a := newAdmission(Limits{BytesInFlight: 8 << 20, MessageBytes: 1 << 20, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}})
		if !a.load(six1, 2<<20) || a.load(six2, 1) {
			t.Error("one network: want a quarter and no more")
		}
		if !a.load(a1, 1) || !a.load(a2, 8<<20) {
			t.Error("others are refused, or one that is exempt")
		}
		if a.unload(six1, 1); !a.load(six2, 1) {
			t.Error("what was given back is not to be had")
		}
		a.unload(six1, 2<<20)
		a.unload(a1, 1)
		a.unload(a2, 8<<20)
		if len(a.clients) > 0 {
			t.Errorf("%d addresses are remembered for nothing", len(a.clients))
		}
		large := newAdmission(Limits{BytesInFlight: 1 << 20, MessageBytes: 1 << 20})
		if !large.load(a1, 1<<20) {
			t.Error("not even one message")
		}
	})
	t.Run("rates", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(Limits{ConnectionRate: 2, MessageRate: 3, RecipientRate: 4})
			for i, limited := range []struct {
				n    int
				take func() *Reply
			}{
				{2, func() *Reply {
					r := a.connect(a1)
					if r == nil {
						a.disconnect(a1)
					}
					return r
				}},
				{3, func() *Reply { return a.message(a1) }},
				{4, func() *Reply { return a.recipient(a1) }},
			} {
				for range limited.n {
					if r := limited.take(); r != nil {
						t.Fatalf("%d: %v below the limit", i, r)
					}
				}
				if limited.take() == nil {
					t.Errorf("%d: let in over the limit", i)
				}
				time.Sleep(time.Minute / time.Duration(limited.n))
				if r := limited.take(); r != nil {
					t.Errorf("%d: %v though time has passed", i, r)
				}
			}
			if r := a.message(a2); r != nil {
				t.Errorf("another address: %v", r)
			}
		})
	})
	t.Run("forgets", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(Limits{MessageRate: 10})
			for i := range 1000 {
				a.message(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
			}
			time.Sleep(2 * time.Minute)
			a.message(a1)
			if n := len(a.clients); n != 1 {
				t.Errorf("%d addresses are remembered", n)
			}
		})
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		b := refusalKey{"g", "a@example.org", "b@example.net"}
		r.put(b, &Reply{Code: 550, Text: "no such user"})
		for _, k := range []refusalKey{{"other", b.sender, b.recipient}, {"g", "c@example.org", b.recipient}, {"g", b.sender, "c@example.net"}} {
			if r.take(k) != nil {
				t.Errorf("%v: somebody else's refusal", k)
			}
		}
		if got := r.take(b); got == nil || got.Code != 550 {
			t.Errorf("%v", got)
		}
		if got := r.take(b); got != nil {
			t.Errorf("%v a second time", got)
		}
		r.put(b, &Reply{Code: 550})
		time.Sleep(refusalLife + time.Second)
		if got := r.take(b); got != nil {
			t.Errorf("%v after its time", got)
		}
		for i := range 3 * maxRefusals {
			r.put(refusalKey{"g", "", string(rune(i))}, &Reply{Code: 550})
		}
		if len(r.replies) > maxRefusals {
			t.Errorf("%d replies are remembered", len(r.replies))
		}
	})
}
