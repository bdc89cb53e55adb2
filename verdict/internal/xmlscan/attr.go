package xmlscan

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// maxEntity is the length of the longest entity that is resolved.
const maxEntity = 16

// Attr is an attribute of a start tag.
type Attr struct {
	Space, Name string // prefix and local name
	Value       string
}

// Attrs returns the attributes of a start tag. They are valid until the next call of Next.
func (s *Scanner) Attrs() []Attr {
	s.attrs = s.attrs[:0]
	for rest := s.tag; ; {
		rest = bytes.TrimLeft(rest, " \t\r\n/")
		eq := bytes.IndexByte(rest, '=')
		if eq < 0 {
			return s.attrs
		}
		space, name, _ := s.splitName(bytes.TrimSpace(rest[:eq]))
		rest = bytes.TrimLeft(rest[eq+1:], " \t\r\n")
		if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
			i := bytes.IndexAny(rest, " \t\r\n")
			if i < 0 {
				i = len(rest)
			}
			s.attrs = append(s.attrs, Attr{space, name, string(unescape(bytes.Clone(rest[:i])))})
			rest = rest[i:]
			continue
		}
		end := bytes.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return s.attrs
		}
		s.attrs = append(s.attrs, Attr{space, name, string(unescape(bytes.Clone(rest[1 : end+1])))})
		rest = rest[end+2:]
	}
}

// Attr returns the value of the attribute with the local name, "" if there is none.
func (s *Scanner) Attr(name string) string {
	if !bytes.Contains(s.tag, []byte(name)) {
		return ""
	}
	for _, a := range s.Attrs() {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// splitName splits the name off that p begins with.
func (s *Scanner) splitName(p []byte) (space, local string, rest []byte) {
	i := bytes.IndexAny(p, " \t\r\n/")
	if i < 0 {
		i = len(p)
	}
	name := p[:i]
	if c := bytes.IndexByte(name, ':'); c >= 0 {
		return s.intern(name[:c]), s.intern(name[c+1:]), p[i:]
	}
	return "", s.intern(name), p[i:]
}

func (s *Scanner) intern(p []byte) string {
	if v, ok := s.names[string(p)]; ok {
		return v
	}
	v := string(p)
	if len(s.names) < maxNames && len(v) < 100 {
		s.names[v] = v
	}
	return v
}

// unescape resolves character references and the five entities in place. Others stay as they are.
func unescape(p []byte) []byte {
	i := bytes.IndexByte(p, '&')
	if i < 0 {
		return p
	}
	out := p[:i]
	for p = p[i:]; len(p) > 0; {
		if p[0] == '&' {
			if r, n := entity(p); n > 0 {
				out = utf8.AppendRune(out, r)
				p = p[n:]
				continue
			}
		}
		next := bytes.IndexByte(p[1:], '&') + 1
		if next == 0 {
			next = len(p)
		}
		out = append(out, p[:next]...)
		p = p[next:]
	}
	return out
}

// entity returns the character that the reference at the beginning of p means and its length. No
// character takes more bytes than its reference.
func entity(p []byte) (rune, int) {
	end := bytes.IndexByte(p[:min(len(p), maxEntity)], ';')
	if end < 2 {
		return 0, 0
	}
	name := string(p[1:end])
	switch name {
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	case "amp":
		return '&', end + 1
	case "quot":
		return '"', end + 1
	case "apos":
		return '\'', end + 1
	}
	if name[0] != '#' {
		return 0, 0
	}
	digits, base := name[1:], 10
	if len(digits) > 0 && digits[0]|0x20 == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, 0
	}
	return rune(n), end + 1
}
