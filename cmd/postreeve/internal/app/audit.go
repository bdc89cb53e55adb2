package app

import "github.com/postreeve/postreeve/relay/store"

type auditCmd struct {
	List auditListCmd `cmd:"" help:"List who did what, newest first."`
}

func (auditCmd) Help() string {
	return `Whatever people do to what is kept is written down with who did it, in the same transaction: releases, deletions and exports from the quarantine, retries and drops in the queue, messages condemned and absolved, domains added and removed. It is kept as long as the ledger (retention.ledger, 90 days), also when what it was done to is gone.

Example:
  postreeve audit list -c postreeve.yaml --since 7d`
}

type auditListCmd struct {
	keptFlags
	Object string `placeholder:"ID" help:"What was done to this message or domain; all: to the whole queue."`
	Who    string `placeholder:"TEXT" help:"What was done by somebody, or a part of the name."`
	What   string `placeholder:"TEXT" help:"A part of what was done: quarantine, release, queue.retry."`
	pageFlags
}

func (auditListCmd) Help() string {
	return `Times are UTC. --json: id at who what object detail.

Example:
  postreeve audit list -c postreeve.yaml --who ann --what release
  postreeve audit list -c postreeve.yaml --object ID --json

Exit codes: 0, also if there is none; 1 the store cannot be read, 64 wrong usage or configuration.`
}

// Run lists.
func (c *auditListCmd) Run(e *env) error {
	since, until, wrong := c.span()
	if wrong != "" {
		return usage(e, "%s", wrong)
	}
	f := store.ActFilter{Object: c.Object, Who: c.Who, What: c.What, Since: since, Until: until, Before: c.Before, Limit: c.Limit}
	l := listing[store.Act]{
		heads: []string{"DONE", "WHO", "WHAT", "TO", "DETAIL"}, none: "Nothing was done that fits.",
		ask: func(st *store.Store) ([]store.Act, error) { return st.Audit(e.ctx, f) },
		row: func(t *table, a store.Act) string {
			t.row(rowTime(a.At), cut(a.Who, 40), a.What, cut(a.Object, 60), cut(a.Detail, 100))
			return a.ID
		},
	}
	return l.print(e, c.keptFlags, c.pageFlags)
}
