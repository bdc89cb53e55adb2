package dnstest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Server is one address that answers: an authoritative server, or the resolver.
type Server struct {
	net       *Net
	addr      netip.AddrPort
	udp       *net.UDPConn
	tcp       *net.TCPListener
	recursive bool

	connMu sync.Mutex
	conns  map[net.Conn]bool
	shut   bool

	// guarded by net.mu
	zones  map[string]data
	frozen map[string]data // what is served in place of zones, with the fault Split
	faults map[Fault]bool
	memory map[string]remembered // cache of the resolver
}

// Addr returns the address.
func (s *Server) Addr() netip.Addr { return s.addr.Addr() }

func (s *Server) close() {
	s.udp.Close()
	s.tcp.Close()
	s.connMu.Lock()
	defer s.connMu.Unlock()
	s.shut = true
	for c := range s.conns {
		c.Close()
	}
}

func (s *Server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, peer, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		out, wait := s.respond(buf[:n], "udp")
		if out == nil {
			continue
		}
		if wait == 0 {
			s.udp.WriteToUDPAddrPort(out, peer)
			continue
		}
		s.net.wg.Go(func() {
			select {
			case <-time.After(wait):
				s.udp.WriteToUDPAddrPort(out, peer)
			case <-s.net.done:
			}
		})
	}
}

func (s *Server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.connMu.Lock()
		if s.shut {
			s.connMu.Unlock()
			c.Close()
			return
		}
		if s.conns == nil {
			s.conns = map[net.Conn]bool{}
		}
		s.conns[c] = true
		s.connMu.Unlock()
		s.net.wg.Go(func() {
			s.serveConn(c)
			c.Close()
			s.connMu.Lock()
			defer s.connMu.Unlock()
			delete(s.conns, c)
		})
	}
}

func (s *Server) serveConn(c net.Conn) {
	c.SetDeadline(time.Now().Add(30 * time.Second))
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		in := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, in); err != nil {
			return
		}
		out, _ := s.respond(in, "tcp")
		if out == nil {
			continue // silent: the client gives up first
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// respond returns the bytes to send, nil for none, and how long to wait before.
func (s *Server) respond(in []byte, network string) ([]byte, time.Duration) {
	var q dns.Msg
	if err := q.Unpack(in); err != nil || q.Response || len(q.Question) != 1 {
		return nil, 0
	}
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.record(&q, network)
	if s.faults[Silent] {
		return nil, 0
	}
	if s.faults[Garbage] {
		return append(append([]byte{}, in[:2]...), "\x80\x00\x00\x01\xff\xff\xff\xff not a message"...), 0
	}
	r := s.answer(&q, network)
	s.distort(r, network)
	out, err := r.Pack()
	if err != nil {
		s.net.tb.Errorf("dnstest: the answer to %s cannot be packed: %v", q.Question[0].Name, err)
		return nil, 0
	}
	if network == "udp" && s.faults[Late] {
		return out, s.net.late
	}
	return out, 0
}

func (s *Server) record(q *dns.Msg, network string) {
	name := strings.ToLower(strings.TrimSuffix(q.Question[0].Name, "."))
	s.net.count++
	if len(s.net.log) < 10000 {
		s.net.log = append(s.net.log, Query{s.addr.Addr(), network, name, dns.TypeToString[q.Question[0].Qtype]})
	}
	if !s.net.strict.Load() || s.net.closed {
		return
	}
	if q.RecursionDesired != s.recursive {
		s.net.tb.Errorf("dnstest: RD is %v in a question for %s to %s", q.RecursionDesired, name, s)
	}
	if o := q.IsEdns0(); o == nil && !s.faults[NoEDNS] {
		s.net.tb.Errorf("dnstest: no EDNS in a question for %s", name)
	} else if o != nil && o.UDPSize() > 1232 {
		s.net.tb.Errorf("dnstest: %d octets offered in a question for %s", o.UDPSize(), name)
	}
}

// answer is what a server without faults of its wire would say.
func (s *Server) answer(q *dns.Msg, network string) *dns.Msg {
	r := new(dns.Msg).SetReply(q)
	o := q.IsEdns0()
	switch {
	case o != nil && s.faults[NoEDNS]:
		r.Rcode = dns.RcodeFormatError
		return r
	case s.faults[ServFail]:
		r.Rcode = dns.RcodeServerFailure
	case s.faults[NoNS] && s.isBelow(q.Question[0]):
		r.Rcode = dns.RcodeServerFailure
	case s.faults[Lame]:
		r.Rcode = dns.RcodeRefused
	case s.recursive:
		s.recurse(q, r)
	case s.faults[Intercepted]:
		s.net.resolver.recurse(q, r)
	case s.faults[CNAMELoop] && s.loop(q, r):
	default:
		s.authoritative(q.Question[0], r)
	}
	size := dns.MinMsgSize
	if network == "tcp" {
		size = dns.MaxMsgSize
	}
	if o != nil {
		if r.IsEdns0() == nil {
			r.SetEdns0(1232, true)
		}
		if network == "udp" {
			size = max(size, int(o.UDPSize()))
		}
	}
	r.Compress = true
	if r.Len() > size {
		r.Truncated = true
		r.Answer, r.Ns = nil, nil
	}
	return r
}

// distort applies the faults of the wire.
func (s *Server) distort(r *dns.Msg, network string) {
	if s.faults[NotAuthoritative] {
		r.Authoritative = false
	}
	if s.faults[Truncating] && network == "udp" {
		r.Truncated = true
		r.Answer, r.Ns = nil, nil
	}
	if s.faults[WrongID] {
		r.Id++
	}
	if s.faults[WrongQuestion] {
		r.Question[0].Name = "other." + r.Question[0].Name
	}
	if s.faults[LowerCase] {
		r.Question[0].Name = strings.ToLower(r.Question[0].Name)
	}
}

// isBelow says whether a question is of type NS for a name that is not that of a zone.
func (s *Server) isBelow(q dns.Question) bool {
	name := strings.ToLower(q.Name)
	zone, ok := s.zoneOf(name)
	return ok && q.Qtype == dns.TypeNS && name != dns.Fqdn(zone)
}

// loop answers with an alias in a circle, unless the name is that of a zone.
func (s *Server) loop(q, r *dns.Msg) bool {
	name := strings.ToLower(q.Question[0].Name)
	zone, ok := s.zoneOf(name)
	apex := dns.Fqdn(zone)
	if !ok || name == apex || q.Question[0].Qtype == dns.TypeNS {
		return false
	}
	target := "loop-1." + apex
	if name == target {
		target = "loop-2." + apex
	}
	r.Authoritative = true
	r.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60},
		Target: target}}
	return true
}
