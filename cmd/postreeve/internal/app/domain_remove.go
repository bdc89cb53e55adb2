package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/dnsverify"
)

type domainRemoveCmd struct {
	domainFlags
	Force  bool   `help:"Even if MX records name the gateway, or it cannot be seen whether they do."`
	Domain string `arg:"" help:"The domain."`
}

func (domainRemoveCmd) Help() string {
	return `Gives the claim up: its tokens are spent for ever, and a record that stays in the zone proves nothing any more. A running gateway defers mail for the domain from then on, so the MX records have to be somewhere else before; see domain cutover --back. What is known about the old MX records is kept.

Example:
  postreeve domain remove -c postreeve.yaml ex.net

Exit codes: 0 removed, 3 MX records name the gateway, 4 they cannot be had; 1 never added, 64 wrong usage or configuration.`
}

// Run removes.
func (c *domainRemoveCmd) Run(e *env) error {
	d, _, err := c.openClaim(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	if !c.Force {
		if err := c.mayGo(e, d); err != nil {
			return err
		}
	}
	entry, err := d.monitor(nil).Revoke(e.ctx, d.key)
	if err != nil {
		return err
	}
	if c.JSON {
		e.out.line(d.full(entry))
		return finish(e, exitOK)
	}
	e.out.printf("%s is removed. Its record proves nothing any more and can be taken out of the zone.\n", entry.Domain)
	if d.conf != nil && !d.conf.Waived {
		e.out.printf("Mail for it is deferred with 451 4.7.1: take it out of %s, and senders are told at once.\n", show(c.Config))
	}
	return finish(e, exitOK)
}

// mayGo refuses while mail for the domain is sent here.
func (c *domainRemoveCmd) mayGo(e *env, d *desk) error {
	found, err := d.client.Discover(e.ctx, d.key.Domain, d.own)
	if err != nil {
		e.err.printf("postreeve: whether MX records name the gateway cannot be seen; --force removes the domain anyway\n")
		_ = refused(e, err)
		return exit(exitNoAnswer)
	}
	if found.Connection == dnsverify.NotConnected {
		return nil
	}
	var ours []string
	for _, mx := range found.MX {
		if mx.Platform == dnsverify.PlatformOurs {
			ours = append(ours, fmt.Sprintf("MX %d %s", mx.Preference, mx.Host))
		}
	}
	slices.Sort(ours)
	e.err.printf("postreeve: mail for %s is still sent here (%s): go back first with domain cutover --back, or say --force\n", d.key.Domain, show(strings.Join(ours, ", ")))
	return exit(exitWrong)
}
