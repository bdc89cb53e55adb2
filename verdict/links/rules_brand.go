package links

import (
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// guarded is a domain of Scanner.Protected made ready.
type guarded struct{ domain, label, skeleton string }

func newGuarded(domains []string) []guarded {
	var out []guarded
	for _, d := range domains {
		d = strings.Trim(strings.ToLower(strings.TrimSpace(d)), ".")
		if a, err := idna.Lookup.ToASCII(d); err == nil {
			d = a
		}
		if d == "" {
			continue
		}
		label, _, _ := strings.Cut(orgDomain(d), ".")
		out = append(out, guarded{d, label, skeleton(display(label))})
	}
	return out
}

// display returns a host as people see it.
func display(host string) string {
	if !strings.Contains(host, "xn--") {
		return host
	}
	if u, err := idna.Punycode.ToUnicode(host); err == nil {
		return u
	}
	return host
}

// most is how many letters two names may differ in to be taken for one another, by the length of the shorter.
func most(n int) int {
	switch {
	case n < 6:
		return 0
	case n < 10:
		return 1
	}
	return 2
}

// imitation judges a host that looks like that of somebody else.
func (j *judge) imitation(l *link) {
	a := l.at
	if j.hosts[a.host] || a.ip.IsValid() || !strings.Contains(a.host, ".") || !knownSuffix(a.host) {
		return
	}
	j.hosts[a.host] = true
	if j.protected(l) || j.from.owns(a) && !strings.Contains(a.host, "xn--") {
		return
	}
	kind := kindOf(a.host)
	if kind == siteCommon || kind == siteMailing {
		return
	}
	j.imitated(l)
}

// protected compares with the domains that the gateway protects.
func (j *judge) protected(l *link) bool {
	host := l.at.host
	for _, g := range j.guarded {
		if within(host, g.domain) || l.at.org == orgDomain(g.domain) {
			return true // the real one
		}
	}
	label, _, _ := strings.Cut(l.at.org, ".")
	shape := skeleton(display(label))
	for _, g := range j.guarded {
		switch {
		case len(g.label) < 4:
		case shape == g.skeleton && label != g.label:
			j.found(codeProtected, l.part, "%s looks like %s", display(host), g.domain)
			return true
		case distance(shape, g.skeleton, most(len(g.skeleton))) <= most(len(g.skeleton)) && shape != g.skeleton:
			j.found(codeProtected, l.part, "%s looks like %s", display(host), g.domain)
			return true
		case strings.HasPrefix(host, g.domain+"."), strings.Contains(host, "."+g.domain+"."):
			j.found(codeProtected, l.part, "%s begins like %s", host, g.domain)
			return true
		case hasWord(shape, g.skeleton) && label != g.label:
			j.found(codeProtected, l.part, "%s has the name of %s in it", host, g.domain)
			return true
		case label == g.label: // another top-level domain: may be theirs, may be not
			j.found(codeProtectedTLD, l.part, "%s has the name of %s under another top-level domain", host, g.domain)
		}
	}
	return false
}

// hasWord says whether a name has a word in it that hyphens set apart.
func hasWord(name, word string) bool {
	return strings.Contains(name, "-") && slices.Contains(strings.Split(name, "-"), word)
}

// imitated compares with the brands that others like to use.
func (j *judge) imitated(l *link) {
	a := l.at
	shown := display(a.host)
	org := display(a.org)
	label, suffix, _ := strings.Cut(org, ".")
	shape := skeleton(label)
	below := strings.TrimSuffix(strings.TrimSuffix(shown, org), ".")
	if j.brands.owner(a.host) {
		return
	}
	for _, b := range j.brands.list {
		for i, w := range b.words {
			switch {
			case below != "" && begins(below, b.Domains, w):
				j.found(codeBrandSubdomain, l.part, "%s begins like the site of %s", shown, b.Name)
				return
			case label == w && len(w) >= 5 && !b.Common:
				if !plainSuffix(suffix) {
					j.found(codeBrandWord, l.part, "%s has the name of %s", shown, b.Name)
					return
				}
			case len(w) < 4:
			case shape == b.skeletons[i] && label != w, b.near(shape, i):
				j.found(codeBrandLooks, l.part, "%s looks like %s", shown, b.Name)
				return
			case !b.Common && wordIn(label, w):
				j.found(codeBrandWord, l.part, "%s has the name of %s", shown, b.Name)
				return
			case !b.Common && len(w) >= 5 && (wordIn(below, w) || slices.Contains(strings.Split(below, "."), w)):
				j.found(codeBrandLabel, l.part, "%s has the name of %s", shown, b.Name)
				return
			}
		}
	}
}

// near says whether a skeleton is that of the word but for a slip of the pen.
func (b *brand) near(shape string, i int) bool {
	s := b.skeletons[i]
	m := most(len(s))
	if m == 0 || b.Common || shape == s || shape == "" || shape[0] != s[0] {
		return false
	}
	return distance(shape, s, m) <= m
}

// sister says whether a site has the brand's name below the domain of a country, which is not in the list of its domains.
func (b *brand) sister(a address) bool {
	label, suffix, _ := strings.Cut(a.org, ".")
	return len(tld(suffix)) == 2 && !abusedTLDs[tld(suffix)] && slices.Contains(b.words, label)
}

// begins says whether the labels below a foreign domain spell out a domain of the brand: www.paypal.com.evil.example.
func begins(below string, domains []string, word string) bool {
	for _, d := range domains {
		if strings.Contains(d, ".") && strings.Contains(d, word) && (below == d || strings.HasSuffix(below, "."+d) || strings.HasPrefix(below, d+".") || strings.Contains(below, "."+d+".")) {
			return true
		}
	}
	return false
}

// wordIn says whether a label is made of the word and others: paypal-login, secure-paypal, paypal2, loginpaypal.
func wordIn(label, word string) bool {
	if label == "" || len(label) <= len(word) {
		return false
	}
	i := strings.Index(label, word)
	if i < 0 {
		return false
	}
	before, after := label[:i], label[i+len(word):]
	if len(word) < 5 {
		return (before == "" || strings.HasSuffix(before, "-")) && (after == "" || strings.HasPrefix(after, "-")) || baitWords[after] && before == "" || baitWords[before] && after == ""
	}
	return (strings.HasSuffix(before, "-") || baits(before)) && (strings.HasPrefix(after, "-") || baits(after))
}

// baits says whether s is made of bait words, digits and hyphens alone.
func baits(s string) bool {
	s = strings.Trim(s, "-0123456789")
	if s == "" || baitWords[s] {
		return true
	}
	for i := 2; i < len(s)-1 && len(s) < 40; i++ {
		if baitWords[s[:i]] && baits(s[i:]) {
			return true
		}
	}
	return false
}

// baitWords are put beside names to make domains of them.
var baitWords = wordSet(`login signin secure security verify verification account accounts support service services update alert alerts online web mail email help
	team center info billing payment pay bank banking app apps id my the customer client clients portal access auth confirm recovery
	unlock reward rewards prize gift bonus promo offer shop store track tracking delivery parcel package express post official validate
	validation compliance claim airdrop wallet connect sync restore notice notification`)

// plainSuffix says whether a brand may well have its name there: the top-level domains of countries, and the old ones.
func plainSuffix(s string) bool {
	last := tld(s)
	return len(last) == 2 || last == "com" || last == "net" || last == "org"
}
