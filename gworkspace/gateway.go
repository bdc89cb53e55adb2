package gworkspace

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
)

// A Gateway is what the configuration of the gateway says about one domain of the profile.
type Gateway struct {
	Domain string // of the profile
	From   string // where it stands, such as a file, for people
	Served bool   // the gateway takes mail for it; if not, the rest says nothing
	Gmail  bool   // it knows the sender by what Gmail wrote in front of it
	Prefix string // of its header fields; empty: X-Postreeve
	// TenantHeader is the field in which it looks for the secret of the tenant.
	TenantHeader string
	// Secrets are those that it takes and stamps: Tenant what it takes, Loop what it stamps. They need not be of
	// the form of Secrets.Check. Nil: none.
	Secrets *Secrets
	// Err says that a secret cannot be read.
	Err error
	// NextHop are the hosts that its mail goes on to, without ports. Nil: by MX records.
	NextHop []string
}

// idOurSide is no step in the tenant: it is what the gateway has to be set to.
const idOurSide = "gateway"

// same compares secrets in a time that does not depend on what is in them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// amongThem says whether a secret is in a list. It looks at all of it.
func amongThem(list []string, secret string) bool {
	found := false
	for _, s := range list {
		if same(s, secret) {
			found = true
		}
	}
	return found
}

// checkOurSide compares the gateway with the profile: a rule that adds a secret which the gateway does not take,
// or looks for one which it does not stamp, does harm although each side is right by itself.
func (t *Tenant) checkOurSide(f *findings) {
	if len(t.Gateway) == 0 {
		f.notes = append(f.notes, "the configuration of the gateway was not compared: none was given")
		return
	}
	if t.Secrets == nil && t.Profile.Mode == Reroute {
		f.notes = append(f.notes, "the secrets of the gateway were not compared: those of the profile were not given")
	}
	for _, domain := range t.Profile.Domains {
		i := slices.IndexFunc(t.Gateway, func(g Gateway) bool { return strings.EqualFold(g.Domain, strings.TrimSuffix(domain, ".")) })
		g := Gateway{Domain: domain}
		if i >= 0 {
			g = t.Gateway[i]
		}
		c := Check{Step: idOurSide, Object: "gateway, domain " + domain, How: Read, From: g.From, State: Right}
		side := &ourSide{t: t, g: g}
		side.compare()
		if len(side.drift) == 0 {
			f.check(c)
			continue
		}
		c.State = Wrong
		if !g.Served {
			c.State = Missing
		}
		f.wrong(c, side.drift...)
		for i, d := range side.drift {
			f.problem(Problem{Code: problemGateway, Object: domain, Text: strings.Trim(d.Field+": "+d.Note, ": "), Do: side.do[i], Blocks: true})
		}
	}
}

// ourSide collects what is wrong at the gateway about one domain.
type ourSide struct {
	t     *Tenant
	g     Gateway
	drift []Drift
	do    []string
}

func (s *ourSide) say(field string, wanted, found any, note, do string) {
	s.drift = append(s.drift, Drift{Name: s.g.Domain, Field: field, Wanted: wanted, Found: found, Note: note})
	s.do = append(s.do, do)
}

func (s *ourSide) compare() {
	p, g := s.t.Profile, s.g
	if !g.Served {
		s.say("domains", g.Domain, nil, "the gateway refuses mail of this domain", "add it to the configuration of the gateway, with its ownership proven, before mail comes")
		return
	}
	for _, h := range g.NextHop {
		if kind := noNextHop(h); kind != "" {
			s.say("next-hop", "smtp.google.com", h, "this host is for "+kind, "set next-hop to smtp.google.com")
		}
	}
	names := Headers{Prefix: g.Prefix}
	if want := p.Headers.spam(); !strings.EqualFold(want, names.spam()) {
		s.say("headers.prefix", want, names.spam(), "the inbound gateway setting looks for another header than the one that is written", "use one prefix in both: headers: {prefix} of the profile and headers: {prefix} of the gateway")
	}
	if p.Mode != Reroute {
		return
	}
	if want := p.Headers.token(); !strings.EqualFold(want, names.token()) {
		s.say("headers.prefix", want, names.token(), "the rule looks for another header than the one that is stamped: a loop", "use one prefix in both: headers: {prefix} of the profile and headers: {prefix} of the gateway")
	}
	if !g.Gmail {
		s.say("connection", "gworkspace", "another", "who sent a message first is not known then: SPF and DMARC would be judged by an address of Google", "set connection: gworkspace for this domain")
	}
	s.compareTenant(names)
	s.compareLoop()
}

// compareTenant looks at what the gateway knows the tenant by.
func (s *ourSide) compareTenant(names Headers) {
	p, g := s.t.Profile, s.g
	var takes []string
	if g.Secrets != nil {
		takes = g.Secrets.Tenant
	}
	switch {
	case g.Err != nil:
		s.say("secrets", "can be read", "cannot be read", oneLine(g.Err.Error(), 300), "make the file or variable as postreeve gworkspace secrets does: letters and digits in one line, no blanks")
		return
	case len(takes) == 0:
		s.say("tenant-token", shownTenant, nil, "any tenant of Google can send to the gateway, and this one is not told from others", "set upstream: {tenant-token: …} to the file of the tenant's secret")
		return
	}
	if want := p.Headers.tenant(); !strings.EqualFold(want, g.TenantHeader) {
		s.say("tenant-header", want, g.TenantHeader, "the rule adds another header than the one that the gateway looks at", "set upstream: {tenant-header: "+want+"}, or headers: {tenant} of the profile")
	}
	if !strings.HasPrefix(strings.ToLower(g.TenantHeader), strings.ToLower(names.prefix())+"-") {
		s.say("tenant-header", names.tenant(), g.TenantHeader, "it does not begin with the prefix of the gateway, so the secret is not taken off what is delivered", "choose a name that begins with "+names.prefix()+"-")
	}
	if s.t.Secrets == nil {
		return
	}
	for i, secret := range s.t.Secrets.Tenant {
		if amongThem(takes, secret) {
			continue
		}
		note := "the gateway does not take the secret that the rule adds: mail of the tenant is judged as a stranger's"
		switch {
		case g.Secrets != nil && amongThem(g.Secrets.Loop, secret):
			note = "the secrets of loop and tenant are mixed up"
		case i > 0:
			note = "the gateway does not take the secret from before any more, which the rule may still add"
		}
		s.say("tenant-token", shownTenant, "(another secret)", note, "name both files, as long as there are two: tenant-token: [file:FILE.tenant, file:FILE.tenant.old]")
	}
}

// compareLoop looks at what the gateway stamps on what it has scanned.
func (s *ourSide) compareLoop() {
	switch g := s.g; {
	case g.Err != nil: // said already
	case g.Secrets == nil || len(g.Secrets.Loop) == 0:
		s.say("token", shownLoop, nil, "what was scanned is not marked: the rule sends it again, which is a loop", "set token to the file of the loop's secret")
	case s.t.Secrets == nil || amongThem(s.t.Secrets.Loop, g.Secrets.Loop[0]):
	default:
		note := "the gateway stamps another secret than the one that the rule looks for: a loop"
		if amongThem(s.t.Secrets.Tenant, g.Secrets.Loop[0]) {
			note = "the secrets of loop and tenant are mixed up: a loop, and who gets mail learns the tenant's secret"
		}
		s.say("token", shownLoop, "(another secret)", note, "name the file that postreeve gworkspace secrets writes: token: file:FILE.loop")
	}
}

// noNextHop says what a host is for that takes no mail of a tenant from outside; empty: it may.
func noNextHop(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case host == "smtp.gmail.com" || host == "smtp-relay.gmail.com":
		return "sending, by those who sign in"
	case strings.HasSuffix(host, "gmail-smtp-in.l.google.com"):
		return "mailboxes of consumers, not of Workspace"
	}
	return ""
}

// String keeps what is in it out of what is printed.
func (g Gateway) String() string { return fmt.Sprintf("[gateway of %s]", g.Domain) }

// GoString is String, for %#v.
func (g Gateway) GoString() string { return g.String() }
