package app

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

type domainDiscoverCmd struct {
	domainFlags
	Hop       string        `placeholder:"HOST[:PORT]" help:"Look at this next hop; by default at the one of the configuration, or else the one that follows from the MX records."`
	Recipient string        `placeholder:"ADDRESS" help:"A mailbox that exists there: asks whether the host takes mail from strangers. No mail is sent."`
	NoProbe   bool          `help:"Ask DNS only."`
	Timeout   time.Duration `default:"20s" help:"For the dialogue with each address."`
	Domain    string        `arg:"" help:"The domain."`
}

func (domainDiscoverCmd) Help() string {
	return `Reads the MX records at the authoritative servers, says whose they are, which next hop follows from them, and what can never be one (submission servers, consumer mail, this gateway, private addresses, null MX). Then it connects to the next hop: EHLO, STARTTLS, certificate, extensions, TLSA, MTA-STS, TLS-RPT, and with --recipient whether it takes mail from strangers, which means that mail can go past the gateway. Run that from a machine that the host does not know.

Example:
  postreeve domain discover -c postreeve.yaml ex.net

Exit codes: 0 there is a next hop, 3 there can be none or it has to be named with --hop, 4 DNS or the host gave no answer, 64 wrong usage or configuration.`
}

// discovered is what discover prints as JSON.
type discovered struct {
	*dnsverify.Discovery
	Configured string               `json:"configured,omitempty"` // next hop of the configuration
	Refused    []*dnsverify.Problem `json:"refused,omitempty"`    // why the next hop can be none
	Probe      *dnsverify.Hop       `json:"probe,omitempty"`
}

// Run discovers.
func (c *domainDiscoverCmd) Run(e *env) error {
	d, err := c.open(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	found, err := d.client.Discover(e.ctx, d.key.Domain, d.own)
	if err != nil {
		return refused(e, err)
	}
	out := discovered{Discovery: found, Configured: d.hop()}
	hop := cmp.Or(c.Hop, out.Configured, found.NextHop)
	var bad error
	if hop != "" {
		out.Probe, bad = c.probe(e, d, hop)
	}
	if p, ok := bad.(*dnsverify.Problem); ok {
		out.Refused = append(out.Refused, p)
	} else if bad != nil {
		return bad
	}
	if c.JSON {
		e.out.line(out)
	} else {
		printDiscovery(e.out, out, hop)
	}
	switch {
	case bad != nil:
		return refused(e, bad)
	case hop == "":
		e.err.printf("postreeve: no next hop follows from the MX records of %s: name it with --hop\n", d.key.Domain)
		return exit(exitWrong)
	case out.Probe != nil && !answers(out.Probe):
		return exit(exitNoAnswer)
	}
	return finish(e, exitOK)
}

func answers(h *dnsverify.Hop) bool {
	for _, a := range h.Addrs {
		if a.Banner != "" {
			return true
		}
	}
	return false
}

// probe looks at a next hop. Without a dialogue it only judges whether the host can be one.
func (c *domainDiscoverCmd) probe(e *env, d *desk, hop string) (*dnsverify.Hop, error) {
	if c.NoProbe {
		return nil, d.client.CheckNextHop(e.ctx, hop, d.own)
	}
	p, err := d.prober(c.Recipient)
	if err != nil {
		return nil, err
	}
	p.Timeout = c.Timeout
	return p.Probe(e.ctx, hop)
}

// prober connects as the gateway would, with the roots of the domain.
func (d *desk) prober(recipient string) (*dnsverify.Prober, error) {
	p := &dnsverify.Prober{Client: d.client, Own: d.own, Helo: d.cfg.Hostname, Recipient: recipient}
	if d.conf == nil {
		return p, nil
	}
	cfg, err := hopTLS(d.conf.Route)
	if err == nil && cfg != nil {
		p.RootCAs = cfg.RootCAs
	}
	return p, err
}

// hop is the first next hop of the configuration, without the port if that is 25.
func (d *desk) hop() string {
	if d.conf == nil {
		return ""
	}
	first, _, _ := strings.Cut(d.conf.Route.Hosts, " ")
	if host, port, err := net.SplitHostPort(first); err == nil && port == "25" {
		if a, err := netip.ParseAddr(host); err != nil || a.Is4() {
			return host
		}
	}
	return first
}

func printDiscovery(s *screen, d discovered, hop string) {
	s.printf("%s: %s, %s\n", s.style(bold, show(d.Domain)), cmp.Or(show(d.Product), string(d.Platform)), strings.ReplaceAll(string(d.Connection), "_", " "))
	t := &table{}
	for _, mx := range d.MX {
		var addrs []string
		for _, a := range mx.Addrs {
			addrs = append(addrs, a.String())
		}
		t.row(fmt.Sprintf("MX %d", mx.Preference), mx.Host, cmp.Or(mx.Product, string(mx.Platform)), strings.Join(addrs, " "))
	}
	t.print(s, "  ")
	if d.Implicit {
		s.printf("  no MX record: the domain's own address gets the mail\n")
	}
	if len(d.MX) > 0 && !d.Implicit {
		s.printf("  TTL %s\n", brief(d.TTL))
	}
	printProblems(s, d.Problems)
	if d.Wildcard {
		s.printf("  -> a wildcard MX record gives names below the domain another way for mail\n")
	}
	switch {
	case d.NextHop == "":
		s.printf("next hop: none follows from the MX records\n")
	case d.Ask:
		s.printf("next hop: perhaps %s; somebody has to confirm it\n", show(d.NextHop))
	default:
		s.printf("next hop: %s\n", show(d.NextHop))
	}
	if d.Configured != "" {
		s.printf("configured: %s\n", show(d.Configured))
	}
	if d.Probe != nil {
		printHop(s, d.Probe, hop)
	}
}

func printProblems(s *screen, all []*dnsverify.Problem) {
	for _, p := range all {
		s.printf("  -> %s %s\n", p.Code, plain(p))
	}
}

func printHop(s *screen, h *dnsverify.Hop, hop string) {
	s.printf("looked at %s in %s\n", show(hop), brief(h.Took))
	for _, a := range h.Addrs {
		s.printf("  %s  %s\n", a.Addr, show(cmp.Or(a.Banner, "no greeting")))
		t := &table{}
		switch {
		case a.TLS == "" && !a.StartTLS && a.Banner != "":
			t.row("TLS", "STARTTLS is not offered: mail goes there as clear text")
			t.paint(1, yellow)
		case a.TLS != "":
			t.row("TLS", a.TLS+" "+a.Cipher)
			cert := "valid for this name until " + moment(a.CertUntil)
			if !a.CertOK {
				cert = cmp.Or(a.CertError, "not valid for this name")
			}
			t.row("certificate", cert+" ("+strings.Join(a.CertNames, ", ")+")")
			t.paint(1, map[bool]string{true: green, false: yellow}[a.CertOK])
		}
		if a.DANE != "" {
			t.row("DANE", a.DANE)
		}
		if len(a.Extensions) > 0 {
			t.row("extensions", strings.Join(a.Extensions, ", "))
		}
		switch a.Strangers {
		case dnsverify.StrangersYes:
			t.row("strangers", "it takes their mail ("+a.Reply+"): whoever knows its name goes past the gateway. Lock it when all mail comes through the gateway")
			t.paint(1, red)
		case dnsverify.StrangersNo:
			t.row("strangers", "it refuses their mail: "+a.Reply)
			t.paint(1, green)
		case dnsverify.StrangersUnknown:
			if a.Reply != "" {
				t.row("strangers", "it puts them off: "+a.Reply)
			}
		}
		if a.Error != "" {
			t.row("ended", a.Error)
			t.paint(1, red)
		}
		t.print(s, "    ")
	}
	if len(h.TLSA) > 0 {
		s.printf("  %s, %s\n", plural(len(h.TLSA), "TLSA record"), map[bool]string{true: "validated", false: "not validated, so they do not count"}[h.TLSASecure])
	}
	if h.STS != nil && h.STS.Policy != nil {
		s.printf("  MTA-STS policy in mode %s\n", h.STS.Policy.Mode)
	}
	if len(h.TLSRPT) > 0 {
		s.printf("  reports about TLS go to %s\n", show(strings.Join(h.TLSRPT, ", ")))
	}
	printProblems(s, h.Problems)
}
