package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// spfZone is what the SPF library asks instead of DNS. It reads each record strictly, expands its macros,
// and hands the library a plain one in which short names stand for the real ones. So the library gets
// neither syntax that it is lenient about nor macros or names that it does not support, and the type of an
// address look-up is the one that the mechanism and the client call for (RFC 7208 section 5).
type spfZone struct {
	spf     SPF
	query   spfQuery
	targets []spfTarget
	last    *spfRecord // read last at the end of the chain of redirects
	at      string     // its domain
	names   []string   // validated names of the client
	named   bool
}

type spfTarget struct {
	kind spfKind
	name string
}

type spfKind uint8

const (
	spfTXT      spfKind = iota // include
	spfRedirect                // the record that the query is about, or one that takes its place
	spfAddr                    // a, mx
	spfExists                  // A only, whatever the client
)

const spfAlias = ".alias.invalid"

func newSPFZone(s SPF, client netip.Addr, helo, local, domain string) *spfZone {
	z := &spfZone{spf: s}
	z.query = spfQuery{client: client.Unmap(), helo: helo, local: local, domain: domain, receiver: s.Hostname}
	return z
}

// alias returns the short name for a real one.
func (z *spfZone) alias(kind spfKind, name string) string {
	z.targets = append(z.targets, spfTarget{kind, name})
	return strconv.Itoa(len(z.targets)-1) + spfAlias
}

// target returns what a name stands for. Names of mail servers and clients stand for themselves.
func (z *spfZone) target(name string) spfTarget {
	if s, ok := strings.CutSuffix(name, spfAlias); ok {
		if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < len(z.targets) {
			return z.targets[n]
		}
	}
	return spfTarget{spfAddr, strings.TrimSuffix(name, ".")}
}

// dnsError makes an error that the library tells apart: not found, temporary, permanent.
func dnsError(name string, err error) error {
	return &net.DNSError{
		UnwrapErr: err, Err: err.Error(), Name: name,
		IsNotFound: noData(err), IsTemporary: errors.Is(err, ErrTemporary),
	}
}

// LookupTXT returns the plain form of the SPF record at name, and nothing else that is there.
func (z *spfZone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	t := z.target(name)
	txts, err := lookup(ctx, z.spf.Resolver, t.name, TXT)
	if err != nil {
		return nil, dnsError(t.name, err)
	}
	var found []string
	for _, txt := range txts {
		if isSPF(txt) {
			found = append(found, txt)
		}
	}
	if len(found) != 1 {
		return found, nil // none, or too many: the library knows
	}
	r, err := parseSPF(found[0])
	if err != nil {
		return nil, dnsError(t.name, fmt.Errorf("mailauth: %s: %w", t.name, err))
	}
	if t.kind == spfRedirect {
		z.last, z.at = r, t.name
	}
	plain, err := z.plain(ctx, r, t)
	if err != nil {
		return nil, dnsError(t.name, err)
	}
	return []string{plain}, nil
}

// plain writes the record at t with expanded names behind short ones.
func (z *spfZone) plain(ctx context.Context, r *spfRecord, t spfTarget) (string, error) {
	domain := t.name
	z.query.name = func(domain string) string { return z.validated(ctx, domain) }
	var b strings.Builder
	b.WriteString("v=spf1")
	for _, t := range r.terms {
		target := domain
		if t.domain != "" {
			var err error
			if target, err = z.query.expand(t.domain, domain, false); err != nil {
				return "", err
			}
		}
		if text := z.term(t, target); text != "" {
			b.WriteByte(' ')
			b.WriteByte(t.qualifier)
			b.WriteString(text)
		}
	}
	if r.redirect != "" {
		target, err := z.query.expand(r.redirect, domain, false)
		if err != nil {
			return "", err
		}
		b.WriteString(" redirect=" + z.alias(t.kind, target))
	}
	return b.String(), nil
}

// term writes one mechanism, or nothing if it cannot match this client.
func (z *spfZone) term(t spfTerm, target string) string {
	switch t.name {
	case "a", "mx":
		s := t.name + ":" + z.alias(spfAddr, target)
		if t.cidr4 >= 0 {
			s += fmt.Sprintf("/%d", t.cidr4)
		}
		if t.cidr6 >= 0 {
			s += fmt.Sprintf("//%d", t.cidr6)
		}
		return s
	case "include":
		return "include:" + z.alias(spfTXT, target)
	case "exists":
		return "exists:" + z.alias(spfExists, target)
	case "ptr":
		if !validName(target) || strings.ContainsAny(target, "/%") {
			target = "none.invalid" // it matches nobody, but the look-up counts
		}
		return "ptr:" + target
	case "ip4", "ip6":
		if t.net.Addr().Is4() != z.query.client.Is4() {
			return ""
		}
		return t.name + ":" + t.net.String()
	}
	return t.name
}

// LookupMX returns the mail servers of a domain. A null MX is a mail server without addresses.
func (z *spfZone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	t := z.target(name)
	hosts, err := lookup(ctx, z.spf.Resolver, t.name, MX)
	if err != nil {
		return nil, dnsError(t.name, err)
	}
	out := make([]*net.MX, len(hosts))
	for i, h := range hosts {
		out[i] = &net.MX{Host: h}
	}
	return out, nil
}

// LookupIPAddr returns the addresses of a host, of the client's family.
func (z *spfZone) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	t := z.target(host)
	kind := A
	if t.kind != spfExists && !z.query.client.Is4() {
		kind = AAAA
	}
	list, err := lookup(ctx, z.spf.Resolver, t.name, kind)
	if err != nil {
		return nil, dnsError(t.name, err)
	}
	var out []net.IPAddr
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, net.IPAddr{IP: a.AsSlice()})
		}
	}
	return out, nil
}

// LookupAddr returns the names of the client, which is all that the library asks for.
func (z *spfZone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, err := lookup(ctx, z.spf.Resolver, reverseName(z.query.client), PTR)
	if err != nil {
		return nil, dnsError(addr, err)
	}
	return names, nil
}

// maxClientNames is how many names of a client are looked at (RFC 7208 section 4.6.4).
const maxClientNames = 10

// validated returns the name of the client that resolves to it and suits a domain best, for the macro
// "p" (RFC 7208 section 7.3): the domain itself, one below it, any.
func (z *spfZone) validated(ctx context.Context, domain string) string {
	if !z.named {
		z.named = true
		names, _ := z.LookupAddr(ctx, "") // errors leave the name unknown
		for _, n := range names[:min(len(names), maxClientNames)] {
			addrs, _ := z.LookupIPAddr(ctx, n)
			for _, a := range addrs {
				if got, ok := netip.AddrFromSlice(a.IP); ok && got.Unmap() == z.query.client {
					z.names = append(z.names, strings.ToLower(n))
					break
				}
			}
		}
	}
	best := "unknown"
	for _, n := range z.names {
		switch {
		case n == domain:
			return n
		case within(n, domain) && !within(best, domain), best == "unknown":
			best = n
		}
	}
	return best
}

// explain returns what the owner of the domain has to say about a fail, or "": RFC 7208 section 6.2.
func (z *spfZone) explain(ctx context.Context) string {
	if z.last == nil || z.last.exp == "" {
		return ""
	}
	name, err := z.query.expand(z.last.exp, z.at, false)
	if err != nil {
		return ""
	}
	txts, err := lookup(ctx, z.spf.Resolver, name, TXT)
	if err != nil || len(txts) != 1 {
		return ""
	}
	text, err := z.query.expand(txts[0], z.at, true)
	const most = 500
	if err != nil || len(text) > most {
		return ""
	}
	return text
}
