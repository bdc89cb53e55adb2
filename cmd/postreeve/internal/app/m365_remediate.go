package app

import (
	"cmp"
	"fmt"

	"github.com/postreeve/postreeve/m365"
)

type m365RemediateCmd struct {
	m365Flags
	remedyFlags
	Cure string `enum:"junk,deleted,soft,purge,restore" default:"deleted" help:"Where to: junk, deleted (the user sees it there), soft (recoverable by an admin), purge (for good) or restore."`
}

func (m365RemediateCmd) Help() string {
	return `Finds each message by its Message-ID in the mailbox of its recipient, or of every member of a group, confirms it by the id header that the gateway wrote, and moves it. Prints a line for each mailbox. It needs access to Microsoft Graph: an application with Mail.ReadWrite. --cure restore takes it back.

Example:
  postreeve m365 remediate --profile ex.yaml --auth secret \
    --client-id ID --client-secret-file secret --cure soft \
    --message-id '<1@evil.example>' --our-id 7Q2K --to anna@ex.net

Exit codes: 0 all cured, 2 some were not found, 1 some failed or error, 64 wrong usage.`
}

// Run takes back.
func (c *m365RemediateCmd) Run(e *env) error {
	targets, err := c.all(e)
	if err != nil {
		return err
	}
	p, err := c.readProfile(e, false)
	if err != nil {
		return err
	}
	if c.DryRun {
		c.show(e, c.Cure, targets, c.JSON)
		return e.out.failed()
	}
	t, err := c.open(e, p)
	if err != nil {
		return err
	}
	if t.Graph == nil {
		return usage(e, "there is no access to Microsoft Graph: --graph-token-file, or an application with --client-id and its secret or certificate")
	}
	if err := agree(e, c.Yes, fmt.Sprintf("This moves %s (%s).", plural(len(targets), "message"), c.Cure)); err != nil {
		return err
	}
	r := m365.Remedy{Cure: m365.Cure(c.Cure), IDHeader: c.header(p), Unconfirmed: c.Unconfirmed, Done: func(o m365.Remediation) { c.tellRemedy(e, o) }}
	for _, x := range targets {
		r.Targets = append(r.Targets, m365.Target(x))
	}
	found, err := t.Graph.Remediate(e.ctx, r)
	return c.endRemedy(e, c.Cure, found, err)
}

func (c *m365RemediateCmd) header(p *m365.Profile) string {
	prefix := ""
	if p != nil {
		prefix = p.Headers.Prefix
	}
	return cmp.Or(c.IDHeader, cmp.Or(prefix, "X-Postreeve")+"-Id")
}
