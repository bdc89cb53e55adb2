package m365

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// MXState says whether the MX records of the domains name the gateway.
type MXState string

// The states. MXUnknown is never taken for MXYes: the lock stays off. MXAskDNS looks them up.
const (
	MXUnknown MXState = ""
	MXYes     MXState = "yes"
	MXNo      MXState = "no"
	MXAskDNS  MXState = "ask-dns"
)

// mxState resolves MXAskDNS. A domain that nobody can look up leaves the state unknown.
func (t *Tenant) mxState(ctx context.Context) (MXState, error) {
	switch t.MX {
	case MXUnknown, MXYes, MXNo:
		return t.MX, nil
	case MXAskDNS:
	default:
		return "", fmt.Errorf("m365: MX state %q: use %s, %s or %s", t.MX, MXYes, MXNo, MXAskDNS)
	}
	if t.Profile == nil || t.Profile.Mode != MXFirst {
		return MXUnknown, nil
	}
	moved := 0
	for _, d := range t.Profile.Domains {
		hosts, err := t.lookupMX(ctx, d)
		if err != nil {
			return MXUnknown, ctx.Err()
		}
		if t.Profile.servedBy(hosts) {
			moved++
		}
	}
	if moved == len(t.Profile.Domains) {
		return MXYes, nil
	}
	return MXNo, nil
}

func (t *Tenant) lookupMX(ctx context.Context, domain string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if t.LookupMX != nil {
		return t.LookupMX(ctx, domain)
	}
	records, err := net.DefaultResolver.LookupMX(ctx, domain)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range records {
		out = append(out, r.Host)
	}
	return out, nil
}

// servedBy says whether all of these MX hosts are the gateway. Without a list of its hosts, those of Exchange
// Online are known not to be.
func (p *Profile) servedBy(hosts []string) bool {
	ours := p.mxHosts()
	for _, h := range hosts {
		h = strings.TrimSuffix(strings.ToLower(h), ".")
		if microsoftMX(h) || len(ours) > 0 && !slices.Contains(ours, h) {
			return false
		}
	}
	return len(hosts) > 0
}

// named says whether any of these MX hosts is the gateway. Without a list of its hosts, whatever is not Exchange
// Online is taken for it.
func (p *Profile) named(hosts []string) bool {
	ours := p.mxHosts()
	return slices.ContainsFunc(hosts, func(h string) bool {
		h = strings.TrimSuffix(strings.ToLower(h), ".")
		if len(ours) == 0 {
			return !microsoftMX(h)
		}
		return slices.Contains(ours, h)
	})
}

func microsoftMX(host string) bool {
	return strings.HasSuffix(host, ".mail.protection.outlook.com") || strings.HasSuffix(host, ".mx.microsoft")
}

// directMail returns the last mail of the tenant that came from outside without passing the gateway, or nil. The
// lock is for the tenant as a whole, so mail for domains that the gateway does not serve counts too.
func (t *session) directMail(ctx context.Context, o *observation, since time.Time) (*MessageEvent, error) {
	seen, err := t.traceWhole(ctx, since, time.Now())
	if err != nil {
		return nil, err
	}
	var last *MessageEvent
	for _, m := range seen {
		_, domain, _ := strings.Cut(strings.ToLower(m.RecipientAddress), "@")
		if m.FromIP == "" || inAny(m.FromIP, t.Profile.egress()) || !t.Profile.covers(domain) && !o.accepts(domain) || net.ParseIP(m.FromIP).IsPrivate() {
			continue
		}
		if _, from, _ := strings.Cut(strings.ToLower(m.SenderAddress), "@"); t.Profile.covers(from) && strings.EqualFold(m.FromIP, "255.255.255.255") {
			continue
		}
		if last == nil || m.Received.After(last.Received) {
			last = &m
		}
	}
	return last, nil
}

// traceWhole traces all mail of a time. One trace has a limited number of lines, so a busy time is asked for in
// parts.
func (t *session) traceWhole(ctx context.Context, from, to time.Time) ([]MessageEvent, error) {
	out, err := t.Exchange.TraceAll(ctx, Params{}, from, to)
	half := to.Sub(from) / 2
	if !errors.Is(err, ErrIncompleteList) || half < time.Minute {
		return out, err
	}
	early, err := t.traceWhole(ctx, from, from.Add(half))
	if err != nil {
		return nil, err
	}
	late, err := t.traceWhole(ctx, from.Add(half), to)
	return append(early, late...), err
}

// handOffs counts the mail that went to a smart host since then. Where its addresses cannot be found out there is
// nothing to count.
func (t *session) handOffs(ctx context.Context, smartHost string, since time.Time) (int, error) {
	if smartHost == "" {
		return 0, nil
	}
	look, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(look, smartHost) // an address stands for itself
	if err != nil {
		return 0, ctx.Err()
	}
	n := 0
	for _, to := range addresses {
		seen, err := t.Exchange.TraceAll(ctx, Params{"ToIP": to}, since, time.Now())
		if err != nil {
			return 0, err
		}
		n += len(seen)
	}
	return n, nil
}

// covers says whether a domain is one that the gateway serves, or below one.
func (p *Profile) covers(domain string) bool {
	for _, d := range p.Domains {
		d = strings.ToLower(d)
		if domain == d || strings.HasSuffix(domain, "."+d) {
			return true
		}
	}
	return false
}
