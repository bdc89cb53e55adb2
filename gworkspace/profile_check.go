package gworkspace

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
	maxPattern = 10_000 // characters of one content match
	maxName    = 100    // characters of a name; no limit is published, the console shows this much
)

var (
	domainForm   = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	headerForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	markForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	clientIDForm = regexp.MustCompile(`^[0-9]{10,30}$`)
)

// Check says everything that is wrong with the profile at once, or nil.
func (p *Profile) Check() error {
	c := &checker{}
	c.names(p)
	c.recipients(p)
	c.places(p)
	c.settings(p)
	c.access(p)
	return errors.Join(c.errs...)
}

type checker struct{ errs []error }

func (c *checker) say(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("gworkspace: profile: "+format, args...))
}

func (c *checker) names(p *Profile) {
	name := p.product()
	if !utf8.ValidString(name) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, notInName) {
		c.say("product %q: a name has no control characters, quotes, slashes or blanks at its ends", name)
	}
	switch {
	case markForm.MatchString(p.mark()):
	case p.Mark == "":
		c.say("product %q: the mark that follows from it, %q, cannot stand in a name: set mark, up to 40 letters, digits, dots, dashes and underscores", name, p.mark())
	default:
		c.say("mark %q: use up to 40 letters, digits, dots, dashes and underscores", p.mark())
	}
	if n := utf8.RuneCountInString(p.ruleName()); n > maxName {
		c.say("product %q: the name %q has %d characters, at most %d are good: use a shorter product or mark", name, p.ruleName(), n, maxName)
	}
	h := p.Headers
	seen := map[string]bool{}
	for _, f := range []string{h.token(), h.tenant(), h.spam(), h.id()} {
		if !headerForm.MatchString(f) {
			c.say("header %q: a name has up to 64 letters, digits and dashes", f)
		}
		if seen[strings.ToLower(f)] {
			c.say("header %q: two of the headers have this name", f)
		}
		seen[strings.ToLower(f)] = true
	}
}

func notInName(r rune) bool {
	return unicode.IsControl(r) || !unicode.IsPrint(r) || strings.ContainsRune("/\\\"'`‘’‚‛“”„*?<>|;,=+[]{}$", r)
}

func (c *checker) recipients(p *Profile) {
	if len(p.Domains) == 0 {
		c.say("domains: name at least one domain of the tenant")
	}
	c.domains("domains", p.Domains)
	c.addresses("protect.groups", p.Protect.Groups)
	c.addresses("protect.users", p.Protect.Users)
	for _, u := range p.Protect.Users {
		if _, domain, _ := strings.Cut(u, "@"); isAddress(u) && !p.serves(domain) {
			c.say("protect.users: %q: %s is not among domains: the rule would send mail to the gateway that it refuses", u, domain)
		}
	}
	c.units("protect.units", p.Protect.Units)
	c.units("pilot", p.Pilot)
	if len(p.Protect.Groups) > 0 && len(p.Protect.Users) > 0 {
		c.say("protect: groups or users, not both: a rule has one filter of recipients")
	}
	if len(p.Protect.Groups) > 1 {
		c.say("protect.groups: a rule filters by one group: make a group that holds the others")
	}
	if _, v := p.filter(); len(v) > maxPattern {
		c.say("protect: the filter of recipients has %d characters, Gmail takes %d: use a group", len(v), maxPattern)
	}
	if narrow := len(p.Protect.Units) + len(p.Protect.Groups) + len(p.Protect.Users); p.Mode == MXFirst && narrow > 0 {
		c.say("protect: in mode %s all mail of a domain comes to the gateway: choose whole domains", MXFirst)
	}
}

func (c *checker) domains(key string, names []string) {
	seen := map[string]bool{}
	for _, d := range names {
		low := strings.ToLower(strings.TrimSuffix(d, "."))
		switch {
		case strings.ContainsFunc(d, func(r rune) bool { return r >= 0x80 }):
			c.say("%s: %q: write it in ASCII (xn--…)", key, d)
		case strings.HasSuffix(d, ".") && !strings.HasSuffix(key, ".mx"):
			c.say("%s: %q: write it without the dot at its end: it is pasted and compared like this", key, d)
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
		if !isAddress(a) {
			c.say("%s: %q is no address of the form name@domain", key, a)
		}
	}
}

// isAddress says whether a can be an address of a tenant.
func isAddress(a string) bool {
	local, domain, ok := strings.Cut(a, "@")
	return ok && local != "" && len(a) <= 254 && domainForm.MatchString(strings.ToLower(domain)) &&
		!strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),:;<>[\]`, r) })
}

func (c *checker) units(key string, list []string) {
	for i, u := range list {
		switch {
		case !strings.HasPrefix(u, "/") || u != "/" && strings.HasSuffix(u, "/") || strings.Contains(u, "//") || strings.ContainsFunc(u, unicode.IsControl):
			c.say("%s: %q is no path of an organizational unit: write it as /Sales/Europe", key, u)
		case slices.Contains(list[:i], u):
			c.say("%s: %q stands there twice", key, u)
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
	if _, ok := p.Regions[p.SecondRegion]; ok && p.SecondRegion != "" && (p.SecondRegion == p.Region || p.Region == "" && len(p.Regions) == 1) {
		c.say("second-region: %q is the region already", p.SecondRegion)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Regions)) {
		c.region("regions."+name, p.Regions[name], p.Mode)
	}
}

func regionNames(p *Profile) string {
	return strings.Join(slices.Sorted(maps.Keys(p.Regions)), ", ")
}

func (c *checker) region(key string, r Region, mode Mode) {
	_, err := netip.ParseAddr(r.SmartHost)
	switch {
	case err == nil:
		c.say("%s.smart-host: %q: use a host name, the certificate is checked against it", key, r.SmartHost)
	case r.SmartHost != "" || mode != MXFirst:
		c.domains(key+".smart-host", []string{r.SmartHost})
	}
	if n := r.port(); n == 465 || n != 25 && n != 587 && (n < 1024 || n > 65535) {
		c.say("%s.port: %d: Google takes 25, 587 and 1024 to 65535 for a mail route", key, n)
	}
	c.domains(key+".mx", r.MX)
	if mode == MXFirst && len(r.MX) == 0 {
		c.say("%s.mx: name the hosts that the MX records shall point at", key)
	}
	if len(r.Egress) == 0 {
		c.say("%s.egress: list the addresses that mail comes back from", key)
	}
	for _, s := range r.Egress {
		if err := checkEgress(s); err != nil {
			c.say("%s.egress: %w", key, err)
		}
	}
}

// checkEgress refuses what the inbound gateway setting does not take: only public addresses are allowed.
func checkEgress(s string) error {
	px, err := parseNet(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither an address nor a network such as 192.0.2.0/24", s)
	case px != px.Masked():
		return fmt.Errorf("%q: the bits after the mask are set: write %s", s, px.Masked())
	case !px.Addr().IsGlobalUnicast() || px.Addr().IsPrivate() || sharedSpace.Contains(px.Addr()):
		return fmt.Errorf("%q is no public address: the inbound gateway of Gmail takes no others", s)
	case px.Addr().Is4() && px.Bits() < 8 || px.Addr().Is6() && px.Bits() < 32:
		return fmt.Errorf("%q: trusting so many addresses cannot be meant: list those of the gateway", s)
	}
	return nil
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: carriers, not public

// acceptable are the codes of problems that Profile.Accept may name.
var acceptable = []string{problemStorage, problemForeignRoute, problemSpoofing, problemDomain, problemSubunit}

func (c *checker) settings(p *Profile) {
	if p.Mode != Reroute && p.Mode != MXFirst {
		c.say("mode %q: use %s or %s", p.Mode, Reroute, MXFirst)
	}
	switch p.stage() {
	case StageAll:
	case StagePilot:
		if len(p.Pilot) == 0 {
			c.say("pilot: stage %s needs the organizational units that begin", StagePilot)
		}
		if p.Mode == MXFirst {
			c.say("stage: %s works in mode %s only", StagePilot, Reroute)
		}
	default:
		c.say("stage %q: use %s or %s", p.Stage, StagePilot, StageAll)
	}
	if p.MXMoved && p.Mode == Reroute {
		c.say("mx-moved: in mode %s the MX records stay at Google: rejecting mail from elsewhere would refuse all of it", Reroute)
	}
	for _, code := range p.Accept {
		if !slices.Contains(acceptable, code) {
			c.say("accept: %q is no problem that can be accepted: %s", code, strings.Join(acceptable, ", "))
		}
	}
}

func (c *checker) access(p *Profile) {
	if a := p.Access; a != nil {
		c.clientID("access", a.ClientID, a.ServiceAccount)
		if !isAddress(a.Admin) {
			c.say("access.admin: name the super administrator that the service account acts as: without one Google refuses to show any policy")
		}
		if strings.HasSuffix(a.Admin, ".gserviceaccount.com") {
			c.say("access.admin: %q is a service account: name a person with the role of super administrator", a.Admin)
		}
	}
	if r := p.Remediation; r != nil {
		c.clientID("remediation", r.ClientID, r.ServiceAccount)
	}
}

func (c *checker) clientID(key, id, account string) {
	if !clientIDForm.MatchString(id) {
		c.say("%s.client-id: %q is no client id of a service account: it is a number of about 21 digits", key, id)
	}
	if account != "" && !isAddress(account) {
		c.say("%s.service-account: %q is no address", key, account)
	}
}
