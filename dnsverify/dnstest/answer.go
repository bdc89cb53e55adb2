package dnstest

import (
	"strings"
	"time"

	"github.com/miekg/dns"
)

// zoneOf returns the deepest zone of the server that name is in.
func (s *Server) zoneOf(name string) (string, bool) {
	for at := strings.TrimSuffix(name, "."); ; {
		if _, ok := s.zones[at]; ok {
			return at, true
		}
		if at == "" {
			return "", false
		}
		_, at, _ = strings.Cut(at, ".")
	}
}

func (s *Server) data(zone string) data {
	if d, ok := s.frozen[zone]; ok {
		return d
	}
	return s.zones[zone]
}

// authoritative answers as RFC 1034 section 4.3.2 says.
func (s *Server) authoritative(q dns.Question, r *dns.Msg) {
	name := strings.ToLower(q.Name)
	zone, ok := s.zoneOf(name)
	if !ok {
		r.Rcode = dns.RcodeRefused
		return
	}
	d, apex := s.data(zone), dns.Fqdn(zone)
	if ns, glue := d.delegation(name, apex); ns != nil {
		r.Ns, r.Extra = ns, append(r.Extra, glue...)
		return
	}
	r.Authoritative = true
	for range 9 {
		rrs, exists := d.at(name, apex)
		var alias *dns.CNAME
		for _, rr := range rrs {
			h := rr.Header()
			if c, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				alias = c
			}
			if h.Rrtype == q.Qtype || h.Rrtype == dns.TypeCNAME {
				rr = dns.Copy(rr)
				rr.Header().Name = name
				r.Answer = append(r.Answer, rr)
			}
		}
		if alias != nil && dns.IsSubDomain(apex, alias.Target) {
			name = strings.ToLower(alias.Target)
			continue
		}
		if !exists && len(r.Answer) == 0 {
			r.Rcode = dns.RcodeNameError
		}
		if len(r.Answer) == 0 {
			r.Ns = d.soa(apex)
		}
		if q.Qtype == dns.TypeNS && !s.faults[Minimal] {
			r.Extra = append(r.Extra, d.glue(r.Answer)...)
		}
		return
	}
}

// delegation returns the NS records of the highest cut between the zone and name, and their glue.
func (d data) delegation(name, apex string) (ns, glue []dns.RR) {
	labels := dns.SplitDomainName(strings.TrimSuffix(name, apex))
	for i := len(labels) - 1; i >= 0; i-- {
		owner := strings.Join(labels[i:], ".") + "." + strings.TrimPrefix(apex, ".")
		for _, rr := range d[owner] {
			if rr.Header().Rrtype == dns.TypeNS {
				ns = append(ns, rr)
			}
		}
		if ns != nil {
			return ns, d.glue(ns)
		}
	}
	return nil, nil
}

// glue returns the addresses of name servers, as far as they are in the data.
func (d data) glue(ns []dns.RR) (out []dns.RR) {
	for _, rr := range ns {
		n, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		for _, g := range d[strings.ToLower(n.Ns)] {
			if t := g.Header().Rrtype; t == dns.TypeA || t == dns.TypeAAAA {
				out = append(out, g)
			}
		}
	}
	return out
}

// at returns the records of a name, of a wildcard if there is one for it, and whether the name exists.
func (d data) at(name, apex string) ([]dns.RR, bool) {
	if rrs, ok := d[name]; ok {
		return rrs, true
	}
	for owner := range d {
		if strings.HasSuffix(owner, "."+name) {
			return nil, true
		}
	}
	for up := name; up != apex; {
		if _, up, _ = strings.Cut(up, "."); up == "" {
			up = "."
		}
		if rrs, ok := d["*."+strings.TrimPrefix(up, ".")]; ok {
			return rrs, true
		}
		if _, ok := d[up]; ok {
			break
		}
	}
	return nil, false
}

func (d data) soa(apex string) []dns.RR {
	for _, rr := range d[apex] {
		if rr.Header().Rrtype == dns.TypeSOA {
			return []dns.RR{rr}
		}
	}
	return nil
}

// remembered is an answer in the cache of the resolver.
type remembered struct {
	rcode  int
	answer []dns.RR
	ns     []dns.RR
	ad     bool
	until  time.Time
}

// recurse answers as a validating resolver: from its cache, or from the first server of each zone without
// a fault that keeps it from answering.
func (s *Server) recurse(q, r *dns.Msg) {
	r.RecursionAvailable = true
	name := strings.ToLower(q.Question[0].Name)
	key := name + dns.TypeToString[q.Question[0].Qtype]
	m, ok := s.memory[key]
	if !ok || time.Now().After(m.until) {
		var bogus bool
		m, bogus = s.find(q.Question[0], name)
		if bogus && !q.CheckingDisabled {
			r.Rcode = dns.RcodeServerFailure
			r.SetEdns0(1232, true)
			o := r.IsEdns0()
			o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "signature expired"})
			return
		}
		if !bogus && m.rcode != dns.RcodeServerFailure {
			s.memory[key] = m
		}
	}
	r.Rcode, r.Answer, r.Ns, r.AuthenticatedData = m.rcode, m.answer, m.ns, m.ad
}

func (s *Server) find(q dns.Question, name string) (m remembered, bogus bool) {
	m.ad = true
	ttl := uint32(3600)
	for range 9 {
		z := s.net.zones[strings.TrimSuffix(name, ".")]
		if z == nil {
			z = s.net.above(strings.TrimSuffix(name, "."))
		}
		m.ad = m.ad && z.signed
		from := z.answering()
		if from == nil {
			return remembered{rcode: dns.RcodeServerFailure}, bogus
		}
		bogus = bogus || from.faults[Bogus]
		if from.faults[CNAMELoop] && name != dns.Fqdn(z.name) {
			return remembered{rcode: dns.RcodeServerFailure}, bogus
		}
		var part dns.Msg
		from.authoritative(dns.Question{Name: name, Qtype: q.Qtype, Qclass: dns.ClassINET}, &part)
		m.rcode, m.ns = part.Rcode, part.Ns
		m.answer = append(m.answer, part.Answer...)
		for _, rr := range part.Answer {
			ttl = min(ttl, rr.Header().Ttl)
		}
		for _, rr := range part.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				ttl = min(ttl, soa.Minttl)
			}
		}
		if len(part.Answer) > 0 {
			if c, ok := part.Answer[len(part.Answer)-1].(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				name = strings.ToLower(c.Target)
				continue
			}
		}
		m.until = time.Now().Add(time.Duration(ttl) * time.Second)
		return m, bogus
	}
	return remembered{rcode: dns.RcodeServerFailure}, bogus
}

func (z *Zone) answering() *Server {
	for _, s := range z.servers {
		if !s.faults[Silent] && !s.faults[Lame] && !s.faults[ServFail] && !s.faults[Garbage] {
			return s
		}
	}
	return nil
}
