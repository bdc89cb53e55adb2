package impostor

import (
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// habits looks for what the programs of bulk senders do to a header, and hardly any other.
func (x *scan) habits() {
	x.fromHabits()
	x.addressees()
	x.identifiers()
	x.subjectHabits()
	x.mailerHabits()
	x.encodedForm()
}

// fromHabits looks at the form of From.
func (x *scan) fromHabits() {
	if x.froms == 0 {
		return // see mailauth
	}
	from := x.from.first()
	if x.from.odd != "" {
		x.add("from.syntax", "%s", x.from.odd)
	}
	switch {
	case from.address == "":
	case x.author.bogus:
		x.add("from.no-host", "%s", x.author.name)
	case x.author.sharedName() != "" && !isServer(from.address):
		x.add("from.shared-host", "%s", x.author.name)
	case x.author.cheap:
		x.add("from.cheap-domain", "%s", x.author.name)
	}
	if len(x.from.list) > 1 && !x.post {
		x.add("from.several", "%d addresses", len(x.from.list))
	}
	local, _, _ := strings.Cut(from.address, "@")
	if what := randomName(local, x.author); what != "" && !x.post {
		x.add("from.random", "%s", what)
	}
	name := x.mail.name()
	if what := decorated(name); what != "" {
		x.add("from.decorated", "%s in the name", what)
	}
	x.department(name)
	if x.isRecipient(name) && !x.isRecipient(from.address) {
		x.add("from.recipient-name", "%q", name)
	}
}

// isServer says whether an address is that of a mail server, which sends reports from whatever name it has.
func isServer(address string) bool {
	address = strings.ToLower(address)
	return strings.HasPrefix(address, "postmaster@") || strings.HasPrefix(address, "mailer-daemon@") || strings.HasPrefix(address, "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e@")
}

// isRecipient says whether a text holds the address of a recipient.
func (x *scan) isRecipient(text string) bool {
	if text == "" {
		return false
	}
	lower := strings.ToLower(text)
	for a := range x.recipients {
		if len(a) >= 6 && strings.Contains(lower, strings.ToLower(a)) {
			return true
		}
	}
	return false
}

// addressees looks at To and Cc.
func (x *scan) addressees() {
	if x.post || x.auto {
		return
	}
	from := x.from.first().address
	switch {
	case !x.hasTo:
		x.add("to.hidden", "neither To nor Cc")
	case len(x.to.list) == 0:
		x.addScaled("to.hidden", 1.5, "no address in To and Cc")
	case len(x.to.list) == 1 && strings.EqualFold(x.to.list[0].address, from):
		x.add("to.self", "to the author himself")
	}
}

// identifiers looks at Message-ID, Date and the fields of lists and threads.
func (x *scan) identifiers() {
	switch {
	case !x.hasMsgID || x.msgID == "":
		x.add("identifier.missing", "no Message-ID")
	default:
		if what := oddID(x.msgID); what != "" {
			part := 1.0
			if what == noDomain { // hosts with names of their own, in networks of their own
				part = 0.5
			}
			x.addScaled("identifier.invalid", part, "%s: %s", what, x.msgID)
		}
	}
	switch {
	case !x.hasDate:
		x.add("date.missing", "no Date")
	default:
		x.checkDate()
	}
	if x.unsub != "" && !strings.Contains(x.unsub, "<mailto:") && !strings.Contains(x.unsub, "<http") &&
		!strings.Contains(x.unsub, "<MAILTO:") && strings.ContainsRune(x.unsub, '@') {
		x.add("list.unsubscribe-form", "%s", x.unsub)
	}
	if x.inReply != "" && !strings.ContainsRune(x.inReply, '@') && len(x.inReply) > 100 {
		x.add("thread.noise", "%s", x.inReply)
	}
}

// oddID says what is wrong with a Message-ID.
func oddID(id string) string {
	inner := strings.Trim(id, "<> \t")
	at := strings.LastIndexByte(inner, '@')
	switch {
	case at < 0:
		return "no at sign"
	case strings.Count(inner, "@") > 1:
		return "several at signs"
	}
	d := parseDomain(inner[at+1:])
	if strings.HasPrefix(d.name, "[") {
		return ""
	}
	if strings.Contains(d.name, ".") && d.bogus {
		return noDomain
	}
	return ""
}

const noDomain = "a domain that is none"

func (x *scan) checkDate() {
	if x.when.IsZero() {
		x.add("date.invalid", "%s", x.date)
		return
	}
	now := x.m.Received
	if !now.IsZero() && x.when.Sub(now) > maxDate {
		x.add("date.future", "%s, %v ahead", x.date, x.when.Sub(now).Round(time.Hour))
	}
}

// mailerHabits looks at the program that is said to have written the message.
func (x *scan) mailerHabits() {
	switch {
	case x.mailer == "":
	case forgedOutlook(x):
		x.add("mailer.forged", "%s without what it writes", x.mailer)
	case bulkMailer(x.mailer):
		x.add("mailer.bulk", "%s", x.mailer)
	}
	if x.priority && !x.post && x.body.htmlParts > 0 {
		x.add("form.priority", "marked as urgent")
	}
	if x.post || x.body.htmlParts == 0 {
		return
	}
	if x.when.Year() >= signedSince && !x.signed && x.m.Auth.SPF.Result != verdict.Pass {
		x.add("form.unsigned", "HTML without a DKIM-Signature")
	}
	if x.signed && x.signedElsewhere() {
		x.add("form.signed-elsewhere", "signed for %s, and not for %s", strings.Join(x.signers, ", "), x.author.org)
	}
	if !x.mime {
		x.add("form.no-mime-version", "HTML without MIME-Version")
	}
}

// signedElsewhere says whether nobody but others has signed for the author: neither his domain, nor the service for newsletters that
// he left it to, nor the provider of his mailboxes under the name that it gives to those who have set up nothing.
func (x *mail) signedElsewhere() bool {
	if x.aligned() || strings.Contains(x.unsub, "http") || x.author.org == "" || x.auto || len(x.signers) == 0 {
		return false
	}
	for _, s := range x.signers {
		d := parseDomain(s)
		if d.org == x.author.org || strings.HasSuffix(d.name, "gappssmtp.com") ||
			strings.HasSuffix(d.name, "onmicrosoft.com") && strings.Contains(d.name, strings.ReplaceAll(x.author.label, "-", "")) {
			return false
		}
	}
	return true
}

// signedSince is the year from which nearly all services and programs that send HTML see to it that it is signed;
// large receivers have asked for it since 2024.
const signedSince = 2020

// encodedForm looks at what is encoded in the header and need not be, and at what is not and has to be.
func (x *scan) encodedForm() {
	if strings.Contains(x.rawSubj, "=?") && isASCII(x.subject) && !strings.Contains(x.subject, "=?") ||
		strings.Contains(x.rawFrom, "=?") && isASCII(x.fromText) && !strings.Contains(x.fromText, "=?") {
		x.add("form.encoded-ascii", "%s", clip(x.rawFrom))
	}
	if !isASCII(x.rawSubj) || !isASCII(x.rawFrom) {
		x.add("form.raw", "%s", x.subject)
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// forgedOutlook says whether a message claims a program of Microsoft's that always writes X-MimeOLE.
func forgedOutlook(x *scan) bool {
	claims := strings.HasPrefix(x.mailer, "Microsoft Outlook Express") || strings.HasPrefix(x.mailer, "Microsoft Outlook IMO") ||
		strings.HasPrefix(x.mailer, "Microsoft Outlook, Build") || strings.HasPrefix(x.mailer, "Microsoft Windows Live Mail")
	return claims && !x.mimeOLE && !x.post
}

// bulkMailer says whether an X-Mailer is of a tool that is used for little else, or no name at all.
func bulkMailer(mailer string) bool {
	lower := strings.ToLower(mailer)
	for _, m := range bulkMailers {
		if strings.Contains(lower, m) {
			return true
		}
	}
	if len(mailer) > 8 || strings.ContainsAny(mailer, " .-/") {
		return false
	}
	name := strings.TrimRight(lower, "0123456789")
	switch {
	case name == "":
		return true
	case name == lower: // letters alone
		return len(name) >= 5 && vowels(name) == 0
	}
	return strings.ContainsAny(name, "0123456789") || vowels(name) == 0 || mailer[1:len(name)] != name[1:] // "Claws2" is a name
}

// bulkMailers are tools to send in masses, and versions of others that are only left in such.
var bulkMailers = []string{
	"phpmailer [version 1", "phpmailer 1.", "group spamware", "massmail", "mass mail", "atomic mail", "advanced mass", "bulk mail", "turbo-mailer",
	"turbomailer", "dark mailer", "send-safe", "stealth mail", "emailer platinum", "gammadyne", "mailking", "mail bomber", "leaf mailer",
	"leafphpmailer", "xmailer", "superscript", "sendblaster", "king mailer", "heart sender", "gx40", "floodgate", "diffondi",
	"aristotle mail", "mailworkz", "extractor", "ultimate mailer", "mach10", "worldmerge", "rumba",
}
