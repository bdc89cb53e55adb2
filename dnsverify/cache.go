package dnsverify

import (
	"sync"
	"time"
)

// cache remembers what has nothing to do with the domain in question: the delegations of public suffixes
// and the addresses of name servers. What a customer may just have changed is never in it.
type cache struct {
	mu    sync.Mutex
	zones map[string]entry[*zone]
	hosts map[string]entry[host]
}

type entry[T any] struct {
	value T
	until time.Time
}

const (
	maxCached   = 10000
	maxZoneTTL  = time.Hour
	maxHostTTL  = 5 * time.Minute
	minCacheTTL = 5 * time.Second // one check asks for the same host more than once
)

func (c *cache) zone(name string) *zone {
	c.mu.Lock()
	defer c.mu.Unlock()
	return get(c.zones, name)
}

func (c *cache) putZone(z *zone) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zones = put(c.zones, z.name, z, min(z.ttl, maxZoneTTL))
}

func (c *cache) host(name string) (host, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := get(c.hosts, name)
	return h, h.name != ""
}

func (c *cache) putHost(h host, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts = put(c.hosts, h.name, h, min(ttl, maxHostTTL))
}

func get[T any](m map[string]entry[T], key string) T {
	e, ok := m[key]
	if !ok || time.Now().After(e.until) {
		var zero T
		return zero
	}
	return e.value
}

func put[T any](m map[string]entry[T], key string, value T, ttl time.Duration) map[string]entry[T] {
	if m == nil {
		m = map[string]entry[T]{}
	}
	now := time.Now()
	if len(m) >= maxCached {
		for k, e := range m {
			if now.After(e.until) || len(m) >= maxCached { // what is expired, and something in any case
				delete(m, k)
			}
		}
	}
	m[key] = entry[T]{value, now.Add(max(ttl, minCacheTTL))}
	return m
}
