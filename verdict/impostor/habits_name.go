package impostor

import (
	"strings"
	"unicode"
)

// decorated says what stands in a display name that people do not put there.
func decorated(name string) string {
	run, last := 0, rune(0)
	for _, r := range name {
		switch {
		case isPicture(r):
			return "a picture"
		case r == unicode.ReplacementChar:
			return "characters that are none"
		case isStyled(r):
			return "styled letters"
		case r == last && strings.ContainsRune("\"'_-~*=.!$", r):
			if run++; run >= 2 {
				return "a row of signs"
			}
		default:
			run = 0
		}
		last = r
	}
	return ""
}

func isStyled(r rune) bool {
	if r < 0x250 {
		return false
	}
	c := foldLetter(r)
	return c.base != 0 && c.kind == kindStyled
}

// isPicture says whether a character is a pictograph or an emoji.
func isPicture(r rune) bool {
	switch {
	case r >= 0x1F000 && r <= 0x1FAFF:
		return !isStyled(r)
	case r >= 0x2600 && r <= 0x27BF, r >= 0x2B00 && r <= 0x2BFF, r >= 0x23E9 && r <= 0x23FF, r == 0x231A, r == 0x231B:
		return true
	}
	return false
}

// randomName says which part of an address looks as if a program had made it up, or "". Tokens of services that
// count answers stand behind a sign, or in the middle of long names, and are not looked at.
func randomName(local string, d domainName) string {
	if i := strings.IndexAny(local, "-_.+="); i >= 0 {
		local = local[:i]
	}
	if isRandom(local) && !(d.isFreemail() && strings.Trim(local, "0123456789") == "") { // numbers are names at some services
		return local
	}
	host := strings.TrimSuffix(d.name, "."+d.org)
	if isRandom(d.label) {
		return d.label
	}
	if host != d.name && !strings.Contains(host, ".") && isRandom(host) {
		return host
	}
	return ""
}

// isRandom says whether a word of an address looks made up: letters and digits in turn, nothing but many digits,
// capitals where nobody puts them, or more consonants in a row than words have.
func isRandom(s string) bool {
	if len(s) < 6 || strings.ContainsAny(s, "+=#%") {
		return false
	}
	if acronym := strings.TrimRight(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"); len(acronym)+3 <= len(s) && acronym != "" {
		s = acronym // "WeeklyNEWS"
	}
	var c casts
	for i := range len(s) {
		c.next(s, i)
	}
	switch {
	case c.letters == 0:
		return c.digits >= 10
	case c.switches >= 4 && c.digits >= 3 && c.letters >= 3:
		return true
	case len(s) >= 20 && c.digits >= 8 && c.letters >= 4:
		return true
	case c.longest >= 6 && c.letters >= 6 && !strings.Contains(strings.ToLower(s), "sch"):
		return true
	}
	return len(s) <= 16 && (c.odd >= 2 || c.odd == 1 && c.longest >= 4)
}

// casts counts the kinds of characters in a word and where they change.
type casts struct {
	letters, digits int
	switches        int // between letters and digits
	odd             int // capitals inside a word that do not begin another
	run, longest    int // of consonants
	last            byte
}

func (c *casts) next(s string, i int) {
	b := s[i]
	switch {
	case isDigit(b):
		if isASCIILetter(c.last) {
			c.switches++
		}
		c.digits++
		c.run = 0
	case isASCIILetter(b):
		if isDigit(c.last) {
			c.switches++
		}
		c.letters++
		if isUpper(b) && isLetter(c.last) && (i+2 >= len(s) || !isLetter(s[i+1]) || !isLetter(s[i+2])) {
			c.odd++
		}
		if isUpper(b) && isUpper(c.last) && i+1 < len(s) && isLetter(s[i+1]) && (i+3 >= len(s) || !isLetter(s[i+2]) || !isLetter(s[i+3])) {
			c.odd++
		}
		if strings.IndexByte("aeiouyAEIOUY", b) >= 0 {
			c.run = 0
		} else if c.run++; c.run > c.longest {
			c.longest = c.run
		}
	default:
		c.run = 0
	}
	c.last = b
}

// department looks for an office or a firm as the author, in a mailbox that anybody can have.
func (x *scan) department(name string) {
	if !x.author.isFreemail() || x.post {
		return
	}
	words := strings.Fields(strings.TrimSpace(string(x.name.text)))
	for _, w := range words {
		if officeWords[w] {
			x.add("impostor.department", "%q at %s", name, x.author.name)
			return
		}
	}
}

// officeWords are in the names of offices, and hardly in those of people.
var officeWords = set(`support security helpdesk desk billing department dept administrator administration admin payroll recruitment recruiting hr
	service services customer customers care lottery loan loans bank banking finance financial compliance fraud refund refunds claims claim
	notification notifications notice alert alerts verification account accounts invoice invoices payment payments order orders delivery
	rewards reward winner prize foundation ministry embassy court police ceo president director team center centre renewal subscription
	kundenservice kundendienst abteilung buchhaltung sicherheit konto rechnung gewinn servicio atencion soporte seguridad cuenta banco
	facturacion comptabilite facturation securite banque assistenza servizio sicurezza banca atendimento suporte seguranca cobranca
	klantenservice beveiliging geeksquad`)

func vowels(s string) (n int) {
	for i := range len(s) {
		if strings.IndexByte("aeiouy", s[i]) >= 0 {
			n++
		}
	}
	return n
}
