package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/m365"
)

// m365Done is what a run did, as JSON.
type m365Done struct {
	*m365.Outcome
	Direction m365.Direction `json:"direction"`
	Error     string         `json:"error,omitempty"`
}

// planner makes a plan for a tenant.
type planner func(*m365.Tenant, context.Context) (*m365.Plan, error)

// carryOut does a plan that was read, or makes one first. p may be nil if the plan has a profile or needs none.
func (f *m365Flags) carryOut(e *env, run runFlags, plan *m365.Plan, p *m365.Profile, make planner) error {
	if plan != nil && plan.Profile != nil {
		if p != nil && !sameProfile(p, plan.Profile) {
			return usage(e, "the plan was made from another profile than %s: plan again, or leave --profile out", f.Profile)
		}
		p = plan.Profile
	}
	t, err := f.open(e, p)
	if err != nil {
		return err
	}
	if plan == nil {
		if plan, err = make(t, e.ctx); err != nil {
			return err
		}
	}
	if run.DryRun {
		return f.planned(e, plan)
	}
	if plan.Direction == m365.Onboard && f.Journal == "" {
		return usage(e, "--journal is missing: what is changed is written down there first")
	}
	if !f.JSON {
		printM365Plan(e.out, plan)
	}
	if plan.Blocked() != nil {
		if f.JSON {
			printFindings(e.err, viewOf[planView](plan).Problems)
		}
		return errors.New("something is in the way, nothing was done")
	}
	if n := plan.Changes(); n > 0 {
		if err := agree(e, run.Yes, fmt.Sprintf("This makes %s to the tenant %s.", plural(n, "change"), plan.Tenant)); err != nil {
			return err
		}
	}
	out, err := t.Apply(e.ctx, plan)
	return f.done(e, plan, out, err)
}

func sameProfile(a, b *m365.Profile) bool {
	x, err := json.Marshal(a)
	y, yerr := json.Marshal(b)
	return err == nil && yerr == nil && bytes.Equal(x, y)
}

// done tells what a run did.
func (f *m365Flags) done(e *env, plan *m365.Plan, out *m365.Outcome, err error) error {
	d := m365Done{Outcome: out, Direction: plan.Direction}
	if err != nil {
		d.Error = err.Error()
	}
	print := func(s *screen) { printM365Done(s, d) }
	if gerr := f.give(e, d, print); gerr != nil {
		return errors.Join(err, gerr)
	}
	merr := f.report(e, fmt.Sprintf("%s of the tenant %s: %s", plan.Direction, plan.Tenant, d.word()), print)
	switch {
	case err != nil && e.ctx.Err() != nil:
		return errors.Join(errors.New("interrupted: the same call goes on where it stopped"), merr)
	case err != nil:
		return errors.Join(m365Error(e, err), merr)
	case merr != nil:
		return merr
	case len(out.Left) > 0 || plan.Direction != m365.Onboard && viewOf[planView](plan).keeps():
		return exit(exitPlanned)
	}
	return nil
}

// word says in a word how it went.
func (d m365Done) word() string {
	switch {
	case d.Error != "":
		return "failed"
	case len(d.Left) > 0:
		return "something is left"
	}
	return "done"
}

func printM365Done(s *screen, d m365Done) {
	s.printf("\n%s done, %s\n", plural(len(d.Done), "step"), plural(d.Writes, "write"))
	for _, l := range []struct {
		name, style string
		list        []string
	}{{"left", yellow, d.Left}, {"left out", magenta, d.Skipped}} {
		for _, t := range l.list {
			s.printf("%s: %s\n", s.style(l.style, l.name), show(t))
		}
	}
	if d.Failed != "" {
		s.printf("%s: %s\n", s.style(red, "failed"), show(d.Failed))
	}
	if d.Error != "" {
		s.printf("%s\n", show(d.Error))
	}
	if d.Back != "" {
		s.printf("the way back: %s\n", show(d.Back))
	}
	for _, m := range d.Manual {
		s.printf("%s: %s\n", s.style(magenta, "for a person"), show(m.Title))
		printConsole(s, viewOf[stepView](m))
	}
	if c := d.Canary; c != nil {
		s.printf("a message through the loop took %s\n", brief(c.Took))
	}
}
