package app

import (
	"context"

	"github.com/postreeve/postreeve/m365"
)

type m365OffboardCmd struct {
	m365Flags
	runFlags
	Vendor    string   `placeholder:"NAME" help:"Take out what this product left instead: perception-point or mailprotector. Needs no journal and no profile."`
	Egress    []string `placeholder:"ADDRESS" help:"With --vendor: the addresses it sent mail back from."`
	SmartHost string   `placeholder:"HOST" help:"With --vendor: where its connector sent mail."`
}

func (m365OffboardCmd) Help() string {
	return `Takes out what is ours and restores what was there before, in the order that loses no mail: first what sends mail to the gateway, then a wait until all of it has come back, then the rest. What somebody changed later stays, unless --force; what belongs to others always stays. The same call resumes what was killed.

With --vendor it takes out what another product left, known by the names of its guide together with its addresses and smart host.

Example:
  postreeve m365 offboard --profile ex.yaml --journal ex
  postreeve m365 offboard --tenant ex.net --vendor perception-point \
    --egress 192.0.2.1 --smart-host in.vendor.example

` + codesOfTenants + ` What is left for a later call, or because somebody changed it, counts as planned.`
}

// Run takes out.
func (c *m365OffboardCmd) Run(e *env) error {
	if c.Vendor == "" && (len(c.Egress) > 0 || c.SmartHost != "") {
		return usage(e, "--egress and --smart-host go with --vendor")
	}
	direction, make := m365.OffboardPlan, (*m365.Tenant).PlanOffboard
	if c.Vendor != "" {
		if _, err := m365.VendorByName(c.Vendor); err != nil {
			return usage(e, "%v", err)
		}
		direction = m365.VendorRemoval
		make = func(t *m365.Tenant, ctx context.Context) (*m365.Plan, error) {
			return t.PlanVendorRemoval(ctx, m365.Predecessor{Vendor: c.Vendor, Egress: c.Egress, SmartHost: c.SmartHost})
		}
	}
	plan, err := c.read(e, direction)
	if err != nil {
		return err
	}
	p, err := c.readProfile(e, plan == nil && c.Vendor == "")
	if err != nil {
		return err
	}
	if c.Journal == "" && c.Vendor == "" && !c.DryRun {
		return usage(e, "--journal is missing: it knows what was added and what was there before")
	}
	return c.carryOut(e, c.runFlags, plan, p, make)
}
