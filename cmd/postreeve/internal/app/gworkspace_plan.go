package app

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/verdict/teststring"
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
	t, side, err := c.openWith(e, nil)
	if err != nil {
		return err
	}
	defer side.close()
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
	if err := f.tell(e, plan, "Plan for "+plan.Tenant, print); err != nil {
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

type gworkspaceVerifyCmd struct {
	gworkspaceFlags
	probeFlags
}

func (gworkspaceVerifyCmd) Help() string {
	return `Reads policies, the audit log, the directory and the delegation, connects to the scanner host as Google would (P1), compares the gateway with the profile (-c, --secrets), and names object, field, wanted and found of all that is not as wanted. Each setting says how it is known: read, inferred or told; what nobody knows is unknown and does not count as drift. It changes nothing.

With --probe messages go through the whole loop (P2 to P7): the ledger of the gateway says whether they came by, with which verdict, and where they went; the Gmail API, with gmail.modify, where they ended. What a probe lacks makes it "not checked", never right, and says what a person can look at.

Example:
  postreeve gworkspace verify --profile ex.yaml --key-file key.json \
    -c postreeve.yaml --secrets google.json \
    --probe pilot@ex.net --probe-via mail.elsewhere.example

` + codesOfTenants
}

// Run verifies.
func (c *gworkspaceVerifyCmd) Run(e *env) error {
	t, side, err := c.openWith(e, &c.probeFlags)
	if err != nil {
		return err
	}
	defer side.close()
	r, err := t.Verify(e.ctx)
	if err != nil {
		return err
	}
	return c.tellVerified(e, r, r.Tenant, r.OK(), len(r.Drift), func(s *screen) {
		printProbes(s, r.Probes)
		printReport(s, viewOf[reportView](r))
	})
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
	p, err := loadProfile(e, c.Profile, (*gworkspace.Profile).Check)
	if err != nil {
		return err
	}
	secrets, err := readSecrets(c.Secrets)
	if err != nil {
		return err
	}
	g, err := gworkspace.Runbook(p, secrets)
	if err != nil {
		return err
	}
	c.finish(p, g)
	return c.giveText(e, g.Markdown(), g)
}

// finish adds what this program can say: its commands, and what its gateway calls spam.
func (c *gworkspaceRunbookCmd) finish(p *gworkspace.Profile, g *gworkspace.Guide) {
	for i := range g.Probes {
		for j, v := range g.Probes[i].Values {
			g.Probes[i].Values[j].Value = strings.ReplaceAll(v.Value, gworkspace.SpamText, teststring.Spam)
		}
	}
	secrets := cmp.Or(c.Secrets, "SECRETS.json")
	g.Before = append(g.Before, "After each step: postreeve gworkspace verify --profile "+c.Profile+" --key-file KEY.json -c postreeve.yaml --secrets "+secrets+", "+
		"and when all stands, with --probe PILOT@"+p.Domains[0]+" from outside. What it cannot read is said with --done STEP --told FILE.")
	if p.Mode == gworkspace.Reroute {
		g.Before = append(g.Before, "Before the rule, at the gateway, for each of the domains: next-hop: smtp.google.com, connection: gworkspace, token: file:"+secrets+".loop, "+
			"upstream: {tenant-token: [\"file:"+secrets+".tenant\", \"file:"+secrets+".tenant.old\"]}. With another headers: {prefix}, the profile needs the same.")
	} else {
		g.Before = append(g.Before, "Before the MX records move, at the gateway, for each of the domains: next-hop: smtp.google.com, tls: verify, and no connection: Google is not in front of it. With another headers: {prefix}, the profile needs the same.")
	}
	for _, d := range p.Domains {
		g.Before = append(g.Before, "Before mail comes to the gateway the domain has to be proven there, or its mail is deferred: postreeve domain add -c postreeve.yaml "+d+", then postreeve domain verify -c postreeve.yaml --wait "+d)
	}
}
