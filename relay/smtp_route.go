package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
)

// Resolver is what SMTP asks of DNS. *net.Resolver is one. Errors should be *net.DNSError: IsNotFound
// means that the name or the record does not exist, everything else is temporary.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	maxMX    = 20 // hosts of a list that are considered
	maxTried = 10 // addresses that are tried for one message
)

// target is a host to deliver to.
type target struct {
	host     string // name or address
	port     uint16
	rank     int  // 0 for the first choice
	trusted  bool // configured, and not learned from DNS
	mx       bool // not configured
	implicit bool // the domain itself, which has no MX
}

// candidate is one address of a target.
type candidate struct {
	target
	addr netip.AddrPort
}

// String returns the name and the address, for logs.
func (c candidate) String() string {
	if c.host == c.addr.Addr().String() {
		return c.addr.String()
	}
	return c.name() + " [" + c.addr.String() + "]"
}

// name is the host without the dot at the end.
func (t target) name() string { return strings.TrimSuffix(t.host, ".") }

// parseHosts reads "host", "host:port", "[address]" and "[address]:port".
func parseHosts(hosts []string, port uint16) ([]target, error) {
	out := make([]target, len(hosts))
	for i, h := range hosts {
		t := target{port: port, rank: i, trusted: true}
		host, p, err := net.SplitHostPort(h)
		if err != nil {
			host = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
			_, bad := netip.ParseAddr(host)
			if strings.Contains(host, ":") && (bad != nil || host == h) {
				return nil, fmt.Errorf("relay: next hop %q: want host:port, an IPv6 address in brackets", h)
			}
		} else {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("relay: next hop %q: port %q is no number from 1 to 65535", h, p)
			}
			t.port = uint16(n)
		}
		if host == "" || !plainWord(host) {
			return nil, fmt.Errorf("relay: next hop %q has no host", h)
		}
		t.host = host
		out[i] = t
	}
	return out, nil
}

// selves are the names and addresses that are us.
type selves struct {
	names map[string]bool
	addrs map[netip.Addr]bool
}

func makeSelves(hostname string, more []string) selves {
	s := selves{map[string]bool{}, map[netip.Addr]bool{}}
	for _, n := range append(slices.Clone(more), hostname) {
		if a, err := netip.ParseAddr(n); err == nil {
			s.addrs[a.Unmap()] = true
		} else if n != "" {
			s.names[foldHost(n)] = true
		}
	}
	return s
}

func foldHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (s selves) named(name string) bool { return s.names[foldHost(name)] }

// greets says whether a server calls itself by one of our names.
func (s selves) greets(c *smtpclient.Conn) bool {
	names := c.PeerNames()
	return s.named(names[0]) || s.named(names[1])
}

// errSelf is the cause where mail would come back to us.
var errSelf = errors.New("next hop is ourselves")

func selfReply(at string) *Reply {
	return &Reply{Code: 554, Enhanced: EnhancedCode{5, 4, 6}, Text: "next hop is ourselves", Err: fmt.Errorf("%s: %w", at, errSelf)}
}

func (s *SMTP) resolver() Resolver {
	if s.Resolver != nil {
		return s.Resolver
	}
	return net.DefaultResolver
}

// targets returns the hosts to try in order.
func (s *SMTP) targets(ctx context.Context) ([]target, *Reply) {
	if s.MX == "" {
		return s.static, nil
	}
	name := strings.TrimSuffix(s.MX, ".") + "." // rooted: no search list
	records, err := s.resolver().LookupMX(ctx, name)
	if err != nil && len(records) == 0 && !notFound(err) {
		return nil, dnsReply(err)
	}
	if len(records) == 0 { // RFC 5321 section 5.1: the name itself, but only if there is no MX
		return []target{{host: name, port: cmp.Or(s.Port, 25), mx: true, implicit: true}}, nil
	}
	return s.choose(records)
}

// choose makes targets of MX records.
func (s *SMTP) choose(records []*net.MX) ([]target, *Reply) {
	rr := slices.DeleteFunc(slices.Clone(records), func(m *net.MX) bool { return m.Host == "." || m.Host == "" })
	if len(rr) == 0 { // RFC 7505 section 3
		return nil, &Reply{Code: 556, Enhanced: EnhancedCode{5, 1, 10}, Text: "domain takes no mail", Err: fmt.Errorf("%s has a null MX", s.MX)}
	}
	rand.Shuffle(len(rr), func(i, j int) { rr[i], rr[j] = rr[j], rr[i] })
	slices.SortStableFunc(rr, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	for i, m := range rr {
		if s.self.named(m.Host) { // those before it may be as bad as we are: they go too
			rr = slices.DeleteFunc(rr[:i], func(o *net.MX) bool { return o.Pref >= m.Pref })
			break
		}
	}
	if len(rr) == 0 {
		return nil, selfReply("the best MX of " + s.MX)
	}
	best := rr[0].Pref
	rr = slices.DeleteFunc(rr, func(m *net.MX) bool { // an address is not a name (RFC 1035 section 3.3.9)
		_, err := netip.ParseAddr(strings.TrimSuffix(m.Host, "."))
		return err == nil || !plainWord(m.Host)
	})
	if len(rr) == 0 {
		return nil, unroutable(fmt.Errorf("no MX of %s is a host name", s.MX))
	}
	out := make([]target, 0, min(len(rr), maxMX))
	for _, m := range rr[:min(len(rr), maxMX)] {
		out = append(out, target{host: m.Host, port: cmp.Or(s.Port, 25), rank: int(m.Pref) - int(best), mx: true})
	}
	return out, nil
}

func notFound(err error) bool {
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsNotFound
}

func dnsReply(err error) *Reply {
	return &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 3}, Text: "DNS lookup of the next hop failed", Err: err}
}

func unroutable(err error) *Reply {
	return &Reply{Code: 550, Enhanced: EnhancedCode{5, 4, 4}, Text: "no route to the next hop", Err: err}
}

// addresses returns the addresses of a target, families in turn.
func (s *SMTP) addresses(ctx context.Context, t target) ([]candidate, *Reply) {
	if a, err := netip.ParseAddr(t.host); err == nil {
		return []candidate{{t, netip.AddrPortFrom(a.Unmap(), t.port)}}, nil
	}
	found, err := s.resolver().LookupNetIP(ctx, "ip", t.host)
	switch {
	case len(found) == 0 && (err == nil || notFound(err)):
		return nil, missing(t, cmp.Or(err, error(&net.DNSError{Err: "no address", Name: t.host, IsNotFound: true})))
	case len(found) == 0:
		return nil, dnsReply(err)
	}
	var out []candidate
	private := 0
	for _, a := range alternate(found) {
		switch {
		case t.mx && s.self.addrs[a]:
			return nil, selfReply(fmt.Sprintf("%s [%s]", t.name(), a))
		case t.mx && !s.AllowPrivate && !public(a):
			private++
		default:
			out = append(out, candidate{t, netip.AddrPortFrom(a, t.port)})
		}
	}
	if len(out) == 0 {
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 4}, Text: "no route to the next hop",
			Err: fmt.Errorf("MX host %s has %d addresses, none of them public: set AllowPrivate if that is meant", t.name(), private)}
	}
	return out, nil
}

// missing is a host without address. That a configured one has none is our mistake and not the message's.
func missing(t target, err error) *Reply {
	switch {
	case !t.mx:
		return &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 4}, Text: "no route to the next hop", Err: err}
	case t.implicit:
		return &Reply{Code: 550, Enhanced: EnhancedCode{5, 1, 2}, Text: "domain of the next hop does not exist", Err: err}
	}
	return unroutable(err)
}

// alternate orders addresses so that the families take turns, beginning with that of the first: one
// family that leads nowhere must not use up all trials.
func alternate(found []netip.Addr) []netip.Addr {
	var kinds [2][]netip.Addr
	for _, a := range found {
		a = a.Unmap()
		i := 0
		if a.Is4() != found[0].Unmap().Is4() {
			i = 1
		}
		if !slices.Contains(kinds[i], a) {
			kinds[i] = append(kinds[i], a)
		}
	}
	out := make([]netip.Addr, 0, len(found))
	for i := range max(len(kinds[0]), len(kinds[1])) {
		for _, k := range kinds {
			if i < len(k) {
				out = append(out, k[i])
			}
		}
	}
	return out
}

// notPublic are networks of the registries of special addresses (RFC 6890), and those of IPv6 in which IPv4
// addresses lie that a translator or tunnel would lead to, private ones too.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public says whether an address can be that of a mail server of somebody else.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}
