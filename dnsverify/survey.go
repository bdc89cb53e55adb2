package dnsverify

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// survey is what all servers of a zone said about one name.
type survey struct {
	zone    *zone
	answers []Answer
	problem *Problem // with the aliases at the name
	old     []string // aliases that lead only to the token before the current one
}

// survey asks every server of a zone for the TXT records at a name and follows what it finds: a
// delegation further down, and aliases, each from the root again. Seen are the names on the way here.
func (c *check) survey(ctx context.Context, z *zone, name string, seen []string) survey {
	var replies []*reply
	var asked []server
	s := survey{zone: z}
	for range 3 { // a sub-zone at the name itself is delegated by the servers of the zone above it
		s.answers = nil
		asked, replies = c.askAll(ctx, &s, name)
		child := c.deeper(s.zone, replies, name)
		if child == nil {
			break
		}
		s.zone = child
	}
	targets := map[string]Outcome{}
	for i, r := range replies {
		if r == nil {
			continue
		}
		a := &s.answers[i]
		if cn := of[*dns.CNAME](r, name); len(cn) > 0 && r.aa && a.Outcome != Match {
			target := canonical(cn[0].Target)
			a.Alias, a.TTL = show(target, 120), time.Duration(cn[0].Hdr.Ttl)*time.Second
			if _, ok := targets[target]; !ok {
				targets[target] = c.follow(ctx, &s, target, append(seen, name))
			}
			a.Outcome, a.Old = targets[target], slices.Contains(s.old, target)
		}
		if len(seen) == 0 && r.aa {
			c.asks = append(c.asks, asked[i])
		}
	}
	return s
}

// follow finds out what an alias leads to, as one outcome.
func (c *check) follow(ctx context.Context, s *survey, target string, seen []string) Outcome {
	name := show(seen[0], 120)
	switch {
	case c.delegated(target):
		if !c.carries(target, c.tokens[:1]) {
			s.old = append(s.old, target)
		}
		return Match
	case slices.Contains(seen, target):
		s.problem = &Problem{Code: CNAMELoop, Name: name, Found: []string{show(target, 80)}}
		return Nothing
	case len(seen) > maxAliases:
		s.problem = &Problem{Code: CNAMETooDeep, Name: name, Found: []string{show(target, 80)}}
		return Nothing
	}
	p, err := c.c.locate(ctx, target)
	if err != nil {
		s.problem = asProblem(target, err)
		return Untold
	}
	if p.missing != "" && isSuffix(p.zone.name) {
		s.problem = &Problem{Code: CNAMEBlocksTXT, Name: name, Found: []string{show(target, 80)}, Detail: "Its target does not exist."}
		return Nothing
	}
	behind := c.survey(ctx, p.zone, target, seen)
	if behind.problem != nil {
		s.problem = behind.problem
	}
	t := count(behind.answers)
	switch {
	case 2*t.told < t.hosts || t.told == 0:
		return Untold
	case t.match > 0 && t.miss > 0:
		return Split
	case t.match > 0:
		if slices.ContainsFunc(behind.answers, func(a Answer) bool { return a.Old }) {
			s.old = append(s.old, target)
		}
		return Match
	case t.other > 0:
		return Differs
	}
	if s.problem == nil {
		s.problem = &Problem{Code: CNAMEBlocksTXT, Name: name, Found: []string{show(target, 80)}}
	}
	return Nothing
}

// askAll puts the question to every address of the servers of s.zone. Replies stand beside the answers in order;
// one is nil if there was none that can be used.
func (c *check) askAll(ctx context.Context, s *survey, name string) ([]server, []*reply) {
	servers, bad := c.c.servers(ctx, s.zone)
	replies := make([]*reply, len(servers))
	s.answers = make([]Answer, len(servers), len(servers)+len(bad))
	raw := make([][]string, len(servers))
	each(maxServers, len(servers), func(i int) {
		replies[i], s.answers[i], raw[i] = c.askOne(ctx, servers[i], name)
	})
	for _, r := range raw {
		for _, v := range r {
			if len(c.raw) < maxRecords && !slices.Contains(c.raw, v) {
				c.raw = append(c.raw, v)
			}
		}
	}
	for _, h := range bad {
		s.answers = append(s.answers, Answer{Server: show(h.name, 120), Asked: show(name, 120), Outcome: Refused, Error: describe(h)})
	}
	return servers, replies
}

func (c *check) askOne(ctx context.Context, s server, name string) (*reply, Answer, []string) {
	start := time.Now()
	a := Answer{Server: show(s.host, 120), Addr: addrText(s.addr), Asked: show(name, 120)}
	r, err := c.c.ask(ctx, s.addr, name, dns.TypeTXT, 0)
	a.Took = time.Since(start)
	if err != nil {
		a.Outcome, a.Error = Dead, show(err.Error(), 160)
		return nil, a, nil
	}
	raw := c.read(&a, r, name)
	if !r.aa || r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
		a.Outcome = Lame
		return r, a, nil
	}
	return r, a, raw
}

func addrText(a netip.AddrPort) string {
	if a.Port() == 53 {
		return a.Addr().String()
	}
	return a.String()
}

// read fills an answer from a reply, as if the server had authority.
func (c *check) read(a *Answer, r *reply, name string) (values []string) {
	a.Rcode, a.AA, a.AD, a.RA, a.TCP, a.Extended = rcodeName(r.rcode), r.aa, r.ad, r.ra, r.tcp, r.ede
	old := false
	for _, t := range of[*dns.TXT](r, name) {
		v := text(t)
		a.TTL = time.Duration(t.Hdr.Ttl) * time.Second
		// Every record is compared, however many there are; only some are kept.
		switch {
		case len(c.tokens) > 0 && c.v.Challenge.matches(v, c.tokens[:1]):
			a.Outcome = Match
		case len(c.tokens) > 1 && c.v.Challenge.matches(v, c.tokens[1:]):
			old = true
		}
		if len(values) < maxRecords {
			values = append(values, v)
		}
	}
	a.Values = showAll(values)
	switch {
	case a.Outcome == Match:
	case old:
		a.Outcome, a.Old = Match, true
	case len(values) > 0:
		a.Outcome = Differs
	case r.rcode == dns.RcodeNameError:
		a.Outcome, a.Negative = NoName, r.negativeTTL()
	default:
		a.Outcome, a.Negative = Nothing, r.negativeTTL()
	}
	return values
}

// deeper returns the zone below z that the servers of z delegate on the way to name, if none of them
// has an answer of its own.
func (c *check) deeper(z *zone, replies []*reply, name string) *zone {
	var child *zone
	for _, r := range replies {
		switch {
		case r == nil:
		case r.aa:
			return nil
		case child == nil:
			child = c.c.cut(r, z, name)
		}
	}
	return child
}
