package impostor

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// domainName is a domain taken apart.
type domainName struct {
	name   string // in lower case
	org    string // organisational domain, by the public suffix list: "example.co.uk"
	label  string // of it, without suffix: "example"
	suffix string // "co.uk"
	bogus  bool   // no domain that mail could come from
	cheap  bool   // under a top-level domain of which more is abused than used
}

func parseDomain(name string) domainName {
	name = strings.ToLower(strings.Trim(name, ". "))
	d := domainName{name: name, org: name}
	if name == "" {
		d.bogus = true
		return d
	}
	if strings.HasPrefix(name, "[") {
		d.suffix = name
		return d
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	d.suffix = suffix
	if !icann && !strings.Contains(suffix, ".") {
		d.bogus = !privateTLD[suffix]
		if !strings.Contains(name, ".") {
			d.label = name
		}
	}
	if rest, ok := strings.CutSuffix(name, "."+suffix); ok {
		d.label = rest[strings.LastIndexByte(rest, '.')+1:]
		d.org = d.label + "." + suffix
	}
	d.bogus = d.bogus || !isHostName(name)
	top := suffix[strings.LastIndexByte(suffix, '.')+1:]
	d.cheap = cheapTLD[top] || cheapTLD[suffix]
	return d
}

// isHostName says whether a name has only letters, digits, hyphens and dots where they may be.
func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, r := range label {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			case r > 0x7f && r != unicode.ReplacementChar && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)):
			default:
				return false
			}
		}
	}
	return true
}

// privateTLD are names that are used inside of networks and in examples (RFC 2606, RFC 6762, RFC 8375).
var privateTLD = set("local localdomain localhost lan internal intranet home corp private test example invalid arpa onion")

// cheapTLD are suffixes under which abuse is a large part of all there is, by the statistics that registries and
// block lists publish.
var cheapTLD = set(`tk ml ga cf gq top xyz icu cyou buzz monster quest rest bond sbs cfd lol click link work pro shop store
	online site website space fun live life world club today digital beauty hair skin makeup mom dad homes boats
	autos motorcycles yachts pics art live cam date loan men win bid stream download racing review party trade
	accountant science faith cricket zip mov sa.com za.com ru.com br.com uk.com us.com eu.com it.com in.net`)

// set makes a set of words.
func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// skeleton returns the label as the eye reads it: without hyphens, with letters that look alike made one.
func (d domainName) skeleton() string {
	label := d.label
	if strings.HasPrefix(label, "xn--") {
		if u, err := idna.ToUnicode(label); err == nil {
			label = u
		}
	}
	return skeleton(label)
}

func skeleton(label string) string {
	out := make([]byte, 0, len(label))
	for _, r := range label {
		var c byte
		switch {
		case r == '-' || r == '_':
			continue
		case r >= '0' && r <= '9':
			c = leet[r-'0']
		case r < 0x80:
			c = byte(unicode.ToLower(r))
		default:
			c = foldLetter(r).base
			if c == 0 {
				c = other
			}
		}
		switch n := len(out); {
		case c == 'n' && n > 0 && out[n-1] == 'r':
			out[n-1] = 'm'
		case c == 'v' && n > 0 && out[n-1] == 'v':
			out[n-1] = 'w'
		case c == 'l':
			out = append(out, 'i')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// resembles says whether d is made to be taken for own, and how.
func (d domainName) resembles(own domainName) (how string, ok bool) {
	if d.org == own.org || d.label == "" || own.label == "" || d.bogus {
		return "", false
	}
	a, b := d.skeleton(), own.skeleton()
	short := len(own.label) < 5
	switch {
	case a == b && d.label != own.label:
		return "reads the same", true
	case a == b:
		return "the same name under another suffix", !short
	case short:
		return "", false
	case near(a, b, 1+len(b)/10):
		return "differs by a letter", true
	case len(b) >= 6 && (strings.HasPrefix(a, b) || strings.HasSuffix(a, b)) && len(a)-len(b) >= 2:
		return "the name with something added", true
	}
	return "", false
}

// near says whether at most most letters were changed, added, left out or swapped.
func near(a, b string, most int) bool {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) > 63 || len(b) > 63 {
		return false
	}
	var rows [3][64]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, up, up2 := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(up[j]+1, row[j-1]+1, up[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], up2[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)] <= most
}

// isFreemail says whether anybody can have a mailbox under the domain.
func (d domainName) isFreemail() bool {
	return freemail[d.org] || freemailBrand[d.label] && len(d.suffix) <= 6
}

var freemailBrand = set("yahoo hotmail live outlook gmx ymail rocketmail yandex")

// freemail are organisational domains that give mailboxes to anybody.
var freemail = set(`gmail.com googlemail.com aol.com aol.co.uk icloud.com me.com mac.com msn.com web.de mail.ru bk.ru list.ru inbox.ru
	rambler.ru ya.ru protonmail.com protonmail.ch proton.me pm.me zoho.com zohomail.com tutanota.com tutanota.de tuta.com tuta.io mail.com
	email.com usa.com consultant.com post.com myself.com europe.com laposte.net orange.fr wanadoo.fr free.fr sfr.fr neuf.fr libero.it
	virgilio.it tin.it alice.it tiscali.it t-online.de freenet.de arcor.de uol.com.br bol.com.br terra.com.br ig.com.br globo.com qq.com
	163.com 126.com yeah.net sina.com sina.cn sohu.com foxmail.com aliyun.com naver.com daum.net hanmail.net rediffmail.com indamail.hu freemail.hu
	citromail.hu seznam.cz email.cz centrum.cz wp.pl o2.pl onet.pl onet.eu interia.pl op.pl abv.bg inbox.lv mail.ee comcast.net verizon.net
	att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net btinternet.com sky.com talktalk.net virginmedia.com ntlworld.com
	ziggo.nl kpnmail.nl planet.nl hetnet.nl home.nl skynet.be telenet.be bluewin.ch hispeed.ch hushmail.com fastmail.com fastmail.fm
	eudoramail.com excite.com lycos.com juno.com netzero.net caramail.com caramail.fr netscape.net flashmail.com usa.net mailcity.com bigfoot.com
	hotpop.com mailinator.com gmx.net gmx.de gmx.at gmx.ch gmx.com gmx.fr 1mail.ml engineer.com lawyer.com accountant.com diplomats.com
	onmail.com skiff.com duck.com mailfence.com disroot.org riseup.net cock.li posteo.de posteo.net mailbox.org yopmail.com guerrillamail.com`)

// sharedHost are domains of which anybody gets a name of his own, to build and send with, for nothing.
var sharedHost = set(`firebaseapp.com web.app appspot.com herokuapp.com netlify.app vercel.app pages.dev workers.dev onmicrosoft.com
	azurewebsites.net github.io gitlab.io glitch.me repl.co replit.app wixsite.com weebly.com blogspot.com 000webhostapp.com bubbleapps.io
	softr.app webflow.io square.site godaddysites.com`)

// sharedName returns the domain of sharedHost that d is a name under, or "".
func (d domainName) sharedName() string {
	for name := d.name; ; {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return ""
		}
		if sharedHost[rest] {
			return rest
		}
		name = rest
	}
}
