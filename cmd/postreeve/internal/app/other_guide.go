package app

import (
	"cmp"
	"fmt"
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
		Check: "postreeve other verify looks at it.",
		Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{{Name: "Run", Value: "postreeve other verify -c " + d.flags.Config + " " + d.domain}},
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

func itself(s string) string { return s }

// psList is the egress as a list of PowerShell.
func (d *otherDesk) psList() string {
	return strings.ReplaceAll(d.list(func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }), "\n", ", ")
}

func (d *otherDesk) allowStep() m365.Step {
	s := m365.Step{ID: otherAllow, Title: "Let the gateway in without judging it", Object: d.hopName(), Verb: m365.VerbCreate,
		Why:   "All mail will come from a few addresses: limits for each address, block lists and SPF would take the gateway for a spammer, or for whoever wrote.",
		Risk:  "Whoever can send from these addresses is not judged for spam again: list those of the gateway and no others. Never put them where they may relay to the world.",
		Check: "A message through the gateway arrives without delay; the log shows no deferral.", Undo: "Take the addresses off again.",
		Console: &m365.Console{Path: "The firewall and the allow list of the mail server", Expect: "The addresses may connect to port 25 and are exempt from block lists, rate limits, greylisting and SPF."}}
	values := []m365.Value{{Name: "Firewall: allow TCP port 25 from", Value: d.list(itself)}}
	switch d.flags.Server {
	case "exchange":
		s.Console.Path = "Exchange Management Shell"
		values = append(values,
			m365.Value{Name: "Do not judge the gateway's own address (Sender ID, connection filtering)", Value: "Set-TransportConfig -InternalSMTPServers @{Add=" + d.psList() + "}"},
			m365.Value{Name: "On Edge Transport servers, for each address", Value: d.list(func(s string) string {
				if p, err := netip.ParsePrefix(s); err == nil && !p.IsSingleIP() {
					return "Add-IPAllowListEntry -IPRange '" + s + "'"
				}
				return "Add-IPAllowListEntry -IPAddress '" + strings.ReplaceAll(s, "'", "''") + "'"
			})},
			m365.Value{Name: "No limit for each address, on the connector that takes mail from the Internet", Value: "Set-ReceiveConnector 'SERVER\\Default Frontend SERVER' -MaxInboundConnectionPerSource Unlimited -TarpitInterval 00:00:00"})
		s.Undo = "Set-TransportConfig -InternalSMTPServers @{Remove=…}, Remove-IPAllowListEntry, and the values of the connector that were written down."
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
			m365.Value{Name: "Before the checks that judge clients, in main.cf", Value: "smtpd_client_restrictions = check_client_access cidr:/etc/postfix/gateway.cidr, (what stood there)"},
			m365.Value{Name: "Where postscreen runs, in main.cf", Value: "postscreen_access_list = permit_mynetworks, cidr:/etc/postfix/gateway_screen.cidr"},
			m365.Value{Name: "No limits for each address, in main.cf", Value: "smtpd_client_event_limit_exceptions = $mynetworks, " + strings.ReplaceAll(d.list(itself), "\n", ", ")},
			m365.Value{Name: "Then", Value: "postfix check && postfix reload"})
		s.Risk += " Leave mynetworks alone: it is for those who may relay."
	}
	s.Console.Values = values
	return s
}

func (d *otherDesk) spamStep() m365.Step {
	field := d.header + "-Spam"
	s := m365.Step{ID: otherSpam, Title: "Put what the gateway marks into junk", Object: "header " + field, Verb: m365.VerbCreate,
		Why:   "The gateway delivers spam with the header " + field + ": FAIL and leaves to the server where it goes. It takes the header off whatever comes in with it.",
		Risk:  "Somebody who gets around the gateway can only mark a message as spam this way, which helps nobody.",
		Check: "Send the test string of postreeve try through the gateway: the message is in the junk folder.", Undo: "Remove the rule."}
	sieve := m365.Value{Name: "Sieve, for everybody (Dovecot: sieve_before)", Value: "require [\"fileinto\"];\nif header :is \"" + field + "\" \"FAIL\" {\n    fileinto \"Junk\";\n    stop;\n}"}
	checks := m365.Value{Name: "Postfix header_checks (pcre), where the filter behind looks at X-Spam-Flag", Value: "/^" + field + ": FAIL$/ PREPEND X-Spam-Flag: YES"}
	c := &m365.Console{Path: "The rules of the mail server", Expect: "A message with this header is in the junk folder, one without is not."}
	switch d.flags.Server {
	case "exchange":
		c.Path = "Exchange Management Shell"
		rule := "New-TransportRule -Name 'Postreeve Spam Rule' -HeaderMatchesMessageHeader '" + field + "' -HeaderMatchesPatterns 'FAIL' -SetSCL 6"
		if len(d.egress) > 0 {
			rule += " -SenderIpRanges " + d.psList()
		}
		c.Values = []m365.Value{{Name: "The rule", Value: rule}, {Name: "What counts as junk, if it was changed", Value: "Set-OrganizationConfig -SCLJunkThreshold 4"}}
		s.Undo = "Remove-TransportRule 'Postreeve Spam Rule'"
	case "cpanel":
		c.Path = "cPanel > Global Email Filters > Create a New Filter"
		c.Values = []m365.Value{{Name: "Filter Name", Value: "Postreeve Spam"}, {Name: "Rules", Value: "Any Header contains " + field + ": FAIL"}, {Name: "Actions", Value: "Deliver to Folder: /.spam"}}
	case "zoho":
		c.Path = "Zoho Mail > Settings > Filters, for each user, or the content rules of the Admin Console"
		c.Values = []m365.Value{{Name: "Header " + field + " is", Value: "FAIL"}, {Name: "Then move to", Value: "Spam"}}
	case "postfix":
		c.Path = "On the mail server, as root"
		c.Values = []m365.Value{sieve, checks, {Name: "In main.cf", Value: "header_checks = pcre:/etc/postfix/gateway_header_checks"}}
	default:
		c.Values = []m365.Value{{Name: "Header " + field + " is", Value: "FAIL"}, {Name: "Then move to", Value: "Junk"}, sieve, checks}
	}
	s.Console = c
	return s
}

func (d *otherDesk) proofStep() m365.Step {
	return m365.Step{ID: otherProof, Title: "Prove the domain", Object: d.domain, Verb: m365.VerbManual,
		Why: "The gateway defers mail for a domain that nobody has proven. It comes before the MX records.",
		Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{
			{Name: "Print the record, and have it made", Value: "postreeve domain add -c " + d.flags.Config + " " + d.domain},
			{Name: "See that it is there", Value: "postreeve domain verify -c " + d.flags.Config + " --wait " + d.domain}}, Expect: "The domain is verified."}}
}

func (d *otherDesk) mxStep() m365.Step {
	var lines []string
	for _, h := range d.mx {
		lines = append(lines, d.domain+". MX 0 "+h+".")
	}
	return m365.Step{ID: otherMX, Title: "Move the MX records to the gateway", Object: d.domain, Verb: m365.VerbManual, Needs: []string{otherAllow, otherSpam, otherProof},
		Why:  "From here on mail goes through the gateway.",
		Risk: "An MX record of before that is left in, with whatever preference, is a way past the gateway: spammers use the worst one on purpose.",
		Wait: "the old TTL, and 72 hours until nobody goes by the old records any more", Check: "postreeve other verify", Undo: "The old records in before the new ones go out.",
		Console: &m365.Console{Path: "Where the zone of " + d.domain + " is edited", Values: []m365.Value{
			{Name: "MX records, and no others", Value: strings.Join(lines, "\n")},
			{Name: "The order that loses no mail, with MTA-STS and TTL", Value: "postreeve domain cutover -c " + d.flags.Config + " " + d.domain}},
			Expect: "An MX look-up names the gateway alone."}}
}

func (d *otherDesk) lockStep() m365.Step {
	s := m365.Step{ID: otherLock, Title: "Close the way past the gateway", Object: d.hopName(), Verb: m365.VerbEnable, Needs: []string{otherMX},
		Why:   "Whoever knows the name or address of the mail server can still send to it directly, and old records stay known for years.",
		Risk:  "Too early, mail that still comes directly is refused: wait until the old TTL is over and the log shows none.",
		Wait:  "begin when no mail has come from elsewhere for 72 hours",
		Check: "postreeve other verify --recipient ADDRESS, from a machine that the server does not know", Undo: "Open port 25 again.",
		Console: &m365.Console{Path: "The firewall of the mail server; ports 587 and 465, where users send, stay open",
			Values: []m365.Value{{Name: "Allow TCP port 25 from these alone", Value: d.list(itself)}}, Expect: "A connection from elsewhere to port 25 is refused."}}
	switch d.flags.Server {
	case "exchange":
		s.Console.Values = append(s.Console.Values, m365.Value{Name: "Or on the connector", Value: "Set-ReceiveConnector 'SERVER\\Default Frontend SERVER' -RemoteIPRanges " + d.psList() + ", (your own networks)"})
	case "postfix":
		s.Console.Values = append(s.Console.Values, m365.Value{Name: "Or in main.cf", Value: "smtpd_client_restrictions = permit_mynetworks, check_client_access cidr:/etc/postfix/gateway.cidr, reject"})
	case "zoho", "cpanel":
		s.Risk += " On a shared server the firewall is not yours: ask the provider, or leave it."
	}
	return s
}

// back is the way back: open the server first, and take off last what mail on its way needs.
func (d *otherDesk) back() []m365.Step {
	old := "the MX records from before the gateway"
	if len(d.flags.Was) > 0 {
		var lines []string
		for _, h := range d.flags.Was {
			lines = append(lines, fmt.Sprintf("%s. MX 10 %s.", d.domain, strings.TrimSuffix(h, ".")))
		}
		old = strings.Join(lines, "\n")
	}
	allow, spam := d.allowStep(), d.spamStep()
	return []m365.Step{
		{ID: otherLock + ".off", Title: "Open the mail server", Object: d.hopName(), Verb: m365.VerbDisable, Why: "Mail will come directly again: it must not be refused.",
			Console: &m365.Console{Path: "The firewall of the mail server", Values: []m365.Value{{Name: "Allow TCP port 25 from", Value: "anywhere"}}, Expect: "Port 25 answers from anywhere."}},
		{ID: otherMX + ".back", Title: "Move the MX records back", Object: d.domain, Verb: m365.VerbManual, Why: "The old records come in before those of the gateway go out, so that there is a way at any time.",
			Wait: "the TTL of the records of the gateway, and 72 hours in which the gateway goes on",
			Console: &m365.Console{Path: "Where the zone of " + d.domain + " is edited", Values: []m365.Value{{Name: "Put in first", Value: old},
				{Name: "Then take out", Value: strings.Join(d.mx, "\n")}, {Name: "The order that loses no mail", Value: "postreeve domain cutover -c " + d.flags.Config + " " + d.domain + " --back"}},
				Expect: "An MX look-up does not name the gateway."}},
		{ID: otherSpam + ".remove", Title: "Remove the rule for junk", Object: spam.Object, Verb: m365.VerbRemove, Why: "Nothing writes the header any more.",
			Console: &m365.Console{Path: spam.Console.Path, Values: []m365.Value{{Name: "Undo", Value: spam.Undo}}, Expect: "It is no longer listed."}},
		{ID: otherAllow + ".remove", Title: "Take the addresses off", Object: allow.Object, Verb: m365.VerbRemove, Why: "Last, since mail on its way needs it: the queue of the gateway has to be empty.",
			Console: &m365.Console{Path: allow.Console.Path, Values: []m365.Value{{Name: "Take off", Value: d.list(itself)}, {Name: "Undo", Value: allow.Undo}}, Expect: "They are no longer listed."}},
		{ID: otherProof + ".remove", Title: "Give the domain up", Object: d.domain, Verb: m365.VerbRemove, Why: "The record in DNS may go when all is done.",
			Console: &m365.Console{Path: "On the machine of the gateway", Values: []m365.Value{{Name: "Run", Value: "postreeve domain remove -c " + d.flags.Config + " " + d.domain}}, Expect: "The domain is no longer listed."}},
	}
}
