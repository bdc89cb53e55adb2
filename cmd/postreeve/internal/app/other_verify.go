package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/m365"
)

type otherRunbookCmd struct {
	otherFlags
}

func (otherRunbookCmd) Help() string {
	return `Writes numbered steps in Markdown: TLS first, the allow list and the firewall, the rule for the spam header (PowerShell for Exchange, Sieve and header_checks elsewhere), the proof, MX records at preference 0, and closing the way past the gateway; and the way back.

Example:
  postreeve other runbook -c postreeve.yaml --server exchange \
    --egress 192.0.2.0/28 ex.net

Exit codes: 0 written, 1 error, 64 wrong usage or configuration.`
}

// Run writes.
func (c *otherRunbookCmd) Run(e *env) error {
	d, err := c.open(e)
	if err != nil {
		return err
	}
	if len(c.Egress) == 0 {
		return usage(e, "--egress is missing: the addresses that the gateway sends from are what the server has to let in")
	}
	g := d.guide()
	doc := viewOf[gworkspace.Guide](g) // the forms are the same; this one also writes checks and ways back
	return c.giveText(e, doc.Markdown(), g)
}

type otherVerifyCmd struct {
	otherFlags
	strangerFlags
	NoProbe bool `help:"Ask DNS only."`
}

// strangerFlags say how a server is looked at as a stranger sees it.
type strangerFlags struct {
	Recipient string        `placeholder:"ADDRESS" help:"A mailbox that exists: asks whether the server takes mail from strangers. No mail is sent. Of use only from a machine that the server does not know."`
	Timeout   time.Duration `default:"20s" help:"For the dialogue with each address."`
}

// valid looks at the address before anything is done.
func (f *strangerFlags) valid(e *env) error {
	if f.Recipient != "" && !deliverable(f.Recipient) {
		return usage(e, "--recipient %s is no address, as in anna@ex.net", f.Recipient)
	}
	return nil
}

// inDomain refuses a mailbox of another domain, of which the answer would say nothing about this one.
func (f *strangerFlags) inDomain(e *env, d *otherDesk) error {
	if f.Recipient == "" {
		return nil
	}
	at := strings.LastIndexByte(f.Recipient, '@') // valid has seen one
	name, err := d.cfg.Names().Normalize(f.Recipient[at+1:])
	if err != nil || name != d.domain {
		return usage(e, "--recipient %s is not in %s: name a mailbox of this domain", f.Recipient, d.domain)
	}
	f.Recipient = f.Recipient[:at+1] + name
	return nil
}

func (otherVerifyCmd) Help() string {
	return `Reads the MX records at the authoritative servers and connects to the mail server and to every other MX host. Names object, field, wanted and found of what is not in order: MX records that are left from before or not at preference 0, no TLS or a certificate that does not fit, servers that take mail past the gateway.

Example:
  postreeve other verify -c postreeve.yaml --recipient anna@ex.net ex.net

Exit codes: 0 in order, 2 drift, 1 error, 64 wrong usage or configuration.`
}

// Run verifies.
func (c *otherVerifyCmd) Run(e *env) error {
	if err := c.strangerFlags.valid(e); err != nil {
		return err
	}
	d, err := c.open(e)
	if err != nil {
		return err
	}
	if err := c.inDomain(e, d); err != nil {
		return err
	}
	r := &m365.Report{Tenant: d.domain, At: time.Now().UTC(), Drift: []m365.Drift{}}
	found, err := d.lookAtMX(e.ctx, r)
	if err != nil {
		return refusedOther(err)
	}
	if c.NoProbe {
		r.Skipped = append(r.Skipped, "no server was connected to")
	} else if err := c.probe(e, d, found, r); err != nil {
		return err
	}
	if d.conf == nil {
		r.Findings = append(r.Findings, m365.Problem{Code: "domain.unknown", Object: d.domain, Text: "the gateway does not know this domain: it would refuse its mail",
			Do: "put it into " + c.Config + " before the MX records move"})
	}
	if err := c.give(e, r, func(s *screen) { printReport(s, viewOf[reportView](r)) }); err != nil {
		return err
	}
	if !r.OK() {
		return exit(exitPlanned)
	}
	return nil
}

// refusedOther is an error of DNS without the name of the package.
func refusedOther(err error) error {
	if _, ok := errors.AsType[*dnsverify.Problem](err); ok {
		return errors.New(plain(err))
	}
	return err
}

// lookAtMX compares the MX records with those of the gateway.
func (d *otherDesk) lookAtMX(ctx context.Context, r *m365.Report) (*dnsverify.Discovery, error) {
	found, err := d.client.Discover(ctx, d.domain, d.own)
	if err != nil {
		return nil, err
	}
	object := "MX records of " + d.domain
	var have, stale []string
	worst := uint16(0)
	for _, mx := range found.MX {
		have = append(have, fmt.Sprintf("%d %s", mx.Preference, mx.Host))
		if !d.ours(mx.Host) {
			stale = append(stale, mx.Host)
		} else {
			worst = max(worst, mx.Preference)
		}
	}
	var want []string
	for _, h := range d.mx {
		want = append(want, "0 "+h)
	}
	add := func(field, note string) {
		r.Drift = append(r.Drift, m365.Drift{Step: otherMX, Object: object, Name: d.domain, Field: field, Wanted: want, Found: have, Note: note})
	}
	switch ours := len(found.MX) - len(stale); {
	case ours == 0 || found.Implicit:
		add("MX", "mail does not come to the gateway")
		r.Mode = "no mail comes through the gateway: the MX records do not name it"
	case len(stale) > 0:
		add("MX", "records of before are a way past the gateway")
		r.Mode, r.Scanning = "mail comes through the gateway, and past it too", true
	case worst != 0:
		add("preference", "the gateway has to be at preference 0")
		r.Mode, r.Scanning = "mail comes through the gateway", true
	default:
		r.InOrder = append(r.InOrder, object)
		r.Mode, r.Scanning = "mail comes through the gateway", true
	}
	if found.Wildcard {
		r.Findings = append(r.Findings, m365.Problem{Code: "mx.wildcard", Object: d.domain, Text: "a wildcard MX record gives names below the domain another way for mail",
			Do: "take it out, or point it at the gateway"})
	}
	return found, nil
}

// probe looks at the mail server and at every MX host that is not the gateway.
func (c *otherVerifyCmd) probe(e *env, d *otherDesk, found *dnsverify.Discovery, r *m365.Report) error {
	p, err := d.prober(c.Recipient, c.Timeout)
	if err != nil {
		return err
	}
	hosts := []string{}
	if hop := cmp.Or(d.hop, found.NextHop); hop != "" {
		hosts = append(hosts, hop)
	}
	for _, mx := range found.MX {
		if !d.ours(mx.Host) && mx.Host != "." && !slices.Contains(hosts, mx.Host) {
			hosts = append(hosts, mx.Host)
		}
	}
	if len(hosts) == 0 {
		r.Skipped = append(r.Skipped, "no mail server is known: name it with --hop")
	}
	if c.Recipient == "" {
		r.Skipped = append(r.Skipped, "whether strangers can send past the gateway was not asked: name a mailbox with --recipient")
	}
	for _, h := range hosts {
		hop, err := p.Probe(e.ctx, h)
		if e.ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			r.Findings = append(r.Findings, m365.Problem{Code: "server.unseen", Object: h, Text: "it cannot be looked at: " + plain(err), Do: "look from the machine of the gateway"})
			continue
		}
		d.judgeHop(h, hop, r)
	}
	return nil
}

// judgeHop turns what was seen of a server into drift.
func (d *otherDesk) judgeHop(h string, hop *dnsverify.Hop, r *m365.Report) {
	before := len(r.Drift)
	add := func(step, field, addr, wanted, found, note string) {
		r.Drift = append(r.Drift, m365.Drift{Step: step, Object: "mail server " + h + " (" + addr + ")", Name: h, Field: field, Wanted: wanted, Found: found, Note: note})
	}
	for _, a := range hop.Addrs {
		switch {
		case a.Banner == "":
			add(otherTLS, "answer", a.Addr, "a greeting", cmp.Or(a.Error, "none"), "the gateway could not hand on mail")
			continue
		case !a.StartTLS:
			add(otherTLS, "TLS", a.Addr, "STARTTLS", "not offered", "mail would go there as clear text")
		case !a.CertOK:
			add(otherTLS, "certificate", a.Addr, "valid for "+hop.Host, cmp.Or(a.CertError, "another name"), "")
		}
		if a.Strangers == dnsverify.StrangersYes {
			add(otherLock, "mail from strangers", a.Addr, "refused", "taken: "+a.Reply, "whoever knows this server goes past the gateway")
		}
	}
	if len(r.Drift) == before {
		r.InOrder = append(r.InOrder, "mail server "+h)
	}
	for _, p := range hop.Problems {
		r.Findings = append(r.Findings, m365.Problem{Code: string(p.Code), Object: h, Text: plain(p), Do: "see to it before the MX records move"})
	}
}
