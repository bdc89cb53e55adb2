package m365

import (
	"fmt"
	"slices"
	"strings"
)

// facts are what the settings depend on besides the profile.
type facts struct {
	tokens   []string // the secrets of the loop, the one in force first
	moved    MXState  // whether the MX records name the gateway: MXYes, MXNo or MXUnknown
	priority int      // where the redirect rule belongs
	below    int      // and any other rule of ours that is made
}

// ids of settings that other code names.
const (
	idAccessApp    = "access.app"
	idAccessGroup  = "access.role-group"
	idCustomize    = "organization.customization"
	idConnection   = "connection-filter"
	idSpoof        = "spoof-pairs"
	idArc          = "arc-sealer"
	idInbound      = "inbound-connector"
	idProbe        = "inbound-connector.probe"
	idOutbound     = "outbound-connector"
	idValidate     = "outbound-connector.validate"
	idHigh         = "junk-rule.high"
	idLow          = "junk-rule.low"
	idSpam         = "spam-rule"
	idQuarantine   = "quarantine-rule"
	idReturn       = "return-rule"
	idRedirect     = "redirect-rule"
	idRedirectOn   = "redirect-rule.on"
	idAntispam     = "anti-spam-policy"
	idLock         = "inbound-lock"
	idMX           = "mx"
	idLockOn       = "inbound-lock.on"
	idDirectSend   = "direct-send"
	idConsent      = "remediation-consent"
	idCanary       = "canary"
	maxScannedSize = 40000 << 10
)

// settings is the one list: what the profile asks for, in the order in which it is made.
func (p *Profile) settings(f facts) []*setting {
	all := p.accessSettings()
	all = append(all, p.connectionSetting())
	if p.posture() == Hardened {
		all = append(all, p.arcSetting())
	} else if p.Mode == EOPFirst {
		all = append(all, p.spoofSetting())
	}
	all = append(all, p.inboundSetting())
	if p.Mode == EOPFirst {
		all = append(all, p.outboundSetting())
		all = append(all, p.verdictRules()...)
		all = append(all, p.returnSetting(), p.redirectSetting(f), p.redirectOnSetting())
		if p.posture() == Classic && p.stage() != StageAudit { // nothing is scanned yet that junk would let through
			all = append(all, p.antispamSetting())
		}
	} else {
		all = append(all, p.verdictRules()...)
		all = append(all, p.lockSetting(f), p.lockOnSetting(f))
		if p.RejectDirectSend {
			all = append(all, p.directSendSetting())
		}
	}
	if p.RemediationApp != "" {
		all = append(all, p.consentSetting())
	}
	for _, s := range all {
		s.place = f.below
	}
	return all
}

func (p *Profile) connectionSetting() *setting {
	s := &setting{
		id: idConnection, kind: kindConnection, name: "Default", seed: "1",
		title:  "Allow the addresses of the gateway in the connection filter",
		fields: []field{sharedNetworks("IPAllowList", p.egress())},
		why:    "Mail that comes back from the gateway is not filtered for spam a second time by its address.",
		risk:   "Security baselines (CIS, SCuBA) object to any allowed address. Malware and high-confidence phish are still acted on.",
		check:  "Get-HostedConnectionFilterPolicy -Identity Default: IPAllowList holds the addresses.",
		undo:   "Remove the addresses that were added; leave those of others.",
		console: Console{Path: "Microsoft Defender > Policies & rules > Threat policies > Anti-spam policies > Connection filter policy (Default) > Edit",
			Link:   "https://security.microsoft.com/antispam",
			Values: []Value{{"Always allow messages from the following IP addresses", strings.Join(p.egress(), ", ")}},
			Expect: "The addresses stand in the allow list of the connection filter policy."},
	}
	if p.posture() == Classic {
		s.title += " and turn on the safe list"
		s.fields = append(s.fields, flag("EnableSafeList", true))
		s.console.Values = append(s.console.Values, Value{"Turn on safe list", "on"})
	}
	return s
}

func (p *Profile) arcSetting() *setting {
	d := strings.ToLower(p.ARCSealer)
	return &setting{
		id: idArc, kind: kindArc, name: "Default", seed: "2 (hardened)",
		title:  "Trust the ARC seal of the gateway",
		fields: []field{{name: "ArcTrustedSealers", form: formSet, want: []string{d}, shared: true}},
		why:    "The results of SPF, DKIM and DMARC that the first pass found keep counting when the mail comes back: no sender may claim anything.",
		risk:   "The tenant believes whatever this domain seals. The list is replaced as a whole, so it is read right before and after.",
		check:  "Get-ArcConfig: ArcTrustedSealers names " + d + ". Delivered mail shows arc=pass and oda=1.",
		undo:   "Take the domain off the list; leave those of others.",
		console: Console{Path: "Microsoft Defender > Policies & rules > Threat policies > Email authentication settings > ARC > Edit",
			Link: "https://security.microsoft.com/authentication?viewid=ARC", Values: []Value{{"Trusted ARC sealers", d}},
			Expect: d + " is one of the trusted sealers."},
	}
}

func (p *Profile) spoofSetting() *setting {
	infra := p.infrastructure()
	var pairs []string
	for _, i := range infra {
		pairs = append(pairs, "*, "+i)
	}
	return &setting{
		id: idSpoof, kind: kindSpoof, name: "Spoofed senders", seed: "2",
		title:  "Let the gateway send back mail of any sender",
		fields: []field{{name: "Allow", form: formSet, want: p.spoofPairs(), shared: true}},
		why:    "Mail that comes back has the address of the gateway, so spoof intelligence would take every sender for forged.",
		risk:   "Whoever sends from these addresses may claim any sender; the service may widen an address to its /24. Posture " + string(Hardened) + " needs no such pair.",
		wait:   "about 5 minutes until it has effect",
		check:  "Get-TenantAllowBlockListSpoofItems: each pair stands there as Allow, External and Internal.",
		undo:   "Remove the pairs that were added.",
		console: Console{Path: "Microsoft Defender > Policies & rules > Threat policies > Tenant Allow/Block Lists > Spoofed senders > Add",
			Link: "https://security.microsoft.com/tenantAllowBlockList?viewid=SpoofItem",
			Values: []Value{{"Domain pairs (once with spoof type External, once with Internal)", strings.Join(pairs, "\n")},
				{"Action", "Allow"}},
			Expect: fmt.Sprintf("%d entries with action Allow.", len(p.spoofPairs()))},
	}
}

// spoofPairs lists the entries of the spoof list as "*, infrastructure, type".
func (p *Profile) spoofPairs() []string {
	var out []string
	for _, i := range p.infrastructure() {
		out = append(out, "*, "+i+", external", "*, "+i+", internal")
	}
	return normWords(out)
}

func (p *Profile) inboundSetting() *setting {
	s := &setting{
		id: idInbound, kind: kindInbound, name: p.inboundName(), seed: "5",
		title: "Inbound connector " + p.inboundName(),
		fields: append(p.inboundShape(), flag("RestrictDomainsToIPAddresses", false), flag("Enabled", true),
			flag("EFSkipLastIP", p.filtering())),
		why:     "Mail from the gateway is taken for what it is, and not slowed down (451 4.7.500 to 4.7.699) because much of it comes from few addresses.",
		check:   "Get-InboundConnector: enabled, with the addresses of the gateway.",
		undo:    "Remove the connector.",
		console: p.inboundConsole(p.inboundName(), "Do not tick: Reject email messages if they aren't sent from within this IP address range"),
	}
	if p.filtering() {
		s.seed = "5, 2 (hardened)"
		s.title += " with enhanced filtering"
		s.why += " Enhanced filtering looks behind the gateway, at who sent the mail first."
		s.console.Values = append(s.console.Values, Value{"Then Defender > Enhanced filtering for connectors > this connector", "Automatically detect and skip the last IP address"})
		if p.Mode == EOPFirst {
			s.risk = "Microsoft does not support enhanced filtering for mail that left Exchange Online and came back, although gateways need it for ARC: watch the first days, no-enhanced-filtering turns it off."
		}
	}
	return s
}

// filtering says whether the inbound connector looks behind the gateway.
func (p *Profile) filtering() bool { return p.posture() == Hardened && !p.NoEnhancedFiltering }

func (p *Profile) inboundShape() []field {
	return []field{text("ConnectorType", "Partner"), {name: "SenderDomains", form: formScope, want: []string{"*"}},
		networks("SenderIPAddresses", p.egress()), flag("RequireTls", true), flag("RestrictDomainsToCertificate", false)}
}

func (p *Profile) inboundConsole(name, tick string) Console {
	return Console{Path: "Exchange admin center > Mail flow > Connectors > Add a connector", Link: "https://admin.exchange.microsoft.com/#/connectors",
		Values: []Value{{"Connection from", "Partner organization"}, {"Name", name},
			{"By verifying that the IP address of the sending server matches one of these", strings.Join(p.egress(), ", ")},
			{"Reject email messages if they aren't sent over TLS", "on"}, {"Note", tick}},
		Expect: "The connector " + name + " is in the list."}
}

func (p *Profile) outboundSetting() *setting {
	r := p.region()
	level, domain := r.tls()
	fields := []field{text("ConnectorType", "Partner"), flag("IsTransportRuleScoped", true), flag("UseMXRecord", false),
		words("SmartHosts", r.SmartHost), text("TlsSettings", level), text("TlsDomain", domain), flag("Enabled", true)}
	tls := "Issued by a trusted certificate authority (CA)"
	if domain != "" {
		tls += ", and the subject name matches " + domain
	}
	return &setting{
		id: idOutbound, kind: kindOutbound, name: p.outboundName(), seed: "4",
		title: "Outbound connector " + p.outboundName(), fields: fields,
		why:   "The way to the gateway. Only mail that the redirect rule sends goes here, over TLS with a verified certificate.",
		risk:  "A certificate at the gateway that does not fit stops redirected mail; Exchange Online tries again for about a day.",
		check: "Get-OutboundConnector -IsTransportRuleScoped $true: enabled, with the smart host " + r.SmartHost + ".",
		undo:  "Remove the connector, after the rule that names it.",
		console: Console{Path: "Exchange admin center > Mail flow > Connectors > Add a connector", Link: "https://admin.exchange.microsoft.com/#/connectors",
			Values: []Value{{"Connection from", "Office 365"}, {"Connection to", "Partner organization"}, {"Name", p.outboundName()},
				{"Use of connector", "Only when I have a transport rule set up that redirects messages to this connector"},
				{"Route email through these smart hosts", r.SmartHost}, {"Always use TLS", tls}},
			Expect: "The connector " + p.outboundName() + " is on. Validation may stay undone; mail flows without it."},
	}
}

func (p *Profile) antispamSetting() *setting {
	return &setting{
		id: idAntispam, kind: kindContent, name: "Default", seed: "3",
		title: "Default anti-spam policy: junk instead of quarantine",
		fields: []field{text("SpamAction", "MoveToJmf"), text("HighConfidenceSpamAction", "MoveToJmf"),
			text("PhishSpamAction", "MoveToJmf"), text("HighConfidencePhishAction", "Quarantine")},
		why:   "The first pass must not hold mail back that the gateway shall judge.",
		risk:  "Security baselines want quarantine for high-confidence spam and phish: this lowers Secure Score. Preset and custom policies outrank it.",
		wait:  "up to 30 minutes until it has effect",
		check: "Get-HostedContentFilterPolicy -Identity Default shows the four actions.",
		undo:  "Write back the four actions of the snapshot, where nobody changed them since.",
		console: Console{Path: "Microsoft Defender > Policies & rules > Threat policies > Anti-spam policies > Anti-spam inbound policy (Default) > Edit actions",
			Link: "https://security.microsoft.com/antispam",
			Values: []Value{{"Spam", "Move message to Junk Email folder"}, {"High confidence spam", "Move message to Junk Email folder"},
				{"Phishing", "Move message to Junk Email folder"}, {"High confidence phishing", "Quarantine message"}},
			Expect: "The four actions are shown in the policy."},
		needs: []string{idRedirectOn},
	}
}

func (p *Profile) directSendSetting() *setting {
	return &setting{
		id: idDirectSend, kind: kindOrganization, name: "Organization", seed: "",
		title: "Refuse direct send", fields: []field{flag("RejectDirectSend", true)},
		why:   "Anybody may hand mail that claims to be from the tenant's own domains directly to Exchange Online, past the gateway.",
		risk:  "Services and devices that send in the name of the tenant without a connector are refused (550 5.7.68), and that is not in the message trace.",
		check: "Get-OrganizationConfig: RejectDirectSend is True.",
		undo:  "Write back the value of the snapshot.",
		console: Console{Path: "Exchange Online PowerShell: Set-OrganizationConfig -RejectDirectSend $true", Link: "https://learn.microsoft.com/powershell/module/exchangepowershell/set-organizationconfig",
			Expect: "Get-OrganizationConfig shows RejectDirectSend True."},
		needs: []string{idLockOn},
	}
}

func (p *Profile) consentSetting() *setting {
	link := "https://login.microsoftonline.com/common/adminconsent?client_id=" + p.RemediationApp
	return &setting{
		id: idConsent, kind: kindConsent, name: p.RemediationApp, seed: "12",
		title: "Consent to the remediation application",
		why:   "Mail that turns out bad after delivery can be taken back only by an application that may write to mailboxes.",
		risk:  "The application may read and move mail of every mailbox, unless it is narrowed (RBAC for Applications).",
		check: "Microsoft Entra > Enterprise applications lists the application with its permissions.",
		undo:  "Delete the enterprise application.",
		console: Console{Path: "Open the link as Global or Privileged Role Administrator and accept", Link: link,
			Values: []Value{{"Application (client) id", p.RemediationApp}}, Expect: "The browser comes back with admin_consent=True."},
	}
}

func (p *Profile) accessSettings() []*setting {
	if p.Access == nil {
		return nil
	}
	name := p.roleGroupName()
	return []*setting{{
		id: idAccessApp, kind: kindPrincipal, name: p.Access.AppID, title: "Make the application known to Exchange",
		why:   "Exchange gives rights to applications that it knows by their id.",
		check: "Get-ServicePrincipal lists the application.", undo: "Remove-ServicePrincipal.",
		console: Console{Path: "Exchange Online PowerShell: New-ServicePrincipal", Link: "https://learn.microsoft.com/powershell/module/exchangepowershell/new-serviceprincipal",
			Values: []Value{{"AppId", p.Access.AppID}, {"ObjectId", p.Access.ObjectID}}, Expect: "Get-ServicePrincipal lists it."},
	}, {
		id: idAccessGroup, kind: kindRoleGroup, name: name, title: "Role group with the least rights",
		fields: []field{words("Roles", leastRoles...)},
		made:   []field{words("Members", p.Access.ObjectID)},
		why:    "The application gets the rights that these settings need and no directory role.",
		risk:   "New rights take minutes to hours to count.",
		check:  "Get-RoleGroup shows the roles and the member.", undo: "Remove-RoleGroup.",
		console: Console{Path: "Exchange admin center > Roles > Admin roles > Add role group", Link: "https://admin.exchange.microsoft.com/#/adminRoles",
			Values: []Value{{"Name", name}, {"Roles", strings.Join(leastRoles, ", ")}}, Expect: "The role group is in the list."},
		needs: []string{idAccessApp},
	}}
}

// leastRoles are the roles that all settings together need.
var leastRoles = slices.Sorted(slices.Values([]string{"Transport Rules", "Remote and Accepted Domains", "Transport Hygiene",
	"Tenant AllowBlockList Manager", "View-Only Configuration"}))
