package app

import (
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/postreeve/postreeve/dnsverify"
)

type domainAddCmd struct {
	domainFlags
	Domain string `arg:"" help:"The domain, with or without a final dot; international names as they are written."`
}

func (domainAddCmd) Help() string {
	return `Puts the domain under watch and prints the TXT record that proves it: as a table, as a line of a zone file, and as it is typed at common providers. Adding a domain again prints the same record; one that was removed or has lapsed gets a new one. The record has to stay for as long as the domain is connected.

Example:
  postreeve domain add -c postreeve.yaml ex.net

Exit codes: 0 added, 1 could not be stored, 64 no domain name, or wrong configuration.`
}

// added is what add prints as JSON.
type added struct {
	claimView
	Host     string `json:"host"` // the name without the zone, if that is the registered domain
	ZoneLine string `json:"zone_line"`
}

// Run adds.
func (c *domainAddCmd) Run(e *env) error {
	d, err := c.open(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	claim := dnsverify.Claim{Tenant: d.key.Tenant, Domain: d.key.Domain, Region: d.key.Region}
	if _, err := d.verifier.Challenge.Record(claim); err != nil {
		e.err.printf("postreeve: %s\n", plain(err))
		return exit(exitUsage)
	}
	entry, err := d.monitor(nil).Add(e.ctx, claim)
	if err != nil {
		return err
	}
	v := d.full(entry)
	if v.Record == nil {
		return fmt.Errorf("no record can be made for %s", entry.Domain)
	}
	host := v.Record.Host(zoneOf(entry.Domain))
	if c.JSON {
		e.out.line(added{v, host, v.Record.ZoneLine()})
		return finish(e, exitOK)
	}
	printRecord(e.out, *v.Record, zoneOf(entry.Domain))
	if entry.State != dnsverify.StatePending {
		e.out.printf("\nThe domain was added before and is %s since %s. %s\n", entry.State, moment(entry.Since), d.advice(entry))
		return finish(e, exitOK)
	}
	e.out.printf(`
What happens next:
  A running gateway looks for the record by itself, soon and then less often, until %s.
  To look now, and to see what is wrong with it:
    postreeve domain verify -c %s --wait %s
  Do not change the MX records before the domain is verified. Then:
    postreeve domain cutover -c %s %s
`, moment(entry.Issued.Add(pendingTime)), show(c.Config), entry.Domain, show(c.Config), entry.Domain)
	return finish(e, exitOK)
}

// zoneOf guesses the zone of a domain: the name that was registered.
func zoneOf(domain string) string {
	if z, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return z
	}
	return domain
}

func printRecord(s *screen, r dnsverify.Record, zone string) {
	host := r.Host(zone)
	s.printf("Make this record in the zone %s:\n\n", zone)
	new(table).row("type", r.Type).row("name", r.Name).row("value", r.Value).row("TTL", fmt.Sprint(int(r.TTL.Seconds()))+" (seconds; any other does too)").print(s, "  ")
	s.printf("\nAs a line of a zone file (BIND, Knot, NSD, PowerDNS):\n\n  %s\n\nAs it is typed at providers, which add %s to the name themselves:\n\n", r.ZoneLine(), zone)
	t := &table{}
	t.row("", "type", "name", "value")
	for _, p := range []struct{ who, field, format string }{
		{"Cloudflare", "Name", "%s"}, {"GoDaddy", "Name", "%s"}, {"Route 53", "Record name", `"%s" with the quotes`},
		{"Google, Squarespace", "Host", "%s"}, {"IONOS", "Host name", "%s"}, {"Namecheap", "Host", "%s"},
	} {
		t.row(p.who, r.Type, p.field+": "+host, fmt.Sprintf(p.format, r.Value))
	}
	t.print(s, "  ")
	s.printf("\n  Where the full name is wanted, with a dot at its end: %s\n  A name typed in full where the zone is added becomes %s, which does not count.\n",
		r.Name+".", strings.TrimSuffix(r.Name, ".")+"."+zone)
}
