package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"os"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// digest says who is told of held mail, and looks at what serves the links.
func (k *checker) digest(ctx context.Context) []checked {
	d := k.cfg.Digest
	if d == nil {
		return nil
	}
	who, detail := "recipients", "are told of what is held for them, every "+brief(cmp.Or(d.Every, config.DigestEvery))
	if d.Admin != "" {
		who, detail = d.Admin, "is told of what is held, every "+brief(cmp.Or(d.Every, config.DigestEvery))
		if name := k.cfg.AdminDomain(); name != "" {
			detail += ", by the next hop of " + name
		} else {
			detail += ", by the way of bounces"
		}
	}
	if d.Links == "" {
		return one("digest", who, stateOK, detail+"; there are no links, so an administrator releases it", "")
	}
	out := one("digest", who, stateOK, detail+"; links release it for "+brief(cmp.Or(d.LinksFor, config.DigestLinksFor)), "")
	out = append(out, k.port(ctx, "links", d.Listen)...)
	u, err := url.Parse(d.Links)
	if err != nil {
		return append(out, one("links", d.Links, stateFail, err.Error(), "write it as in https://mx.gw.example/quarantine")...)
	}
	out = append(out, k.linkCertificate(u.Hostname())...)
	return append(out, k.linkName(ctx, u.Hostname())...)
}

// linkCertificate looks at the certificate as a browser would.
func (k *checker) linkCertificate(host string) []checked {
	t := k.cfg.LinkTLS()
	if t == nil {
		return one("links", k.cfg.Digest.Listen, stateOK, "speaks HTTP: a proxy on this machine has to serve "+k.cfg.Digest.Links, "")
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return one("links", t.Cert, stateFail, err.Error(), "both files have to be PEM, belong together, and be readable for the user of the gateway")
	}
	out := judgeDates("links", t.Cert, pair.Leaf)
	if err := pair.Leaf.VerifyHostname(host); err != nil {
		out = append(out, one("links", t.Cert, stateWarn, err.Error(), "browsers warn of the links: get a certificate for "+host+", and set it in digest.tls")...)
	}
	if k.cfg.Digest.TLS != nil {
		out = append(out, openKey("links", t)...)
	}
	return out
}

// linkName looks whether those who get a link can find its host.
func (k *checker) linkName(ctx context.Context, host string) []checked {
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || net.ParseIP(host) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	switch _, err := k.resolver.LookupNetIP(ctx, "ip", host+"."); {
	case err != nil && isNotFound(err):
		return one("links", host, stateWarn, "has no address in DNS", "add an A or AAAA record, or nobody can open the links")
	case err != nil:
		return one("links", host, stateWarn, err.Error(), "whoever gets a link has to find its host")
	}
	return nil
}

// openKey warns of a key that everybody can read.
func openKey(check string, t *config.TLS) []checked {
	if fi, err := os.Stat(t.Key); err == nil && fi.Mode().Perm()&0o007 != 0 {
		return one(check, t.Key, stateWarn, "everybody on this machine can read the key", "chmod o= "+t.Key)
	}
	return nil
}
