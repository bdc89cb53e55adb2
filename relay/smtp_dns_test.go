package relay_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers over UDP and TCP on the loopback address, in ways that its names tell.
type dnsServer struct {
	t   *testing.T
	udp net.PacketConn
	tcp net.Listener
	wg  sync.WaitGroup
}

func newDNSServer(t *testing.T) *dnsServer {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{t: t, udp: udp, tcp: tcp}
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		s.wg.Wait()
	})
	return s
}

// resolver is Go's own, pointed at the server.
func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		address := s.udp.LocalAddr().String()
		if strings.HasPrefix(network, "tcp") {
			address = s.tcp.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

func (s *dnsServer) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := s.answer(buf[:n], false); answer != nil {
			s.udp.WriteTo(answer, from)
		}
	}
}

func (s *dnsServer) serveTCP() {
	for {
		nc, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer nc.Close()
			var size [2]byte
			for {
				if _, err := io.ReadFull(nc, size[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(nc, q); err != nil {
					return
				}
				a := s.answer(q, true)
				nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		})
	}
}

func (s *dnsServer) answer(query []byte, tcp bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := q.Name.String()
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}
	m.Additionals = nil
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}, Body: body})
	}
	mx := func(pref uint16, host string) {
		add(&dnsmessage.MXResource{Pref: pref, MX: dnsmessage.MustNewName(host)})
	}
	isMX := q.Type == dnsmessage.TypeMX
	switch {
	case name == "silent.test.":
		return nil
	case name == "servfail.test.":
		m.RCode = dnsmessage.RCodeServerFailure
	case name == "refused.test.":
		m.RCode = dnsmessage.RCodeRefused
	case strings.HasPrefix(name, "nx"):
		m.RCode = dnsmessage.RCodeNameError
	case strings.HasPrefix(name, "loop"):
		other := "loop2.test."
		if name == other {
			other = "loop.test."
		}
		add(&dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(other)})
	case name == "null.test." && isMX:
		mx(0, ".")
	case name == "short.test." && isMX && !tcp:
		m.Truncated = true
	case name == "short.test." && isMX:
		mx(10, "good.test.")
	case name == "many.test." && isMX && !tcp:
		m.Truncated = true
	case name == "many.test." && isMX:
		for i := range 300 {
			mx(uint16(1000-i), fmt.Sprintf("m%d.test.", i))
		}
	case name == "lame.test." && isMX:
		mx(10, "v6first.test.")
	case name == "half.test." && isMX:
		mx(10, "servfail.test.")
		mx(20, "good.test.")
	case name == "gone.test." && isMX:
		mx(10, "nx1.test.")
	case name == "v6first.test." && q.Type == dnsmessage.TypeAAAA:
		add(&dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db9::1").As16()})
	case (name == "good.test." || name == "v6first.test." || name == "apex.test.") && q.Type == dnsmessage.TypeA:
		add(&dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}})
	case strings.HasPrefix(name, "m") && q.Type == dnsmessage.TypeA:
		add(&dnsmessage.AResource{A: [4]byte{203, 0, 113, byte(len(name))}})
	}
	out, err := m.Pack()
	if err != nil {
		s.t.Error(err)
	}
	return out
}

func TestSMTPRealDNS(t *testing.T) {
	t.Parallel()
	dns := newDNSServer(t)
	for name, c := range map[string]struct {
		want string
		dead string
	}{
		"silent.test":   {"error 451 4.4.3", ""},
		"servfail.test": {"error 451 4.4.3", ""},
		"refused.test":  {"error 451 4.4.3", ""},
		"nx.test":       {"error 550 5.1.2", ""},
		"nodata.test":   {"error 550 5.1.2", ""},
		"apex.test":     {"250 2.0.0", ""}, // no MX, but an address
		"null.test":     {"error 556 5.1.10", ""},
		"short.test":    {"250 2.0.0", ""}, // truncated, then over TCP
		"many.test":     {"error 451 4.4.1", "*"},
		"lame.test":     {"250 2.0.0", "[2001:db9::1]:25"},
		"half.test":     {"250 2.0.0", ""},
		"gone.test":     {"error 550 5.4.4", ""},
		"loop.test":     {"error 550 5.1.2", ""}, // Go's resolver does not tell it from a name without records
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &relaytest.Sink{}
			d := &dialLog{to: s.Start(t), dead: []string{c.dead}}
			h := &relay.SMTP{MX: name, Hostname: "gw.example", Resolver: dns.resolver(), Dial: d.dial}
			h.Timeouts.Reach = 30 * time.Second
			if name == "silent.test" {
				h.Timeouts.Reach = 200 * time.Millisecond
			}
			t.Cleanup(func() { h.Close() })
			start := time.Now()
			got := codes(h.Deliver(t.Context(), hopEnvelope("b@ex.net"), verdict.Bytes(crlfBody)))
			if diff := cmp.Diff([]string{c.want}, got); diff != "" {
				t.Error(diff)
			}
			if took := time.Since(start); took > 20*time.Second || len(d.got) > 10 {
				t.Errorf("took %v and %d connections", took, len(d.got))
			}
		})
	}
}
