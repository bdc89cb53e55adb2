package app

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/postreeve/postreeve/m365"
)

// The ids of the steps.
const (
	otherTLS   = "tls"
	otherAllow = "allow"
	otherSpam  = "spam-rule"
	otherProof = "proof"
	otherMX    = "mx"
	otherLock  = "lock"
)

// guide writes the steps and the way back, in the form that all commands about tenants share.
func (d *otherDesk) guide() *m365.Guide {
	g := &m365.Guide{Title: "Put " + d.domain + " behind the gateway", Before: []string{
		"It is the whole domain or nothing: the MX records know no users.",
		"Write down every value before changing it: the way back needs it.",
		"The rights to change the mail server, its firewall and the zone of " + d.domain + ".",
	}}
	g.Steps = []m365.Step{d.tlsStep(), d.allowStep(), d.spamStep(), d.proofStep(), d.mxStep(), d.lockStep()}
	g.Back = d.back()
	return g
}

func (d *otherDesk) hopName() string { return cmp.Or(d.hop, "the mail server") }

func (d *otherDesk) tlsStep() m365.Step {
	return m365.Step{ID: otherTLS, Title: "See that the mail server can encrypt", Object: d.hopName(), Verb: m365.VerbProbe,
		Why:   "The gateway hands on all mail of the domain: first see that it can do so encrypted, with a certificate that fits.",
		Check: d.run("other verify") + " " + d.domain, Wait: "none",
		Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{{Name: "Run", Value: d.run("other verify") + " " + d.domain}},
			Expect: "STARTTLS is offered, and the certificate is valid for " + d.hopName() + "; then set tls: verify for the domain."}}
}

// list is the egress, one a line.
func (d *otherDesk) list(form func(string) string) string {
	if len(d.egress) == 0 {
		return form("<the addresses that the gateway sends from>")
	}
	out := make([]string, len(d.egress))
	for i, s := range d.egress {
		out[i] = form(s)
	}
	return strings.Join(out, "\n")
}

// openPort is the way back of closing a firewall.
const openPort = "Open port 25 again."

// Commands that several steps share.
const (
	frontends     = "Get-ReceiveConnector | Where-Object { $_.Name -like 'Default Frontend*' }"
	privateNets   = "'10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'"
	reloadPostfix = "postfix check && postfix reload"
	gatewayCIDR   = "check_client_access cidr:/etc/postfix/gateway.cidr"
	screenCIDR    = "cidr:/etc/postfix/gateway_screen.cidr"
	headerChecks  = "regexp:/etc/postfix/gateway_header_checks"
)

// inFront puts something in front of what a setting of Postfix is.
func inFront(key, what string) string {
	return "postconf -e \"" + key + " = " + what + ", $(postconf -h " + key + ")\""
}

// outOf takes it out again: the whole of it, and not a part of something longer.
func outOf(key, what string) string {
	pattern := strings.ReplaceAll(what, ".", "\\.")
	return "postconf -e \"" + key + " = $(postconf -h " + key + " | sed -E 's#(^|[, ])" + pattern + "([, ]+|$)#\\1#')\""
}

// lockPostfix lets nobody else in on one service: those for users have others.
func lockPostfix(service string) string {
	return "postconf -P '" + service + "/smtpd_client_restrictions=permit_mynetworks,check_client_access,cidr:/etc/postfix/gateway.cidr,reject'"
}

// edgeEntry is an address or network as the allow list of Exchange wants it.
func edgeEntry(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil && !p.IsSingleIP() {
		return "-IPRange '" + s + "'"
	}
	return "-IPAddress '" + strings.ReplaceAll(s, "'", "''") + "'"
}

// firstOf is an address of a network.
func firstOf(s string) string {
	a, _, _ := strings.Cut(s, "/")
	return a
}

func itself(s string) string { return s }

// psList is the egress as a list of PowerShell.
func (d *otherDesk) psList() string {
	return strings.ReplaceAll(d.list(func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }), "\n", ", ")
}

func (d *otherDesk) allowStep() m365.Step {
	s := m365.Step{ID: otherAllow, Title: "Let the gateway in without judging it", Object: d.hopName(), Verb: m365.VerbCreate,
		Why:   "All mail will come from a few addresses: limits for each address, block lists and SPF would take the gateway for a spammer, or for whoever wrote.",
		Risk:  "Whoever can send from these addresses is not judged for spam again: list those of the gateway and no others. Never put them where they may relay to the world.",
		Check: "A message through the gateway arrives without delay; the log shows no deferral.", Undo: "Take the addresses off again.", Wait: "none; with a hosted server up to an hour",
		Console: &m365.Console{Path: "The firewall and the allow list of the mail server", Expect: "The addresses may connect to port 25 and are exempt from block lists, rate limits, greylisting and SPF."}}
	values := []m365.Value{{Name: "Firewall: allow TCP port 25 from", Value: d.list(itself)}}
	switch d.flags.Server {
	case "exchange":
		s.Console.Path = "Exchange Management Shell"
		values = append(values,
			m365.Value{Name: "First keep what is there", Value: frontends + " | Format-List Identity,MaxInboundConnectionPerSource,TarpitInterval,RemoteIPRanges"},
			m365.Value{Name: "Do not judge the gateway's own address (Sender ID, connection filtering)", Value: "Set-TransportConfig -InternalSMTPServers @{Add=" + d.psList() + "}"},
			m365.Value{Name: "On Edge Transport servers, for each address", Value: d.list(func(s string) string { return "Add-IPAllowListEntry " + edgeEntry(s) })},
			m365.Value{Name: "No limit for each address, on the connectors that take mail from the Internet", Value: frontends + " | Set-ReceiveConnector -MaxInboundConnectionPerSource Unlimited -TarpitInterval 00:00:00"})
		s.Undo = "Set-TransportConfig -InternalSMTPServers @{Remove=" + d.psList() + "}\n" + frontends + " | Set-ReceiveConnector -MaxInboundConnectionPerSource 20 -TarpitInterval 00:00:05\n" +
			d.list(func(s string) string {
				return "Get-IPAllowListEntry -IPAddress '" + firstOf(s) + "' | Remove-IPAllowListEntry"
			})
	case "cpanel":
		s.Console.Path = "WHM > Exim Configuration Manager > Basic Editor > Access Lists > Trusted SMTP IP addresses"
		values = append(values, m365.Value{Name: "Trusted SMTP IP addresses", Value: d.list(itself)},
			m365.Value{Name: "cPanel > Email Routing > " + d.domain, Value: "Local Mail Exchanger"})
		s.Risk += " With Email Routing on Automatically Detect, cPanel stops taking mail for the domain as soon as the MX records name another host: set Local Mail Exchanger first."
	case "zoho":
		s.Console.Path = "Zoho Mail Admin Console > Security & Compliance > the settings for incoming mail > Trusted List (IP addresses)"
		values = append(values, m365.Value{Name: "Trusted IP addresses", Value: d.list(itself)})
	case "postfix":
		s.Console.Path = "On the mail server, as root"
		values = append(values,
			m365.Value{Name: "/etc/postfix/gateway.cidr", Value: d.list(func(s string) string { return s + " OK" })},
			m365.Value{Name: "/etc/postfix/gateway_screen.cidr", Value: d.list(func(s string) string { return s + " permit" })},
			m365.Value{Name: "First keep what is there", Value: "cp -pn /etc/postfix/main.cf /etc/postfix/main.cf.before-gateway"},
			m365.Value{Name: "Before the checks that judge clients", Value: inFront("smtpd_client_restrictions", gatewayCIDR)},
			m365.Value{Name: "Where postscreen runs", Value: inFront("postscreen_access_list", screenCIDR)},
			m365.Value{Name: "No limits for each address", Value: inFront("smtpd_client_event_limit_exceptions", strings.ReplaceAll(d.list(itself), "\n", ", "))},
			m365.Value{Name: "Then", Value: reloadPostfix})
		s.Risk += " Leave mynetworks alone: it is for those who may relay. Block lists in smtpd_recipient_restrictions are asked about the gateway too: move them behind the same check."
		s.Undo = outOf("smtpd_client_restrictions", gatewayCIDR) + "\n" + outOf("postscreen_access_list", screenCIDR) + "\n" +
			outOf("smtpd_client_event_limit_exceptions", strings.ReplaceAll(d.list(itself), "\n", ", ")) + "\n" + reloadPostfix
	}
	s.Console.Values = values
	return s
}

func (d *otherDesk) spamStep() m365.Step {
	field := d.header + "-Spam"
	s := m365.Step{ID: otherSpam, Title: "Put what the gateway marks into junk", Object: "header " + field, Verb: m365.VerbCreate,
		Why:   "The gateway delivers spam with the header " + field + ": FAIL and leaves to the server where it goes. It takes the header off whatever comes in with it.",
		Risk:  "Somebody who gets around the gateway can only mark a message as spam this way, which helps nobody.",
		Check: "Send the test string of postreeve try through the gateway: the message is in the junk folder.", Undo: "Remove the rule.", Wait: "none"}
	sieve := m365.Value{Name: "Sieve, for everybody (Dovecot: sieve_before)", Value: "require [\"fileinto\"];\nif header :is \"" + field + "\" \"FAIL\" {\n    fileinto \"Junk\";\n    stop;\n}"}
	checks := m365.Value{Name: "/etc/postfix/gateway_header_checks, where the filter behind looks at X-Spam-Flag", Value: "/^" + field + ": FAIL$/ PREPEND X-Spam-Flag: YES"}
	c := &m365.Console{Path: "The rules of the mail server", Expect: "A message with this header is in the junk folder, one without is not."}
	switch d.flags.Server {
	case "exchange":
		c.Path = "Exchange Management Shell"
		rule := "New-TransportRule -Name 'Postreeve Spam Rule' -HeaderMatchesMessageHeader '" + field + "' -HeaderMatchesPatterns 'FAIL' -SetSCL 6"
		if len(d.egress) > 0 {
			rule += " -SenderIpRanges " + d.psList()
		}
		c.Values = []m365.Value{{Name: "The rule", Value: rule}, {Name: "What counts as junk, if it was changed", Value: "Set-OrganizationConfig -SCLJunkThreshold 4"}}
		s.Undo = "Remove-TransportRule 'Postreeve Spam Rule' -Confirm:$false"
	case "cpanel":
		c.Path = "cPanel > Global Email Filters > Create a New Filter"
		c.Values = []m365.Value{{Name: "Filter Name", Value: "Postreeve Spam"}, {Name: "Rules", Value: "Any Header contains " + field + ": FAIL"}, {Name: "Actions", Value: "Deliver to Folder: /.spam"}}
	case "zoho":
		c.Path = "Zoho Mail > Settings > Filters, for each user, or the content rules of the Admin Console"
		c.Values = []m365.Value{{Name: "Header " + field + " is", Value: "FAIL"}, {Name: "Then move to", Value: "Spam"}}
	case "postfix":
		c.Path = "On the mail server, as root"
		c.Values = []m365.Value{sieve, checks, {Name: "With it, in main.cf", Value: inFront("header_checks", headerChecks) + "\n" + reloadPostfix}}
		s.Undo = outOf("header_checks", headerChecks) + "\n" + reloadPostfix + "\n# and take the lines for Sieve out again"
	default:
		c.Values = []m365.Value{{Name: "Header " + field + " is", Value: "FAIL"}, {Name: "Then move to", Value: "Junk"}, sieve, checks}
	}
	s.Console = c
	return s
}

func (d *otherDesk) proofStep() m365.Step {
	return m365.Step{ID: otherProof, Title: "Prove the domain", Object: d.domain, Verb: m365.VerbManual,
		Why:  "The gateway defers mail for a domain that nobody has proven. It comes before the MX records.",
		Wait: "until all name servers have the record: --wait does", Check: d.run("domain show") + " " + d.domain, Undo: d.run("domain remove") + " " + d.domain,
		Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{
			{Name: "Print the record, and have it made", Value: d.run("domain add") + " " + d.domain},
			{Name: "See that it is there", Value: d.run("domain verify") + " --wait " + d.domain}}, Expect: "The domain is verified."}}
}

func (d *otherDesk) mxStep() m365.Step {
	var lines []string
	for _, h := range d.mx {
		lines = append(lines, d.domain+". MX 0 "+h+".")
	}
	return m365.Step{ID: otherMX, Title: "Move the MX records to the gateway", Object: d.domain, Verb: m365.VerbManual, Needs: []string{otherAllow, otherSpam, otherProof},
		Why:  "From here on mail goes through the gateway.",
		Risk: "An MX record of before that is left in, with whatever preference, is a way past the gateway: spammers use the worst one on purpose.",
		Wait: "the old TTL, and 72 hours until nobody goes by the old records any more", Check: d.run("other verify") + " " + d.domain, Undo: "The old records in before the new ones go out.",
		Console: &m365.Console{Path: "Where the zone of " + d.domain + " is edited", Values: []m365.Value{
			{Name: "MX records, and no others", Value: strings.Join(lines, "\n")},
			{Name: "The order that loses no mail, with MTA-STS and TTL", Value: d.run("domain cutover") + " " + d.domain}},
			Expect: "An MX look-up names the gateway alone."}}
}

func (d *otherDesk) lockStep() m365.Step {
	s := m365.Step{ID: otherLock, Title: "Close the way past the gateway", Object: d.hopName(), Verb: m365.VerbEnable, Needs: []string{otherMX},
		Why:   "Whoever knows the name or address of the mail server can still send to it directly, and old records stay known for years.",
		Risk:  "Too early, mail that still comes directly is refused: wait until the old TTL is over and the log shows none.",
		Wait:  "begin when no mail has come from elsewhere for 72 hours",
		Check: d.run("other verify") + " --recipient ADDRESS " + d.domain + ", from a machine that the server does not know: mail from strangers is refused", Undo: openPort,
		Console: &m365.Console{Path: "The firewall of the mail server; ports 587 and 465, where users send, stay open",
			Values: []m365.Value{{Name: "Allow TCP port 25 from these alone", Value: d.list(itself)}}, Expect: "A connection from elsewhere to port 25 is refused."}}
	switch d.flags.Server {
	case "exchange":
		s.Console.Values = append(s.Console.Values, m365.Value{Name: "Or on the connectors, with networks of one's own", Value: frontends + " | Set-ReceiveConnector -RemoteIPRanges " + d.psList() + ", " + privateNets})
		s.Undo = frontends + " | Set-ReceiveConnector -RemoteIPRanges '0.0.0.0-255.255.255.255', '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'"
	case "postfix":
		s.Console.Values = append(s.Console.Values, m365.Value{Name: "Or in master.cf, for port 25 alone", Value: lockPostfix("smtp/inet") + "\npostfix reload"},
			m365.Value{Name: "The same where postscreen runs", Value: lockPostfix("smtpd/pass") + "\npostfix reload"})
		s.Undo = "postconf -PX smtp/inet/smtpd_client_restrictions\npostconf -PX smtpd/pass/smtpd_client_restrictions\npostfix reload"
	case "zoho":
		s.Console.Path = "Its firewall is not yours: ask its support to take mail of the domain from these addresses alone, or leave it"
	case "cpanel":
		s.Risk += " On a shared server the firewall is not yours: ask the provider, or leave it."
	}
	return s
}
