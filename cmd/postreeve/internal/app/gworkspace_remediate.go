package app

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/gworkspace"
)

type gworkspaceRemediateCmd struct {
	gworkspaceFlags
	remedyFlags
	Cure string `enum:"trash,untrash,spam,not-spam,permanent" default:"trash" help:"Where to: trash, untrash, spam, not-spam, or permanent (for good, with a scope of its own)."`
}

func (gworkspaceRemediateCmd) Help() string {
	return `Finds each message by its Message-ID in the mailbox of its recipient, or of every member of a group, confirms it by the id header that the gateway wrote, and moves it. Prints a line for each mailbox. It needs domain-wide delegation for gmail.modify, users and groups.

Example:
  postreeve gworkspace remediate --profile ex.yaml --key-file key.json \
    --message-id '<1@evil.example>' --our-id 7Q2K --to anna@ex.net

Exit codes: 0 all cured, 2 some were not found, or skipped because there is no mailbox to look into, 1 some failed or error, 64 wrong usage.`
}

// Run takes back.
func (c *gworkspaceRemediateCmd) Run(e *env) error {
	targets, err := c.all(e)
	if err != nil {
		return err
	}
	for _, x := range targets {
		if err := gworkspace.Target(x).Check(); err != nil {
			return usage(e, "%s", strings.TrimPrefix(err.Error(), "gworkspace: "))
		}
	}
	if c.DryRun {
		if _, err := c.readProfile(e); err != nil {
			return err
		}
		c.show(e, c.Cure, targets, c.JSON)
		return e.out.failed()
	}
	t, err := c.open(e)
	if err != nil {
		return err
	}
	if t.Client == nil {
		return usage(e, "there is no access to the tenant: --key-file, or --auth keyless")
	}
	if err := c.keepTold(e, t); err != nil {
		return err
	}
	if err := agree(e, c.Yes, c.question(len(targets))); err != nil {
		return err
	}
	header := cmp.Or(c.IDHeader, t.Profile.Headers.ID, cmp.Or(t.Profile.Headers.Prefix, "X-Postreeve")+"-Id")
	r := gworkspace.Remedy{Cure: gworkspace.Cure(c.Cure), IDHeader: header, Unconfirmed: c.Unconfirmed, Done: func(o gworkspace.Remediation) { c.tellRemedy(e, o) }}
	for _, x := range targets {
		r.Targets = append(r.Targets, gworkspace.Target(x))
	}
	found, err := t.Client.Remediate(e.ctx, r)
	return c.endRemedy(e, c.Cure, found, err)
}

func (c *gworkspaceRemediateCmd) question(n int) string {
	if c.Cure == string(gworkspace.Permanent) {
		return fmt.Sprintf("This deletes %s for good, from the mailbox of everybody who got one: there is no way back.", plural(n, "message"))
	}
	return fmt.Sprintf("This moves %s (%s).", plural(n, "message"), c.Cure)
}
