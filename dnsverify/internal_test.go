package dnsverify

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParseResolvConf(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"nameserver 192.0.2.1\nnameserver ::1\n", "192.0.2.1:53 [::1]:53"},
		{"# nameserver 192.0.2.1\nsearch example.com\nnameserver\nnameserver x\n  nameserver\t192.0.2.2 # near\n", "192.0.2.2:53"},
		{"nameserver fe80::1%eth0", "[fe80::1%eth0]:53"},
		{strings.Repeat("nameserver 192.0.2.3\n", 9), "192.0.2.3:53 192.0.2.3:53 192.0.2.3:53"},
		{strings.Repeat("x", 1<<20), ""},
		{"", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, a := range parseResolvConf(bufio.NewScanner(strings.NewReader(tt.in))) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%.40q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain`: "plain", `a\"b\\c`: `a"b\c`, `\000\255`: "\x00\xff", `\256`: "256", `\12`: "12", `x\`: `x\`, ``: "",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

// addresses is an Exchanger for which every name has these addresses.
type addresses []string

func (x addresses) Exchange(_ context.Context, _ string, _ netip.AddrPort, query []byte) ([]byte, error) {
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		return nil, err
	}
	r := new(dns.Msg).SetReply(&q)
	r.Authoritative = true
	if q.Question[0].Qtype == dns.TypeA {
		for _, a := range x {
			r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
				A: net.ParseIP(a)})
		}
	}
	return r.Pack()
}

// TestDial wants connections to allowed addresses only, and the next address tried when one does not answer.
func TestDial(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	tests := []struct {
		name  string
		addrs addresses
		allow func(netip.Addr) bool
		ok    bool
	}{
		{"allowed", addresses{"127.0.0.1"}, loopback, true},
		{"one of two answers", addresses{"127.0.0.77", "127.0.0.1"}, loopback, true},
		{"refused by default", addresses{"127.0.0.1", "10.0.0.1"}, nil, false},
		{"no address", nil, loopback, false},
	}
	for _, tt := range tests {
		c := &Client{Exchanger: tt.addrs, Allow: tt.allow}
		conn, err := c.dial(t.Context(), "tcp", "mta-sts.example.com:"+port)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

func TestRootHints(t *testing.T) {
	t.Parallel()
	addrs := new(Client).root().hosts[0].addrs
	if len(addrs) != 26 {
		t.Errorf("%d addresses of root servers, want 26", len(addrs))
	}
	if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return !Public(a) }); i >= 0 {
		t.Errorf("%v is not public", addrs[i])
	}
}

func TestMixCase(t *testing.T) {
	t.Parallel()
	bits := make([]byte, 32)
	for i := range bits {
		bits[i] = 0xaa
	}
	if got := mixCase("abcd-1.Example.", bits); got != "aBcD-1.ExAmPlE." {
		t.Errorf("%q", got)
	}
}
