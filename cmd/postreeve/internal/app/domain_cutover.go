package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
)

type domainCutoverCmd struct {
	domainFlags
	Check     bool     `help:"Look at each step: done, not yet (until when), or wrong."`
	Confirm   []string `placeholder:"STEP" help:"Note that a step which cannot be looked at is in place: allow, lock, keep, unlock, record."`
	By        string   `placeholder:"NAME" help:"Who confirms it; by default the user."`
	Back      bool     `help:"The way back: the old MX records in before those of the gateway go out."`
	Again     bool     `help:"Make the plan anew, from the MX records of today. Refused once they all name the gateway."`
	Hop       string   `placeholder:"HOST[:PORT]" help:"The next hop of a new plan; by default that of the configuration, or else what follows from the MX records."`
	Recipient string   `placeholder:"ADDRESS" help:"With --check: a mailbox behind the next hop, to see whether it takes mail from strangers. Of use only where the next hop does not know this machine."`
	Domain    string   `arg:"" help:"The domain."`
}

func (domainCutoverCmd) Help() string {
	return `Writes the plan that moves the mail of a domain to the gateway without losing any, from what DNS says now, and keeps it with the old MX records in the store; later calls print the same plan with its progress. It changes nothing anywhere: the steps are done by whoever edits the zone. Until it is finished the proof is looked at every hour. The domain has to be in the configuration, or the gateway would refuse its mail.

Example:
  postreeve domain cutover -c postreeve.yaml ex.net
  postreeve domain cutover -c postreeve.yaml ex.net --confirm allow --check
  postreeve domain cutover -c postreeve.yaml ex.net --back

Exit codes: 0 printed, or with --check all steps are done; 2 not yet, 3 something is wrong or there can be no plan, 4 DNS gave no answer; 1 never added, 64 wrong usage or configuration.`
}

// stepLine is a step that was looked at, as JSON.
type stepLine struct {
	Step     string             `json:"step"`
	Title    string             `json:"title"`
	Progress dnsverify.Progress `json:"progress"` // done, not_yet, wrong; unknown: nothing could be learnt
	Until    time.Time          `json:"until,omitzero"`
	Detail   string             `json:"detail"`
	Servers  []string           `json:"servers,omitempty"`
}

const progressUnknown dnsverify.Progress = "unknown"

// Run plans or checks.
func (c *domainCutoverCmd) Run(e *env) error {
	d, entry, err := c.openClaim(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	kept, err := loadPlans(e.ctx, d.records, d.key)
	if err != nil {
		return err
	}
	prober, err := d.prober(c.Recipient)
	if err != nil {
		return err
	}
	planner := &dnsverify.Planner{Verifier: d.verifier, Own: d.own, Prober: prober}
	plan, err := c.plan(e, d, planner, kept, entry)
	if err != nil {
		return refused(e, err)
	}
	if err := c.confirm(e, plan); err != nil {
		return err
	}
	code, lines := exitOK, []stepLine(nil)
	if c.Check {
		lines = look(e, planner, plan)
		code = worst(lines)
	}
	if err := kept.save(e.ctx, d.records); err != nil {
		return err
	}
	if plan.Next() != nil && entry.State == dnsverify.StateVerified {
		if _, err := d.monitor(nil).Hurry(e.ctx, d.key, time.Now().Add(72*time.Hour)); err != nil {
			return err
		}
	}
	c.print(e, plan, lines)
	return finish(e, code)
}

// plan returns the plan that is kept, or makes it.
func (c *domainCutoverCmd) plan(e *env, d *desk, planner *dnsverify.Planner, kept *plans, entry dnsverify.Entry) (*dnsverify.Plan, error) {
	if entry.Frozen() {
		e.err.printf("postreeve: two tenants have proven %s: nothing is changed before that is decided\n", entry.Domain)
		return nil, exit(exitWrong)
	}
	if why := d.unready(); why != "" && !c.Back {
		e.err.printf("postreeve: %s\n", why)
		return nil, exit(exitWrong)
	}
	if kept.In == nil || c.Again && !c.Back {
		if entry.State == dnsverify.StateRevoked {
			e.err.printf("postreeve: the claim of %s was given up: add the domain again first\n", entry.Domain)
			return nil, exit(exitWrong)
		}
		p, err := planner.Plan(e.ctx, dnsverify.Move{Claim: entry.Claim, Gateway: d.cfg.Verification.MX, NextHop: cmp.Or(c.Hop, d.hop())})
		if err != nil {
			return nil, err
		}
		kept.In, kept.Back = p, nil
	}
	if c.Back && (kept.Back == nil || c.Again) {
		p, err := planner.Back(e.ctx, kept.In)
		if err != nil {
			return nil, err
		}
		kept.Back = p
	}
	if record, err := d.verifier.Challenge.Record(entry.Claim); err == nil { // a claim that was given up has none
		adopt(kept.In, entry.Claim, record)
		adopt(kept.Back, entry.Claim, record)
	}
	if c.Back {
		return kept.Back, nil
	}
	return kept.In, nil
}

// unready says why the gateway would not take the mail of the domain if it came, "" if it would as far as the
// configuration goes. Mail that comes to a gateway which does not know its domain is refused for good.
func (d *desk) unready() string {
	conf := serving(d.cfg, d.key.Domain)
	switch {
	case conf == nil:
		return d.key.Domain + " is not in " + show(d.cfg.File) + ", so the gateway would refuse its mail: add it there before its MX records change"
	case !conf.Waived && conf.Tenant != d.key.Tenant:
		return d.key.Domain + " belongs to tenant " + show(conf.Tenant) + " in " + show(d.cfg.File) + ": the gateway would defer its mail until that one has proven it"
	}
	return ""
}

// serving returns the domain of a configuration that mail for a name goes by, nil if that mail is refused.
func serving(c *config.Config, name string) *config.Domain {
	for {
		if i := slices.IndexFunc(c.Domains, func(d *config.Domain) bool { return d.Name == name }); i >= 0 {
			return c.Domains[i]
		}
		_, above, ok := strings.Cut(strings.TrimPrefix(name, "."), ".")
		if !ok {
			return nil
		}
		name = "." + above
	}
}

func (c *domainCutoverCmd) confirm(e *env, p *dnsverify.Plan) error {
	by := operator(c.By)
	for _, id := range c.Confirm {
		if err := p.Confirm(id, by); err != nil {
			e.err.printf("postreeve: %s\n", plain(err))
			return exit(exitUsage)
		}
	}
	return nil
}

// look looks at each step in order.
func look(e *env, planner *dnsverify.Planner, p *dnsverify.Plan) []stepLine {
	var out []stepLine
	for _, s := range p.Steps {
		st, err := planner.Check(e.ctx, p, s.ID)
		line := stepLine{Step: s.ID, Title: s.Title, Progress: st.Progress, Until: st.Until, Detail: st.Detail, Servers: st.Servers}
		if err != nil {
			line.Progress, line.Detail = progressUnknown, plain(err)
		}
		out = append(out, line)
	}
	return out
}

// worst is the exit code for the steps: what is wrong counts more than what is unknown, and that more than
// what is not yet done.
func worst(all []stepLine) int {
	seen := map[dnsverify.Progress]bool{}
	for _, l := range all {
		seen[l.Progress] = true
	}
	switch {
	case seen[dnsverify.StepWrong]:
		return exitWrong
	case seen[progressUnknown]:
		return exitNoAnswer
	case seen[dnsverify.StepNotYet]:
		return exitOpen
	}
	return exitOK
}

func (c *domainCutoverCmd) print(e *env, p *dnsverify.Plan, lines []stepLine) {
	if c.JSON {
		if c.Check {
			for _, l := range lines {
				e.out.line(l)
			}
			return
		}
		e.out.line(p)
		return
	}
	if !c.Check {
		for line := range strings.Lines(p.Text()) {
			e.out.printf("%s\n", show(strings.TrimSuffix(line, "\n")))
		}
		e.out.printf("\nTo see how far it is: postreeve domain cutover -c %s %s%s --check\n", show(c.Config), p.Claim.Domain, map[bool]string{true: " --back"}[c.Back])
		return
	}
	styles := map[dnsverify.Progress]string{dnsverify.StepDone: green, dnsverify.StepNotYet: yellow, dnsverify.StepWrong: red, progressUnknown: magenta}
	for _, l := range lines {
		state := strings.ReplaceAll(string(l.Progress), "_", " ")
		e.out.printf("%s  %-8s  %s\n", e.out.style(styles[l.Progress], state+strings.Repeat(" ", max(0, 7-len(state)))), l.Step, show(l.Title))
		e.out.printf("                   %s\n", show(l.Detail))
		for _, s := range l.Servers {
			e.out.printf("                   at %s\n", show(s))
		}
	}
	if next := p.Next(); next != nil {
		e.out.printf("next: %s\n", show(next.Title))
		for _, r := range next.Add {
			e.out.printf("  + %s\n", show(r))
		}
		for _, r := range next.Remove {
			e.out.printf("  - %s\n", show(r))
		}
		return
	}
	e.out.printf("All steps are done.\n")
}
