package dnsverify

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// MX is one MX record and what is behind it.
type MX struct {
	Host       string       `json:"host"` // in lower case without the final dot; "." is the null MX
	Preference uint16       `json:"preference"`
	Platform   Platform     `json:"platform"`
	Product    string       `json:"product,omitempty"`
	Addrs      []netip.Addr `json:"addrs,omitempty"`
	Problem    *Problem     `json:"problem,omitempty"` // with this host
}

// Connection says how much of a domain's mail comes to the gateway.
type Connection string

const (
	Connected    Connection = "connected"     // all MX records are ours
	Mixed        Connection = "mixed"         // some are: mail goes past us
	NotConnected Connection = "not_connected" // none is
)

// Discovery is where the mail of a domain goes today.
type Discovery struct {
	Domain     string        `json:"domain"`
	MX         []MX          `json:"mx"` // by preference, then name
	TTL        time.Duration `json:"ttl"`
	Implicit   bool          `json:"implicit,omitempty"` // no MX record: the domain's own address gets the mail
	Connection Connection    `json:"connection"`
	Platform   Platform      `json:"platform"` // of the best host that is not ours
	Product    string        `json:"product,omitempty"`
	// NextHop is the host to which the gateway should deliver; empty if it does not follow from the records.
	NextHop string `json:"next_hop,omitempty"`
	// Ask says that a person has to confirm or to name the next hop.
	Ask bool `json:"ask,omitempty"`
	// Wildcard says that names below the domain that have no records of their own have an MX record.
	Wildcard bool       `json:"wildcard,omitempty"`
	Problems []*Problem `json:"problems,omitempty"`
	At       time.Time  `json:"at"`
}

const maxMX = 32

// Discover finds out where the mail of a domain goes and which next hop follows from that. It has to be called
// before the MX records are changed: afterwards they name the gateway. The error is a *Problem when the MX records
// could not be had; it never means that there are none (RFC 5321 section 5.1).
func (c *Client) Discover(ctx context.Context, domain string, own Own) (*Discovery, error) {
	domain, err := normalize(domain)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.withBudget(ctx), 30*time.Second)
	defer cancel()
	f, err := c.lookup(ctx, domain, dns.TypeMX)
	if err != nil {
		return nil, asProblem(domain, err)
	}
	if f.rcode == dns.RcodeNameError && isSuffix(f.zone.name) {
		return nil, &Problem{Code: NoSuchDomain, Name: domain}
	}
	d := &Discovery{Domain: domain, Platform: PlatformOther, Connection: NotConnected, At: time.Now().UTC()}
	d.MX, d.TTL = readMX(f.answer)
	if len(d.MX) == 0 {
		d.implicit(f.name)
	}
	each(4, len(d.MX), func(i int) { c.inspect(ctx, &d.MX[i], own) })
	d.judge(own)
	if w, err := c.lookup(ctx, "_no-such-name."+domain, dns.TypeMX); err == nil {
		d.Wildcard = len(w.answer) > 0
	}
	return d, nil
}

func readMX(rrs []dns.RR) (out []MX, ttl time.Duration) {
	for _, rr := range rrs {
		if mx, ok := rr.(*dns.MX); ok && len(out) < maxMX {
			out = append(out, MX{Host: mxHost(mx.Mx), Preference: mx.Preference})
			ttl = time.Duration(mx.Hdr.Ttl) * time.Second
		}
	}
	slices.SortFunc(out, compareMX)
	return slices.CompactFunc(out, func(a, b MX) bool { return a.Host == b.Host }), ttl
}

func compareMX(a, b MX) int {
	return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Host, b.Host))
}

// mxHost returns a target in the form in which it is compared and shown.
func mxHost(target string) string {
	if target == "." {
		return "."
	}
	return show(canonical(target), maxName)
}

// implicit is the rule for a domain without MX records.
func (d *Discovery) implicit(name string) {
	d.Implicit = true
	d.MX = []MX{{Host: mxHost(name)}}
	d.Problems = append(d.Problems, &Problem{Code: NoMXImplicit, Name: d.Domain})
}

// inspect classifies one host and looks at its addresses.
func (c *Client) inspect(ctx context.Context, mx *MX, own Own) {
	mx.Platform, mx.Product = Classify(mx.Host, own)
	switch {
	case mx.Platform == PlatformNone:
		return
	case isAddress(mx.Host):
		mx.Problem = &Problem{Code: MXIsIP, Name: mx.Host}
		return
	}
	addrs, refused, alias, err := c.addresses(ctx, mx.Host)
	mx.Addrs = addrs
	switch {
	case err != nil:
		mx.Problem = asProblem(mx.Host, err)
	case alias != "":
		mx.Problem = &Problem{Code: MXIsCNAME, Name: mx.Host, Found: []string{show(alias, 80)}}
	case len(addrs) == 0 && len(refused) > 0:
		mx.Problem = &Problem{Code: NextHopRefused, Name: mx.Host, Detail: "Its address " + refused[0].String() + " is not a public one."}
	case len(addrs) == 0:
		mx.Problem = &Problem{Code: NextHopRefused, Name: mx.Host, Detail: "It has no address."}
	}
	if mx.Platform == PlatformOther && slices.ContainsFunc(addrs, own.addr) {
		mx.Platform = PlatformOurs
	}
}

// addresses returns the addresses of a host that may be connected to, those that may not, and the name
// at the end of its aliases if it is one. There being none is no error.
func (c *Client) addresses(ctx context.Context, name string) (ok, refused []netip.Addr, alias string, err error) {
	h := host{name: name}
	var errs [2]error
	for i, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		var f *found
		if f, errs[i] = c.lookup(c.withBudget(ctx), name, t); errs[i] != nil {
			continue
		}
		if f.name != name {
			alias = f.name
		}
		for _, rr := range f.answer {
			h = c.addAddr(h, addrOf(rr))
		}
	}
	if len(h.addrs)+len(h.refused) == 0 {
		err = cmp.Or(errs[0], errs[1])
	}
	return h.addrs, h.refused, alias, err
}

// judge draws the conclusions.
func (d *Discovery) judge(own Own) {
	null := slices.IndexFunc(d.MX, func(m MX) bool { return m.Host == "." })
	if null >= 0 {
		d.Problems = append(d.Problems, &Problem{Code: NullMX, Name: d.Domain})
		if len(d.MX) == 1 {
			d.Platform, d.Ask = PlatformNone, true
			return
		}
		d.Problems[len(d.Problems)-1].Detail = "It is ignored, since there are other MX records beside it (RFC 7505 section 3)."
		d.MX = slices.Delete(d.MX, null, null+1)
	}
	ours := 0
	best := -1
	for i, m := range d.MX {
		if m.Problem != nil {
			d.Problems = append(d.Problems, m.Problem)
		}
		if m.Platform == PlatformOurs {
			ours++
		} else if best < 0 {
			best = i
		}
	}
	switch {
	case ours == len(d.MX):
		d.Connection, d.Platform, d.Ask = Connected, PlatformOurs, true
		return
	case ours > 0:
		d.Connection = Mixed
		d.Problems = append(d.Problems, &Problem{Code: MXMixed, Name: d.Domain, Found: d.strangers()})
	}
	m := d.MX[best]
	d.Platform, d.Product = m.Platform, m.Product
	d.Ask = m.Platform == PlatformOther || m.Platform == PlatformGateway || ours > 0
	if p := refuseHop(m.Host, own); p != nil {
		d.Ask = true
		d.Problems = append(d.Problems, p)
		return
	}
	if (m.Problem == nil || m.Problem.Code == MXIsCNAME) && m.Platform != PlatformGateway {
		d.NextHop = m.Host
	}
}

// strangers returns the hosts that are not ours, for a report.
func (d *Discovery) strangers() []string {
	var out []string
	for _, m := range d.MX {
		if m.Platform != PlatformOurs && len(out) < 5 {
			out = append(out, show(m.Host, 80))
		}
	}
	return out
}

// CheckNextHop says why a next hop cannot be one: a host name or an address, with or without a port. Nil means that
// nothing speaks against it. The error is a *Problem: NextHopRefused and MXPointsToSelf are final, others are about
// looking up its addresses.
func (c *Client) CheckNextHop(ctx context.Context, hop string, own Own) error {
	name, _ := splitHop(hop)
	if a, err := netip.ParseAddr(name); err == nil {
		return c.checkHopAddr(a, name, own)
	}
	if name == "" || name == "." {
		return refuseHop(".", own)
	}
	n, err := normalize(name)
	if err != nil {
		return err
	}
	if p := refuseHop(n, own); p != nil {
		return p
	}
	ok, refused, alias, err := c.addresses(ctx, n)
	if err != nil {
		return asProblem(n, err)
	}
	if alias != "" {
		if p := refuseHop(alias, own); p != nil {
			return p
		}
	}
	for _, a := range slices.Concat(ok, refused) {
		if own.addr(a) {
			return &Problem{Code: MXPointsToSelf, Name: n, Detail: "Its address " + a.String() + " is the gateway's."}
		}
	}
	switch {
	case len(ok) > 0:
		return nil
	case len(refused) > 0:
		return c.checkHopAddr(refused[0], n, own)
	}
	return &Problem{Code: NextHopRefused, Name: n, Detail: "It has no address."}
}

// splitHop returns the host of a next hop, without brackets, and its port, 0 if it has none.
func splitHop(hop string) (host string, port uint16) {
	if h, p, err := net.SplitHostPort(hop); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err == nil {
			hop, port = h, uint16(n)
		}
	}
	return canonical(strings.Trim(hop, "[]")), port
}

func (c *Client) checkHopAddr(a netip.Addr, name string, own Own) error {
	switch {
	case own.addr(a):
		return &Problem{Code: MXPointsToSelf, Name: name, Detail: "Its address " + a.String() + " is the gateway's."}
	case !c.allow(a):
		return &Problem{Code: NextHopRefused, Name: name, Detail: "Its address " + a.String() + " is not a public one; allow it if it is meant."}
	}
	return nil
}
