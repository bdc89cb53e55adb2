package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Vantage looks up TXT records from another place on the Internet: an agent of the operator, or a public resolver.
type Vantage interface {
	// ID names the place, for results.
	ID() string
	// LookupTXT returns the values at a name, each with its character-strings joined. No values
	// and no error means that there are none.
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Verifier finds out whether a claim is proven. It may be used by many goroutines at once; its fields must not
// change while it is in use, and it must not be copied then.
type Verifier struct {
	Challenge *Challenge // required
	Client    *Client    // nil asks the public Internet
	// Vantages are asked when the record is there but not validated by DNSSEC. At most one of them may
	// dissent, none if there is only one. Empty means that our own view is enough, and the result says so.
	Vantages []Vantage
	// NoResolver leaves out the question to validating resolvers. Bogus signatures then go unnoticed.
	NoResolver bool
	// Timeout is for one check; 0 means 20 s.
	Timeout time.Duration

	own Client // used if Client is nil
}

func (v *Verifier) client() *Client {
	if v.Client != nil {
		return v.Client
	}
	return &v.own
}

// Verify checks a claim now. Others are claims of other tenants for the same domain: they only serve to
// explain a wrong value. The error says that the claim or the verifier cannot be used; whatever the DNS does
// is a result. When ctx ends early the status is Failed.
func (v *Verifier) Verify(ctx context.Context, cl Claim, others ...Claim) (*Result, error) {
	if v.Challenge == nil {
		return nil, errors.New("dnsverify: Verifier.Challenge is nil")
	}
	name, err := v.Challenge.check(cl)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(v.client().withBudget(ctx), cmp.Or(v.Timeout, 20*time.Second))
	defer cancel()
	start := time.Now()
	c := &check{v: v, c: v.client(), claim: cl, others: others, tokens: v.Challenge.live(cl),
		res: &Result{Domain: cl.Domain, Tenant: cl.Tenant, Name: name, TokenID: v.Challenge.TokenID(cl), At: start.UTC()}}
	c.run(ctx)
	c.res.Took = time.Since(start)
	return c.res, nil
}

// check is one run of Verify.
type check struct {
	v      *Verifier
	c      *Client
	claim  Claim
	others []Claim
	tokens []string
	res    *Result
	raw    []string // values at the name as they were sent, for the search for mistakes
	asks   []server // servers that answered with authority
}

func (c *check) run(ctx context.Context) {
	p, err := c.c.locate(ctx, c.claim.Domain)
	switch {
	case err != nil:
		c.fail(asProblem(c.claim.Domain, err))
		return
	case p.missing != "" && isSuffix(p.zone.name):
		c.fail(&Problem{Code: NoSuchDomain, Name: p.missing})
		return
	case isSuffix(p.zone.name) && p.zone.name != c.claim.Domain:
		c.fail(&Problem{Code: NotDelegated, Name: c.claim.Domain})
		return
	}
	s := c.survey(ctx, p.zone, c.res.Name, nil)
	c.res.Zone, c.res.Servers = cmp.Or(s.zone.name, "."), s.answers
	for _, h := range s.zone.hosts {
		c.res.NameServers = append(c.res.NameServers, show(h.name, 120))
	}
	for _, a := range s.answers {
		c.res.Negative = max(c.res.Negative, a.Negative)
	}
	c.decide(ctx, s)
}

func (c *check) fail(p *Problem) {
	c.res.Problem = p
	switch {
	case p.Code.failure():
		c.res.Status = Failed
	case c.res.Status == "":
		c.res.Status = Absent
	}
}

// decide turns the answers of the authoritative servers into a status.
func (c *check) decide(ctx context.Context, s survey) {
	t := count(s.answers)
	switch {
	case ctx.Err() != nil && t.miss == 0:
		c.fail(&Problem{Code: Temporary, Name: c.res.Name, Detail: "The check was stopped before all servers had answered.",
			Servers: t.dead, Err: ctx.Err()})
	case 2*t.told < t.hosts || t.told == 0:
		c.fail(c.unheard(t, s))
	case t.match > 0 && t.miss > 0:
		c.res.Status = Partial
		c.fail(&Problem{Code: PartialPropagation, Name: c.res.Name, Servers: t.missing,
			Detail: fmt.Sprintf("%d of %d answers have it.", t.match, t.match+t.miss)})
		c.validate(ctx)
	case t.match > 0:
		c.proven(ctx, t)
	case t.other > 0:
		c.res.Status = Wrong
		c.fail(c.explainWrong(ctx))
	default:
		c.res.Status = Absent
		if s.problem == nil {
			s.problem = c.explainAbsent(ctx)
		}
		c.fail(s.problem)
	}
}

// unheard explains why fewer than half of the name servers could be heard.
func (c *check) unheard(t tally, s survey) *Problem {
	switch {
	case s.problem != nil:
		return s.problem
	case t.intercepted > 0 && t.intercepted == len(t.lame):
		return &Problem{Code: Intercepted, Name: c.res.Name, Servers: t.lame,
			Detail: "Allow port 53 to the Internet for UDP and TCP without interference."}
	case len(t.lame) > len(t.dead):
		return &Problem{Code: LameServers, Name: c.res.Name, Servers: append(t.lame, t.dead...)}
	}
	return &Problem{Code: UnreachableServers, Name: c.res.Name, Servers: append(t.dead, t.lame...),
		Detail: fmt.Sprintf("%d of %d name servers gave an answer that counts.", t.told, t.hosts)}
}

// proven is reached when every server that told anything has the record.
func (c *check) proven(ctx context.Context, t tally) {
	for _, s := range slices.Concat(t.lame, t.dead) {
		c.res.note("no answer that counts from " + s)
	}
	if p := c.validate(ctx); p != nil {
		c.fail(p)
		return
	}
	if !c.res.Secure {
		if p := c.elsewhere(ctx); p != nil {
			c.fail(p)
			return
		}
	}
	c.wildcard(ctx)
	c.res.OldToken = slices.ContainsFunc(c.res.Servers, func(a Answer) bool { return a.Old })
	c.res.Status, c.res.Problem = Verified, nil
}

// elsewhere asks the other vantage points.
func (c *check) elsewhere(ctx context.Context) *Problem {
	if len(c.v.Vantages) == 0 {
		c.res.Downgraded = true
		return nil
	}
	c.res.Vantages = make([]Answer, len(c.v.Vantages))
	each(4, len(c.v.Vantages), func(i int) { c.res.Vantages[i] = c.vantage(ctx, c.v.Vantages[i]) })
	var dissent []string
	for _, a := range c.res.Vantages {
		if a.Outcome != Match {
			dissent = append(dissent, a.Server)
		}
	}
	if len(dissent) > 1 || len(dissent) == 1 && len(c.v.Vantages) == 1 {
		return &Problem{Code: VantageDisagree, Name: c.res.Name, Servers: dissent}
	}
	return nil
}

func (c *check) vantage(ctx context.Context, v Vantage) Answer {
	start := time.Now()
	a := Answer{Server: show(v.ID(), 80), Asked: c.res.Name, Outcome: Nothing}
	values, err := v.LookupTXT(ctx, c.res.Name)
	a.Took = time.Since(start)
	if err != nil {
		a.Outcome, a.Error = Dead, show(err.Error(), 160)
		return a
	}
	if len(values) > 0 {
		a.Outcome, a.Values = Differs, showAll(values)
	}
	if slices.ContainsFunc(values, func(s string) bool { return c.v.Challenge.matches(s, c.tokens) }) {
		a.Outcome = Match
	}
	return a
}

func showAll(values []string) []string {
	var out []string
	for _, s := range values[:min(5, len(values))] {
		out = append(out, show(s, 80))
	}
	return out
}

// delegated says whether the target of an alias carries a live token in front of the pool.
func (c *check) delegated(target string) bool { return c.carries(target, c.tokens) }

func (c *check) carries(target string, tokens []string) bool {
	t, pool, _ := strings.Cut(target, ".")
	return c.v.Challenge.Pool != "" && pool == canonical(c.v.Challenge.Pool) && c.v.Challenge.Form == TokenForm &&
		c.v.Challenge.matches(t, tokens)
}
