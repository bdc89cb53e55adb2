package config

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

// DNS says who is asked. The zero value asks the resolvers of the system, and the public Internet from its root.
type DNS struct {
	Servers []string // host:port of resolvers, all of them addresses; empty: the system's
	TrustAD bool     // their word about DNSSEC counts although they are not on this machine

	// For labs: an Internet of one's own.
	Roots        []netip.Addr // root servers; empty: those of the Internet
	Port         int          // of authoritative servers; 0: 53
	AllowPrivate bool         // servers and next hops may have private addresses
}

// Lab says that the name servers are not those of the public Internet.
func (d DNS) Lab() bool { return len(d.Roots) > 0 || d.AllowPrivate }

// Verification says how the ownership of domains is proven.
type Verification struct {
	Brand    string        // in the name of the record; empty: postreeve
	Tenant   string        // whose the domains are, where a domain does not say so; never empty
	Region   string        // empty: one record does for all regions
	Key      Secret        // the tokens are made with; zero: one that is made and kept in the store
	MX       []string      // the names of the gateway for MX records, best first; never empty if there is a hostname
	Interval time.Duration // between checks of what is proven; 0: daily
	Confirm  time.Duration // between the two matches that a proof takes; 0: 30 s
}

// Names says which domains can be proven.
func (c *Config) Names() dnsverify.Names {
	return dnsverify.Names{PrivateSuffix: c.DNS.Lab(), UnlistedTLD: c.DNS.Lab()}
}

// Claim returns the domain whose proof a domain of the configuration needs: all subdomains stand on the domain above them.
func (d *Domain) Claim() string { return strings.TrimPrefix(d.Name, ".") }

func dns(dst *DNS) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"servers":       some(&dst.Servers, resolverAddr),
			"trust-ad":      boolean(&dst.TrustAD),
			"roots":         some(&dst.Roots, address),
			"port":          natural(&dst.Port, 65535),
			"allow-private": boolean(&dst.AllowPrivate),
		})
	}
}

// resolverAddr accepts an address with or without a port. A name would have to be looked up first.
func resolverAddr(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return "", errors.New(quote(s) + " is no address of a resolver, as in 127.0.0.1, 127.0.0.1:5353 or [::1]:53")
	}
	return a.String(), nil
}

func address(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, errors.New(quote(s) + " is no address, as in 127.0.0.1")
	}
	return a, nil
}

func verification(dst *Verification, base string) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"brand":    text(&dst.Brand, label),
			"tenant":   text(&dst.Tenant, account),
			"region":   text(&dst.Region, label),
			"key":      secret(&dst.Key, base),
			"mx":       some(&dst.MX, hostname),
			"interval": duration(&dst.Interval),
			"confirm":  duration(&dst.Confirm),
		})
	}
}

// label accepts what can be part of a DNS name, for brands and regions.
func label(s string) (string, error) {
	if name, err := hostname(s); err != nil || name != s || len(s) > 40 || strings.ContainsAny(s, "._") {
		return "", errors.New(quote(s) + " is no plain word: lower-case letters, digits and hyphens, up to 40")
	}
	return s, nil
}

// node accepts a name that stands in lists and claims.
func node(s string) (string, error) {
	if len(s) > 100 {
		return "", errors.New("wants at most 100 bytes")
	}
	return s, nil
}

// account accepts the operator's own name for whose a domain is.
func account(s string) (string, error) {
	if len(s) > 100 {
		return "", errors.New("wants at most 100 bytes")
	}
	return s, nil
}

// ownership judges whether what has to be proven can be.
func (d *decoder) ownership(c *Config) {
	if c.Verification.Tenant == "" {
		c.Verification.Tenant = "default"
	}
	if c.Verification.MX == nil && c.Hostname != "" {
		c.Verification.MX = []string{c.Hostname}
	}
	told := false
	for _, dom := range c.Domains {
		if dom.Tenant == "" {
			dom.Tenant = c.Verification.Tenant
		}
		if dom.Waived || d.meant[dom.path+".verification"] {
			continue
		}
		if d.lacks("state") && d.lacks("database") && !told {
			d.failAt(d.keys[dom.path], dom.path, "its ownership has to be proven, and the proof is kept in state or database, which are missing: set state: to a directory, or say verification: waived if you know that it is yours")
			told = true
		}
		if _, err := c.Names().Normalize(dom.Claim()); err != nil {
			d.failAt(d.keys[dom.path], dom.path, "its ownership cannot be proven (%s): say verification: waived if you know that it is yours", strings.TrimPrefix(err.Error(), "dnsverify: "))
		}
	}
}
