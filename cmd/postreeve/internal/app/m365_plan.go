package app

import (
	"errors"
	"fmt"
	"os"

	"github.com/postreeve/postreeve/m365"
)

type m365PlanCmd struct {
	m365Flags
}

func (m365PlanCmd) Help() string {
	return `Reads the tenant and shows each step with its fields before and after, why, risk and wait, and all that is in the way. It writes nothing anywhere but --out: a plan to be reviewed, stored and applied later, which is refused if the tenant changed meanwhile. It holds no secrets.

Example:
  postreeve m365 plan --profile ex.yaml --journal ex --out plan.json

` + codesOfTenants + ` Something in the way is an error.`
}

// Run plans.
func (c *m365PlanCmd) Run(e *env) error {
	t, err := c.openProfile(e)
	if err != nil {
		return err
	}
	plan, err := t.Plan(e.ctx)
	if err != nil {
		return err
	}
	return c.planned(e, plan)
}

// planned shows a plan that is not carried out.
func (f *m365Flags) planned(e *env, plan *m365.Plan) error {
	print := func(s *screen) { printM365Plan(s, plan) }
	if err := f.tell(e, plan, "Plan for the tenant "+plan.Tenant, print); err != nil {
		return err
	}
	switch {
	case plan.Blocked() != nil:
		return errors.New("something is in the way: nothing can be applied before it is gone, or accepted in the profile")
	case plan.Changes() > 0:
		return exit(exitPlanned)
	}
	return nil
}

func printM365Plan(s *screen, plan *m365.Plan) {
	s.printf("%s\n\n", s.style(bold, fmt.Sprintf("%s: tenant %s, plan %s", plan.Direction, show(plan.Tenant), show(plan.ID))))
	printPlan(s, viewOf[planView](plan))
	s.printf("%s, %s for a person\n", plural(plan.Changes(), "change"), plural(len(plan.Manual()), "step"))
}

// runFlags are what the commands take that write.
type runFlags struct {
	Plan   string `placeholder:"FILE" help:"Do this plan, as --out of a plan wrote it. By default plans first."`
	Yes    bool   `short:"y" help:"Do not ask."`
	DryRun bool   `help:"Show what would be done, and do nothing."`
}

type m365ApplyCmd struct {
	m365Flags
	runFlags
}

func (m365ApplyCmd) Help() string {
	return `Shows the plan, asks, and does it. Every write stands in the journal before it is made and after, so the same call finishes what was killed; it stops at the first failure and says what is done, what is left and how to go back. Long waits say what for and until when: Ctrl-C leaves them, and the same call goes on.

Example:
  postreeve m365 apply --profile ex.yaml --journal ex
  postreeve m365 apply --plan plan.json --journal ex --yes

` + codesOfTenants + ` What is left for a later call counts as planned.`
}

// Run applies.
func (c *m365ApplyCmd) Run(e *env) error {
	plan, err := c.read(e, m365.Onboard)
	if err != nil {
		return err
	}
	p, err := c.readProfile(e, plan == nil)
	if err != nil {
		return err
	}
	return c.carryOut(e, c.runFlags, plan, p, (*m365.Tenant).Plan)
}

// read reads the plan of the flags, if there is one.
func (f *runFlags) read(e *env, directions ...m365.Direction) (*m365.Plan, error) {
	if f.Plan == "" {
		return nil, nil
	}
	file, err := os.Open(f.Plan)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plan, err := m365.ReadPlan(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Plan, err)
	}
	for _, d := range directions {
		if plan.Direction == d {
			return plan, nil
		}
	}
	return nil, usage(e, "%s is a plan for %s, which is not what this command does", f.Plan, plan.Direction)
}
