package relay

import (
	"net/netip"
	"sync"
	"time"
)

// Limits bound what clients can take. For each field zero means the default, and a negative value
// means no limit. Limits "per address" count an IPv6 network of 64 bits as one address.
type Limits struct {
	Connections int // at once, from everywhere; default 12,000. Beyond: 421 4.3.2
	PerAddress  int // connections at once from one address; default 100. Beyond: 421 4.7.0

	ConnectionRate int // new connections in a minute from one address; default no limit. Beyond: 421 4.7.0
	MessageRate    int // messages in a minute from one address; default no limit. Beyond: 451 4.7.0
	RecipientRate  int // recipients in a minute from one address; default no limit. Beyond: 451 4.7.0

	Recipients   int   // of one message; default 1,000 (RFC 5321 section 4.5.3.1.8 wants 100). Beyond: 452 4.5.3
	MessageBytes int64 // of one message; default 50 MiB. Beyond: 552 5.3.4
	LineBytes    int   // of one line of a message with its CRLF; default 64 KiB. Beyond: 554 5.6.0
	Hops         int   // Received fields of an incoming message; default 50. Beyond: 554 5.4.6

	// BytesInFlight is the sum of all messages that are on their way through at one moment, in memory
	// and on disk; default 4 GiB. Beyond: 451 4.3.1, before the machine swaps itself to death. One address gets a
	// quarter of it, or as much as one message needs. Beyond: 451 4.7.0.
	BytesInFlight int64

	// Errors is how many bad commands end a connection; default 100.
	Errors int

	// Exempt are addresses to which the limits per address do not apply: upstreams, monitoring.
	Exempt []netip.Prefix
}

const (
	defaultMessage = 50 << 20
	defaultFlight  = 4 << 30
)

func limit[T int | int64](v, def T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return T(^uint32(0) >> 1)
	}
	return v
}

// bytesLimit is limit for sizes, whose "no limit" is larger.
func bytesLimit(v, def int64) int64 {
	if v < 0 {
		return 1 << 62
	}
	return limit(v, def)
}

// admission counts connections, messages and recipients by address. It keeps an entry for an address
// only as long as that can change an answer.
type admission struct {
	limits Limits

	mu      sync.Mutex
	total   int
	clients map[netip.Prefix]*client
	sweep   time.Time // when entries without a use were last thrown out
}

type client struct {
	conns      int
	bytes      int64 // in flight
	connected  bucket
	messages   bucket
	recipients bucket
}

// bucket is a token bucket that fills within a minute.
type bucket struct {
	spent float64
	at    time.Time
}

// take takes n tokens out of a bucket of the given size, if there are enough.
func (b *bucket) take(n, size int, now time.Time) bool {
	b.drain(size, now)
	if b.spent+float64(n) > float64(size) {
		return false
	}
	b.spent += float64(n)
	return true
}

func (b *bucket) drain(size int, now time.Time) {
	b.spent = max(0, b.spent-now.Sub(b.at).Minutes()*float64(size))
	b.at = now
}

func newAdmission(l Limits) *admission {
	return &admission{limits: l, clients: map[netip.Prefix]*client{}}
}

// key is the network that counts as one address.
func key(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Addr of a pipe gives the zero Prefix: one client
	return p
}

func (a *admission) exempt(addr netip.Addr) bool { return contains(a.limits.Exempt, addr) }

// connect lets a connection in, or says why not. Each connection that was let in must be given back
// with disconnect.
func (a *admission) connect(addr netip.Addr) *Reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= limit(a.limits.Connections, 12_000) {
		return &Reply{Code: 421, Enhanced: EnhancedCode{4, 3, 2}, Text: "too many connections, try again later"}
	}
	c := a.client(addr)
	if !a.exempt(addr) {
		if c.conns >= limit(a.limits.PerAddress, 100) {
			return &Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 0}, Text: "too many connections from your address, try again later"}
		}
		if n := a.limits.ConnectionRate; n > 0 && !c.connected.take(1, n, time.Now()) {
			return &Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 0}, Text: "too many connections from your address in a minute, try again later"}
		}
	}
	a.total++
	c.conns++
	return nil
}

func (a *admission) disconnect(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	c := a.client(addr)
	c.conns--
	a.forget(key(addr), c, time.Now())
}

// message and recipient count one more.
func (a *admission) message(addr netip.Addr) *Reply {
	return a.rate(addr, a.limits.MessageRate, "messages", func(c *client) *bucket { return &c.messages })
}

func (a *admission) recipient(addr netip.Addr) *Reply {
	return a.rate(addr, a.limits.RecipientRate, "recipients", func(c *client) *bucket { return &c.recipients })
}

func (a *admission) rate(addr netip.Addr, n int, what string, of func(*client) *bucket) *Reply {
	if n <= 0 || a.exempt(addr) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if of(a.client(addr)).take(1, n, time.Now()) {
		return nil
	}
	return &Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 0}, Text: "too many " + what + " from your address in a minute, try again later"}
}

// load counts n more bytes in flight, if the share of the address has room for them. They are given back with unload.
func (a *admission) load(addr netip.Addr, n int64) bool {
	share := max(bytesLimit(a.limits.BytesInFlight, defaultFlight)/4, bytesLimit(a.limits.MessageBytes, defaultMessage)+flightStep)
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.client(addr)
	if c.bytes+n > share && !a.exempt(addr) {
		return false
	}
	c.bytes += n
	return true
}

func (a *admission) unload(addr netip.Addr, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.client(addr)
	c.bytes -= n
	a.forget(key(addr), c, time.Now())
}

func (a *admission) client(addr netip.Addr) *client {
	k := key(addr)
	c := a.clients[k]
	if c == nil {
		a.sweepOld()
		c = &client{}
		a.clients[k] = c
	}
	return c
}

// sweepOld throws out, once a minute, what forget had to keep.
func (a *admission) sweepOld() {
	now := time.Now()
	if now.Sub(a.sweep) < time.Minute {
		return
	}
	a.sweep = now
	for k, c := range a.clients {
		a.forget(k, c, now)
	}
}

// forget drops an entry without connections and messages and with nothing in its buckets.
func (a *admission) forget(k netip.Prefix, c *client, now time.Time) {
	c.connected.drain(max(a.limits.ConnectionRate, 0), now)
	c.messages.drain(max(a.limits.MessageRate, 0), now)
	c.recipients.drain(max(a.limits.RecipientRate, 0), now)
	if c.conns == 0 && c.bytes == 0 && c.connected.spent == 0 && c.messages.spent == 0 && c.recipients.spent == 0 {
		delete(a.clients, k)
	}
}
