package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

// States of domains that have no claim.
const (
	stateNone   = "none"   // has to be proven, and was never added
	stateWaived = "waived" // the configuration says that no proof is needed
)

// claimView is a claim as it is shown.
type claimView struct {
	Domain string              `json:"domain"`
	Tenant string              `json:"tenant"`
	Region string              `json:"region,omitempty"`
	State  string              `json:"state"`
	Since  time.Time           `json:"since,omitzero"`
	Mail   string              `json:"mail"` // taken, deferred, or "not configured"
	Last   time.Time           `json:"last,omitzero"`
	Next   time.Time           `json:"next,omitzero"`
	Status dnsverify.Status    `json:"status,omitempty"` // of the last check
	Code   dnsverify.Code      `json:"code,omitempty"`   // of its problem
	Errors int                 `json:"errors,omitempty"` // in a row
	Record *dnsverify.Record   `json:"record,omitempty"` // that has to be in the zone; not in lists
	Proof  *dnsverify.Evidence `json:"proof,omitempty"`  // not in lists
}

// view makes an entry ready to be shown.
func (o *ownership) view(e dnsverify.Entry) claimView {
	v := claimView{
		Domain: e.Domain, Tenant: e.Tenant, Region: e.Region, State: string(e.State), Since: e.Since, Mail: "deferred",
		Last: e.Last, Next: e.Next, Status: e.Status, Code: e.Code, Errors: e.Errors,
	}
	conf := configured(o.cfg, e.Domain)
	switch {
	case conf == nil || conf.Tenant != e.Tenant:
		v.Mail = "not configured"
	case conf.Waived || e.Serves():
		v.Mail = "taken"
	}
	return v
}

// full adds what takes more room.
func (o *ownership) full(e dnsverify.Entry) claimView {
	v := o.view(e)
	v.Proof = e.Proof
	if e.State != dnsverify.StateRevoked {
		if r, err := o.verifier.Challenge.Record(e.Claim); err == nil {
			v.Record = &r
		}
	}
	return v
}

type domainListCmd struct {
	domainFlags
}

func (domainListCmd) Help() string {
	return `Lists all domains that were added, and those of the configuration that were not. The states: pending (the record was not seen yet, or once), verified, at_risk (the record is gone; mail goes on), lapsed (gone for a week; mail goes on until you decide), expired (never seen within 72 hours), conflict (two tenants proved it), revoked; none (never added), waived (the configuration wants no proof).

Example:
  postreeve domain list -c postreeve.yaml --json | jq -r .domain

Exit codes: 0, 64 wrong configuration.`
}

// Run lists.
func (c *domainListCmd) Run(e *env) error {
	d, err := c.open(e, "")
	if err != nil {
		return err
	}
	defer d.close()
	all, err := d.store.List(e.ctx)
	if err != nil {
		return err
	}
	var views []claimView
	for _, entry := range all {
		if c.Tenant == "" || entry.Tenant == c.Tenant {
			views = append(views, d.view(entry))
		}
	}
	for _, dom := range d.cfg.Domains {
		has := func(v claimView) bool { return v.Domain == dom.Claim() && v.Tenant == dom.Tenant }
		if slices.ContainsFunc(views, has) || c.Tenant != "" && c.Tenant != dom.Tenant {
			continue
		}
		v := claimView{Domain: dom.Claim(), Tenant: dom.Tenant, State: stateNone, Mail: "deferred"}
		if dom.Waived {
			v.State, v.Mail = stateWaived, "taken"
		}
		views = append(views, v)
	}
	slices.SortStableFunc(views, func(a, b claimView) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Tenant, b.Tenant))
	})
	if c.JSON {
		for _, v := range views {
			e.out.line(v)
		}
		return finish(e, exitOK)
	}
	printList(e.out, views)
	return finish(e, exitOK)
}

func printList(s *screen, views []claimView) {
	t := &table{}
	t.row("DOMAIN", "TENANT", "STATE", "MAIL", "SINCE", "LAST CHECK", "NEXT CHECK")
	for _, v := range views {
		last := "never"
		if !v.Last.IsZero() {
			last = string(v.Status) + " " + moment(v.Last)
		}
		t.row(v.Domain, v.Tenant, v.State, v.Mail, moment(v.Since), last, moment(v.Next))
		t.paint(2, viewStyle(v.State))
	}
	t.print(s, "")
}

func viewStyle(state string) string {
	switch dnsverify.State(state) {
	case dnsverify.StateVerified, stateWaived:
		return green
	case dnsverify.StatePending, dnsverify.StateAtRisk, stateNone:
		return yellow
	}
	return red
}

type domainShowCmd struct {
	domainFlags
	Domain string `arg:"" help:"The domain."`
}

func (domainShowCmd) Help() string {
	return `Shows the state, since when, the last and the next check, the record, and the evidence of the check that proved the domain: when, by which name servers, with or without DNSSEC. It asks nobody.

Example:
  postreeve domain show -c postreeve.yaml ex.net

Exit codes: 0 verified, 2 pending or gone, 3 wrong value, servers that differ or conflict, 4 the last check failed; 1 never added, 64 wrong usage or configuration.`
}

// Run shows.
func (c *domainShowCmd) Run(e *env) error {
	d, entry, err := c.openClaim(e, c.Domain)
	if err != nil {
		return err
	}
	defer d.close()
	v := d.full(entry)
	if c.JSON {
		e.out.line(v)
		return finish(e, stateCode(entry))
	}
	e.out.printf("%s\n", e.out.style(bold, show(v.Domain)))
	t := &table{}
	t.row("state", v.State+" since "+moment(v.Since))
	t.paint(1, viewStyle(v.State))
	t.row("mail", v.Mail)
	t.row("tenant", v.Tenant)
	if v.Region != "" {
		t.row("region", v.Region)
	}
	if !v.Last.IsZero() {
		t.row("last check", moment(v.Last)+": "+string(v.Status)+strings.TrimSuffix(" "+string(v.Code), " "))
	}
	t.row("next check", moment(v.Next))
	if v.Record != nil {
		t.row("record", v.Record.ZoneLine())
	}
	if p := v.Proof; p != nil {
		secure := "without DNSSEC"
		if p.Secure {
			secure = "with DNSSEC"
		}
		t.row("proven", moment(p.At)+", "+secure+", token "+p.TokenID+", rules "+p.Rules)
		t.row("name servers", strings.Join(p.NameServers, ", "))
		for _, a := range p.Answers {
			t.row("", a.Server+" "+a.Addr+": "+string(a.Outcome))
		}
	}
	t.print(e.out, "  ")
	e.out.printf("%s\n", d.advice(entry))
	return finish(e, stateCode(entry))
}

// advice says what follows from where a claim stands.
func (o *ownership) advice(e dnsverify.Entry) string {
	if e.Status == dnsverify.Failed && e.State != dnsverify.StateRevoked {
		return "DNS gave no answer that counts, so nothing has changed."
	}
	again := "postreeve domain add -c " + show(o.cfg.File) + " " + e.Domain
	switch e.State {
	case dnsverify.StateVerified:
		s := "Leave the record where it is: it is looked at every day."
		if configured(o.cfg, e.Domain) == nil {
			s += " Now add the domain to the configuration."
		}
		return s
	case dnsverify.StatePending:
		if e.Matches > 0 {
			wait := cmp.Or(o.cfg.Verification.Confirm, 30*time.Second)
			return "The record was seen. It counts when it is seen again, not before " + moment(e.FirstMatch.Add(wait)) +
				": a running gateway looks by itself, and so does domain verify --wait."
		}
		return "The domain is not proven yet. The claim expires at " + moment(e.Issued.Add(pendingTime)) + "."
	case dnsverify.StateAtRisk:
		return "The name servers say that the record is gone. Mail goes on; put the record back."
	case dnsverify.StateLapsed:
		return "The record has been gone for days. Mail goes on; a new record is needed: " + again
	case dnsverify.StateExpired:
		return "The record was never seen within 72 hours. To begin again: " + again
	case dnsverify.StateConflict:
		return "Two tenants have proven this domain, and the first keeps the mail. Remove the claim that is not right."
	case dnsverify.StateRevoked:
		return "The claim was given up, and its record proves nothing any more. To begin again: " + again
	}
	return ""
}
