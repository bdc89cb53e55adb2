package dnsverify

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxAliases = 8
	maxRecords = 64 // of one answer that are looked at, where a bound costs nothing
)

// found is the answer of one authoritative server, with aliases followed.
type found struct {
	zone     *zone
	name     string // at the end of the aliases
	aliases  []string
	rcode    int
	answer   []dns.RR // of the type asked for, at name
	negative time.Duration
}

// lookup asks one authoritative server for each step. Nothing there is no error: the answer is then empty.
// The error is a *Problem or that of the context.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) (*found, error) {
	ctx = c.withBudget(ctx)
	f := &found{name: name}
	for {
		p, err := c.locate(ctx, f.name)
		if err != nil {
			return nil, err
		}
		f.zone = p.zone
		r, err := c.askZone(ctx, p.zone, f.name, qtype)
		if err != nil {
			return nil, err
		}
		f.rcode, f.negative = r.rcode, r.negativeTTL()
		for _, rr := range r.answer {
			if rr.Header().Rrtype == qtype && canonical(rr.Header().Name) == f.name && len(f.answer) < maxRecords {
				f.answer = append(f.answer, rr)
			}
		}
		cn := of[*dns.CNAME](r, f.name)
		if len(f.answer) > 0 || len(cn) == 0 {
			return f, nil
		}
		target := canonical(cn[0].Target)
		f.aliases = append(f.aliases, f.name)
		if slices.Contains(f.aliases, target) {
			return nil, &Problem{Code: CNAMELoop, Name: show(name, 120), Found: []string{show(target, 80)}}
		}
		if len(f.aliases) > maxAliases {
			return nil, &Problem{Code: CNAMETooDeep, Name: show(name, 120), Found: []string{show(target, 80)}}
		}
		f.name = target
	}
}

// texts returns the TXT values at a name, aliases followed.
func (c *Client) texts(ctx context.Context, name string) ([]string, *found, error) {
	f, err := c.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, nil, err
	}
	var out []string
	for _, rr := range f.answer {
		if t, ok := rr.(*dns.TXT); ok {
			out = append(out, text(t))
		}
	}
	return out, f, nil
}

// each calls f for 0 to n-1, at most width at a time, and returns when all are done.
func each(width, n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
