package mailauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNS is the Resolver that asks recursive name servers and remembers what they said.
//
// Answers are kept as long as their TTL says, within bounds, and so is the news that there is nothing
// (RFC 2308). Failures are not kept; but a server that answers nothing at all is left alone for some seconds,
// so that not every message waits for it. Several goroutines that ask the same question at once cause one
// query, which goes on for the others when one of them gives up. The zero value is ready for use; fields must
// not change once it is in use.
type DNS struct {
	// Servers are addresses of recursive servers, "192.0.2.53" or "192.0.2.53:53", asked in this order.
	// Nil means those of /etc/resolv.conf.
	Servers []string
	// Timeout is how long one server may take for one answer. 0 means 2 s.
	Timeout time.Duration
	// Attempts is how often all servers are asked before a question fails. 0 means 2.
	Attempts int
	// MaxTTL bounds how long answers are kept, MaxNegativeTTL how long the news that there is nothing.
	// 0 means 1 h and 10 min. What has a shorter TTL is kept that long, but never less than 1 s.
	MaxTTL, MaxNegativeTTL time.Duration
	// CacheEntries and CacheBytes bound what is kept. 0 means 20,000 and 16 MiB.
	CacheEntries, CacheBytes int
	// InFlight bounds the queries that are under way at once. 0 means 256.
	InFlight int

	once    sync.Once
	servers []*server
	failed  error // of the set-up
	slots   chan struct{}
	cache   cache

	mu      sync.Mutex
	flights map[question]*flight
}

type question struct {
	name string
	kind RecordType
}

// flight is a query under way. The answer may be read when done is closed.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

// answer is what is remembered of one question.
type answer struct {
	values []string
	absent bool // the name does not exist
	ttl    time.Duration
}

func (a answer) result() ([]string, error) {
	if a.absent {
		return nil, ErrNotExist
	}
	return slices.Clone(a.values), nil
}

const systemConfig = "/etc/resolv.conf"

func (d *DNS) setUp() {
	d.slots = make(chan struct{}, cmp.Or(d.InFlight, 256))
	d.flights = make(map[question]*flight)
	d.cache.entries = cmp.Or(d.CacheEntries, 20_000)
	d.cache.bytes = cmp.Or(d.CacheBytes, 16<<20)
	list := d.Servers
	if list == nil {
		c, err := dns.ClientConfigFromFile(systemConfig)
		if err != nil {
			d.failed = fmt.Errorf("mailauth: the system's name servers: %w: set DNS.Servers", err)
			return
		}
		list = c.Servers
	}
	for _, s := range list {
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			s = net.JoinHostPort(a.String(), "53")
		}
		if _, err := netip.ParseAddrPort(s); err != nil {
			d.failed = fmt.Errorf("mailauth: name server %q: want an address, with or without port", s)
			return
		}
		d.servers = append(d.servers, &server{addr: s})
	}
	if len(d.servers) == 0 {
		d.failed = errors.New("mailauth: no name servers: set DNS.Servers")
	}
}

// Lookup implements Resolver.
func (d *DNS) Lookup(ctx context.Context, name string, t RecordType) ([]string, error) {
	d.once.Do(d.setUp)
	if d.failed != nil {
		return nil, temporary(d.failed)
	}
	q := question{strings.ToLower(strings.TrimSuffix(name, ".")), t}
	if _, ok := wireTypes[t]; !ok || !validName(q.name) {
		return nil, ErrNotExist
	}
	if a, ok := d.cache.get(q); ok {
		return a.result()
	}
	if err := ctx.Err(); err != nil {
		return nil, temporary(err)
	}
	f := d.join(ctx, q)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, temporary(ctx.Err())
	}
	if f.err != nil {
		return nil, temporary(f.err)
	}
	return f.answer.result()
}

// join returns the query for q that is under way, or starts one. It has a deadline of its own, since others
// may be waiting for it when ctx ends.
func (d *DNS) join(ctx context.Context, q question) *flight {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.flights[q]; ok {
		return f
	}
	f := &flight{done: make(chan struct{})}
	d.flights[q] = f
	budget := d.timeout() * time.Duration(d.attempts()*len(d.servers)+2)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
	go func() {
		defer cancel()
		f.answer, f.err = d.ask(ctx, q)
		if f.err == nil {
			d.cache.put(q, f.answer, d.keep(f.answer))
		}
		d.mu.Lock()
		delete(d.flights, q)
		d.mu.Unlock()
		close(f.done)
	}()
	return f
}

func (d *DNS) timeout() time.Duration { return cmp.Or(d.Timeout, 2*time.Second) }
func (d *DNS) attempts() int          { return cmp.Or(d.Attempts, 2) }

// keep returns how long an answer is remembered.
func (d *DNS) keep(a answer) time.Duration {
	most := cmp.Or(d.MaxTTL, time.Hour)
	if len(a.values) == 0 {
		most = cmp.Or(d.MaxNegativeTTL, 10*time.Minute)
	}
	return max(min(a.ttl, most), time.Second)
}

// ask asks the servers in turn until one gives an answer that counts.
func (d *DNS) ask(ctx context.Context, q question) (answer, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	var failed error
	for range d.attempts() {
		for _, s := range d.servers {
			if !s.usable() {
				failed = cmp.Or(failed, fmt.Errorf("%s: %w", s.addr, errSilent))
				continue
			}
			a, err := d.chase(ctx, q, s.addr)
			if s.heard(err) {
				d.suspect(ctx, s)
			}
			if err == nil {
				return a, nil
			}
			failed = fmt.Errorf("%s %s at %s: %w", q.name, q.kind, s.addr, err)
			if ctx.Err() != nil {
				return answer{}, failed
			}
		}
	}
	return answer{}, failed
}
