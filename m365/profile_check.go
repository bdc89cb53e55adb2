package m365

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the service that a profile alone can break.
const (
	maxSpoofPairs = 1024 // spoof entries
	maxRules      = 300  // transport rules
)

var (
	domainForm = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	headerForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	guidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	markForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
)

// Check says everything that is wrong with the profile at once, or nil.
func (p *Profile) Check() error {
	c := &checker{}
	c.names(p)
	c.recipients(p)
	c.places(p)
	c.settings(p)
	return errors.Join(c.errs...)
}

type checker struct{ errs []error }

func (c *checker) say(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("m365: profile: "+format, args...))
}

func (c *checker) names(p *Profile) {
	name := p.product()
	if !utf8.ValidString(name) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, notInName) {
		c.say("product %q: a name has no control characters, quotes, slashes, asterisks or blanks at its ends", name)
	}
	for _, n := range []string{p.outboundName(), p.inboundName(), p.lockName(), p.redirectName(), p.quarantineName(), p.roleGroupName()} {
		if got := utf8.RuneCountInString(n); got > maxName {
			c.say("product %q: the name %q has %d characters, %d are allowed: use a product name of at most %d", name, n, got, maxName,
				maxName-utf8.RuneCountInString(p.inboundName())+utf8.RuneCountInString(name))
			break
		}
	}
	if !markForm.MatchString(p.mark()) {
		c.say("mark %q: use up to 40 letters, digits, dots, dashes and underscores", p.mark())
	}
	if !headerForm.MatchString(p.Headers.prefix()) {
		c.say("headers.prefix %q: use up to 64 letters, digits and dashes", p.Headers.prefix())
	}
	for _, h := range []string{p.Headers.token(), p.Headers.spam(), p.Headers.verdict(), p.Headers.report()} {
		if !headerForm.MatchString(h) {
			c.say("header %q: a name has up to 64 letters, digits and dashes", h)
		}
	}
}

// notInName says what no name of ours may hold. Exchange Online refuses some, "/" in some tenants only.
func notInName(r rune) bool {
	return unicode.IsControl(r) || !unicode.IsPrint(r) || strings.ContainsRune("/\\\"'`‘’‚‛“”„*?<>|;,=+[]{}$", r)
}

func (c *checker) recipients(p *Profile) {
	if len(p.Domains) == 0 {
		c.say("domains: name at least one accepted domain of the tenant")
	}
	c.domains("domains", p.Domains)
	c.addresses("protect.groups", p.Protect.Groups)
	c.addresses("protect.users", p.Protect.Users)
	c.addresses("pilot", p.Pilot)
	if len(p.Protect.Groups) > 0 && len(p.Protect.Users) > 0 {
		c.say("protect: groups or users, not both: conditions of one rule are all to be met")
	}
	if p.IncidentReport != "" {
		c.addresses("incident-report", []string{p.IncidentReport})
	}
	if p.ValidationMailbox != "" {
		c.addresses("validation-mailbox", []string{p.ValidationMailbox})
	}
}

func (c *checker) domains(key string, names []string) {
	seen := map[string]bool{}
	for _, d := range names {
		low := strings.ToLower(d)
		switch {
		case strings.ContainsFunc(d, func(r rune) bool { return r >= 0x80 }):
			c.say("%s: %q: write it in ASCII (xn--…)", key, d)
		case len(d) > 253 || !domainForm.MatchString(low):
			c.say("%s: %q is no domain name", key, d)
		case seen[low]:
			c.say("%s: %q stands there twice", key, d)
		}
		seen[low] = true
	}
}

func (c *checker) addresses(key string, list []string) {
	for _, a := range list {
		local, domain, ok := strings.Cut(a, "@")
		if !ok || local == "" || len(a) > 254 || !domainForm.MatchString(strings.ToLower(domain)) ||
			strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),:;<>[\]`, r) }) {
			c.say("%s: %q is no address of the form name@domain", key, a)
		}
	}
}

func (c *checker) places(p *Profile) {
	switch {
	case len(p.Regions) == 0:
		c.say("regions: describe at least one: its smart-host and its egress addresses")
	case p.Region == "" && len(p.Regions) > 1:
		c.say("region: choose one of %s", regionNames(p))
	}
	for _, want := range []struct{ key, name string }{{"region", p.Region}, {"second-region", p.SecondRegion}} {
		if _, ok := p.Regions[want.name]; want.name != "" && !ok && len(p.Regions) > 0 {
			c.say("%s: unknown region %q: choose one of %s", want.key, want.name, regionNames(p))
		}
	}
	if p.SecondRegion != "" && p.SecondRegion == p.Region {
		c.say("second-region: %q is the region already", p.SecondRegion)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Regions)) {
		c.region("regions."+name, p.Regions[name], p.Mode)
	}
	if len(c.errs) == 0 && len(p.egress()) > maxFilterIPs {
		c.say("%d egress addresses, the allow list takes %d: write them as networks", len(p.egress()), maxFilterIPs)
	}
}

func regionNames(p *Profile) string {
	return strings.Join(slices.Sorted(maps.Keys(p.Regions)), ", ")
}

func (c *checker) region(key string, r Region, mode Mode) {
	if _, err := netip.ParseAddr(r.SmartHost); err != nil && mode != MXFirst || r.SmartHost != "" && err != nil {
		c.domains(key+".smart-host", []string{r.SmartHost})
	}
	if r.TLSDomain != "" {
		c.domains(key+".tls-domain", []string{strings.TrimPrefix(r.TLSDomain, "*.")})
	}
	c.domains(key+".mx", r.MX)
	if len(r.Egress) == 0 {
		c.say("%s.egress: list the addresses that mail comes back from", key)
	}
	for _, s := range r.Egress {
		if err := checkEgress(s); err != nil {
			c.say("%s.egress: %w", key, err)
		}
	}
}

// checkEgress refuses what neither the allow list nor a connector takes.
func checkEgress(s string) error {
	px, err := netip.ParsePrefix(s)
	if a, aerr := netip.ParseAddr(s); aerr == nil {
		px, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither an IPv4 address nor a network such as 192.0.2.0/24", s)
	case !px.Addr().Is4():
		return fmt.Errorf("%q: connectors and the allow list take IPv4 only: name the gateway's IPv4 addresses", s)
	case px.Bits() < 24:
		return fmt.Errorf("%q: the service takes /24 to /32: split it", s)
	case px.Addr().IsUnspecified() || px.Addr().IsMulticast():
		return fmt.Errorf("%q is no address that mail could come from", s)
	}
	return nil
}

func (c *checker) settings(p *Profile) {
	if p.Mode != EOPFirst && p.Mode != MXFirst {
		c.say("mode %q: use %s or %s", p.Mode, EOPFirst, MXFirst)
	}
	switch p.posture() {
	case Classic:
	case Hardened:
		if p.ARCSealer == "" {
			c.say("arc-sealer: posture %s trusts the gateway by its ARC seal: name the d= domain of that seal, or use posture %s", Hardened, Classic)
		} else {
			c.domains("arc-sealer", []string{p.ARCSealer})
		}
	default:
		c.say("posture %q: use %s or %s", p.Posture, Hardened, Classic)
	}
	switch p.stage() {
	case StageAudit, StageAll:
	case StagePilot:
		if len(p.Pilot) == 0 {
			c.say("pilot: stage %s needs the groups that begin", StagePilot)
		}
	default:
		c.say("stage %q: use %s, %s or %s", p.Stage, StageAudit, StagePilot, StageAll)
	}
	for _, s := range p.SpoofInfrastructure {
		if checkEgress(s) != nil {
			c.domains("spoof-infrastructure", []string{s})
		}
	}
	if p.RejectDirectSend && p.Mode != MXFirst {
		c.say("reject-direct-send: only in mode %s; in %s mail of every sender still comes in directly", MXFirst, EOPFirst)
	}
	c.ids(p)
}

func (c *checker) ids(p *Profile) {
	ids := map[string]string{"remediation-app": p.RemediationApp}
	if p.Access != nil {
		ids["access.app-id"], ids["access.object-id"] = p.Access.AppID, p.Access.ObjectID
		if p.Access.AppID == "" || p.Access.ObjectID == "" {
			c.say("access: both app-id and object-id are needed")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ids)) {
		if ids[key] != "" && !guidForm.MatchString(ids[key]) {
			c.say("%s: %q is no id of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", key, ids[key])
		}
	}
	for _, code := range p.Accept {
		if !slices.ContainsFunc(acceptable, func(a string) bool { return a == code }) {
			c.say("accept: %q is no problem that can be accepted: %s", code, strings.Join(acceptable, ", "))
		}
	}
	if p.Replaces != nil {
		if _, err := VendorByName(p.Replaces.Vendor); err != nil {
			c.say("replaces: %w", err)
		}
		for _, s := range p.Replaces.Egress {
			if err := checkEgress(s); err != nil {
				c.say("replaces.egress: %w", err)
			}
		}
	}
}
