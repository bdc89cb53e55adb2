package app

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/m365"
)

// openness is what is seen of a server that everybody may have to send to.
type openness int

const (
	openUnseen  openness = iota // nobody can tell, so what a person says counts
	openRefused                 // it refuses mail from here, whatever a person says
	openSeen                    // it takes mail from a stranger
)

// isOpen asks whether the servers that mail comes to directly, or will, take mail from strangers. One that refuses counts
// more than all others. That one takes mail counts for nothing where this machine may be one that it lets in as the gateway.
func (c *otherOffboardCmd) isOpen(e *env, d *otherDesk, found *dnsverify.Discovery, plan *m365.Plan) (openness, error) {
	p, err := d.prober(c.Recipient, c.Timeout)
	if err != nil {
		return openUnseen, err
	}
	note := func(text string) {
		if !slices.Contains(plan.Notes, text) {
			plan.Notes = append(plan.Notes, text)
		}
	}
	hosts := c.servers(d, found)
	if len(hosts) == 0 {
		note("Whether the mail server is open was not seen: none is known. Name it with --hop.")
		return openUnseen, nil
	}
	own := machineAddrs(net.InterfaceAddrs)
	worst := openSeen
	less := func(o openness) {
		if worst != openRefused {
			worst = o
		}
	}
	for _, h := range hosts {
		hop, err := p.Probe(e.ctx, h)
		switch {
		case e.ctx.Err() != nil:
			return openUnseen, errors.New("interrupted")
		case err != nil:
			less(openUnseen)
			note("Whether " + h + " is open was not seen: " + plain(err) + ".")
			continue
		case len(hop.Addrs) == 0:
			less(openUnseen)
			note("Whether " + h + " is open was not seen: it has no address.")
		}
		for _, a := range hop.Addrs {
			switch a.Strangers {
			case dnsverify.StrangersYes:
				if why := c.known(d, a.Addr, own); why != "" {
					less(openUnseen)
					note(why)
				}
			case dnsverify.StrangersNo:
				less(openRefused)
				plan.Problems = append(plan.Problems, closedServer(h, a, d.direct(found)))
			default:
				less(openUnseen)
				note("Whether " + h + " (" + a.Addr + ") is open was not seen: " + cmp.Or(a.Error, a.Reply, "it did not answer") + ".")
			}
		}
	}
	return worst, nil
}

// closedServer is the problem of a server that refuses strangers. direct says that mail comes to it already.
func closedServer(host string, a dnsverify.HopAddr, direct bool) m365.Problem {
	do := "open it before the MX records move back"
	if direct {
		do = "open it now: mail comes to it directly"
	}
	return m365.Problem{Code: "server.closed", Object: host + " (" + a.Addr + ")", Text: "it refuses mail from strangers: " + a.Reply, Blocks: true,
		Do: do + "; if the reply is about the mailbox alone, ask with one that exists"}
}

// known says why a server that takes mail from here may do so because it knows this machine; empty if it is a stranger.
// server is the address that answered, with its port.
func (c *otherOffboardCmd) known(d *otherDesk, server string, own []netip.Addr) string {
	if len(d.egress) == 0 {
		return "The server takes mail from this machine. Whether that means that it is open is told only with --egress, which names the machines that it knows."
	}
	seen, err := netip.ParseAddr(c.SeenAs)
	if err == nil {
		own = append(slices.Clone(own), seen.Unmap())
	}
	if here := firstIn(own, prefixes(d.egress)); here.IsValid() {
		return "The server takes mail from this machine, which it knows as the gateway by its address " + here.String() + ": whether it is open is seen from another one."
	}
	at, perr := netip.ParseAddrPort(server)
	to := at.Addr()
	fits := func(a netip.Addr) bool { return perr == nil && a.Unmap().Is4() == to.Unmap().Is4() }
	if err == nil && fits(seen) {
		return ""
	}
	if perr == nil && dnsverify.Public(to) && slices.ContainsFunc(own, func(a netip.Addr) bool { return fits(a) && dnsverify.Public(a) }) {
		return ""
	}
	return "The server takes mail from this machine, which does not come to " + server + " from a public address of its own: behind a NAT it may be seen by the address of the gateway. Look from another machine, or name the address that it is seen by with --seen-as."
}

// direct says whether mail comes to a server past the gateway, as it does while old and new MX records are both in.
func (d *otherDesk) direct(found *dnsverify.Discovery) bool {
	return slices.ContainsFunc(found.MX, func(mx dnsverify.MX) bool { return !d.ours(mx.Host) && mx.Host != "." })
}

// moved says whether no MX record names the gateway.
func (d *otherDesk) moved(found *dnsverify.Discovery) bool {
	return !slices.ContainsFunc(found.MX, func(mx dnsverify.MX) bool { return d.ours(mx.Host) })
}

// servers are those that mail comes to directly, and, while the gateway is in the MX records, the one that it will.
func (c *otherOffboardCmd) servers(d *otherDesk, found *dnsverify.Discovery) []string {
	if c.Hop != "" {
		return []string{c.Hop}
	}
	var out []string
	if hop := cmp.Or(d.hop, found.NextHop); hop != "" && !d.moved(found) {
		out = append(out, hop)
	}
	for _, mx := range found.MX {
		there := slices.ContainsFunc(out, func(h string) bool { return strings.EqualFold(h, mx.Host) })
		if !d.ours(mx.Host) && mx.Host != "." && !there {
			out = append(out, mx.Host)
		}
	}
	return out
}
