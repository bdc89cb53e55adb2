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
	t, err := c.openProfile(e)
	if err != nil {
		return err
	}
	t.LookAtCertificate = m365.SMTPCertificate
	if t.Canary, err = c.canary(e, &c.m365Flags, t.Profile); err != nil {
		return err
	}
	r, err := t.Verify(e.ctx)
	if err != nil {
		return err
	}
	return c.tellVerified(e, r, "The tenant "+r.Tenant, r.OK(), len(r.Drift), func(s *screen) { printReport(s, viewOf[reportView](r)) })
}
