package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

const (
	maxHosts   = 13 // name servers of one zone
	maxServers = 26 // addresses of one zone
	maxTries   = 6  // addresses that are tried for a question that any of them can answer
)

// zone is a zone as its parent delegates it.
type zone struct {
	name  string // "" is the root
	hosts []host
	ttl   time.Duration
}

// host is a name server. Without addresses it has not been looked up, or why says what went wrong.
type host struct {
	name    string
	addrs   []netip.Addr
	refused []netip.Addr // addresses that Allow refuses
	why     string
}

func (h host) resolved() bool { return len(h.addrs)+len(h.refused) > 0 || h.why != "" }

// server is one address of one name server. Its String is safe to show.
type server struct {
	host string
	addr netip.AddrPort
}

func (s server) String() string {
	if s.host == "" {
		return s.addr.Addr().String()
	}
	return show(s.host, 120) + " " + s.addr.Addr().String()
}

// rootHints are the addresses of the root servers (www.iana.org/domains/root/servers).
var rootHints = []string{
	"198.41.0.4", "170.247.170.2", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241", "192.112.36.4",
	"198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42", "202.12.27.33",
	"2001:503:ba3e::2:30", "2801:1b8:10::b", "2001:500:2::c", "2001:500:2d::d", "2001:500:a8::e", "2001:500:2f::f",
	"2001:500:12::d0d", "2001:500:1::53", "2001:7fe::53", "2001:503:c27::2:30", "2001:7fd::1", "2001:500:9f::42",
	"2001:dc3::35",
}

func (c *Client) root() *zone {
	h := host{name: "root server", addrs: c.Roots}
	if len(h.addrs) == 0 {
		for _, s := range rootHints {
			h.addrs = append(h.addrs, netip.MustParseAddr(s))
		}
	}
	return &zone{hosts: []host{h}}
}

// place is where a name lives.
type place struct {
	zone *zone
	// missing is the first name on the way down that does not exist, "" if all do.
	missing string
}

// locate walks from the root to the zone that name is in, by the delegations of each parent (RFC 1034 section 4.3.2).
// The error is a *Problem, or that of the context.
func (c *Client) locate(ctx context.Context, name string) (place, error) {
	z, at := c.start(name)
	for at != name {
		next := childOf(name, at)
		r, err := c.askZone(ctx, z, next, dns.TypeNS)
		if p, ok := errors.AsType[*Problem](err); ok && p.Code == LameServers && z.name != "" && !isSuffix(z.name) {
			at = next // load balancers that know no NS questions; if they are lame, the next question shows it
			continue
		}
		if err != nil {
			return place{zone: z}, err
		}
		child := c.cut(r, z, name)
		switch {
		case child != nil:
			if r.aa {
				c.sameServers(ctx, z, child)
			}
			z, at = child, child.name
			if isSuffix(child.name) {
				c.cache.putZone(child)
			}
		case r.rcode == dns.RcodeNameError:
			return place{zone: z, missing: next}, nil
		default:
			at = next
		}
	}
	return place{zone: z}, nil
}

// sameServers finds the addresses of name servers within child, when a server of the zone above has both zones
// and sent none: to walk down to them would lead back here.
func (c *Client) sameServers(ctx context.Context, z, child *zone) {
	for i, h := range child.hosts {
		if h.resolved() || !under(h.name, child.name) {
			continue
		}
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if r, err := c.askZone(ctx, z, h.name, t); err == nil {
				h = c.glue(h, r.answer, child.name)
			}
		}
		child.hosts[i] = h
	}
}

// start returns the deepest zone above name that is known already.
func (c *Client) start(name string) (*zone, string) {
	for at := parent(name); at != ""; at = parent(at) {
		if z := c.cache.zone(at); z != nil {
			return z, at
		}
	}
	return c.root(), ""
}

// childOf returns the name that is one label longer than at, towards name.
func childOf(name, at string) string {
	rest := strings.TrimSuffix(strings.TrimSuffix(name, at), ".")
	label := rest[strings.LastIndexByte(rest, '.')+1:]
	if at == "" {
		return label
	}
	return label + "." + at
}

func isSuffix(name string) bool {
	s, icann := publicsuffix.PublicSuffix(name)
	return s == name && (icann || !strings.Contains(name, "."))
}

// cut returns the zone that a reply of a server of z delegates on the way to name, or nil. A server that
// has both zones answers with the NS records themselves.
func (c *Client) cut(r *reply, z *zone, name string) *zone {
	if r.rcode != dns.RcodeSuccess {
		return nil
	}
	child := &zone{}
	for _, rr := range slices.Concat(r.answer, r.authority) {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		owner := canonical(ns.Hdr.Name)
		if owner == z.name || !under(owner, z.name) || !under(name, owner) || child.name != "" && child.name != owner {
			continue
		}
		if len(child.hosts) == maxHosts {
			break
		}
		h := host{name: canonical(ns.Ns)}
		if slices.ContainsFunc(child.hosts, func(o host) bool { return o.name == h.name }) {
			continue
		}
		child.name, child.ttl = owner, time.Duration(ns.Hdr.Ttl)*time.Second
		child.hosts = append(child.hosts, c.glue(h, r.extra, z.name))
	}
	if child.name == "" {
		return nil
	}
	return child
}

// glue adds the addresses that came with a delegation. They count only for names that the server
// which sent them can speak for.
func (c *Client) glue(h host, extra []dns.RR, bailiwick string) host {
	if !under(h.name, bailiwick) {
		return h
	}
	for _, rr := range extra {
		if canonical(rr.Header().Name) == h.name {
			h = c.addAddr(h, addrOf(rr))
		}
	}
	return h
}

func addrOf(rr dns.RR) netip.Addr {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA.To16())
	}
	return a.Unmap()
}

func (c *Client) addAddr(h host, a netip.Addr) host {
	switch {
	case !a.IsValid() || len(h.addrs)+len(h.refused) >= 8 || slices.Contains(h.addrs, a):
	case c.allow(a):
		h.addrs = append(h.addrs, a)
	default:
		h.refused = append(h.refused, a)
	}
	return h
}

// resolve looks up the addresses of a name server that came without.
func (c *Client) resolve(ctx context.Context, h host) host {
	if h.resolved() {
		return h
	}
	if known, ok := c.cache.host(h.name); ok {
		return known
	}
	if spent(ctx) {
		h.why = errBudget.Error()
		return h
	}
	ctx, err := deeper(ctx)
	if err != nil {
		h.why = err.Error()
		return h
	}
	ttl := maxHostTTL
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		l, err := c.lookup(ctx, h.name, t)
		if err != nil {
			h.why = show(err.Error(), 120)
			continue
		}
		for _, rr := range l.answer {
			h = c.addAddr(h, addrOf(rr))
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	switch {
	case len(h.addrs)+len(h.refused) > 0:
		h.why = ""
		c.cache.putHost(h, ttl)
	case h.why == "":
		h.why = "has no address"
	}
	return h
}

// servers returns all addresses of the name servers of z, and what is wrong with those that have none.
func (c *Client) servers(ctx context.Context, z *zone) (ok []server, bad []host) {
	hosts := make([]host, len(z.hosts))
	each(4, len(z.hosts), func(i int) { hosts[i] = c.resolve(ctx, z.hosts[i]) })
	for _, h := range hosts {
		for _, a := range h.addrs {
			if len(ok) < maxServers {
				ok = append(ok, server{h.name, netip.AddrPortFrom(a, c.port())})
			}
		}
		if len(h.addrs) == 0 {
			bad = append(bad, h)
		}
	}
	return ok, bad
}

// some is servers for a question that any one of them can answer: those with known addresses, and only if
// there are none, those that have to be looked up.
func (c *Client) some(ctx context.Context, z *zone) []server {
	var out []server
	add := func(h host) {
		for _, a := range h.addrs {
			out = append(out, server{h.name, netip.AddrPortFrom(a, c.port())})
		}
	}
	for _, h := range z.hosts {
		add(h)
	}
	for _, h := range z.hosts {
		if len(out) > 0 || ctx.Err() != nil {
			break
		}
		add(c.resolve(ctx, h))
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b server) int { return cmp.Compare(b2i(a.addr.Addr().Is6()), b2i(b.addr.Addr().Is6())) })
	return out[:min(len(out), maxTries)]
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// askZone asks servers of z until one gives an answer that can be used. The next one is asked when the one before has
// failed, or has not answered for a while. The error is a *Problem, or that of the context when nothing is known yet.
func (c *Client) askZone(ctx context.Context, z *zone, name string, qtype uint16) (*reply, error) {
	type result struct {
		server server
		reply  *reply
		err    error
	}
	servers := c.some(ctx, z)
	asking, cancel := context.WithCancel(ctx)
	results := make(chan result, len(servers)) // has room for all: nobody waits for us
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := &failures{zone: z.name}
	started, done, impatient := 0, 0, false
	for done < len(servers) && ctx.Err() == nil {
		if started < len(servers) && (started == done || impatient) {
			s := servers[started]
			started++
			impatient = false
			wg.Go(func() {
				r, err := c.ask(asking, s.addr, name, qtype, 0)
				results <- result{s, r, err}
			})
		}
		select {
		case r := <-results:
			done++
			if r.err == nil && usable(r.reply, z, name) {
				return r.reply, nil
			}
			failed.add(r.server, r.reply, r.err)
		case <-time.After(c.timeout() / 4):
			impatient = true
		}
	}
	if ctx.Err() != nil && len(failed.dead)+len(failed.lame)+len(failed.intercepted) == 0 {
		return nil, ctx.Err()
	}
	return nil, failed.problem(z.hosts)
}

// usable says whether a reply comes from a server that knows z: with authority, or as a delegation
// to a zone below it.
func usable(r *reply, z *zone, name string) bool {
	switch {
	case r.rcode == dns.RcodeNameError:
		return r.aa
	case r.rcode != dns.RcodeSuccess:
		return false
	case r.aa:
		return true
	}
	return slices.ContainsFunc(r.authority, func(rr dns.RR) bool {
		o := canonical(rr.Header().Name)
		return rr.Header().Rrtype == dns.TypeNS && o != z.name && under(o, z.name) && under(name, o)
	})
}

// failures collects why the servers of a zone could not be used.
type failures struct {
	zone                    string
	lame, dead, intercepted []string
	err                     error
}

func (f *failures) add(s server, r *reply, err error) {
	switch {
	case err != nil:
		f.dead = append(f.dead, s.String())
		f.err = err
	case !r.aa && r.ra && (r.rcode == dns.RcodeSuccess || r.rcode == dns.RcodeNameError):
		f.intercepted = append(f.intercepted, s.String())
	default:
		f.lame = append(f.lame, s.String()+" "+rcodeName(r.rcode))
	}
}

func (f *failures) problem(hosts []host) *Problem {
	name := cmp.Or(show(f.zone, 120), ".")
	switch {
	case errors.Is(f.err, errBudget):
		return &Problem{Code: Temporary, Name: name, Detail: "It takes too many questions to find the name servers.", Err: f.err}
	case len(f.intercepted) > 0 && len(f.lame) == 0:
		return &Problem{Code: Intercepted, Name: name, Servers: f.intercepted,
			Detail: "Allow port 53 to the Internet for UDP and TCP without interference."}
	case len(f.lame) > 0:
		return &Problem{Code: LameServers, Name: name, Servers: f.lame}
	case len(f.dead) > 0:
		return &Problem{Code: UnreachableServers, Name: name, Servers: f.dead, Err: f.err,
			Detail: fmt.Sprintf("The last one: %s.", show(f.err.Error(), 160))}
	}
	p := &Problem{Code: UnreachableServers, Name: name, Detail: "None of them has an address that may be asked."}
	for _, h := range hosts {
		p.Servers = append(p.Servers, describe(h))
	}
	return p
}

// describe says why a name server cannot be asked.
func describe(h host) string {
	switch {
	case len(h.refused) > 0:
		return show(fmt.Sprintf("%s %s is not a public address", h.name, h.refused[0]), 120)
	case h.why != "":
		return show(h.name+" "+h.why, 160)
	}
	return show(h.name, 120)
}
