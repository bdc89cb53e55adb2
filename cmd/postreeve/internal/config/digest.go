package config

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Digest says who is told by mail of what is held, and by which links it can be released.
type Digest struct {
	Every   time.Duration // 0: the default
	Admin   string        // empty: every recipient is told of their own mail
	Domains []string      // whose held mail is told of; empty: of all

	Links     string        // the URL that all links begin with; empty: there are none
	LinksFor  time.Duration // 0: the default
	Malicious bool          // links of recipients release malicious mail too
	Listen    string        // host:port where the links are served; empty without Links
	TLS       *TLS          // nil: that of the configuration, or on a loopback address none
}

// What Every and LinksFor are where the configuration says nothing.
const (
	DigestEvery    = 24 * time.Hour
	DigestLinksFor = 7 * 24 * time.Hour
)

// LinkTLS is the certificate that links are served with. Nil: a proxy on this machine has it, and speaks HTTP to us.
func (c *Config) LinkTLS() *TLS {
	switch d := c.Digest; {
	case d == nil || d.Links == "":
		return nil
	case d.TLS != nil:
		return d.TLS
	case isLoopback(d.Listen):
		return nil
	}
	return c.TLS
}

// isLoopback says whether only this machine reaches a host:port.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

func digest(dst **Digest, file func(string) (string, error)) reader {
	return func(d *decoder, v value) {
		g := &Digest{}
		*dst = g
		if s, ok := v.node.(*ast.StringNode); ok {
			d.failAt(d.keys[v.path], v.path, "wants keys, as in {to: %s}", quote(s.Value))
			return
		}
		d.mapping(v, fields{
			"every":     days(&g.Every),
			"to":        digestTo(&g.Admin),
			"domains":   some(&g.Domains, domainName),
			"links":     text(&g.Links, linkURL),
			"links-for": days(&g.LinksFor),
			"malicious": boolean(&g.Malicious),
			"listen":    text(&g.Listen, listenAddr),
			"tls":       serverTLS(&g.TLS, file),
		})
		if d.lacks(v.path + ".to") {
			d.failAt(d.keys[v.path], v.path, "wants to: recipients, for a mail to everybody for whom something is held, or the address of an administrator, as in {to: admin@ex.net}")
		}
	}
}

// digestTo reads who is told: "" is every recipient.
func digestTo(dst *string) reader {
	const word = "recipients"
	read := text(dst, func(s string) (string, error) {
		if s == word {
			return "", nil
		}
		a, err := mailbox(s)
		switch {
		case err == nil:
			return a, nil
		case !strings.Contains(s, "@") && nearest(s, []string{word}) != "":
			return "", errors.New(quote(s) + " is not the word for this: " + Suggest(s, []string{word}))
		}
		return "", errors.New(err.Error() + ", and not the word recipients, for a mail to everybody for whom something is held")
	})
	return func(d *decoder, v value) {
		if _, ok := v.node.(*ast.SequenceNode); ok {
			d.fail(v, "wants one address, which may be that of a list, or the word recipients")
			return
		}
		read(d, v)
	}
}

// linkURL accepts what links can begin with.
func linkURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New(quote(s) + " is no URL that links can begin with, as in https://mx.gw.example/quarantine")
	}
	if u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80")) {
		return "", errors.New(quote(s) + " is not https: whoever sees a link on its way can release what it is for")
	}
	return s, nil
}

// digests judges what takes more than one key of digest.
func (d *decoder) digests(c *Config) {
	g := c.Digest
	if g == nil {
		return
	}
	const at = "digest"
	names := make([]string, len(c.Domains))
	for i, dom := range c.Domains {
		names[i] = dom.Name
	}
	for _, name := range g.Domains {
		if d.has("domains") && !slices.Contains(names, name) {
			d.failKey(at+".domains", "%s is no key of domains: %s", name, Suggest(name, names))
		}
	}
	if g.Admin != "" && c.AdminDomain() == "" && c.Store.Bounces == nil && d.lacks("bounces") {
		d.failKey(at+".to", "there is no way for mail to %s: set bounces: to mx or to a smart host, or name an address of a domain whose mail is taken here", g.Admin)
	}
	links := d.has(at+".links") || d.meant[at+".links"]
	for _, key := range []string{"listen", "tls", "links-for", "malicious"} {
		if !links && d.has(at+"."+key) {
			d.failKey(at+"."+key, "says nothing without links, as in links: https://%s/quarantine", c.Hostname)
		}
	}
	if g.Links != "" {
		d.linkListener(c)
	}
	if every, good := cmp.Or(g.Every, DigestEvery), cmp.Or(g.LinksFor, DigestLinksFor); g.Links != "" && good <= every {
		key := at + ".links-for"
		if !d.has(key) {
			key = at + ".every"
		}
		d.warn(key, "links work for %s, and the next mail comes after %s: who reads one a little late cannot release anything. Set links-for to more than every", Days(good), Days(every))
	}
	if g.Malicious && g.Admin != "" {
		d.warn(at+".malicious", "changes nothing: an administrator can release malicious mail anyhow")
	} else if g.Malicious {
		d.warn(at+".malicious", "recipients can have malicious mail delivered, and some will")
	}
}

func (d *decoder) linkListener(c *Config) {
	const at = "digest"
	g := c.Digest
	switch {
	case d.lacks(at + ".listen"):
		d.failKey(at+".links", "nobody serves the links: set listen, as in listen: \":8443\", or listen: \"127.0.0.1:8080\" behind a proxy on this machine")
		return
	case g.Listen == "":
		return // reported already
	case slices.Contains(c.Listen, g.Listen) && !strings.HasSuffix(g.Listen, ":0"):
		d.failKey(at+".listen", "%s is taken by listen: use another port", g.Listen)
	case g.Listen == c.Metrics && !strings.HasSuffix(g.Listen, ":0"):
		d.failKey(at+".listen", "%s is taken by metrics: use another port", g.Listen)
	}
	if c.LinkTLS() == nil && !isLoopback(g.Listen) && d.lacks("tls") {
		d.failKey(at+".listen", "links are not served without TLS but on a loopback address, for a proxy on this machine: set tls: {cert: …, key: …} here or for the gateway, or listen on 127.0.0.1")
	}
	if strings.HasPrefix(g.Links, "http:") && c.LinkTLS() != nil {
		d.failKey(at+".links", "begins with http, and what listens at %s speaks TLS: write https", g.Listen)
	}
}

// AdminDomain is the key of domains by whose next hop mail to the administrator goes; empty if it goes by the way of
// bounces.
func (c *Config) AdminDomain() string {
	if c.Digest == nil {
		return ""
	}
	_, name, _ := strings.Cut(c.Digest.Admin, "@")
	for rest := name; rest != ""; {
		for _, d := range c.Domains {
			if d.Name == rest {
				return d.Name
			}
		}
		i := strings.IndexByte(rest[1:], '.')
		if i < 0 {
			break
		}
		rest = rest[1+i:] // .ex.net for all that is below it
	}
	return ""
}
