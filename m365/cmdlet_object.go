package m365

import "time"

// A TransportRule is a mail flow rule. Conditions are joined by and, the values of one by or, exceptions
// by or. A nil pointer is a field the service did not return, or one that is not to be written.
type TransportRule struct {
	Guid     string `m365:"read"`
	Name     string // unique, 64 characters at most
	Comments string // 1024 characters at most
	Priority *int   // 0 is evaluated first; another rule made there shifts the rest
	Enabled  *bool  // written on New only: Enable- and Disable-TransportRule later
	Mode     string // Enforce, Audit, AuditAndNotify

	RecipientDomainIs           []string // and their subdomains
	SentTo                      []string
	SentToMemberOf              []string
	SentToScope                 string
	From                        []string
	FromScope                   string
	SenderDomainIs              []string
	SenderIpRanges              []string
	SenderAddressLocation       string
	HeaderContainsMessageHeader string
	HeaderContainsWords         []string
	HeaderMatchesMessageHeader  string
	HeaderMatchesPatterns       []string

	ExceptIfHeaderContainsMessageHeader string
	ExceptIfHeaderContainsWords         []string
	ExceptIfHeaderMatchesMessageHeader  string
	ExceptIfHeaderMatchesPatterns       []string
	ExceptIfSenderIpRanges              []string
	ExceptIfMessageSizeOver             string // a size: ParseSize
	ExceptIfRecipientDomainIs           []string
	ExceptIfSentTo                      []string
	ExceptIfSentToMemberOf              []string
	ExceptIfMessageTypeMatches          string
	ExceptIfSCLOver                     *int

	RouteMessageOutboundConnector  string // read back as name, DN or GUID
	RouteMessageOutboundRequireTls *bool
	RedirectMessageTo              []string
	SetHeaderName                  string
	SetHeaderValue                 string
	RemoveHeader                   string
	SetSCL                         *int // -1 to 9: asks for, does not decide
	Quarantine                     *bool
	DeleteMessage                  *bool
	GenerateIncidentReport         string
	IncidentReportContent          []string
	SetAuditSeverity               string
	StopRuleProcessing             *bool
	RuleErrorAction                string // Ignore (deliver), Defer

	// Conditions, Actions and Exceptions are the classes of what is in force, without their namespace: one
	// that is not expected was added by somebody.
	Conditions     []string  `m365:"read"`
	Actions        []string  `m365:"read"`
	Exceptions     []string  `m365:"read"`
	Description    string    `m365:"read"` // the rule in words, in the language of the tenant
	LastModifiedBy string    `m365:"read"`
	WhenChanged    time.Time `m365:"read"`
	Row            Row       `m365:"-"` // everything the service returned
}

// An InboundConnector says how mail from some source is treated.
type InboundConnector struct {
	Guid                         string `m365:"read"`
	Name                         string
	Comment                      string
	Enabled                      *bool
	ConnectorType                string // Partner, OnPremises
	ConnectorSource              string
	SenderDomains                []string // "*" for all, as one writes them
	SenderIPAddresses            []string
	RestrictDomainsToIPAddresses *bool // true refuses these domains from anywhere else
	RestrictDomainsToCertificate *bool
	TlsSenderCertificateName     string
	RequireTls                   *bool
	CloudServicesMailEnabled     *bool
	TreatMessagesAsInternal      *bool
	EFSkipLastIP                 *bool
	EFSkipIPs                    []string
	EFUsers                      []string
	WhenChangedUTC               time.Time `m365:"read"`
	Row                          Row       `m365:"-"`
}

// An OutboundConnector says where mail goes.
type OutboundConnector struct {
	Guid                          string `m365:"read"`
	Name                          string
	Comment                       string
	Enabled                       *bool
	ConnectorType                 string
	ConnectorSource               string
	IsTransportRuleScoped         *bool // only for mail that a rule sends here
	UseMXRecord                   *bool
	SmartHosts                    []string
	RecipientDomains              []string
	TlsSettings                   string // "", EncryptionOnly, CertificateValidation, DomainValidation
	TlsDomain                     string
	MtaStsMode                    string
	SmtpDaneMode                  string
	AllAcceptedDomains            *bool
	CloudServicesMailEnabled      *bool
	RouteAllMessagesViaOnPremises *bool
	SenderRewritingEnabled        *bool
	TestMode                      *bool
	IsValidated                   *bool     `m365:"read"`
	ValidationRecipients          []string  `m365:"read"`
	LastValidationTimestamp       time.Time `m365:"read"`
	WhenChangedUTC                time.Time `m365:"read"`
	Row                           Row       `m365:"-"`
}

// A ConnectionFilterPolicy holds the addresses that are always and never let in.
type ConnectionFilterPolicy struct {
	Guid             string `m365:"read"`
	Name             string `m365:"read"`
	Identity         string `m365:"read"`
	AdminDisplayName string
	IsDefault        *bool `m365:"read"`
	EnableSafeList   *bool
	IPAllowList      []string
	IPBlockList      []string
	Row              Row `m365:"-"`
}

// A ContentFilterPolicy is an anti-spam policy.
type ContentFilterPolicy struct {
	Guid                      string `m365:"read"`
	Name                      string `m365:"read"`
	Identity                  string `m365:"read"`
	IsDefault                 *bool  `m365:"read"`
	RecommendedPolicyType     string `m365:"read"` // Standard or Strict: a preset, which cannot be edited
	SpamAction                string
	HighConfidenceSpamAction  string
	PhishSpamAction           string
	HighConfidencePhishAction string
	BulkSpamAction            string
	SpamZapEnabled            *bool
	PhishZapEnabled           *bool
	Row                       Row `m365:"-"`
}

// A PolicyRule says whom a custom or preset policy is for. While it is enabled it outranks the default one.
type PolicyRule struct {
	Guid                      string `m365:"read"`
	Name                      string `m365:"read"`
	State                     string `m365:"read"` // Enabled, Disabled
	Priority                  *int   `m365:"read"`
	HostedContentFilterPolicy string `m365:"read"`
	SentTo                    []string
	SentToMemberOf            []string
	RecipientDomainIs         []string
	Preset                    bool `m365:"-"` // of a preset security policy
	Row                       Row  `m365:"-"`
}

// A SpoofItem is a pair of the tenant allow/block list: who may, or may not, send as whom.
type SpoofItem struct {
	Identity              string `m365:"read"` // what a Remove or Set names
	SpoofedUser           string
	SendingInfrastructure string
	SpoofType             string // External, Internal
	Action                string // Allow, Block
	Row                   Row    `m365:"-"`
}

// An ArcConfig names the domains whose ARC seals are believed.
type ArcConfig struct {
	Identity          string   `m365:"read"`
	ArcTrustedSealers []string // lower case, sorted
	Row               Row      `m365:"-"`
}

// An AcceptedDomain is a domain of the tenant.
type AcceptedDomain struct {
	DomainName      string `m365:"read"`
	DomainType      string `m365:"read"` // Authoritative, InternalRelay
	Default         *bool  `m365:"read"`
	InitialDomain   *bool  `m365:"read"` // *.onmicrosoft.com
	MatchSubDomains *bool  `m365:"read"`
	Row             Row    `m365:"-"`
}

// An Organization holds the settings of the tenant as a whole.
type Organization struct {
	Guid             string `m365:"read"`
	Name             string `m365:"read"`
	DisplayName      string `m365:"read"`
	IsDehydrated     *bool  `m365:"read"` // true: policies cannot be edited yet
	RejectDirectSend *bool
	Row              Row `m365:"-"`
}

// An AntiPhishPolicy decides what becomes of mail that fails authentication.
type AntiPhishPolicy struct {
	Name                     string `m365:"read"`
	IsDefault                *bool  `m365:"read"`
	Enabled                  *bool  `m365:"read"`
	EnableSpoofIntelligence  *bool  `m365:"read"`
	AuthenticationFailAction string `m365:"read"`
	HonorDmarcPolicy         *bool  `m365:"read"`
	DmarcQuarantineAction    string `m365:"read"`
	DmarcRejectAction        string `m365:"read"`
	Row                      Row    `m365:"-"`
}

// A Recipient is anything with an address: a mailbox, a group, a contact.
type Recipient struct {
	Guid                 string   `m365:"read"`
	Name                 string   `m365:"read"`
	DisplayName          string   `m365:"read"`
	PrimarySmtpAddress   string   `m365:"read"`
	EmailAddresses       []string `m365:"read"`
	RecipientTypeDetails string   `m365:"read"`
	Row                  Row      `m365:"-"`
}

// A RoleGroup gives its members the roles it lists.
type RoleGroup struct {
	Guid        string `m365:"read"`
	Name        string
	Description string
	Roles       []string
	Members     []string
	Row         Row `m365:"-"`
}

// A ServicePrincipal is an application that Exchange knows.
type ServicePrincipal struct {
	Identity    string `m365:"read"`
	AppId       string
	ObjectId    string // of the enterprise application, not of the app registration
	DisplayName string
	Row         Row `m365:"-"`
}

// A MessageEvent is one line of a message trace, or of its details.
type MessageEvent struct {
	MessageId        string    `m365:"read"`
	MessageTraceId   string    `m365:"read"`
	Received         time.Time `m365:"read"`
	SenderAddress    string    `m365:"read"`
	RecipientAddress string    `m365:"read"`
	Subject          string    `m365:"read"`
	Status           string    `m365:"read"`
	FromIP           string    `m365:"read"`
	ToIP             string    `m365:"read"`
	Date             time.Time `m365:"read"`
	Event            string    `m365:"read"`
	Action           string    `m365:"read"`
	Detail           string    `m365:"read"`
	Row              Row       `m365:"-"`
}

// An Object is something that [Client.New] can make.
type Object interface {
	// Params are the parameters that would make the object as it is.
	Params() Params
	noun() noun
}

type noun struct{ name, label string } // label: the parameter that is unique

// Params implements Object.
func (o TransportRule) Params() Params { return paramsOf(o) }

// Params implements Object.
func (o InboundConnector) Params() Params { return paramsOf(o) }

// Params implements Object.
func (o OutboundConnector) Params() Params { return paramsOf(o) }

// Params implements Object.
func (o SpoofItem) Params() Params {
	p := paramsOf(o)
	p["Identity"] = "Default"
	return p
}

// Params implements Object.
func (o RoleGroup) Params() Params { return paramsOf(o) }

// Params implements Object.
func (o ServicePrincipal) Params() Params { return paramsOf(o) }

func (TransportRule) noun() noun     { return noun{"TransportRule", "Name"} }
func (InboundConnector) noun() noun  { return noun{"InboundConnector", "Name"} }
func (OutboundConnector) noun() noun { return noun{"OutboundConnector", "Name"} }
func (SpoofItem) noun() noun         { return noun{"TenantAllowBlockListSpoofItems", ""} }
func (RoleGroup) noun() noun         { return noun{"RoleGroup", "Name"} }
func (ServicePrincipal) noun() noun  { return noun{"ServicePrincipal", "AppId"} }
