package app

import (
	"github.com/postreeve/postreeve/m365"
)

type m365VerifyCmd struct {
	m365Flags
	canaryFlags
}

func (m365VerifyCmd) Help() string {
	return `Reads the tenant and names object, field, wanted and found of all that is not as the profile wants it; also rules of others above ours, limits that are near, the certificate of the smart host, the consent, and what happens to mail as things are. With --canary a message goes through the whole loop. It changes nothing.

Example:
  postreeve m365 verify --profile ex.yaml --journal ex

` + codesOfTenants
}

// Run verifies.
func (c *m365VerifyCmd) Run(e *env) error {
	p, err := c.readProfile(e, true)
	if err != nil {
		return err
	}
	t, err := c.open(e, p)
	if err != nil {
		return err
	}
	t.LookAtCertificate = m365.SMTPCertificate
	if t.Canary, err = c.canary(e, &c.m365Flags, p); err != nil {
		return err
	}
	r, err := t.Verify(e.ctx)
	if err != nil {
		return err
	}
	print := func(s *screen) { printReport(s, viewOf[reportView](r)) }
	if err := c.give(e, r, print); err != nil {
		return err
	}
	word := "in order"
	if !r.OK() {
		word = plural(len(r.Drift), "drift")
	}
	if err := c.report(e, "The tenant "+r.Tenant+": "+word, print); err != nil {
		return err
	}
	if !r.OK() {
		return exit(exitPlanned)
	}
	return nil
}
