package dnsverify

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// resolvers returns the validating resolvers: those that were given, or those of the system.
func (c *Client) resolvers() []netip.AddrPort {
	if len(c.Resolvers) > 0 {
		return c.Resolvers
	}
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseResolvConf(bufio.NewScanner(f))
}

func parseResolvConf(s *bufio.Scanner) (out []netip.AddrPort) {
	for s.Scan() && len(out) < 3 {
		f := strings.Fields(s.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}

func (c *Client) trusts(resolver netip.AddrPort) bool {
	return c.TrustAD || resolver.Addr().IsLoopback()
}

// validate asks the resolvers. It is called only after an authoritative server had the record: to ask before
// would put its absence into their caches. It returns a problem if the signatures are bogus, or if no
// resolver could be heard.
func (c *check) validate(ctx context.Context) *Problem {
	if c.v.NoResolver {
		c.res.note("no validating resolver was asked")
		return nil
	}
	list := c.c.resolvers()
	c.res.Resolvers = make([]Answer, len(list))
	each(4, len(list), func(i int) { c.res.Resolvers[i] = c.askResolver(ctx, list[i]) })
	heard := false
	for i, a := range c.res.Resolvers {
		switch a.Outcome {
		case BogusSig:
			return &Problem{Code: DNSSECBogus, Name: c.res.Name, Servers: []string{a.Server}, Detail: strings.Join(a.Extended, ", ")}
		case Match:
			heard = true
			c.res.Secure = c.res.Secure || a.AD && c.c.trusts(list[i])
		case Dead, Lame:
		default:
			heard = true
			c.res.note("the resolver " + a.Server + " still has the answer from before, for up to " +
				max(a.Negative, a.TTL).String() + ": it does not matter")
		}
	}
	if !heard {
		p := &Problem{Code: Temporary, Name: c.res.Name,
			Detail: "The record is there, but no validating resolver answers: check Client.Resolvers."}
		for _, a := range c.res.Resolvers {
			p.Servers = append(p.Servers, a.Server)
		}
		return p
	}
	return nil
}

func (c *check) askResolver(ctx context.Context, resolver netip.AddrPort) Answer {
	start := time.Now()
	a := Answer{Server: addrText(resolver), Asked: c.res.Name}
	r, err := c.c.ask(ctx, resolver, c.res.Name, dns.TypeTXT, recursive)
	if err != nil {
		a.Outcome, a.Error = Dead, show(err.Error(), 160)
	} else {
		// A resolver follows aliases itself: the values stand at the end of them.
		c.read(&a, r, endOf(r, c.res.Name))
		if r.rcode == dns.RcodeServerFailure {
			a.Outcome = Lame
			free, err := c.c.ask(ctx, resolver, c.res.Name, dns.TypeTXT, recursive|noCheck)
			if err == nil && (free.rcode == dns.RcodeSuccess || free.rcode == dns.RcodeNameError) {
				a.Outcome = BogusSig
			}
		} else if r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
			a.Outcome = Lame
		}
		if a.Outcome != Match && a.Outcome != BogusSig && c.delegatedIn(r) {
			a.Outcome = Match
		}
	}
	a.Took = time.Since(start)
	return a
}

// endOf follows the aliases within one answer.
func endOf(r *reply, name string) string {
	for range maxAliases {
		cn := of[*dns.CNAME](r, name)
		if len(cn) == 0 {
			break
		}
		name = canonical(cn[0].Target)
	}
	return name
}

// delegatedIn says whether an alias in the answer carries the token.
func (c *check) delegatedIn(r *reply) bool {
	name := c.res.Name
	for range maxAliases {
		cn := of[*dns.CNAME](r, name)
		if len(cn) == 0 {
			return false
		}
		if name = canonical(cn[0].Target); c.delegated(name) {
			return true
		}
	}
	return false
}

// wildcard notes that the record is there for every name. It proves control all the same.
func (c *check) wildcard(ctx context.Context) {
	if len(c.asks) == 0 {
		return
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return
	}
	name := "_" + hex.EncodeToString(b[:]) + "." + c.claim.Domain
	r, err := c.c.ask(ctx, c.asks[0].addr, name, dns.TypeTXT, 0)
	if err == nil && slices.ContainsFunc(of[*dns.TXT](r, name), func(t *dns.TXT) bool {
		return c.v.Challenge.matches(text(t), c.tokens)
	}) {
		c.res.note("a wildcard record answers for every name: make the record at its own name")
	}
}
