package dnstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Zone is a zone and the servers that have it.
type Zone struct {
	net     *Net
	name    string // without final dot, "" is the root
	servers []*Server
	hosts   []string // their names
	signed  bool
}

// data is what one server knows of one zone: records by owner, in lower case with the final dot.
type data map[string][]dns.RR

// Server returns one of the servers of the zone, counted from 0.
func (z *Zone) Server(i int) *Server {
	z.net.tb.Helper()
	if i < 0 || i >= len(z.servers) {
		z.net.tb.Fatalf("dnstest: %s has %d servers, not one with number %d", z.name, len(z.servers), i)
	}
	return z.servers[i]
}

// Set replaces all records of an owner on all servers; no records remove it. Servers with the fault
// Split keep what they have.
func (z *Zone) Set(owner string, records ...string) {
	z.net.tb.Helper()
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.set(z.servers, owner, records)
}

// SetOn replaces all records of an owner on one server only.
func (z *Zone) SetOn(i int, owner string, records ...string) {
	z.net.tb.Helper()
	s := z.Server(i)
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.set([]*Server{s}, owner, records)
}

// Fault puts faults on all servers of the zone. None heals them.
func (z *Zone) Fault(faults ...Fault) {
	z.net.tb.Helper()
	for _, s := range z.servers {
		s.Fault(faults...)
	}
}

// Sign makes the resolver set AD for answers from this zone.
func (z *Zone) Sign() {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.signed = true
}

// Delegate puts the delegation into the zone above, or takes it out.
func (z *Zone) Delegate(on bool) {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.delegate(on)
}

// HostedBy gives the name servers names in another zone, so that the delegation comes without glue.
func (z *Zone) HostedBy(other *Zone) {
	z.net.tb.Helper()
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	if other == nil || other == z || other.net != z.net {
		z.net.tb.Fatalf("dnstest: %s cannot be hosted by that zone", z.name)
	}
	z.delegate(false)
	for i, s := range z.servers {
		host := fmt.Sprintf("ns%d-%s", i+1, strings.ReplaceAll(z.name, ".", "-"))
		z.hosts[i] = host + "." + other.name + "."
		other.set(other.servers, host, []string{"A " + s.addr.Addr().String()})
	}
	for i := range z.servers {
		z.base(i)
	}
	z.delegate(true)
}

// base writes SOA and NS, with a mailbox that has a dot in its first label, and the addresses of the servers.
func (z *Zone) base(i int) {
	d := z.servers[i].zones[z.name]
	apex := dns.Fqdn(z.name)
	d[apex] = slices.DeleteFunc(d[apex], func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeNS || rr.Header().Rrtype == dns.TypeSOA
	})
	d[apex] = append(d[apex], z.parse(apex, fmt.Sprintf(`3600 SOA %s first\.last 1 3600 600 86400 300`, z.hosts[0])))
	for j, h := range z.hosts {
		d[apex] = append(d[apex], z.parse(apex, "3600 NS "+h))
		if dns.IsSubDomain(apex, h) {
			d[h] = []dns.RR{z.parse(h, "3600 A "+z.servers[j].addr.Addr().String())}
		}
	}
}

func (z *Zone) set(servers []*Server, owner string, records []string) {
	z.net.tb.Helper()
	name := dns.Fqdn(z.name)
	if owner != "@" {
		if owner == "" || strings.HasSuffix(owner, ".") {
			z.net.tb.Fatalf("dnstest: owner %q is not relative to %s", owner, z.name)
		}
		name = owner + "." + strings.TrimPrefix(name, ".")
	}
	name = strings.ToLower(name)
	if _, ok := dns.IsDomainName(name); !ok {
		z.net.tb.Fatalf("dnstest: %q is not a name", name)
	}
	var rrs []dns.RR
	for _, r := range records {
		rrs = append(rrs, z.parse(name, r))
	}
	for _, s := range servers {
		d, ok := s.zones[z.name]
		if !ok {
			z.net.tb.Fatalf("dnstest: the server %v does not have %s", s.addr.Addr(), z.name)
		}
		kept := slices.Clone(rrs)
		for _, rr := range d[name] {
			if t := rr.Header().Rrtype; t == dns.TypeSOA || t == dns.TypeNS && owner == "@" {
				kept = append(kept, rr)
			}
		}
		if d[name] = kept; len(kept) == 0 {
			delete(d, name)
		}
	}
}

func (z *Zone) parse(owner, record string) dns.RR {
	z.net.tb.Helper()
	p := dns.NewZoneParser(strings.NewReader(owner+" "+record+"\n"), dns.Fqdn(z.name), "")
	p.SetDefaultTTL(60)
	rr, ok := p.Next()
	if !ok || p.Err() != nil {
		z.net.tb.Fatalf("dnstest: %q is not a record: %v", record, p.Err())
		return nil
	}
	if _, more := p.Next(); more {
		z.net.tb.Fatalf("dnstest: %q is more than one record", record)
	}
	return rr
}

// delegate writes the NS records and the glue into the zone above.
func (z *Zone) delegate(on bool) {
	above := z.net.above(z.name)
	apex := dns.Fqdn(z.name)
	for _, s := range above.servers {
		d := s.zones[above.name]
		delete(d, apex)
		for i, h := range z.hosts {
			if dns.IsSubDomain(apex, h) {
				delete(d, h)
			}
			if !on {
				continue
			}
			d[apex] = append(d[apex], z.parse(apex, "3600 NS "+h))
			if dns.IsSubDomain(apex, h) {
				d[h] = []dns.RR{z.parse(h, "3600 A "+z.servers[i].addr.Addr().String())}
			}
		}
	}
}

// above returns the zone in which name is delegated.
func (n *Net) above(name string) *Zone {
	for {
		_, name, _ = strings.Cut(name, ".")
		if z := n.zones[name]; z != nil {
			return z
		}
	}
}

func (d data) clone() data { return maps.Clone(d) }
