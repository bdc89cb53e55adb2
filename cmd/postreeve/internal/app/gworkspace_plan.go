package app

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspacePlanCmd struct {
	gworkspaceFlags
	Reveal bool `help:"Put the secrets into what is to be pasted; keep the output like them."`
}

func (gworkspacePlanCmd) Help() string {
	return `Reads what can be read and shows the steps that are left, each with console path, link, what to paste, limits, what to expect, how it is checked and how long to wait; and all that is in the way. It changes nothing.

Example:
  postreeve gworkspace plan --profile ex.yaml --key-file key.json
  postreeve gworkspace plan --profile ex.yaml --done host --told told.json

` + codesOfTenants + ` Something in the way is an error.`
}

// Run plans.
func (c *gworkspacePlanCmd) Run(e *env) error {
	t, err := c.open(e)
	if err != nil {
		return err
	}
	if c.Reveal && t.Secrets == nil {
		return usage(e, "--reveal needs --secrets")
	}
	t.Reveal = c.Reveal
	plan, err := t.Plan(e.ctx)
	if err != nil {
		return err
	}
	return c.planned(e, plan)
}

// planned shows a plan, which a person does.
func (f *gworkspaceFlags) planned(e *env, plan *gworkspace.Plan) error {
	print := func(s *screen) {
		s.printf("%s\n\n", s.style(bold, fmt.Sprintf("%s: %s", plan.Direction, show(plan.Tenant))))
		printPlan(s, viewOf[planView](plan))
		s.printf("%s left\n", plural(len(plan.Steps), "step"))
	}
	if err := f.give(e, plan, print); err != nil {
		return err
	}
	if err := f.report(e, "Plan for "+plan.Tenant, print); err != nil {
		return err
	}
	switch {
	case plan.Blocked() != nil:
		return errors.New("something is in the way: do nothing before it is gone, or accepted in the profile")
	case len(plan.Steps) > 0:
		return exit(exitPlanned)
	}
	return nil
}

type gworkspaceOffboardCmd struct {
	gworkspaceFlags
}

func (gworkspaceOffboardCmd) Help() string {
	return `Shows the steps that are left of the way out, in the order that loses no mail: what sends mail to the gateway first, what it needs to come back next, the access that confirms it last. While mail may still be at the gateway it says until when to wait. What cannot be read is said with --done.

Example:
  postreeve gworkspace offboard --profile ex.yaml --key-file key.json

` + codesOfTenants + ` Something in the way is an error.`
}

// Run shows the way out.
func (c *gworkspaceOffboardCmd) Run(e *env) error {
	t, err := c.open(e)
	if err != nil {
		return err
	}
	plan, err := t.Offboard(e.ctx)
	if err != nil {
		return err
	}
	return c.planned(e, plan)
}

type gworkspaceVerifyCmd struct {
	gworkspaceFlags
}

func (gworkspaceVerifyCmd) Help() string {
	return `Reads policies, the audit log, the directory and the delegation, connects to the scanner host as Google would, and names object, field, wanted and found of all that is not as wanted. Each setting says how it is known: read, inferred or told; what nobody knows is unknown and does not count as drift. It changes nothing.

Example:
  postreeve gworkspace verify --profile ex.yaml --key-file key.json

` + codesOfTenants
}

// Run verifies.
func (c *gworkspaceVerifyCmd) Run(e *env) error {
	t, err := c.open(e)
	if err != nil {
		return err
	}
	r, err := t.Verify(e.ctx)
	if err != nil {
		return err
	}
	c.hosts(e, t.Profile, r)
	print := func(s *screen) { printReport(s, viewOf[reportView](r)) }
	if err := c.give(e, r, print); err != nil {
		return err
	}
	word := "in order"
	if !r.OK() {
		word = plural(len(r.Drift), "drift")
	}
	if err := c.report(e, r.Tenant+": "+word, print); err != nil {
		return err
	}
	if !r.OK() {
		return exit(exitPlanned)
	}
	return nil
}

// hosts connects to the scanner hosts as Google does.
func (c *gworkspaceVerifyCmd) hosts(e *env, p *gworkspace.Profile, r *gworkspace.Report) {
	if p.Mode != gworkspace.Reroute {
		return
	}
	if c.NoWait {
		r.Skipped = append(r.Skipped, "the scanner host was not connected to")
		return
	}
	names := []string{p.Region}
	if p.Region == "" {
		for name := range p.Regions { // there is but one: the profile was checked
			names = []string{name}
		}
	}
	if p.SecondRegion != "" {
		names = append(names, p.SecondRegion)
	}
	for _, name := range names {
		region := p.Regions[name]
		err := gworkspace.CheckSMTPHost(e.ctx, region.SmartHost, cmp.Or(region.Port, 25))
		if err == nil {
			r.InOrder = append(r.InOrder, "TLS of "+region.SmartHost)
			continue
		}
		r.Findings = append(r.Findings, gworkspace.Problem{Code: "host.tls", Object: region.SmartHost, Text: "Google could not hand mail to this host: " + err.Error(),
			Do: "give it a certificate of a public authority with this name; if it cannot be reached from here alone, look from another place"})
	}
}

type gworkspaceRunbookCmd struct {
	Profile string `required:"" placeholder:"FILE" help:"What is wanted, in YAML or JSON."`
	Secrets string `placeholder:"FILE" help:"Put these secrets into what is to be pasted; keep the document like them."`
	outFlags
}

func (gworkspaceRunbookCmd) Help() string {
	return `Writes numbered steps in Markdown, with links to the Admin console, what to paste, limits, what to see, how it is checked and how long to wait, and the way out. It needs no access. Without --secrets placeholders stand for the secrets.

Example:
  postreeve gworkspace runbook --profile ex.yaml --out ex.md

Exit codes: 0 written, 1 error.`
}

// Run writes.
func (c *gworkspaceRunbookCmd) Run(e *env) error {
	p, err := readProfile(c.Profile, (*gworkspace.Profile).Check)
	if err != nil {
		return badProfile(e, err)
	}
	secrets, err := readSecrets(c.Secrets)
	if err != nil {
		return err
	}
	g, err := gworkspace.Runbook(p, secrets)
	if err != nil {
		return err
	}
	return c.giveText(e, g.Markdown(), g)
}
