package mailauth

import (
	"context"
	"strings"
)

// dmarcWalk looks records up for one message and remembers what it found.
type dmarcWalk struct {
	ctx      context.Context
	resolver Resolver
	seen     map[string]dmarcAnswer
}

type dmarcAnswer struct {
	record *dmarcRecord // nil if there is none
	err    error        // nobody can tell
}

func newDMARCWalk(ctx context.Context, r Resolver) *dmarcWalk {
	return &dmarcWalk{ctx: ctx, resolver: r, seen: make(map[string]dmarcAnswer)}
}

// record returns the record at one domain, nil if there is none, or more than one: they are all discarded
// (RFC 9989 section 4.10 step 2).
func (w *dmarcWalk) record(domain string) (*dmarcRecord, error) {
	if a, ok := w.seen[domain]; ok {
		return a.record, a.err
	}
	txts, err := lookup(w.ctx, w.resolver, "_dmarc."+domain, TXT)
	if noData(err) {
		err = nil
	}
	var a dmarcAnswer
	a.err = err
	found := 0
	for _, txt := range txts {
		if r, ok := parseDMARC(txt); ok {
			a.record = r
			found++
		}
	}
	if found > 1 {
		a.record = nil
	}
	w.seen[domain] = a
	return a.record, a.err
}

// published is a record and where it was found.
type published struct {
	domain string
	record *dmarcRecord
}

// maxWalk is how many names a tree walk asks for (RFC 9989 section 4.10).
const maxWalk = 8

// walk performs the DNS tree walk from a domain and returns the records on the way, that of the longest name
// first. If it could not go to its end, the records before that point are returned with the error.
func (w *dmarcWalk) walk(domain string) ([]published, error) {
	var out []published
	for target := range walkTargets(domain) {
		r, err := w.record(target)
		if err != nil {
			return out, err
		}
		if r == nil {
			continue
		}
		out = append(out, published{target, r})
		if r.suffix != 'u' {
			break
		}
	}
	return out, nil
}

// walkTargets yields the names of a tree walk: the domain itself, then, shortened to seven labels if it has
// eight or more, each parent up to the top-level domain.
func walkTargets(domain string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(domain) {
			return
		}
		for labels := strings.Count(domain, ".") + 1; labels > 1; labels-- {
			_, domain, _ = strings.Cut(domain, ".")
			if labels <= maxWalk && !yield(domain) {
				return
			}
		}
	}
}

// organization selects the organizational domain from what a walk from a domain has found (RFC 9989
// section 4.10.2).
func organization(start string, found []published) string {
	for _, p := range found {
		switch {
		case p.record.suffix == 'n':
			return p.domain
		case p.record.suffix == 'y' && p.domain != start:
			return below(p.domain, start)
		}
	}
	if len(found) == 0 {
		return start
	}
	return found[len(found)-1].domain
}

// below returns the name one label longer than parent on the way down to name.
func below(parent, name string) string {
	rest := strings.TrimSuffix(name, "."+parent)
	return name[strings.LastIndexByte(rest, '.')+1:]
}
