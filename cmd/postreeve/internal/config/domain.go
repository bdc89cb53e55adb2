package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/relay"
)

func domains(dst *[]*Domain, base string) reader {
	return func(d *decoder, v value) {
		seen := map[string]string{}
		for key, item := range d.entries(v) {
			name, err := domainName(key)
			if err != nil {
				d.failAt(d.keys[item.path], item.path, "%v", err)
				continue
			}
			if first, ok := seen[name]; ok {
				d.failAt(d.keys[item.path], item.path, "the same domain as %s", quote(first))
				continue
			}
			seen[name] = key
			dom := &Domain{Name: name, path: item.path}
			d.domain(dom, item, base)
			*dst = append(*dst, dom)
		}
	}
}

func (d *decoder) domain(dom *Domain, v value, base string) {
	if _, ok := v.node.(ast.MapNode); !ok {
		d.fail(v, "wants keys with values, as in {next-hop: \"192.0.2.7:25\", verification: waived}")
		return
	}
	var hosts []string
	var mx string
	conn := "mx"
	d.mapping(v, fields{
		"next-hop":     some(&hosts, hopAddr),
		"mx":           text(&mx, hopAddr),
		"tls":          hopTLS(&dom.Route, base),
		"private":      boolean(&dom.Route.Private),
		"connections":  natural(&dom.Route.Conns, 10_000),
		"mode":         oneOf(&dom.Mode, modes),
		"verification": oneOf(&dom.Waived, map[string]bool{"waived": true, "required": false}),
		"tenant":       text(&dom.Tenant, account),
		"connection":   oneOf(&conn, map[string]string{"mx": "mx", "m365": "m365", "gworkspace": "gworkspace"}),
		"policy":       policy(&dom.Policy),
		"token":        secret(&dom.Token, base),
		"upstream":     upstream(dom, base),
	})
	dom.Route.Hosts = strings.Join(hosts, " ")
	d.route(dom, v, mx)
	d.connection(dom, v, conn)
}

// route sees to it that there is exactly one way for the mail.
func (d *decoder) route(dom *Domain, v value, mx string) {
	hop, byMX := d.has(v.path+".next-hop"), d.has(v.path+".mx")
	switch {
	case hop && byMX:
		d.failKey(v.path+".mx", "next-hop is set too: keep one of them")
	case d.lacks(v.path+".next-hop") && d.lacks(v.path+".mx"):
		d.failAt(d.keys[v.path], v.path, "wants next-hop (as in next-hop: mail.ex.net:25) or mx (as in mx: ex.net)")
	}
	if hop && dom.Route.Private {
		d.failKey(v.path+".private", "goes with mx only: hosts in next-hop may be private anyway")
	}
	if mx != "" {
		host, port, _ := net.SplitHostPort(mx)
		n, _ := strconv.ParseUint(port, 10, 16)
		if _, err := netip.ParseAddr(host); err == nil {
			d.failKey(v.path+".mx", "%s is an address, which has no MX records: use next-hop", host)
		}
		dom.Route.MX, dom.Route.Port = host, uint16(n)
	}
	d.nameless(&dom.Route, v)
}

// nameless refuses a name and roots where no certificate is compared with them.
func (d *decoder) nameless(r *Route, v value) {
	if r.TLS == relay.TLSVerify {
		return
	}
	for _, key := range []string{"name", "roots"} {
		if p := v.path + ".tls." + key; d.has(p) {
			d.failKey(p, "goes with mode: verify only")
		}
	}
}

func hopTLS(r *Route, base string) reader {
	modes := map[string]relay.TLSMode{
		"none": relay.TLSNone, "opportunistic": relay.TLSOpportunistic, "encrypt": relay.TLSEncrypt, "verify": relay.TLSVerify,
	}
	return func(d *decoder, v value) {
		if _, ok := v.node.(ast.MapNode); ok {
			d.mapping(v, fields{"mode": oneOf(&r.TLS, modes), "name": text(&r.TLSName, hostname), "roots": text(&r.TLSRoot, path(base))})
			return
		}
		oneOf(&r.TLS, modes)(d, v)
	}
}

var modes = map[string]relay.Mode{"sync": relay.Synchronous, "continuity": relay.Continuity, "queue": relay.StoreAndForward}

var kinds = map[string]relay.UpstreamKind{"mx": relay.ReceivedChain, "m365": relay.ExchangeOnline, "gworkspace": relay.Gmail}

// connection says how the mail gets to us, and with that how an upstream names the original client.
func (d *decoder) connection(dom *Domain, v value, conn string) {
	dom.Upstream.Kind = kinds[conn]
	if conn != "mx" && d.has(v.path+".upstream.hops") {
		d.failKey(v.path+".upstream.hops", "goes with connection: mx only: %s says in a field of its own who the client was", conn)
	}
	if conn != "gworkspace" && dom.Upstream.Proof != nil {
		d.failKey(v.path+".upstream.tenant-token", "goes with connection: gworkspace only: what others reroute comes from addresses that can be listed in nets")
	}
	if conn != "mx" && len(dom.Upstream.Nets) == 0 && dom.Upstream.Proof == nil {
		d.warn(v.path+".connection", "nobody is trusted to name the original client: list the addresses that %s connects from in upstream: {nets: […]}", conn)
	}
}

func upstream(dom *Domain, base string) reader {
	return func(d *decoder, v value) {
		u, header, refs := &dom.Upstream, "", []Secret(nil)
		d.mapping(v, fields{
			"nets": some(&u.Nets, prefix), "hops": natural(&u.Hops, 20), "results": upstreamResults(u),
			"tenant-token": secrets(&refs, base), "tenant-header": text(&header, fieldName),
		})
		if dom.TenantTokens = refs; len(refs) > 0 {
			u.Proof = &relay.TenantProof{Header: header, Tokens: fresh(refs)} // see tenantHeader
			for _, r := range refs {
				u.Proof.ID = strings.TrimSpace(u.Proof.ID + " " + r.String())
			}
		}
		switch token := d.lacks(v.path + ".tenant-token"); {
		case token && d.has(v.path+".tenant-header"):
			d.failKey(v.path+".tenant-header", "says nothing without tenant-token: name the file of the secret")
		case token && d.lacks(v.path+".nets"):
			d.failAt(d.keys[v.path], v.path, "wants nets, the networks that the upstream connects from")
		}
	}
}

// tenantHeader names the field of a tenant's proof, unless it has a name. It carries a secret, so it must be one that is
// taken off what is delivered.
func (d *decoder) tenantHeader(c *Config, dom *Domain) {
	proof, prefix := dom.Upstream.Proof, cmp.Or(c.Headers.Prefix, "X-Postreeve")
	switch {
	case proof == nil:
	case proof.Header == "":
		proof.Header = prefix + "-Tenant"
	case len(proof.Header) <= len(prefix)+1 || !strings.EqualFold(proof.Header[:len(prefix)+1], prefix+"-"):
		d.failKey(dom.path+".upstream.tenant-header", "has to begin with %s-, which is headers.prefix: else the secret in it would be delivered", prefix)
	case isOneOf(strings.ToLower(proof.Header[len(prefix)+1:]), ownFields...):
		d.failKey(dom.path+".upstream.tenant-header", "%s is a field that the gateway writes itself: use another name, as in %s-Tenant", proof.Header, prefix)
	}
}

// ownFields are what the gateway writes, or has other meanings for, behind the prefix; see relay.Headers.
var ownFields = []string{"id", "verdict", "spam", "token", "note", "released", "forefront-antispam-report"}

// secrets reads the references of one secret, or of two while one is replaced.
func secrets(dst *[]Secret, base string) reader {
	return func(d *decoder, v value) {
		items := d.items(v)
		if len(items) < 1 || len(items) > 2 {
			d.fail(v, "wants one secret, or two while one is replaced, as in [file:new, file:old]")
			return
		}
		for _, item := range items {
			var s Secret
			secret(&s, base)(d, item)
			*dst = append(*dst, s)
		}
	}
}

// fieldName accepts the name of a header field (RFC 5322 section 3.6.8) of letters, digits and dashes.
func fieldName(s string) (string, error) {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r != '-' && notHost(r|0x20) }) {
		return "", fmt.Errorf("%s is no name of a header field, as in X-Postreeve-Tenant", quote(s))
	}
	return s, nil
}

// tokensAge is how long secrets that were read are good.
const tokensAge = 5 * time.Second

// fresh reads secrets again every few seconds, so that one can be replaced while mail goes on. One that is gone lets
// nobody in; one that cannot be read at the moment stays what it was.
func fresh(refs []Secret) func() []string {
	var mu sync.Mutex
	var at time.Time
	var have []string
	known := make([]string, len(refs))
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) < tokensAge {
			return have
		}
		at, have = time.Now(), nil
		for i, s := range refs {
			switch v, err := s.Read(); {
			case err == nil:
				known[i] = v
			case errors.Is(err, fs.ErrNotExist):
				known[i] = ""
			}
			if known[i] != "" {
				have = append(have, known[i])
			}
		}
		return have
	}
}

// upstreamResults reads the name under which an upstream reports who sent a message. Exchange Online gives none.
func upstreamResults(u *relay.Upstream) reader {
	return func(d *decoder, v value) {
		u.Results = true
		if s, ok := v.node.(*ast.StringNode); ok && s.Value == "nameless" {
			return
		}
		text(&u.AuthservID, hostname)(d, v)
	}
}

var actions = map[string]relay.Action{
	"deliver": relay.Deliver, "tag": relay.Tag, "defer": relay.Defer, "hold": relay.Hold, "reject": relay.Reject,
}

func policy(p *relay.Policy) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"spam":      oneOf(&p.Spam, actions),
			"malicious": oneOf(&p.Malicious, actions),
			"unknown":   oneOf(&p.Unknown, actions),
			"allow":     texts(&p.Allow, sender),
			"block":     texts(&p.Block, sender),
			"dmarc":     oneOf(&p.HonourDMARC, map[string]bool{"evidence": false, "honour": true}),

			"allow-malicious": boolean(&p.AllowMalicious),
		})
		if p.AllowMalicious {
			d.warn(v.path+".allow-malicious", "malicious mail from senders in allow is delivered")
			if len(p.Allow) == 0 {
				d.failKey(v.path+".allow-malicious", "says nothing without allow: list the senders")
			}
		}
		if p.Malicious.Releases() {
			d.warn(v.path+".malicious", "malicious mail is delivered")
		}
		if p.Unknown.Releases() {
			d.warn(v.path+".unknown", "mail that no scanner could judge is delivered")
		}
	}
}

// sender is an address, a domain or a network.
func sender(s string) (relay.Sender, error) {
	if p, err := prefix(s); err == nil {
		return relay.Sender{Net: p}, nil
	} else if strings.Contains(s, "/") {
		return relay.Sender{}, err
	}
	if strings.Contains(s, "@") {
		a, err := mailbox(s)
		return relay.Sender{Address: a}, err
	}
	name, err := hostname(s)
	return relay.Sender{Address: name}, err
}
