package mailauth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// spfRecord is one SPF record, read by the grammar of RFC 7208 section 12: an error anywhere in it is an
// error of all of it (section 4.6).
type spfRecord struct {
	terms    []spfTerm
	redirect string // domain-spec, unexpanded
	exp      string // domain-spec, unexpanded
}

// spfTerm is one mechanism.
type spfTerm struct {
	qualifier byte   // one of "+-~?"
	name      string // lower case
	domain    string // domain-spec, unexpanded, "" if there is none
	cidr4     int    // -1 if there is none
	cidr6     int
	net       netip.Prefix // of ip4 and ip6
}

var errSPFSyntax = errors.New("the SPF record does not follow RFC 7208 section 12")

func spfSyntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSPFSyntax, fmt.Sprintf(format, args...))
}

// isSPF says whether a TXT record is an SPF record (RFC 7208 section 4.5).
func isSPF(txt string) bool {
	const version = "v=spf1"
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// parseSPF reads a record for which isSPF is true.
func parseSPF(txt string) (*spfRecord, error) {
	r := new(spfRecord)
	for word := range strings.SplitSeq(txt[len("v=spf1"):], " ") {
		if word == "" {
			continue
		}
		var err error
		if name, value, ok := spfModifier(word); ok {
			err = r.modifier(name, value)
		} else {
			err = r.mechanism(word)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// spfModifier splits name "=" macro-string. What has its "=" behind a ":" or "/" is a mechanism.
func spfModifier(word string) (name, value string, ok bool) {
	for i := range len(word) {
		switch c := word[i]; {
		case c == '=':
			return strings.ToLower(word[:i]), word[i+1:], i > 0
		case isAlpha(c), i > 0 && (isDigit(c) || c == '-' || c == '_' || c == '.'):
		default:
			return "", "", false
		}
	}
	return "", "", false
}

func (r *spfRecord) modifier(name, value string) error {
	var field *string
	switch name {
	case "redirect":
		field = &r.redirect
	case "exp":
		field = &r.exp
	default:
		return checkMacros(value, false)
	}
	if *field != "" {
		return spfSyntax("%s= twice", name)
	}
	*field = value
	return checkDomainSpec(value)
}

func (r *spfRecord) mechanism(word string) error {
	t := spfTerm{qualifier: '+', cidr4: -1, cidr6: -1}
	if strings.IndexByte("+-~?", word[0]) >= 0 {
		t.qualifier, word = word[0], word[1:]
	}
	end := strings.IndexAny(word, ":/")
	if end < 0 {
		end = len(word)
	}
	rest := word[end:]
	t.name = strings.ToLower(word[:end])
	var err error
	switch t.name {
	case "all":
		if rest != "" {
			err = spfSyntax("all takes nothing: %q", rest)
		}
	case "a", "mx":
		rest, err = t.cutCIDR(rest)
		if err == nil {
			err = t.takeDomain(rest, false)
		}
	case "ptr":
		err = t.takeDomain(rest, false)
	case "include", "exists":
		err = t.takeDomain(rest, true)
	case "ip4", "ip6":
		err = t.takeNet(rest)
	default:
		err = spfSyntax("%q is no mechanism", word)
	}
	r.terms = append(r.terms, t)
	return err
}

// cutCIDR takes dual-cidr-length off the end of s.
func (t *spfTerm) cutCIDR(s string) (string, error) {
	var err error
	if i := lastSlash(s); i > 0 && s[i-1] == '/' {
		if t.cidr6, err = cidrLength(s[i+1:], 128); err != nil {
			return "", err
		}
		s = s[:i-1]
	}
	if i := lastSlash(s); i >= 0 {
		if t.cidr4, err = cidrLength(s[i+1:], 32); err != nil {
			return "", err
		}
		s = s[:i]
	}
	return s, nil
}

// lastSlash returns where "/" and digits end s, or -1. Other slashes belong to a domain-spec.
func lastSlash(s string) int {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == len(s) || i == 0 || s[i-1] != '/' {
		return -1
	}
	return i - 1
}

func cidrLength(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n > most || len(s) > 1 && s[0] == '0' || len(s) > 3 {
		return 0, spfSyntax("prefix length /%s", s)
	}
	return n, nil
}

func (t *spfTerm) takeDomain(s string, needed bool) error {
	if s == "" && !needed {
		return nil
	}
	if s == "" || s[0] != ':' {
		return spfSyntax("%s%s", t.name, s)
	}
	t.domain = s[1:]
	return checkDomainSpec(t.domain)
}

// takeNet reads ip4-network or ip6-network with its optional length.
func (t *spfTerm) takeNet(s string) error {
	addr, length, slash := strings.Cut(strings.TrimPrefix(s, ":"), "/")
	a, err := netip.ParseAddr(addr)
	four := t.name == "ip4"
	if !strings.HasPrefix(s, ":") || err != nil || a.Is4() != four || a.Zone() != "" {
		return spfSyntax("%s%s is no network", t.name, s)
	}
	bits := a.BitLen()
	if slash {
		if bits, err = cidrLength(length, a.BitLen()); err != nil {
			return err
		}
	}
	t.net = netip.PrefixFrom(a, bits).Masked()
	return nil
}

// checkDomainSpec holds s against domain-spec: a macro-string that ends in a macro or in a dot and a
// top label (RFC 7208 section 7.1).
func checkDomainSpec(s string) error {
	if err := checkMacros(s, false); err != nil {
		return err
	}
	if endsInMacro(s) {
		return nil
	}
	dot := strings.LastIndexByte(strings.TrimSuffix(s, "."), '.')
	if dot < 0 || !isTopLabel(strings.TrimSuffix(s, ".")[dot+1:]) {
		return spfSyntax("%q does not end in a top-level domain", s)
	}
	return nil
}

func isTopLabel(s string) bool {
	alpha := false
	for i := range len(s) {
		c := s[i]
		alpha = alpha || isAlpha(c) || c == '-'
		if !isAlpha(c) && !isDigit(c) && (c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return alpha
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
