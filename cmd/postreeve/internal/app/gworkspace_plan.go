package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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
	switch {
	case c.Reveal && c.Secrets == "":
		return usage(e, "--reveal needs --secrets")
	case c.Reveal && len(c.ReportTo) > 0:
		return usage(e, "--reveal shows secrets, and --report-to would mail them: leave one of them out")
	}
	t, side, err := c.openWith(e, nil)
	if err != nil {
		return err
	}
	defer side.close()
	if err := c.keepTold(e, t); err != nil {
		return err
	}
	t.Reveal = c.Reveal
	plan, err := t.Plan(e.ctx)
	if err != nil {
		return err
	}
	return c.planned(e, t.Profile, plan)
}

// planned shows a plan, which a person does.
func (f *gworkspaceFlags) planned(e *env, p *gworkspace.Profile, plan *gworkspace.Plan) error {
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
		return errors.New(inTheWay(p, plan))
	case len(plan.Steps) > 0:
		return exit(exitPlanned)
	}
	return nil
}

// inTheWay is the last line of a plan that is blocked. A step may be what takes the problem away, so that it does not say
// to do nothing; and what can be accepted is named, since most cannot.
func inTheWay(p *gworkspace.Profile, plan *gworkspace.Plan) string {
	var codes []string
	for _, x := range plan.Problems {
		if x.Blocks && !slices.Contains(codes, x.Code) && acceptable(p, x.Code) {
			codes = append(codes, x.Code)
		}
	}
	out := "see what is in the way first"
	if len(codes) > 0 {
		out += "; if it is known and meant, add accept: [" + strings.Join(codes, ", ") + "] to the profile"
	}
	return out
}

// acceptable says whether a profile may say of a problem that it is meant, and does not yet.
func acceptable(p *gworkspace.Profile, code string) bool {
	with := *p
	with.Accept = append(slices.Clone(p.Accept), code)
	return !slices.Contains(p.Accept, code) && with.Check() == nil
}

type gworkspaceVerifyCmd struct {
	gworkspaceFlags
	probeFlags
}

func (gworkspaceVerifyCmd) Help() string {
	return `Reads policies, the audit log, the directory and the delegation, connects to the scanner host as Google would (P1), compares the gateway with the profile (-c, --secrets), and names object, field, wanted and found of all that is not as wanted. Each setting says how it is known: read, inferred or told; what nobody knows is unknown and does not count as drift, and is said with --done STEP --told FILE. It changes nothing.

With --probe messages go through the whole loop (P2 to P7): the ledger of the gateway says whether they came by, with which verdict, and where they went; the Gmail API, with gmail.modify, where they ended. What a probe lacks makes it "not checked", never right, and says what a person can look at.

Example:
  postreeve gworkspace verify --profile ex.yaml --key-file key.json \
    -c postreeve.yaml --secrets google.json \
    --probe pilot@ex.net --probe-via mail.elsewhere.example

` + codesOfTenants + ` What was to be read and could not be, without drift, is an error.`
}

// Run verifies.
func (c *gworkspaceVerifyCmd) Run(e *env) error {
	t, side, err := c.openWith(e, &c.probeFlags)
	if err != nil {
		return err
	}
	defer side.close()
	if err := c.keepTold(e, t); err != nil {
		return err
	}
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
	secrets, err := readSecrets("--secrets ", c.Secrets)
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

// finish adds what this program can say: its commands, its configuration, and what its gateway calls spam.
func (c *gworkspaceRunbookCmd) finish(p *gworkspace.Profile, g *gworkspace.Guide) {
	for i := range g.Probes {
		for j, v := range g.Probes[i].Values {
			g.Probes[i].Values[j].Value = strings.ReplaceAll(v.Value, gworkspace.SpamText, teststring.Spam)
		}
	}
	verify := "postreeve gworkspace verify --profile " + shellWord(c.Profile) + " --key-file KEY.json -c postreeve.yaml --secrets " + shellWord(c.secretsFile())
	g.Before = append(g.Before, "After each step, and with --probe PILOT@"+p.Domains[0]+" from outside when all stands: `"+verify+"`. What it cannot read is said with --done STEP --told FILE.")
	g.Steps = slices.Insert(g.Steps, 0, c.gatewayStep(p, verify))
}

func (c *gworkspaceRunbookCmd) secretsFile() string { return cmp.Or(c.Secrets, "SECRETS.json") }

// gatewayStep is what has to stand at the gateway before any mail comes to it. Its id is that of the check of verify.
func (c *gworkspaceRunbookCmd) gatewayStep(p *gworkspace.Profile, verify string) gworkspace.Step {
	var add, prove []string
	for _, d := range p.Domains {
		add = append(add, "postreeve domain add -c postreeve.yaml "+d)
		prove = append(prove, "postreeve domain verify -c postreeve.yaml --wait "+d)
	}
	s := gworkspace.Step{ID: "gateway", Title: "Set the gateway up", Object: "postreeve.yaml", Verb: gworkspace.VerbUpdate,
		Why: "Mail must not come to a gateway that does not know the domain, which refuses it, or that nobody has proven the domain to, which defers it.", Wait: "none", Check: verify,
		Undo: "Take the domains out of the configuration again, as the last step of the way out.",
		Console: &gworkspace.Console{Path: "On the machine of the gateway", Expect: "verify says that the gateway is right, for each of the domains.", Values: []gworkspace.Value{
			{Name: "In postreeve.yaml, where names of files are relative to it; where domains: or headers: are there already, join the lines below them with what stands under these", Value: c.settings(p)},
			{Name: "Print the record of each domain, to be put into DNS", Value: strings.Join(add, "\n")},
			{Name: "See that they are there", Value: strings.Join(prove, "\n")}}}}
	if p.Mode == gworkspace.Reroute {
		s.Console.Values = slices.Insert(s.Console.Values, 0, gworkspace.Value{Name: "Make the secrets, if they are not there yet", Value: "postreeve gworkspace secrets " + shellWord(c.secretsFile())})
	}
	return s
}

// settings are those of the domains, as they stand in the configuration of the gateway.
func (c *gworkspaceRunbookCmd) settings(p *gworkspace.Profile) string {
	var b strings.Builder
	prefix := cmp.Or(p.Headers.Prefix, "X-Postreeve")
	if p.Headers.Prefix != "" {
		fmt.Fprintf(&b, "headers:\n  prefix: %s\n", prefix)
	}
	b.WriteString("domains:\n")
	for _, d := range p.Domains {
		fmt.Fprintf(&b, "  %s:\n    next-hop: smtp.google.com\n    tls: verify\n", strings.ToLower(strings.TrimSuffix(d, ".")))
		if p.Mode != gworkspace.Reroute { // Google is not in front of it
			continue
		}
		fmt.Fprintf(&b, "    connection: gworkspace\n    token: %q\n    upstream:\n", "file:"+c.secretsFile()+".loop")
		fmt.Fprintf(&b, "      tenant-token: [%q, %q]\n", "file:"+c.secretsFile()+".tenant", "file:"+c.secretsFile()+".tenant.old")
		if h := p.Headers.Tenant; h != "" && h != prefix+"-Tenant" {
			fmt.Fprintf(&b, "      tenant-header: %s\n", h)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
