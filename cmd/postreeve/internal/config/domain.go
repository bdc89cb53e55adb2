package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

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
		"mode":         mode(&dom.Mode),
		"verification": oneOf(&dom.Waived, map[string]bool{"waived": true, "required": false}),
		"tenant":       text(&dom.Tenant, account),
		"connection":   oneOf(&conn, map[string]string{"mx": "mx", "m365": "m365", "gworkspace": "gworkspace"}),
		"policy":       policy(&dom.Policy),
		"token":        secret(&dom.Token, base),
		"upstream":     upstream(&dom.Upstream),
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
	if dom.Route.TLS != relay.TLSVerify {
		for _, key := range []string{"name", "roots"} {
			if p := v.path + ".tls." + key; d.has(p) {
				d.failKey(p, "goes with mode: verify only")
			}
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

func mode(dst *relay.Mode) reader {
	return func(d *decoder, v value) {
		oneOf(dst, map[string]relay.Mode{"sync": relay.Synchronous, "continuity": relay.Continuity})(d, v)
		if *dst == relay.Continuity {
			d.fail(v, "needs a queue on disk, which this version does not have: use sync, and the sender's queue keeps the mail while the next hop is away")
		}
	}
}

var kinds = map[string]relay.UpstreamKind{"mx": relay.ReceivedChain, "m365": relay.ExchangeOnline, "gworkspace": relay.Gmail}

// connection says how the mail gets to us, and with that how an upstream names the original client.
func (d *decoder) connection(dom *Domain, v value, conn string) {
	dom.Upstream.Kind = kinds[conn]
	if conn != "mx" && d.has(v.path+".upstream.hops") {
		d.failKey(v.path+".upstream.hops", "goes with connection: mx only: %s says in a field of its own who the client was", conn)
	}
	if conn != "mx" && len(dom.Upstream.Nets) == 0 {
		d.warn(v.path+".connection", "nobody is trusted to name the original client: list the addresses that %s connects from in upstream: {nets: […]}", conn)
	}
}

func upstream(u *relay.Upstream) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{"nets": some(&u.Nets, prefix), "hops": natural(&u.Hops, 20), "results": upstreamResults(u)})
		if d.lacks(v.path + ".nets") {
			d.failAt(d.keys[v.path], v.path, "wants nets, the networks that the upstream connects from")
		}
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
		for key, a := range map[string]relay.Action{"spam": p.Spam, "unknown": p.Unknown} {
			if a == relay.Hold {
				d.failKey(v.path+"."+key, "hold needs a quarantine, which this version does not have: use tag, defer or reject")
			}
		}
		if p.Malicious == relay.Hold {
			d.warn(v.path+".malicious", "this version has no quarantine: malicious mail is refused with 550 5.7.1 instead of held")
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
