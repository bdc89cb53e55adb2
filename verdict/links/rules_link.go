package links

import (
	"encoding/base64"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
)

// passages judges the services that a link goes through.
func (j *judge) passages(l *link) {
	if l.deep {
		j.found(codeNested, l.part, "more than %d services one after the other: %s", maxWraps, clip(l.target, 100))
	}
	for i, p := range l.passes {
		next := l.at
		if i+1 < len(l.passes) {
			next = l.passes[i+1]
		}
		switch {
		case i >= len(l.kinds):
		case next.org == p.org:
		case l.kinds[i] == wrapRedirect && j.from.news && (within(p.host, "doubleclick.net") || within(p.host, "googleadservices.com")):
			// an advertisement in a newsletter
		case l.kinds[i] == wrapRedirect && !j.known(next):
			j.found(codeRedirect, l.part, "%s sends to %s", p.host, next.host)
		case l.kinds[i] == wrapProxy && !j.known(next):
			j.found(codeProxy, l.part, "%s shows %s", p.host, next.host)
		}
	}
	if l.opaque() {
		j.found(codeOpaque, l.part, "%s does not say where it leads", l.at.host)
		return
	}
	k := kindOf(l.at.host)
	if k == siteMailing || j.from.owns(l.at) {
		return
	}
	if next, ok := carried(l.at); ok {
		if b, ok := parseAddress(next, ""); ok && !j.from.owns(b) && kindOf(b.host) != siteCommon {
			j.found(codeCarries, l.part, "%s carries %s", l.at.host, b.host)
		}
	}
}

// shown compares what a person sees of a link with where it leads.
func (j *judge) shown(l *link) {
	if l.from != inHTML || l.text == "" && l.alt == "" || l.nested {
		return
	}
	if n := styled(l.text); n >= 4 {
		j.found(codeStyled, l.part, "%q", clip(l.text, 80))
	}
	seen, ok := shownAddress(l.text)
	if !ok || l.opaque() {
		return
	}
	for _, a := range append(l.passes, l.at) {
		if a.org == seen.org {
			return
		}
	}
	if j.known(l.at) || sameOwner(seen, l.at) || kindOf(seen.host) == siteShortener {
		return
	}
	if j.from.owns(seen) {
		j.found(codeTextOwn, l.part, "%q leads to %s", clip(l.text, 100), l.at.host)
		return
	}
	j.found(codeText, l.part, "%q leads to %s", clip(l.text, 100), l.at.host)
}

// sameOwner says whether two sites differ in the top-level domain alone, one being that of a country.
func sameOwner(a, b address) bool {
	la, _, _ := strings.Cut(a.org, ".")
	lb, _, _ := strings.Cut(b.org, ".")
	country := len(tld(a.host)) == 2 || len(tld(b.host)) == 2
	return la == lb && len(la) > 3 && country && !abusedTLDs[tld(b.host)]
}

// shownAddress reads text that is an address on the web and nothing else.
func shownAddress(text string) (address, bool) {
	text = strings.Trim(text, " \t\n<>[]()\"'«»“”.,:;→►")
	if len(text) < 4 || len(text) > 500 || strings.ContainsAny(text, " \n@") || !strings.Contains(text, ".") {
		return address{}, false
	}
	scheme := strings.Contains(text[:min(len(text), 9)], "://")
	if !scheme && !startsLikeHost(latin(text)) {
		return address{}, false
	}
	if !scheme {
		if host, _, _ := strings.Cut(latin(text), "/"); fileLike(tld(host)) {
			return address{}, false
		}
	}
	a, ok := parseAddress(text, "")
	return a, ok && a.web() && knownSuffix(a.host)
}

// victim judges a link that says whom it was sent to.
func (j *judge) victim(l *link) {
	a := l.at
	if j.from.owns(a) || l.nested || len(j.from.recipients) == 0 || a.query == "" && a.fragment == "" && len(a.path) < 10 {
		return
	}
	for _, r := range j.from.recipients {
		switch {
		case names(a.fragment, r), namesCoded(a.fragment, r):
			j.found(codeVictimFragment, l.part, "the fragment for %s has the address of the recipient", a.host)
			return
		case kindOf(a.host) == siteMailing:
		case namesCoded(a.query, r), namesCoded(a.path, r):
			j.found(codeVictimCoded, l.part, "%s is told the address of the recipient in base64", a.host)
			return
		case names(a.query, r), names(a.path, r):
			j.found(codeVictim, l.part, "%s is told the address of the recipient", a.host)
			return
		}
	}
}

// names says whether a part of an address has an e-mail address in it.
func names(s, mail string) bool {
	return len(s) >= len(mail) && strings.Contains(strings.ToLower(unescape(s)), mail)
}

// namesCoded is names for base64.
func namesCoded(s, mail string) bool {
	coded := strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(mail)), "=")
	coded = coded[:len(coded)-len(coded)%4] // the last group depends on what follows
	return len(coded) >= 8 && strings.Contains(s, coded)
}

// code judges a link in a QR code.
func (j *judge) code(l *link) {
	if j.known(l.at) || l.nested {
		return
	}
	j.found(codeQRForeign, l.part, "%s", l.at.String())
}

// forms judges what can be filled in.
func (j *judge) forms(p page) {
	for _, f := range p.doc.Forms {
		a, ok := parseAddress(f.Action, p.doc.Base)
		foreign := ok && (a.web() && !j.known(a) || a.scheme == "mailto")
		switch {
		case f.Password:
			j.found(codeFormPassword, p.part, "a form asks for a password, for %s", target(f, a))
		case foreign && f.Inputs > 0:
			j.found(codeForm, p.part, "a form with %d fields, for %s", f.Inputs, target(f, a))
		}
	}
}

func target(f htmldoc.Form, a address) string {
	if a.web() {
		return a.host
	}
	if f.Action == "" {
		return "nobody it says"
	}
	return clip(f.Action, 60)
}
