package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// fakeResolver is made of maps; names have no dot at the end.
type fakeResolver struct {
	mx   map[string][]*net.MX
	addr map[string][]netip.Addr
	fail map[string]error

	mu    sync.Mutex
	asked []string
}

func (r *fakeResolver) ask(kind, name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	r.asked = append(r.asked, kind+" "+name)
	return name, r.fail[kind+" "+name]
}

func (r *fakeResolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	name, err := r.ask("MX", name)
	if err == nil && len(r.mx[name]) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if err != nil {
		return nil, err
	}
	return r.mx[name], nil
}

func (r *fakeResolver) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	name, err := r.ask("A", name)
	if err == nil && len(r.addr[name]) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if err != nil {
		return nil, err
	}
	return r.addr[name], nil
}

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func mxs(s ...string) []*net.MX {
	var out []*net.MX
	for _, m := range s {
		var x net.MX
		fmt.Sscan(m, &x.Pref, &x.Host)
		out = append(out, &x)
	}
	return out
}

// dialLog connects every address but those in dead to one sink, and writes down what was dialled.
type dialLog struct {
	to   string
	dead []string

	mu  sync.Mutex
	got []string
}

func (d *dialLog) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.got = append(d.got, address)
	d.mu.Unlock()
	if slices.Contains(d.dead, "*") || slices.Contains(d.dead, address) {
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, network, d.to)
}

func TestSMTPRoute(t *testing.T) {
	t.Parallel()
	servfail := &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	timeout := &net.DNSError{Err: "timeout", IsTimeout: true}
	many := make([]string, 300)
	hosts := map[string][]netip.Addr{
		"mx1.ex.net": addrs("198.51.100.1"),
		"mx2.ex.net": addrs("198.51.100.2"),
		"gw.example": addrs("198.51.100.9"),
		"dual":       addrs("2001:db9::1", "2001:db9::2", "198.51.100.3", "198.51.100.4"),
		"local": addrs("127.0.0.1", "10.0.0.1", "fe80::1", "::1", "0.0.0.0", "169.254.169.254", "100.64.1.1", "::ffff:192.168.0.1", "fd00::1", "224.0.0.1",
			"198.18.0.1", "192.0.0.192", "64:ff9b::a00:1", "2002:a00:1::1", "fec0::1", "::a00:1"),
		"mixed":  addrs("10.0.0.1", "198.51.100.5"),
		"alias":  addrs("203.0.113.77"),
		"ex.net": addrs("198.51.100.8"),
	}
	for i := range many {
		many[i] = fmt.Sprintf("%d m%d.ex.net.", 1000-i, i)
		hosts[fmt.Sprintf("m%d.ex.net", i)] = addrs(fmt.Sprintf("203.0.113.%d", i%200))
	}
	for name, c := range map[string]struct {
		mx    []*net.MX
		fail  map[string]error
		dead  []string
		hop   func(*relay.SMTP)
		want  string
		dials []string
		asked int // at most; 0: any number
	}{
		"by preference":       {mx: mxs("20 mx2.ex.net.", "10 mx1.ex.net."), want: "250 2.0.0", dials: []string{"198.51.100.1:25"}},
		"second if dead":      {mx: mxs("20 mx2.ex.net.", "10 mx1.ex.net."), dead: []string{"198.51.100.1:25"}, want: "250 2.0.0", dials: []string{"198.51.100.1:25", "198.51.100.2:25"}},
		"all dead":            {mx: mxs("20 mx2.ex.net.", "10 mx1.ex.net."), dead: []string{"*"}, want: "error 451 4.4.1", dials: []string{"198.51.100.1:25", "198.51.100.2:25"}},
		"no MX":               {want: "250 2.0.0", dials: []string{"198.51.100.8:25"}},
		"null MX":             {mx: mxs("0 ."), want: "error 556 5.1.10"},
		"null MX with others": {mx: mxs("0 .", "10 mx1.ex.net."), want: "250 2.0.0", dials: []string{"198.51.100.1:25"}},
		"MX lookup SERVFAIL":  {fail: map[string]error{"MX ex.net": servfail}, want: "error 451 4.4.3", asked: 1},
		"MX lookup timeout":   {fail: map[string]error{"MX ex.net": timeout}, want: "error 451 4.4.3", asked: 1},
		"unclassified":        {fail: map[string]error{"MX ex.net": errors.New("what")}, want: "error 451 4.4.3", asked: 1},
		"no such domain":      {fail: map[string]error{"A ex.net": &net.DNSError{IsNotFound: true}}, want: "error 550 5.1.2"},
		"A lookup SERVFAIL":   {mx: mxs("10 mx1.ex.net."), fail: map[string]error{"A mx1.ex.net": servfail}, want: "error 451 4.4.3"},
		"one A fails":         {mx: mxs("10 mx1.ex.net.", "20 mx2.ex.net."), fail: map[string]error{"A mx1.ex.net": servfail}, want: "250 2.0.0", dials: []string{"198.51.100.2:25"}},
		"no MX host exists":   {mx: mxs("10 nowhere.ex.net.", "20 nothing.ex.net."), want: "error 550 5.4.4"},
		"one does not":        {mx: mxs("10 nowhere.ex.net.", "20 mx2.ex.net."), dead: []string{"*"}, want: "error 451 4.4.1", dials: []string{"198.51.100.2:25"}},
		"families in turn":    {mx: mxs("10 dual."), dead: []string{"*"}, want: "error 451 4.4.1", dials: []string{"[2001:db9::1]:25", "198.51.100.3:25", "[2001:db9::2]:25", "198.51.100.4:25"}},
		"lame IPv6":           {mx: mxs("10 dual."), dead: []string{"[2001:db9::1]:25"}, want: "250 2.0.0", dials: []string{"[2001:db9::1]:25", "198.51.100.3:25"}},
		"we are the best":     {mx: mxs("10 gw.example.", "20 mx2.ex.net."), want: "error 554 5.4.6"},
		"we are as good":      {mx: mxs("10 mx1.ex.net.", "10 GW.example."), want: "error 554 5.4.6"},
		"we are second":       {mx: mxs("10 mx1.ex.net.", "20 gw.example.", "20 mx2.ex.net.", "30 dual."), dead: []string{"*"}, want: "error 451 4.4.1", dials: []string{"198.51.100.1:25"}},
		"we by address":       {mx: mxs("10 alias.", "20 mx2.ex.net."), want: "error 554 5.4.6"},
		"address second":      {mx: mxs("10 mx1.ex.net.", "20 alias.", "30 mx2.ex.net."), dead: []string{"*"}, want: "error 451 4.4.1", dials: []string{"198.51.100.1:25"}},
		"address as MX":       {mx: mxs("10 198.51.100.1.", "20 mx2.ex.net."), want: "250 2.0.0", dials: []string{"198.51.100.2:25"}},
		"only addresses":      {mx: mxs("10 198.51.100.1."), want: "error 550 5.4.4"},
		"private":             {mx: mxs("10 local."), want: "error 451 4.4.4"},
		"partly private":      {mx: mxs("10 mixed."), want: "250 2.0.0", dials: []string{"198.51.100.5:25"}},
		"private allowed":     {mx: mxs("10 mixed."), hop: func(h *relay.SMTP) { h.AllowPrivate = true }, want: "250 2.0.0", dials: []string{"10.0.0.1:25"}},
		"300 MX": {mx: mxs(many...), dead: []string{"*"}, want: "error 451 4.4.1", asked: 11, dials: []string{
			"203.0.113.99:25", "203.0.113.98:25", "203.0.113.97:25", "203.0.113.96:25", "203.0.113.95:25",
			"203.0.113.94:25", "203.0.113.93:25", "203.0.113.92:25", "203.0.113.91:25", "203.0.113.90:25"}},
		"configured host missing":  {hop: func(h *relay.SMTP) { h.MX, h.Hosts = "", []string{"nowhere"} }, want: "error 451 4.4.4"},
		"configured host SERVFAIL": {hop: func(h *relay.SMTP) { h.MX, h.Hosts = "", []string{"mx1.ex.net"} }, fail: map[string]error{"A mx1.ex.net": servfail}, want: "error 451 4.4.3"},
		"configured private":       {hop: func(h *relay.SMTP) { h.MX, h.Hosts, h.Port = "", []string{"mixed"}, 2525 }, want: "250 2.0.0", dials: []string{"10.0.0.1:2525"}},
		"configured in order":      {hop: func(h *relay.SMTP) { h.MX, h.Hosts = "", []string{"mx2.ex.net:26", "mx1.ex.net"} }, dead: []string{"198.51.100.2:26"}, want: "250 2.0.0", dials: []string{"198.51.100.2:26", "198.51.100.1:25"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &relaytest.Sink{}
			d := &dialLog{to: s.Start(t), dead: c.dead}
			r := &fakeResolver{mx: map[string][]*net.MX{"ex.net": c.mx}, addr: hosts, fail: c.fail}
			h := &relay.SMTP{MX: "ex.net", Hostname: "gw.example", Self: []string{"203.0.113.77"}, Resolver: r, Dial: d.dial}
			if c.hop != nil {
				c.hop(h)
			}
			t.Cleanup(func() { h.Close() })
			got := codes(h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)))
			if diff := cmp.Diff([]string{c.want}, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.dials, d.got); diff != "" {
				t.Error("dialled:", diff)
			}
			if c.asked > 0 && len(r.asked) > c.asked {
				t.Errorf("%d questions, want at most %d: %q", len(r.asked), c.asked, r.asked)
			}
		})
	}
}

// Hosts of equal preference share the load.
func TestSMTPShufflesMX(t *testing.T) {
	t.Parallel()
	s := &relaytest.Sink{}
	d := &dialLog{to: s.Start(t)}
	h := &relay.SMTP{
		MX: "ex.net", MaxIdle: -1, Dial: d.dial,
		Resolver: &fakeResolver{
			mx:   map[string][]*net.MX{"ex.net": mxs("10 a.", "10 b.", "20 c.")},
			addr: map[string][]netip.Addr{"a": addrs("198.51.100.1"), "b": addrs("198.51.100.2"), "c": addrs("198.51.100.3")},
		},
	}
	t.Cleanup(func() { h.Close() })
	seen := map[string]int{}
	for range 40 {
		mustDeliver(t, h, "b@ex.net")
	}
	for _, a := range d.got {
		seen[a]++
	}
	if len(seen) != 2 || seen["198.51.100.3:25"] > 0 {
		t.Errorf("dialled %v, want the first two", seen)
	}
}

func TestSMTPLoop(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*relaytest.Sink{
		"greeting":             {Hostname: "GW.example", NoEHLO: true},
		"EHLO":                 {Faults: []relaytest.Fault{{At: relaytest.AtHello, Reply: "250 gw.example"}}},
		"alias":                {Hostname: "gw2.example"},
		"only in the greeting": {Hostname: "gw.example", Faults: []relaytest.Fault{{At: relaytest.AtHello, Reply: "250 Hello gw"}}},
	} {
		h := newHop(t, s)
		h.Self = []string{"gw2.example."}
		h.Hosts = append(h.Hosts, (&relaytest.Sink{}).Start(t))
		var log bytes.Buffer
		h.Logger = slog.New(slog.NewTextHandler(&log, nil))
		got := codes(h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"error 554 5.4.6"}, got); d != "" || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%s: %s, log %s", name, d, &log)
		}
	}
}

// All that failed is in the error, and nothing of it on the wire.
func TestSMTPJoinsErrors(t *testing.T) {
	t.Parallel()
	a := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Reply: "554 5.7.1 go away"}}}
	b := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Drop: true}}}
	h := newHop(t, a)
	h.Hosts = append(h.Hosts, b.Start(t), "nowhere.invalid:25")
	h.Resolver = &fakeResolver{}
	_, err := h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody))
	r, ok := errors.AsType[*relay.Reply](err)
	if !ok || r.Code != 451 || strings.Contains(r.Text, "127.0.0.1") {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{a.Addr(), "go away", b.Addr(), "nowhere.invalid"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestSMTPReachIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &relaytest.Sink{Faults: []relaytest.Fault{{At: relaytest.AtConnect, Delay: time.Hour}}}
		h := pipeHop(t, s)
		h.Hosts = slices.Repeat(h.Hosts, 5)
		h.Timeouts.Reach = 50 * time.Millisecond
		start := time.Now()
		got := codes(h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)))
		if d := cmp.Diff([]string{"error 451 4.4.2"}, got); d != "" || time.Since(start) != h.Timeouts.Reach || s.Conns() != 1 {
			t.Errorf("after %v and %d connections: %s", time.Since(start), s.Conns(), d)
		}
		s.Close()
		h.Close()
	})
}
