package app

import (
	"net/netip"
	"slices"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/m365"
)

type otherOffboardCmd struct {
	otherFlags
	strangerFlags
	SeenAs string   `placeholder:"ADDRESS" help:"The public address that this machine is seen by, where it is behind a NAT. Without one an answer to a machine that has only private addresses does not show that the server is open."`
	Done   []string `placeholder:"STEP" help:"A person says that this step is done; for all but the MX records, which are looked up. A server that is seen to refuse strangers is not open, whatever is said."`
}

func (otherOffboardCmd) Help() string {
	return `Shows the steps of the way back that are left: the server is opened first, then the MX records move back, and what mail on its way needs goes last. DNS tells where the MX records lead, --recipient with --egress whether the server is open, if this machine is a stranger to it; what else the server has set is seen by nobody from outside, and said with --done. --was names the MX hosts from before.

Example:
  postreeve other offboard -c postreeve.yaml --server postfix \
    --was mail.ex.net ex.net
  postreeve other offboard -c postreeve.yaml --done lock.off \
    --done spam-rule.remove ex.net

Exit codes: 0 all is done, 2 steps left or something in the way, 1 error, 64 wrong usage or configuration.`
}

// Run shows the way back.
func (c *otherOffboardCmd) Run(e *env) error {
	if err := c.valid(e); err != nil {
		return err
	}
	d, err := c.open(e)
	if err != nil {
		return err
	}
	if err := c.inDomain(e, d); err != nil {
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
	moved := d.moved(found)
	done[otherMX+".back"] = moved
	if c.Recipient != "" {
		state, err := c.isOpen(e, d, found, plan)
		if err != nil {
			return err
		}
		if state != openUnseen { // what is seen counts more than what was said
			done[otherLock+".off"] = state == openSeen
		}
	}
	if d.direct(found) && !done[otherLock+".off"] {
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
	if len(plan.Steps) > 0 || plan.Blocked() != nil {
		return exit(exitPlanned)
	}
	return nil
}

// valid looks at the flags before anything is done.
func (c *otherOffboardCmd) valid(e *env) error {
	if c.SeenAs != "" {
		if a, err := netip.ParseAddr(c.SeenAs); err != nil || !dnsverify.Public(a) {
			return usage(e, "--seen-as %s is no public address", c.SeenAs)
		}
		if c.Recipient == "" {
			return usage(e, "--seen-as goes with --recipient, which asks the server")
		}
	}
	return c.strangerFlags.valid(e)
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
