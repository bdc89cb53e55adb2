package impostor

import (
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// identity looks at who the message says it is from.
func (x *scan) identity() {
	x.ownDomains()
	x.brands()
	x.people()
	x.ownDomain()
	x.nameAddress()
	x.replies()
	x.thread()
}

// ownDomains collects the domains that are to be protected.
func (x *scan) ownDomains() {
	add := func(name string) {
		d := parseDomain(name)
		if d.org == "" || d.isFreemail() {
			return
		}
		for _, have := range x.own {
			if have.org == d.org {
				return
			}
		}
		x.own = append(x.own, d)
	}
	for _, name := range x.Domains {
		add(name)
	}
	for _, r := range x.m.Envelope.To {
		if len(x.own) < 100 {
			add(verdict.Domain(r.Address))
		}
	}
}

// brands looks for names of others in the author's, in his domain and in the text.
func (x *scan) brands() {
	all := brandsByIndex()
	if x.from.list == nil {
		return
	}
	folded := strings.TrimSpace(string(x.name.text))
	rewritten := x.post && strings.Contains(folded, " via ") // by the list
	if b, ok := all.claimed(folded, x.name, x.author); ok && !rewritten {
		weight := 1.0
		if !x.post && (x.author.isFreemail() || x.author.cheap) { // no brand writes from there
			weight = 1.2
		}
		x.addScaled("impostor.brand-name", weight, "%q is not of %s", all.title[b], x.author.name)
	}
	for _, hits := range [][]brandHit{x.name.brandsIn, x.text.brandsIn} {
		for _, h := range hits {
			if !all.owns(h.brand, x.author) && all.cousin(h.brand, x.author) {
				x.add("impostor.brand-domain", "%s is not of %q", x.author.name, all.title[h.brand])
				break
			}
		}
		if x.has("impostor.brand-domain") {
			break
		}
	}
	if x.has("impostor.brand-name") || x.post || !x.lured() {
		return
	}
	for _, h := range x.text.brandsIn {
		if brands[h.brand].common || all.owns(h.brand, x.author) {
			continue
		}
		if h.inSubject || h.times > 1 || h.first < x.text.subject+60 {
			weight := 1.0
			if x.author.isFreemail() { // no brand writes from there
				weight = 1.5
			}
			x.addScaled("impostor.brand-text", weight, "%q in a message from %s", all.title[h.brand], x.author.name)
			return
		}
	}
}

// ownDomain looks at mail that claims to be from a domain of ours, or that looks like it.
func (x *scan) ownDomain() {
	for _, own := range x.own {
		if x.author.org == own.org {
			if who, failed := unproven(x.m.Auth, own); failed {
				x.add("impostor.own-domain", "From is of %s, and %s", own.org, who)
			}
			return
		}
	}
	for _, own := range x.own {
		if how, ok := x.author.resembles(own); ok {
			code := "impostor.look-alike"
			if x.author.label == own.label {
				code = "impostor.same-name"
			}
			x.add(code, "%s for %s: %s", x.author.name, own.org, how)
			return
		}
	}
}

// unproven says whether somebody checked who sent the message and found no proof that it was own. A look-up that
// failed for the time being leaves it open.
func unproven(r verdict.AuthResults, own domainName) (string, bool) {
	if r.SPF.Result == "" && r.DMARC.Result == "" && r.DKIM == nil {
		return "", false // nobody checked
	}
	const open = verdict.AuthResult("temperror")
	if r.DMARC.Result == verdict.Pass || r.DMARC.Result == open || r.SPF.Result == open {
		return "", false
	}
	if r.SPF.Result == verdict.Pass && parseDomain(r.SPF.Domain).org == own.org {
		return "", false
	}
	for _, d := range r.DKIM {
		if d.Result == open || d.Result == verdict.Pass && parseDomain(d.Domain).org == own.org {
			return "", false
		}
	}
	return "neither SPF nor DKIM passed for it", true
}

// nameAddress looks for an address in the display name that is not the one behind it.
func (x *scan) nameAddress() {
	name := x.mail.name()
	if !strings.ContainsRune(name, '@') || strings.Contains(name, " via ") || x.post {
		return
	}
	a := anyAddress(strings.ReplaceAll(name, "'", " "))
	shown := parseDomain(a.domain)
	if a.address == "" || shown.bogus || shown.org == x.author.org || !strings.Contains(a.domain, ".") {
		return
	}
	x.add("impostor.name-address", "%s in the name beside %s", a.address, x.from.first().address)
}

// replies looks at where an answer would go.
func (x *scan) replies() {
	reply := x.reply.first()
	if reply.address == "" || x.post && (x.isAddressee(reply.address) || strings.Contains(x.mail.name(), " via ")) || strings.EqualFold(reply.address, x.from.first().address) {
		return
	}
	d := parseDomain(reply.domain)
	switch {
	case d.bogus:
		x.add("reply.no-host", "%s", reply.domain)
	case d.org == x.author.org && !d.isFreemail():
	case d.isFreemail() && x.author.isFreemail():
		x.add("reply.other-mailbox", "from %s, reply to %s", x.from.first().address, reply.address)
	case d.isFreemail():
		x.add("reply.freemail", "from %s, reply to %s", x.author.name, reply.address)
	default:
		if how, ok := d.resembles(x.author); ok && !x.author.isFreemail() && d.label != x.author.label {
			x.add("reply.look-alike", "%s for %s: %s", d.name, x.author.name, how)
			return
		}
		weight := 1.0
		if d.cheap {
			weight = 2
		}
		x.addScaled("reply.elsewhere", weight, "from %s, reply to %s", x.author.name, d.name)
	}
}

// isAddressee says whether an address stands in To or Cc, or is that of the list.
func (x *scan) isAddressee(address string) bool {
	for _, b := range x.to.list {
		if strings.EqualFold(b.address, address) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(x.listPost), strings.ToLower(address))
}

// thread looks at answers to nothing.
func (x *scan) thread() {
	if !isReply(x.subject) || x.inReply != "" || x.refs != "" || x.threadIdx || x.post {
		return
	}
	x.add("thread.fake", "%q without a message that it answers", x.subject)
}

// isReply says whether a subject has the mark of an answer or a forwarded message, in the usual languages.
func isReply(subject string) bool {
	head, _, ok := strings.Cut(subject, ":")
	if !ok || len(head) > 8 {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(head)) {
	case "re", "aw", "fw", "fwd", "wg", "tr", "rv", "enc", "r", "i", "antw", "sv", "vs", "odp", "res":
		return true
	}
	return false
}
