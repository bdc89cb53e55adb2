package app

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/m365"
)

type otherOffboardCmd struct {
	otherFlags
	strangerFlags
	Done []string `placeholder:"STEP" help:"A person says that this step is done; for all but the MX records, which are looked up."`
}

func (otherOffboardCmd) Help() string {
	return `Shows the steps of the way back that are left: the server is opened first, then the MX records move back, and what mail on its way needs goes last. DNS tells where the MX records lead, --recipient whether the server is open; what else the server has set is seen by nobody from outside, and said with --done. --was names the MX hosts from before.

Example:
  postreeve other offboard -c postreeve.yaml --server postfix \
    --was mail.ex.net ex.net
  postreeve other offboard -c postreeve.yaml --done lock.off \
    --done spam-rule.remove ex.net

Exit codes: 0 all is done, 2 steps left, 1 error, 64 wrong usage or configuration.`
}

// Run shows the way back.
func (c *otherOffboardCmd) Run(e *env) error {
	if err := c.strangerFlags.valid(e); err != nil {
		return err
	}
	d, err := c.open(e)
	if err != nil {
		return err
	}
	steps := d.back()
	done, err := c.told(e, steps)
	if err != nil {
		return err
	}
	found, err := d.client.Discover(e.ctx, d.domain, d.own)
	if err != nil {
		return refusedOther(err)
	}
	plan := &m365.Plan{Version: 1, Direction: m365.OffboardPlan, Tenant: d.domain, Made: time.Now().UTC(), Steps: []m365.Step{}}
	moved := !slices.ContainsFunc(found.MX, func(mx dnsverify.MX) bool { return d.ours(mx.Host) })
	done[otherMX+".back"] = moved
	if c.Recipient != "" {
		open, err := c.isOpen(e, d, found, moved, plan)
		if err != nil {
			return err
		}
		done[otherLock+".off"] = done[otherLock+".off"] || open
	}
	if moved && !done[otherLock+".off"] {
		plan.Notes = append(plan.Notes, "Mail comes directly now: a server that still takes the gateway alone refuses it. See at once that it is open, with --recipient from a machine that it does not know, and say --done "+otherLock+".off.")
	}
	if moved {
		plan.Notes = append(plan.Notes, "No MX record names the gateway. Take the rest off when 72 hours are over and its queue is empty; what the server itself has set is seen by nobody from outside: say it with --done.")
	}
	for _, s := range steps {
		if done[s.ID] {
			plan.InOrder = append(plan.InOrder, s.Title)
		} else {
			plan.Steps = append(plan.Steps, s)
		}
	}
	if err := c.give(e, plan, func(s *screen) {
		printPlan(s, viewOf[planView](plan))
		s.printf("%s left\n", plural(len(plan.Steps), "step"))
	}); err != nil {
		return err
	}
	if len(plan.Steps) > 0 {
		return exit(exitPlanned)
	}
	return nil
}

// told are the steps that somebody says are done.
func (c *otherOffboardCmd) told(e *env, steps []m365.Step) (map[string]bool, error) {
	var ids []string
	for _, s := range steps {
		ids = append(ids, s.ID)
	}
	done := map[string]bool{}
	for _, id := range c.Done {
		switch {
		case !slices.Contains(ids, id):
			return nil, usage(e, "--done %s: there is no such step: %s", id, config.Suggest(id, ids))
		case id == otherMX+".back":
			return nil, usage(e, "--done %s: nobody has to say it: the MX records are looked up", id)
		}
		done[id] = true
	}
	return done, nil
}

// isOpen asks whether the server takes mail from strangers. What it says counts for nothing where this machine may be
// one that it lets in as the gateway.
func (c *otherOffboardCmd) isOpen(e *env, d *otherDesk, found *dnsverify.Discovery, moved bool, plan *m365.Plan) (bool, error) {
	p, err := d.prober(c.Recipient, c.Timeout)
	if err != nil {
		return false, err
	}
	note := func(text string) { plan.Notes = append(plan.Notes, text) }
	hosts := c.servers(d, found, moved)
	open := len(hosts) > 0
	for _, h := range hosts {
		hop, err := p.Probe(e.ctx, h)
		switch {
		case e.ctx.Err() != nil:
			return false, errors.New("interrupted")
		case err != nil:
			open = false
			note("Whether " + h + " is open was not seen: " + plain(err) + ".")
			continue
		}
		open = open && len(hop.Addrs) > 0
		for _, a := range hop.Addrs {
			switch a.Strangers {
			case dnsverify.StrangersYes:
				continue
			case dnsverify.StrangersNo:
				plan.Problems = append(plan.Problems, m365.Problem{Code: "server.closed", Object: h + " (" + a.Addr + ")", Text: "it refuses mail from strangers: " + a.Reply, Blocks: true,
					Do: map[bool]string{true: "open it now: mail comes to it directly", false: "open it before the MX records move back"}[moved]})
			default:
				note("Whether " + h + " (" + a.Addr + ") is open was not seen: " + cmp.Or(a.Error, a.Reply, "it did not answer") + ".")
			}
			open = false
		}
	}
	here := addressIn(net.InterfaceAddrs, prefixes(d.egress))
	switch {
	case open && here.IsValid():
		note("The server takes mail from this machine, which it knows as the gateway by its address " + here.String() + ": whether it is open is seen from another one.")
	case open && len(d.egress) == 0:
		note("The server takes mail from this machine. Whether that means that it is open is told only with --egress, which names the machines that it knows.")
	default:
		return open, nil
	}
	return false, nil
}

// servers are those that mail comes to directly, or will.
func (c *otherOffboardCmd) servers(d *otherDesk, found *dnsverify.Discovery, moved bool) []string {
	if hop := cmp.Or(c.Hop, d.hop, found.NextHop); c.Hop != "" || !moved && hop != "" {
		return []string{hop}
	}
	var out []string
	for _, mx := range found.MX {
		if moved && mx.Host != "." {
			out = append(out, mx.Host)
		}
	}
	return out
}
