package dnsverify

import (
	"net/netip"
	"slices"
	"strings"
)

// Platform is whose mail server a host name belongs to.
type Platform string

const (
	PlatformOurs            Platform = "ours"
	PlatformMicrosoft       Platform = "microsoft365"        // <domain>.mail.protection.outlook.com
	PlatformMicrosoftDNSSEC Platform = "microsoft365-dnssec" // <domain>.<letter>-v1.mx.microsoft
	PlatformMicrosoftGov    Platform = "microsoft365-gov"
	PlatformMicrosoftChina  Platform = "microsoft365-china"
	PlatformGoogle          Platform = "google-workspace"
	PlatformConsumer        Platform = "consumer" // Gmail, Outlook.com: never a company's domain
	PlatformGateway         Platform = "gateway"  // another mail security gateway
	PlatformNone            Platform = "none"     // null MX
	PlatformOther           Platform = "other"
)

// Own says which hosts and addresses are the gateway's.
type Own struct {
	Hosts []string       // names in lower case; ".gw.example" stands for all names below gw.example
	Addrs []netip.Prefix // addresses of those hosts
}

func (o Own) host(name string) bool {
	return slices.ContainsFunc(o.Hosts, func(h string) bool {
		h = canonical(h)
		return h == name || strings.HasPrefix(h, ".") && strings.HasSuffix(name, h)
	})
}

func (o Own) addr(a netip.Addr) bool {
	return slices.ContainsFunc(o.Addrs, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// patterns are compared with host names by whole labels: a leading dot stands for at least one label before it.
var patterns = []struct {
	pattern  string
	platform Platform
	product  string
}{
	{".olc.protection.outlook.com", PlatformConsumer, "Outlook.com"},
	{".mail.protection.outlook.com", PlatformMicrosoft, "Microsoft 365"},
	{".mail.eo.outlook.com", PlatformMicrosoft, "Microsoft 365"},
	{".mail.protection.outlook.de", PlatformMicrosoft, "Microsoft 365"},
	{".mx.microsoft", PlatformMicrosoftDNSSEC, "Microsoft 365"},
	{".mail.protection.office365.us", PlatformMicrosoftGov, "Microsoft 365 US Government"},
	{".mail.protection.partner.outlook.cn", PlatformMicrosoftChina, "Microsoft 365 China"},
	{"gmail-smtp-in.l.google.com", PlatformConsumer, "Gmail"},
	{".gmail-smtp-in.l.google.com", PlatformConsumer, "Gmail"},
	{"smtp.google.com", PlatformGoogle, "Google Workspace"},
	{"aspmx.l.google.com", PlatformGoogle, "Google Workspace"},
	{".aspmx.l.google.com", PlatformGoogle, "Google Workspace"},
	{"aspmx2.googlemail.com", PlatformGoogle, "Google Workspace"},
	{"aspmx3.googlemail.com", PlatformGoogle, "Google Workspace"},
	{"aspmx4.googlemail.com", PlatformGoogle, "Google Workspace"},
	{"aspmx5.googlemail.com", PlatformGoogle, "Google Workspace"},
	{".pphosted.com", PlatformGateway, "Proofpoint"},
	{".ppe-hosted.com", PlatformGateway, "Proofpoint Essentials"},
	{".mimecast.com", PlatformGateway, "Mimecast"},
	{".barracudanetworks.com", PlatformGateway, "Barracuda"},
	{".iphmx.com", PlatformGateway, "Cisco Secure Email"},
	{".messagelabs.com", PlatformGateway, "Broadcom Email Security.cloud"},
	{".hydra.sophos.com", PlatformGateway, "Sophos Email"},
	{".hes.trendmicro.com", PlatformGateway, "Trend Micro Email Security"},
	{".hornetsecurity.com", PlatformGateway, "Hornetsecurity"},
	{".antispameurope.com", PlatformGateway, "Hornetsecurity"},
	{".antispamcloud.com", PlatformGateway, "SpamExperts"},
	{".mailcontrol.com", PlatformGateway, "Forcepoint"},
	{".mx.cloudflare.net", PlatformGateway, "Cloudflare"},
	{".mxrecord.io", PlatformGateway, "Cloudflare Email Security"},
}

// Classify says whose mail server a host is, and the name of the product where it is known.
func Classify(host string, own Own) (Platform, string) {
	h := canonical(host)
	if h == "" {
		return PlatformNone, ""
	}
	if own.host(h) {
		return PlatformOurs, ""
	}
	for _, p := range patterns {
		below := p.pattern[0] == '.'
		if !below && h == p.pattern || below && strings.HasSuffix(h, p.pattern) && len(h) > len(p.pattern) {
			return p.platform, p.product
		}
	}
	return PlatformOther, ""
}

// neverHops are services that take mail from their own users only, by name, with what to use in place of them.
var neverHops = map[string]string{
	"smtp.office365.com":          "It is where users of Microsoft 365 send mail; use the tenant's own MX name.",
	"smtp-legacy.office365.com":   "It is where users of Microsoft 365 send mail; use the tenant's own MX name.",
	"outlook.office365.com":       "It is where users of Microsoft 365 read mail; use the tenant's own MX name.",
	"outlook.office.com":          "It is where users of Microsoft 365 read mail; use the tenant's own MX name.",
	"smtp.office365.us":           "It is where users of Microsoft 365 send mail; use the tenant's own MX name.",
	"smtp-mail.outlook.com":       "It is where users of Outlook.com send mail.",
	"smtp.gmail.com":              "It is where users of Gmail send mail; use smtp.google.com or aspmx.l.google.com.",
	"smtp-relay.gmail.com":        "It is for mail that leaves Google Workspace; use smtp.google.com or aspmx.l.google.com.",
	"imap.gmail.com":              "It is where users of Gmail read mail; use smtp.google.com or aspmx.l.google.com.",
	"smtp.mail.yahoo.com":         "It is where users of Yahoo send mail.",
	"smtp.mail.me.com":            "It is where users of iCloud send mail.",
	"mail.protection.outlook.com": "It is no host: use the tenant's own MX name below it.",
	"mx.microsoft":                "It is no host: use the tenant's own MX name below it.",
}

// refuseHop says by its name alone why a host can never be a next hop; nil if it may be one.
func refuseHop(host string, own Own) *Problem {
	h := canonical(host)
	platform, product := Classify(h, own)
	switch why, never := neverHops[h]; {
	case never:
		return &Problem{Code: NextHopRefused, Name: h, Detail: why}
	case platform == PlatformOurs:
		return &Problem{Code: MXPointsToSelf, Name: h}
	case platform == PlatformNone:
		return &Problem{Code: NextHopRefused, Name: ".", Detail: "A null MX accepts no mail."}
	case platform == PlatformConsumer:
		return &Problem{Code: NextHopRefused, Name: h, Detail: "It is for private mailboxes of " + product + ", not for a company's domain."}
	}
	return nil
}
