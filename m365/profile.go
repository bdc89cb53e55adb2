package m365

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// A Profile says what is wanted of a tenant. It holds no secrets. The zero value of a field has the meaning
// given there; [Profile.Check] says what is missing or impossible.
type Profile struct {
	// Product is the name that stands in the names of connectors and rules. Empty: Postreeve.
	Product string `json:"product,omitempty"`
	// Mark is what our objects carry in their comment, and what tells installations apart. Empty: the
	// product in lower case.
	Mark string `json:"mark,omitempty"`
	// Domains are the accepted domains of the tenant that the gateway serves. Required.
	Domains []string `json:"domains"`
	// Protect narrows whose mail goes through the gateway. Zero: everybody in Domains, and in the domains
	// below them.
	Protect Scope `json:"protect,omitzero"`
	// Mode is the way of the mail. Required.
	Mode Mode `json:"mode"`
	// Posture is how the tenant comes to trust the gateway. Empty: Hardened.
	Posture Posture `json:"posture,omitempty"`
	// Stage is how far the roll-out has come. Empty: StageAll. Matters in mode EOPFirst only.
	Stage Stage `json:"stage,omitempty"`
	// Pilot are the mail-enabled groups that StagePilot redirects.
	Pilot []string `json:"pilot,omitempty"`

	// Regions are the places where the gateway stands, by name.
	Regions map[string]Region `json:"regions"`
	// Region is the one that serves this tenant. May be empty when there is but one.
	Region string `json:"region,omitempty"`
	// SecondRegion may send mail back too. Empty: there is none.
	SecondRegion string `json:"second-region,omitempty"`

	// Headers are the names of the header fields of the gateway.
	Headers Headers `json:"headers,omitzero"`
	// ARCSealer is the d= domain of the gateway's ARC seals. Required in posture Hardened.
	ARCSealer string `json:"arc-sealer,omitempty"`
	// NoEnhancedFiltering leaves enhanced filtering (skip listing) of the inbound connector off in posture
	// Hardened. Microsoft does not support it for mail that Exchange Online itself sent out.
	NoEnhancedFiltering bool `json:"no-enhanced-filtering,omitempty"`
	// SpoofInfrastructure are the sending infrastructures of the spoof pairs of posture Classic: the domain
	// that the addresses of the gateway resolve to, best. Empty: the addresses themselves.
	SpoofInfrastructure []string `json:"spoof-infrastructure,omitempty"`

	// QuarantineRule holds malicious mail in the tenant's own quarantine, should the gateway deliver any.
	QuarantineRule bool `json:"quarantine-rule,omitempty"`
	// IncidentReport is the mailbox that is told of it. Empty: nobody. It implies QuarantineRule.
	IncidentReport string `json:"incident-report,omitempty"`
	// RejectDirectSend refuses unauthenticated mail that claims to be from the tenant's own domains. Mode
	// MXFirst only. False: the switch is left as it is.
	RejectDirectSend bool `json:"reject-direct-send,omitempty"`
	// ValidationMailbox takes the test message of the outbound connector. Empty: none is sent.
	ValidationMailbox string `json:"validation-mailbox,omitempty"`

	// RemediationApp is the client id of the application that takes back delivered mail. Empty: none.
	RemediationApp string `json:"remediation-app,omitempty"`
	// Access, if set, gives an application the least rights that this package needs, as steps of the plan.
	Access *Access `json:"access,omitempty"`
	// Replaces, if set, takes over from another product.
	Replaces *Predecessor `json:"replaces,omitempty"`

	// EnableCustomization allows the step Enable-OrganizationCustomization in a tenant that needs it. It
	// cannot be undone.
	EnableCustomization bool `json:"enable-customization,omitempty"`
	// Accept are the codes of problems that are known and meant: a plan warns of them and goes on.
	Accept []string `json:"accept,omitempty"`
}

// A Scope is some of the recipients of a tenant: members of groups or single users, not both.
type Scope struct {
	Groups []string `json:"groups,omitempty"` // addresses of mail-enabled groups
	Users  []string `json:"users,omitempty"`  // addresses of users
}

// A Region is one place where the gateway stands.
type Region struct {
	// SmartHost is where the tenant sends mail to be scanned: a host name, or an address.
	SmartHost string `json:"smart-host"`
	// Egress are the addresses mail comes back from: IPv4, single or /24 to /32.
	Egress []string `json:"egress"`
	// TLSDomain is the name in the certificate of the smart host. Empty: the smart host itself.
	TLSDomain string `json:"tls-domain,omitempty"`
	// MX are the hosts that the MX records of the domains shall name in mode MXFirst. They are what tells
	// whether the MX moved.
	MX []string `json:"mx,omitempty"`
}

// Headers names the header fields of the gateway. Empty fields follow from the prefix.
type Headers struct {
	Prefix  string `json:"prefix,omitempty"`  // X-Postreeve
	Token   string `json:"token,omitempty"`   // <prefix>-Token: the secret of the loop
	Spam    string `json:"spam,omitempty"`    // <prefix>-Spam: FAIL
	Verdict string `json:"verdict,omitempty"` // <prefix>-Verdict: MAL
	Report  string `json:"report,omitempty"`  // <prefix>-Forefront-Antispam-Report
}

// Access is an application that shall configure the tenant from now on, with a role group of its own.
type Access struct {
	AppID    string `json:"app-id"`    // client id of the application
	ObjectID string `json:"object-id"` // of the enterprise application in the tenant, not of its registration
}

// A Predecessor is the product that protected the tenant before.
type Predecessor struct {
	Vendor    string   `json:"vendor"`     // one of [Vendors]
	Egress    []string `json:"egress"`     // its addresses, as its guide lists them
	SmartHost string   `json:"smart-host"` // its smart host
}

// A Mode is the way of the mail.
type Mode string

// The modes. EOPFirst: mail comes in at Exchange Online, a rule sends it to the gateway, which sends it back.
// MXFirst: the MX records name the gateway, which sends mail on to Exchange Online.
const (
	EOPFirst Mode = "eop-first"
	MXFirst  Mode = "mx-first"
)

// A Posture is how the tenant comes to trust what the gateway sends back.
type Posture string

// The postures. Hardened: the gateway's ARC seal is trusted and enhanced filtering looks behind it, so the
// results of SPF, DKIM and DMARC for the true sender keep counting. Classic: mail from the gateway's addresses
// may claim any sender and is not filtered for spam again; baselines such as CIS and SCuBA object to it.
const (
	Hardened Posture = "hardened"
	Classic  Posture = "classic"
)

// A Stage is how far a roll-out has come.
type Stage string

// The stages. StageAudit: the redirect rule logs what it would do. StagePilot: it redirects the mail of the
// pilot groups. StageAll: of everybody that the profile protects.
const (
	StageAudit Stage = "audit"
	StagePilot Stage = "pilot"
	StageAll   Stage = "all"
)

// maxProfile bounds what ReadProfile takes.
const maxProfile = 1 << 20

// ReadProfile reads a profile in JSON and checks it. Unknown keys are refused.
func ReadProfile(r io.Reader) (*Profile, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("m365: profile: %w", err)
	}
	if len(raw) > maxProfile {
		return nil, errors.New("m365: profile: larger than 1 MiB")
	}
	var p Profile
	if err := strictJSON(raw, &p); err != nil {
		return nil, fmt.Errorf("m365: profile: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// strictJSON decodes exactly one value without unknown keys.
func strictJSON(raw []byte, v any) error {
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

// Names of objects in the tenant, as an admin sees them.
func (p *Profile) product() string      { return cmp.Or(p.Product, "Postreeve") }
func (p *Profile) outboundName() string { return p.product() + " Scanning" }
func (p *Profile) inboundName() string {
	return "Disable IP Throttling on " + p.product() + " Connector"
}
func (p *Profile) lockName() string       { return "Inbound from " + p.product() + " Only" }
func (p *Profile) redirectName() string   { return p.product() + " Redirect Rule" }
func (p *Profile) spamName() string       { return p.product() + " Spam Rule" }
func (p *Profile) quarantineName() string { return p.product() + " Quarantine Rule" }
func (p *Profile) returnName() string     { return p.product() + " Return Rule" }
func (p *Profile) roleGroupName() string  { return p.product() + " Gateway Configuration" }

const (
	highName = "Send Office 365 spam emails to Junk folder (High)"
	lowName  = "Send Office 365 spam emails to Junk folder (Low)"
)

func (p *Profile) mark() string {
	return cmp.Or(p.Mark, strings.ToLower(strings.ReplaceAll(p.product(), " ", "-")))
}

func (p *Profile) posture() Posture { return cmp.Or(p.Posture, Hardened) }
func (p *Profile) stage() Stage     { return cmp.Or(p.Stage, StageAll) }

func (p *Profile) quarantine() bool { return p.QuarantineRule || p.IncidentReport != "" }

func (p *Profile) accepts(code string) bool { return slices.Contains(p.Accept, code) }

// region returns the region that serves the tenant. The profile has been checked.
func (p *Profile) region() Region {
	if p.Region == "" && len(p.Regions) == 1 {
		for _, r := range p.Regions {
			return r
		}
	}
	return p.Regions[p.Region]
}

// egress returns the addresses of both regions in normal form, sorted.
func (p *Profile) egress() []string {
	all := slices.Clone(p.region().Egress)
	if p.SecondRegion != "" {
		all = append(all, p.Regions[p.SecondRegion].Egress...)
	}
	return normIPs(all)
}

// mxHosts returns the MX hosts of both regions.
func (p *Profile) mxHosts() []string {
	all := slices.Clone(p.region().MX)
	if p.SecondRegion != "" {
		all = append(all, p.Regions[p.SecondRegion].MX...)
	}
	return normWords(all)
}

// infrastructure returns the sending side of the spoof pairs.
func (p *Profile) infrastructure() []string {
	if len(p.SpoofInfrastructure) > 0 {
		return normWords(p.SpoofInfrastructure)
	}
	out := p.egress()
	for i, s := range out {
		if strings.Contains(s, "/") {
			out[i] = normInfrastructure(s) // the only mask that a spoof pair takes
		}
	}
	return normWords(out)
}

func (h Headers) prefix() string  { return cmp.Or(h.Prefix, "X-Postreeve") }
func (h Headers) token() string   { return cmp.Or(h.Token, h.prefix()+"-Token") }
func (h Headers) spam() string    { return cmp.Or(h.Spam, h.prefix()+"-Spam") }
func (h Headers) verdict() string { return cmp.Or(h.Verdict, h.prefix()+"-Verdict") }
func (h Headers) report() string  { return cmp.Or(h.Report, h.prefix()+"-Forefront-Antispam-Report") }

// tls returns the level and the name that the outbound connector asks of the smart host.
func (r Region) tls() (level, name string) {
	if r.TLSDomain != "" {
		return "DomainValidation", strings.ToLower(r.TLSDomain)
	}
	if _, err := netip.ParseAddr(r.SmartHost); err == nil {
		return "CertificateValidation", ""
	}
	return "DomainValidation", strings.ToLower(r.SmartHost)
}
