package mailauth

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// spfMacro is one piece of a macro-string (RFC 7208 section 7.1): literal text, or a macro.
type spfMacro struct {
	literal string
	letter  byte // lower case, 0 for literal text
	escape  bool // the letter was upper case
	digits  int  // 0: all
	reverse bool
	delims  string
}

// maxExpansion bounds what a record can make of a long sender: names are cut to 253 octets anyway.
const maxExpansion = 16 << 10

const spfDelimiters = ".-+,/_="

// splitMacros takes a macro-string apart. Macros that belong in explanations only are refused elsewhere,
// and so is white space.
func splitMacros(s string, explaining bool) ([]spfMacro, error) {
	var out []spfMacro
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			i = len(s)
		}
		for _, c := range []byte(s[:i]) {
			if (c < '!' || c > '~') && !(explaining && c == ' ') {
				return nil, spfSyntax("byte %#02x", c)
			}
		}
		if i > 0 {
			out = append(out, spfMacro{literal: s[:i]})
		}
		if s = s[i:]; s == "" {
			break
		}
		m, rest, err := cutMacro(s, explaining)
		if err != nil {
			return nil, err
		}
		out, s = append(out, m), rest
	}
	return out, nil
}

// cutMacro reads the macro-expand at the beginning of s, which is a percent sign.
func cutMacro(s string, explaining bool) (spfMacro, string, error) {
	if len(s) > 1 {
		switch s[1] {
		case '%':
			return spfMacro{literal: "%"}, s[2:], nil
		case '_':
			return spfMacro{literal: " "}, s[2:], nil
		case '-':
			return spfMacro{literal: "%20"}, s[2:], nil
		}
	}
	end := strings.IndexByte(s, '}')
	if len(s) < 2 || s[1] != '{' || end < 3 {
		return spfMacro{}, "", spfSyntax("percent sign without macro")
	}
	body, rest := s[2:end], s[end+1:]
	m := spfMacro{letter: body[0] | 0x20, escape: body[0]&0x20 == 0, delims: "."}
	letters := "slodiphv"
	if explaining {
		letters = "slodiphvcrt"
	}
	if !isAlpha(body[0]) || strings.IndexByte(letters, m.letter) < 0 {
		return spfMacro{}, "", spfSyntax("macro %q", body)
	}
	body = body[1:]
	n := 0
	for n < len(body) && isDigit(body[n]) {
		n++
	}
	if n > 0 {
		var err error
		if m.digits, err = strconv.Atoi(body[:n]); err != nil || m.digits == 0 {
			return spfMacro{}, "", spfSyntax("macro transformer %q", body)
		}
		body = body[n:]
	}
	if body != "" && body[0]|0x20 == 'r' {
		m.reverse, body = true, body[1:]
	}
	if strings.Trim(body, spfDelimiters) != "" {
		return spfMacro{}, "", spfSyntax("macro delimiter %q", body)
	}
	if body != "" {
		m.delims = body
	}
	return m, rest, nil
}

func checkMacros(s string, explaining bool) error {
	_, err := splitMacros(s, explaining)
	return err
}

// endsInMacro says whether the last thing in a valid macro-string is a macro.
func endsInMacro(s string) bool {
	parts, err := splitMacros(s, false)
	if err != nil || len(parts) == 0 {
		return false
	}
	last := parts[len(parts)-1]
	return last.letter != 0 || strings.HasSuffix(s, "%%") || strings.HasSuffix(s, "%_") || strings.HasSuffix(s, "%-")
}

// spfQuery is what macros speak of.
type spfQuery struct {
	client   netip.Addr
	helo     string
	local    string // of the sender
	domain   string // of the sender
	receiver string // our own name, for explanations
	name     func(domain string) string
}

// expand expands a valid macro-string for the record of a domain. For domain names, an expansion that is
// too long loses labels on the left (RFC 7208 section 7.3).
func (q *spfQuery) expand(s, domain string, explaining bool) (string, error) {
	parts, err := splitMacros(s, explaining)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, m := range parts {
		if m.letter == 0 {
			b.WriteString(m.literal)
			continue
		}
		v := m.transform(q.value(m.letter, domain))
		if m.escape {
			v = escapeURL(v)
		}
		b.WriteString(v)
		if b.Len() > maxExpansion {
			return "", spfSyntax("macros that expand to more than %d octets", maxExpansion)
		}
	}
	out := b.String()
	if explaining {
		return out, nil
	}
	out = strings.TrimSuffix(out, ".")
	for len(out) > 253 {
		_, rest, ok := strings.Cut(out, ".")
		if !ok {
			break
		}
		out = rest
	}
	return out, nil
}

func (q *spfQuery) value(letter byte, domain string) string {
	switch letter {
	case 's':
		return q.local + "@" + q.domain
	case 'l':
		return q.local
	case 'o':
		return q.domain
	case 'd':
		return domain
	case 'i':
		if q.client.Is4() {
			return q.client.String()
		}
		nibbles := strings.Split(strings.TrimSuffix(reverseName(q.client), ".ip6.arpa"), ".")
		slices.Reverse(nibbles)
		return strings.Join(nibbles, ".")
	case 'p':
		return q.name(domain)
	case 'h':
		return q.helo
	case 'v':
		if q.client.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'c':
		return q.client.String()
	case 'r':
		if q.receiver == "" {
			return "unknown"
		}
		return q.receiver
	case 't':
		return strconv.FormatInt(time.Now().Unix(), 10)
	}
	return ""
}

// transform splits, reverses and cuts a value, and joins it with dots again.
func (m spfMacro) transform(v string) string {
	var parts []string
	for {
		i := strings.IndexAny(v, m.delims)
		if i < 0 {
			parts = append(parts, v)
			break
		}
		parts, v = append(parts, v[:i]), v[i+1:]
	}
	if m.reverse {
		slices.Reverse(parts)
	}
	if m.digits > 0 && m.digits < len(parts) {
		parts = parts[len(parts)-m.digits:]
	}
	return strings.Join(parts, ".")
}

// escapeURL escapes what is not unreserved by RFC 3986 section 2.3.
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&0xf]})
	}
	return b.String()
}
