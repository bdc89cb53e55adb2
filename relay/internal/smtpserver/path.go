package smtpserver

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on addresses, in octets. RFC 5321 section 4.5.3.1 names 64 for a local part and 256 for a path
// as what everybody must take; addresses that encode other addresses are longer, so more is taken here.
const (
	maxLocal  = 256
	maxDomain = 255
	maxPath   = 512
)

// cutPath takes a path in angle brackets off the beginning of s (RFC 5321 section 4.1.2). The address
// comes without brackets and without source route, with its quotes if the client quoted it; inside of
// them only what has to be is escaped. It is empty for <>, and may be "postmaster" in any case, without a
// domain. Non-ASCII characters are let through: whether they are allowed is not known yet.
func cutPath(s string) (address, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "<")
	if !ok {
		return "", "", false
	}
	if rest, ok := strings.CutPrefix(s, ">"); ok {
		return "", rest, atEnd(rest)
	}
	if s, ok = cutRoute(s); !ok {
		return "", "", false
	}
	local, s, ok := cutLocal(s)
	if !ok || len(local) > maxLocal {
		return "", "", false
	}
	if rest, ok := strings.CutPrefix(s, ">"); ok {
		return local, rest, strings.EqualFold(local, "postmaster") && atEnd(rest)
	}
	s, ok = strings.CutPrefix(s, "@")
	if !ok {
		return "", "", false
	}
	domain, rest, ok := strings.Cut(s, ">")
	if !ok || !validDomain(domain) || !atEnd(rest) {
		return "", "", false
	}
	address = local + "@" + domain
	return address, rest, len(address) <= maxPath && printable(address)
}

// atEnd says whether a path may end before rest: at the end of the line or before a parameter.
func atEnd(rest string) bool { return rest == "" || rest[0] == ' ' }

// cutRoute drops a source route, which nobody follows any more (RFC 5321 appendix C).
func cutRoute(s string) (string, bool) {
	for more := strings.HasPrefix(s, "@"); more; {
		i := strings.IndexAny(s, ",:>")
		if i < 0 || s[i] == '>' || s[0] != '@' {
			return "", false
		}
		// A colon may also stand in an address literal.
		if strings.HasPrefix(s, "@[") {
			end := strings.IndexByte(s, ']')
			if end < 0 || end+1 >= len(s) || s[end+1] != ',' && s[end+1] != ':' {
				return "", false
			}
			i = end + 1
		}
		if !validDomain(s[1:i]) {
			return "", false
		}
		more = s[i] == ','
		s = s[i+1:]
	}
	return s, true
}

// cutLocal takes a local part off the beginning of s. Dots may stand anywhere in an unquoted one: RFC 5321
// does not allow it, but providers have given out such addresses.
func cutLocal(s string) (local, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return cutQuoted(s[1:])
	}
	i := 0
	for i < len(s) && (isAtext(s[i]) || s[i] == '.' || s[i] >= utf8.RuneSelf) {
		i++
	}
	return s[:i], s[i:], i > 0
}

// cutQuoted takes a quoted string off the beginning of s, whose opening quote is gone already.
func cutQuoted(s string) (quoted, rest string, ok bool) {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			b.WriteByte('"')
			return b.String(), s[i+1:], true
		}
		if c == '\\' {
			i++
			if i == len(s) || s[i] >= 0x7f {
				return "", "", false
			}
			c = s[i]
		}
		if c < ' ' || c == 0x7f {
			return "", "", false
		}
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return "", "", false
}

// validDomain says whether s is a domain or an address literal. Underscores are taken: there are hosts
// with such names.
func validDomain(s string) bool {
	if s == "" || len(s) > maxDomain {
		return false
	}
	if s[0] == '[' {
		return validLiteral(s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	// A label with other than ASCII characters is longer on the wire of DNS in a way that is not known here.
	if s == "" || isASCII(s) && len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c < utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validLiteral judges an address literal (RFC 5321 section 4.1.3).
func validLiteral(s string) bool {
	s, ok := strings.CutSuffix(s[1:], "]")
	if !ok || s == "" {
		return false
	}
	tag, value, tagged := strings.Cut(s, ":")
	switch {
	case !tagged:
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	case strings.EqualFold(tag, "IPv6"):
		a, err := netip.ParseAddr(value)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	if value == "" || !isASCII(tag) || !validLabel(tag) {
		return false
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '[' || c == '\\' || c == ']' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isAtext(c byte) bool { return isAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0 }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// printable says whether s is UTF-8 in which nothing controls a terminal or breaks a line.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return false
		}
	}
	return true
}
