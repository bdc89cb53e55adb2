// Package mailauthtest has a DNS made of a map, for tests of what uses package mailauth.
package mailauthtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postreeve/postreeve/verdict/mailauth"
)

// Zone is a mailauth.Resolver that knows the names in it, in any letter case and without final dot. Every
// other name does not exist, but for those that have names below them. It must not be changed while in use.
type Zone map[string]Records

// Records are what is at one name. The fields are as mailauth.Resolver returns them; a TXT record of
// several strings is given joined.
type Records struct {
	TXT, A, AAAA, MX, PTR []string
	// CNAME is the name at which records are looked for that are not here. A loop is a temporary failure.
	CNAME string
	// Err is what every question about this name gets. Fault is the same for one type only.
	Err   error
	Fault map[mailauth.RecordType]error
}

// Lookup implements mailauth.Resolver.
func (z Zone) Lookup(ctx context.Context, name string, t mailauth.RecordType) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", mailauth.ErrTemporary, err)
	}
	for hop := range 10 {
		r, ok := z.at(name)
		switch err := r.Fault[t]; {
		case err != nil:
			return nil, err
		case r.Err != nil:
			return nil, r.Err
		}
		if values := r.values(t); len(values) > 0 {
			return slices.Clone(values), nil
		}
		if r.CNAME == "" {
			if !ok && hop == 0 {
				return nil, mailauth.ErrNotExist
			}
			return nil, nil
		}
		name = r.CNAME
	}
	return nil, fmt.Errorf("%w: a loop of aliases at %s", mailauth.ErrTemporary, name)
}

func (z Zone) at(name string) (Records, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if r, ok := z[name]; ok {
		return r, true
	}
	below := false
	for n, r := range z {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n == name {
			return r, true
		}
		below = below || strings.HasSuffix(n, "."+name)
	}
	return Records{}, below
}

func (r Records) values(t mailauth.RecordType) []string {
	switch t {
	case mailauth.TXT:
		return r.TXT
	case mailauth.A:
		return r.A
	case mailauth.AAAA:
		return r.AAAA
	case mailauth.MX:
		return r.MX
	case mailauth.PTR:
		return r.PTR
	}
	return nil
}

// Log is a mailauth.Resolver that writes down what it is asked, as "TXT example.org", and asks another.
type Log struct {
	mailauth.Resolver

	mu    sync.Mutex
	asked []string
}

// Lookup implements mailauth.Resolver.
func (l *Log) Lookup(ctx context.Context, name string, t mailauth.RecordType) ([]string, error) {
	l.mu.Lock()
	l.asked = append(l.asked, string(t)+" "+name)
	l.mu.Unlock()
	return l.Resolver.Lookup(ctx, name, t)
}

// Asked returns the questions so far, in their order.
func (l *Log) Asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}
