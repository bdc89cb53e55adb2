package gworkspace

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A Profile says what is wanted of a tenant. It holds no secrets. The zero value of a field has the meaning
// given there; [Profile.Check] says what is missing or impossible.
type Profile struct {
	// Product is the name that stands in the names of hosts and rules. Empty: Postreeve.
	Product string `json:"product,omitempty"`
	// Mark stands in the names too, and tells installations apart. Empty: the product in lower case.
	Mark string `json:"mark,omitempty"`
	// Domains are the domains of the tenant that the gateway serves. Required.
	Domains []string `json:"domains"`
	// Protect narrows whose mail goes through the gateway. Zero: everybody in Domains.
	Protect Scope `json:"protect,omitzero"`
	// Mode is the way of the mail. Required.
	Mode Mode `json:"mode"`
	// Stage is how far the roll-out has come. Empty: StageAll. Matters in mode Reroute only.
	Stage Stage `json:"stage,omitempty"`
	// Pilot are the paths of the organizational units that StagePilot reroutes, such as /Pilot.
	Pilot []string `json:"pilot,omitempty"`

	// Regions are the places where the gateway stands, by name.
	Regions map[string]Region `json:"regions"`
	// Region is the one that serves this tenant. May be empty when there is but one.
	Region string `json:"region,omitempty"`
	// SecondRegion takes over when the first does not answer, and sends mail back too. Empty: there is none.
	SecondRegion string `json:"second-region,omitempty"`

	// Headers are the names of the header fields of the gateway.
	Headers Headers `json:"headers,omitzero"`

	// SkipGroups leaves mail to Google groups unscanned, SkipUnrecognized mail to addresses that only a
	// catch-all knows. Google leaves both out by default, this package does not.
	SkipGroups       bool `json:"skip-groups,omitempty"`
	SkipUnrecognized bool `json:"skip-unrecognized,omitempty"`
	// LeaveGmailSpam does not send to the gateway what Gmail calls spam already.
	LeaveGmailSpam bool `json:"leave-gmail-spam,omitempty"`
	// TrustVerdict turns Gmail's own spam evaluation off for what comes back. In mode Reroute the message
	// tagging then also looks at what Gmail said the first time.
	TrustVerdict bool `json:"trust-verdict,omitempty"`
	// MXMoved says that the MX records name the gateway and their old TTL is over. Mode MXFirst asks for
	// "Reject all mail not from gateway IPs" only then.
	MXMoved bool `json:"mx-moved,omitempty"`

	// Access is who reads the settings. Nil: nobody, all checks are told by the user or left out.
	Access *Access `json:"access,omitempty"`
	// Remediation is who takes back delivered mail. Nil: nobody.
	Remediation *Remediator `json:"remediation,omitempty"`

	// Accept are the codes of problems that are known and meant: a plan warns of them and goes on.
	Accept []string `json:"accept,omitempty"`
}

// A Scope is some of the recipients of a tenant. Units may be combined with Groups or with Users; Groups and
// Users not with each other, since a rule has one filter of recipients.
type Scope struct {
	Units  []string `json:"units,omitempty"`  // paths of organizational units, such as /Sales; empty: the whole organization
	Groups []string `json:"groups,omitempty"` // addresses of groups whose members are protected
	Users  []string `json:"users,omitempty"`  // addresses of users
}

// A Region is one place where the gateway stands.
type Region struct {
	// SmartHost is where the tenant sends mail to be scanned: a host name, which its certificate shows.
	SmartHost string `json:"smart-host"`
	// Port is where it listens: 25, 587, or 1024 and up. Zero: 25.
	Port int `json:"port,omitempty"`
	// Egress are the public addresses and networks mail comes back from.
	Egress []string `json:"egress"`
	// MX are the hosts that the MX records of the domains shall name in mode MXFirst.
	MX []string `json:"mx,omitempty"`
}

// Headers names the header fields of the gateway. Empty fields follow from the prefix.
type Headers struct {
	Prefix string `json:"prefix,omitempty"` // X-Postreeve
	Token  string `json:"token,omitempty"`  // <prefix>-Token: the secret that stops the loop, stamped by the gateway
	Tenant string `json:"tenant,omitempty"` // <prefix>-Tenant: the secret that names the tenant, added by Google
	Spam   string `json:"spam,omitempty"`   // <prefix>-Spam: FAIL
	ID     string `json:"id,omitempty"`     // <prefix>-Id: the id of the message at the gateway
}

// Access is a service account with domain-wide delegation that reads settings.
type Access struct {
	ClientID       string `json:"client-id"`                 // its numeric client id, as the delegation asks for it
	ServiceAccount string `json:"service-account,omitempty"` // its address, for people
	Admin          string `json:"admin"`                     // the super administrator it acts as
}

// A Remediator is a service account with domain-wide delegation that takes back delivered mail. It may be the
// one of Access, but an own one can be granted and revoked by itself.
type Remediator struct {
	ClientID       string `json:"client-id"`
	ServiceAccount string `json:"service-account,omitempty"`
	// Purge also asks for the scope that permanent deletion needs, which is all of Gmail.
	Purge bool `json:"purge,omitempty"`
}

// A Mode is the way of the mail.
type Mode string

// The modes. Reroute: mail comes in at Google, a rule sends it to the gateway, which sends it back. MXFirst:
// the MX records name the gateway, which sends mail on to Google.
const (
	Reroute Mode = "reroute"
	MXFirst Mode = "mx-first"
)

// A Stage is how far a roll-out has come.
type Stage string

// The stages. StagePilot: mail of the pilot units goes through the gateway. StageAll: of everybody that the
// profile protects.
const (
	StagePilot Stage = "pilot"
	StageAll   Stage = "all"
)

// maxProfile bounds what ReadProfile takes.
const maxProfile = 1 << 20

// ReadProfile reads a profile in JSON and checks it. Unknown keys are refused.
func ReadProfile(r io.Reader) (*Profile, error) {
	var p Profile
	if err := readStrict(r, maxProfile, &p); err != nil {
		return nil, fmt.Errorf("gworkspace: profile: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// readStrict decodes exactly one value without unknown keys.
func readStrict(r io.Reader, most int64, v any) error {
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return err
	}
	if int64(len(raw)) > most {
		return fmt.Errorf("larger than %d bytes", most)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// Names as an admin sees them.
func (p *Profile) product() string  { return cmp.Or(p.Product, "Postreeve") }
func (p *Profile) hostName() string { return p.product() + " Scanner" }

// ruleName begins with what tells our rule, and ends with the mark that tells installations apart.
func (p *Profile) ruleName() string { return p.ruleStem() + " (do not edit) " + p.mark() }
func (p *Profile) ruleStem() string { return p.product() + " Redirect Rule" }

func (p *Profile) mark() string {
	return cmp.Or(p.Mark, strings.ToLower(strings.ReplaceAll(p.product(), " ", "-")))
}

func (p *Profile) stage() Stage { return cmp.Or(p.Stage, StageAll) }

func (p *Profile) accepts(code string) bool { return slices.Contains(p.Accept, code) }

// units are the organizational units that the rule stands in: the pilot ones, the protected ones or the top.
func (p *Profile) units() []string {
	switch {
	case p.Mode == Reroute && p.stage() == StagePilot:
		return p.Pilot
	case len(p.Protect.Units) > 0:
		return p.Protect.Units
	}
	return []string{"/"}
}

// region returns the region that serves the tenant. The profile has been checked.
func (p *Profile) region() Region {
	if p.Region == "" && len(p.Regions) == 1 {
		for _, r := range p.Regions {
			return r
		}
	}
	return p.Regions[p.Region]
}

// regions returns the first region, and the second if there is one.
func (p *Profile) regions() []Region {
	out := []Region{p.region()}
	if p.SecondRegion != "" {
		out = append(out, p.Regions[p.SecondRegion])
	}
	return out
}

// egress returns the addresses of both regions, sorted, each once.
func (p *Profile) egress() []string {
	var all []netip.Prefix
	for _, r := range p.regions() {
		for _, s := range r.Egress {
			if px, err := parseNet(s); err == nil {
				all = append(all, px.Masked())
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	var out []string
	for _, px := range slices.Compact(all) {
		if px.IsSingleIP() {
			out = append(out, px.Addr().String())
			continue
		}
		out = append(out, px.String())
	}
	return out
}

// mxHosts returns the MX hosts of both regions.
func (p *Profile) mxHosts() []string {
	var all []string
	for _, r := range p.regions() {
		for _, h := range r.MX {
			all = append(all, strings.ToLower(strings.TrimSuffix(h, ".")))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

func (r Region) port() int { return cmp.Or(r.Port, 25) }

func (h Headers) prefix() string { return cmp.Or(h.Prefix, "X-Postreeve") }
func (h Headers) token() string  { return cmp.Or(h.Token, h.prefix()+"-Token") }
func (h Headers) tenant() string { return cmp.Or(h.Tenant, h.prefix()+"-Tenant") }
func (h Headers) spam() string   { return cmp.Or(h.Spam, h.prefix()+"-Spam") }
func (h Headers) id() string     { return cmp.Or(h.ID, h.prefix()+"-Id") }

// spamPattern is the regular expression (RE2) of the message tagging.
func (p *Profile) spamPattern() string {
	ours := regexp.QuoteMeta(p.Headers.spam()) + ": FAIL"
	if p.TrustVerdict && p.Mode == Reroute {
		return "^(" + ours + "|X-Gm-(Spam|Phishy): 1)$"
	}
	return "^" + ours + "$"
}

// serves says whether a domain is one of the profile.
func (p *Profile) serves(domain string) bool {
	return slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// filter is what the rule's filter of envelope recipients is set to. The gateway refuses mail of domains that it does
// not know: a pattern names the domains, or users in them; the members of a group are looked at by Plan and Verify.
func (p *Profile) filter() (kind, value string) {
	switch {
	case len(p.Protect.Groups) > 0:
		return "Group membership", strings.Join(p.Protect.Groups, "\n")
	case len(p.Protect.Users) > 0:
		return "Pattern match", "(?i)^(" + alternatives(p.Protect.Users) + ")$"
	}
	return "Pattern match", "(?i)@(" + alternatives(p.Domains) + ")$"
}

func alternatives(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = regexp.QuoteMeta(strings.ToLower(s))
	}
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(out))), "|")
}

// parseNet reads an address or a network.
func parseNet(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(s)
}
