package mailauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"github.com/postreeve/postreeve/verdict"
)

// SPFChecker says whether a client may send for a domain (RFC 7208). SPF is the one of this package.
//
// The sender is a reverse-path without angle brackets. If it is empty, or has no domain, the HELO
// identity is checked instead, as postmaster of that name (RFC 7208 section 2.4).
type SPFChecker interface {
	CheckSPF(ctx context.Context, client netip.Addr, helo, sender string) verdict.SPFResult
}

// SPF is the SPFChecker that Authenticators use. blitiri.com.ar/go/spf evaluates, with the limits of RFC
// 7208 section 4.6.4; each record that it gets was read by the letter of the grammar before.
type SPF struct {
	Resolver Resolver // needed
	// Hostname is our own name, for the macro that stands for it in explanations. It may be empty.
	Hostname string
}

// The identities of verdict.SPFResult.
const (
	mailFrom = "mailfrom"
	helo     = "helo"
)

// Explanation is the Err of a fail whose domain explains it (RFC 7208 section 6.2). It was written by the
// domain's owner: whoever shows it escapes it, and says whose it is.
type Explanation string

// Error returns the text.
func (e Explanation) Error() string { return string(e) }

// CheckSPF implements SPFChecker. It is total: see verdict.SPFResult.Err for why there is no answer.
func (s SPF) CheckSPF(ctx context.Context, client netip.Addr, name, sender string) verdict.SPFResult {
	local, domain, identity := "", "", mailFrom
	if i := strings.LastIndexByte(sender, '@'); i >= 0 {
		local, domain = sender[:i], sender[i+1:]
	}
	if domain == "" {
		local, domain, identity = "", name, helo
	}
	if local == "" {
		local = "postmaster"
	}
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	out := verdict.SPFResult{Domain: domain, Identity: identity}
	ascii := asciiDomain(domain)
	if ascii == "" || !strings.Contains(ascii, ".") || ascii[0] == '[' {
		out.Result = "none" // RFC 7208 section 4.3
		return out
	}
	out.Domain = ascii
	if !client.IsValid() {
		out.Result, out.Err = "permerror", errors.New("mailauth: SPF needs the address of the client")
		return out
	}
	z := newSPFZone(s, client, name, local, out.Domain)
	result, err := spf.CheckHostWithSender(net.IP(client.Unmap().AsSlice()), "helo.invalid", "x@"+z.alias(spfRedirect, out.Domain),
		spf.WithContext(ctx), spf.WithResolver(z))
	out.Result = verdict.AuthResult(result)
	switch result {
	case spf.TempError, spf.PermError:
		out.Err = err
		if ctx.Err() != nil && result == spf.PermError {
			out.Result = "temperror"
		}
	case spf.Fail:
		if text := z.explain(ctx); text != "" {
			out.Err = Explanation(text)
		}
	}
	return out
}
