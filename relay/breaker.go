package relay

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	firstBreak   = 10 * time.Second
	longestBreak = time.Minute
	maxHealth    = 1024 // addresses that are remembered
)

// health remembers which addresses of a next hop cannot be connected to, so that messages do not wait
// for them one after the other, and which have broken TLS. An address that works has no entry.
type health struct {
	limit int // failures in a row; less than 0 never breaks

	mu   sync.Mutex
	addr map[netip.AddrPort]*ailment
}

type ailment struct {
	fails int
	since time.Time     // of the first failure
	until time.Time     // left alone until then
	pause time.Duration // how long the last time
	probe bool          // somebody is trying it right now
	plain time.Time     // no TLS until then
}

func (h *health) init(limit int) {
	h.limit = limit
	h.addr = map[netip.AddrPort]*ailment{}
}

// brokenError says why an address is not even tried.
type brokenError struct {
	fails int
	since time.Time
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("not tried: %d failures in a row since %s", e.fails, e.since.UTC().Format(time.RFC3339))
}

// allow asks whether an address may be tried now. After nil the outcome must be told with good, bad or
// unknown, since others may be kept waiting for it.
func (h *health) allow(a netip.AddrPort) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.addr[a]
	if x == nil || h.limit < 0 || x.fails < h.limit {
		return nil
	}
	if x.probe || time.Now().Before(x.until) {
		return &brokenError{x.fails, x.since}
	}
	x.probe = true
	return nil
}

// good forgets the failures of an address. It returns how long it was broken, 0 if it was not.
func (h *health) good(a netip.AddrPort) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.addr[a]
	if x == nil {
		return 0
	}
	var down time.Duration
	if h.limit > 0 && x.fails >= h.limit {
		down = time.Since(x.since)
	}
	if time.Now().Before(x.plain) {
		*x = ailment{plain: x.plain}
	} else {
		delete(h.addr, a)
	}
	return down
}

// bad counts a failure. It returns for how long the address is left alone from now on, 0 if it is not.
func (h *health) bad(a netip.AddrPort) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.entry(a)
	x.probe = false
	if x.fails == 0 {
		x.since = time.Now()
	}
	if x.fails++; h.limit < 0 || x.fails < h.limit {
		return 0
	}
	if now := time.Now(); now.After(x.until) { // else others failed at the same time
		x.pause = min(max(2*x.pause, firstBreak), longestBreak)
		x.until = now.Add(x.pause)
		return x.pause
	}
	return 0
}

// unknown ends a trial that told nothing, since the caller gave up.
func (h *health) unknown(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.addr[a]; x != nil {
		x.probe = false
	}
}

// setPlain remembers that TLS with an address does not work.
func (h *health) setPlain(a netip.AddrPort, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entry(a).plain = time.Now().Add(d)
}

// plain says whether TLS is not to be tried.
func (h *health) plain(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.addr[a]
	return x != nil && time.Now().Before(x.plain)
}

// entry returns the entry of an address, made if need be. Where MX records change all the time the
// table would grow: then what is known is forgotten, which only costs a few trials.
func (h *health) entry(a netip.AddrPort) *ailment {
	x := h.addr[a]
	if x == nil {
		if len(h.addr) >= maxHealth {
			clear(h.addr)
		}
		x = &ailment{}
		h.addr[a] = x
	}
	return x
}
