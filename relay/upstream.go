package relay

import (
	"crypto/subtle"
	"net/netip"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Upstream is a mail system in front of the gateway that is trusted to say who sent a message first.
// The zero value trusts nobody: whoever connects is the origin.
type Upstream struct {
	// Nets are the addresses that it connects from. Nobody else is believed.
	Nets []netip.Prefix
	// Kind says how it tells us.
	Kind UpstreamKind
	// Hops, for ReceivedChain, is how many of its own Received fields it puts above the one that names
	// the original client. 0: the topmost one names it.
	Hops int
	// Results says that what the upstream reports in its own Authentication-Results (RFC 8601) counts beside what
	// can be seen here: SPF where it does not name the client, and DKIM signatures that it saw pass. Only the
	// topmost one in the name AuthservID is believed; empty: it gives no name, as Exchange Online. It must be one
	// that takes fields in its own name off what it receives.
	Results    bool
	AuthservID string
	// Proof, if set, is what the upstream puts on mail of this tenant alone: who rents the same service could
	// otherwise speak for others too. A message without it is one from the peer, like any other. It stands in
	// for Nets where these are empty, for a service that connects from addresses nobody can list.
	Proof *TenantProof `json:",omitempty"`
}

// TenantProof is a header field that a tenant has its mail service write, with a secret for its value. Its name
// should begin with the prefix of [Headers], so that it is taken off what is delivered.
type TenantProof struct {
	Header string // name of the field
	ID     string // tells this proof from others, without the secret: where it is kept, for one
	// Tokens returns the values that are good: one, or two while one is replaced. None means that nobody is
	// believed, and that who has a proof to show is told to come again (451). It is called for every message, by many
	// goroutines at once.
	Tokens func() []string `json:"-"`
}

// in says whether a message carries the proof.
func (p *TenantProof) in(h verdict.Header) bool {
	if p.Tokens == nil {
		return false
	}
	good := 0
	for _, v := range h.Values(p.Header) {
		for _, t := range p.Tokens() {
			if t != "" {
				good |= subtle.ConstantTimeCompare([]byte(strings.TrimSpace(v)), []byte(t))
			}
		}
	}
	return good == 1
}

// UpstreamKind is a way in which an upstream says who its client was.
type UpstreamKind uint8

const (
	// ReceivedChain: the Received fields, counted from the top (RFC 5321 section 4.4).
	ReceivedChain UpstreamKind = iota
	// ExchangeOnline: CIP and H of the topmost X-Forefront-Antispam-Report, which Exchange Online
	// Protection writes itself and overwrites when a stranger has written one.
	ExchangeOnline
	// Gmail: the topmost Received field that mx.google.com has written.
	Gmail
)

// vouches says whether the peer may speak for others in the message with this header.
func (u Upstream) vouches(peer netip.Addr, h verdict.Header) bool {
	if u.Proof == nil {
		return contains(u.Nets, peer)
	}
	return (len(u.Nets) == 0 || contains(u.Nets, peer)) && u.Proof.in(h)
}

// blind says whether a message has a proof to show and there is nothing to compare it with: it is neither taken for
// mail of the upstream nor, with what that says of its sender, for that of a stranger.
func (u Upstream) blind(peer netip.Addr, h verdict.Header) bool {
	p := u.Proof
	return p != nil && (len(u.Nets) == 0 || contains(u.Nets, peer)) && len(h.Values(p.Header)) > 0 && (p.Tokens == nil || len(p.Tokens()) == 0)
}

// origin returns the client that the upstream vouches for. ok is false if it does not say.
func (u Upstream) origin(h verdict.Header) (c verdict.Client, ok bool) {
	switch u.Kind {
	case ExchangeOnline:
		return forefrontClient(h.Get("X-Forefront-Antispam-Report"))
	case Gmail:
		for _, v := range h.Values("Received") {
			if r := parseReceived(v); strings.EqualFold(r.by, "mx.google.com") {
				return r.client()
			}
		}
	case ReceivedChain:
		if vs := h.Values("Received"); u.Hops >= 0 && u.Hops < len(vs) {
			return parseReceived(vs[u.Hops]).client()
		}
	}
	return verdict.Client{}, false
}

// noClient stands for the client of mail that began in the tenant itself.
var noClient = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// forefrontClient reads "CIP:203.0.113.9;CTRY:NL;…;H:mail.example.org;PTR:…".
func forefrontClient(report string) (c verdict.Client, ok bool) {
	for field := range strings.SplitSeq(report, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), ":")
		value = strings.TrimSpace(value)
		switch strings.ToUpper(key) {
		case "CIP":
			addr, err := netip.ParseAddr(strings.Trim(value, "[]"))
			if err != nil || addr.Zone() != "" || addr == noClient {
				return verdict.Client{}, false
			}
			c.Addr, ok = netip.AddrPortFrom(addr.Unmap(), 0), true
		case "H":
			c.Helo = value
		case "PTR":
			c.Name = value
		}
	}
	return c, ok
}
