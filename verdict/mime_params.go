package verdict

import (
	"cmp"
	"slices"
	"strings"
)

// mimeParam is one parameter of a structured field (RFC 2045 section 5.1), before RFC 2231 is applied.
type mimeParam struct {
	name  string // lower case, with the asterisks of RFC 2231
	value string // unquoted; if it was not quoted, everything up to the semicolon
	token string // another way to read it: cut at the first blank, or with its backslashes; else as value
}

// mimeValue is a structured field: "type/subtype" or a disposition, in lower case, and parameters.
type mimeValue struct {
	kind   string
	params []mimeParam
	odd    bool // not by the grammar
}

// parseValue reads what a mail client would make of it.
func parseValue(s string) mimeValue {
	var v mimeValue
	head, rest, _ := strings.Cut(skipComments(s), ";")
	head = strings.Trim(head, " \t\r\n")
	if i := strings.IndexAny(head, " \t("); i >= 0 {
		// A comment, or parameters without a semicolon before them.
		tail := strings.Trim(skipComments(head[i:]), blanks)
		v.odd = tail != ""
		if strings.Contains(tail, "=") {
			rest = strings.TrimLeft(s[strings.Index(s, tail):], blanks)
		}
		head = head[:i]
	}
	v.kind = strings.ToLower(strings.Trim(head, "\"'"))
	v.odd = v.odd || len(v.kind) != len(head)
	for n := 0; rest != ""; n++ {
		if n == maxParams {
			v.odd = true
			break
		}
		var p mimeParam
		p, rest = v.nextParam(rest)
		if p.name != "" {
			v.params = append(v.params, p)
		}
	}
	return v
}

const (
	maxParams   = 1000 // of one field: more are not looked at
	maxExtended = 16   // names of one field that RFC 2231 is applied to
	maxComment  = 4096 // bytes: a longer one is none
)

// skipComments removes comments (RFC 5322 section 3.2.2) from the beginning of s.
func skipComments(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" || s[0] != '(' {
			return s
		}
		depth, i := 0, 0
		for ; i < min(len(s), maxComment); i++ {
			switch s[i] {
			case '(':
				depth++
			case ')':
				depth--
			case '\\':
				i++
			}
			if depth == 0 {
				break
			}
		}
		if depth > 0 {
			return s // never closed: no comment
		}
		s = s[min(i+1, len(s)):]
	}
}

// nextParam parses "name=value" at the beginning of s and returns what stands behind its semicolon.
func (v *mimeValue) nextParam(s string) (p mimeParam, rest string) {
	s = skipComments(s)
	if s == "" {
		return p, ""
	}
	i := strings.IndexAny(s, "=;")
	if i < 0 || s[i] == ';' {
		if i < 0 {
			i = len(s) - 1
		}
		v.odd = v.odd || strings.Trim(s[:i], blanks) != ""
		return p, s[i+1:]
	}
	p.name = strings.ToLower(strings.Trim(s[:i], " \t\r\n\""))
	s = skipComments(s[i+1:])
	if s != "" && s[0] == '"' {
		rest = p.quoted(s)
	} else {
		p.value, rest, _ = strings.Cut(s, ";")
		p.value = strings.TrimRight(p.value, " \t\r\n")
		p.token = p.value
		if j := strings.IndexAny(p.value, " \t("); j >= 0 {
			p.token = p.value[:j]
			v.odd = v.odd || skipComments(p.value[j:]) != ""
		}
		return p, rest
	}
	tail, rest, _ := strings.Cut(rest, ";")
	v.odd = v.odd || skipComments(tail) != ""
	return p, rest
}

// quoted parses the quoted string that s begins with, and returns what follows. One that is never
// closed goes up to the semicolon.
func (p *mimeParam) quoted(s string) (rest string) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			p.value, p.token = s[1:i], s[1:i]
			if escaped {
				p.value = unescape(p.value)
			}
			return s[i+1:]
		}
	}
	p.value, _, _ = strings.Cut(s[1:], ";")
	p.value = strings.TrimRight(p.value, " \t\r\n")
	p.token = p.value
	return s[1+len(p.value):]
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// all returns the values of the parameter as they stand there, without RFC 2231.
func (v mimeValue) all(name string) []mimeParam {
	var out []mimeParam
	for _, p := range v.params {
		if p.name == name {
			out = append(out, p)
		}
	}
	return out
}

// extended returns the value of name that is put together by RFC 2231 sections 3 and 4, with its
// charset decoded.
func (v mimeValue) extended(name string) (string, bool) {
	type segment struct {
		n       int
		encoded bool
		value   string
	}
	var segments []segment
	for _, p := range v.params {
		rest, ok := strings.CutPrefix(p.name, name+"*")
		if !ok {
			continue
		}
		digits, encoded := strings.CutSuffix(rest, "*")
		if rest == "" {
			digits, encoded = "0", true
		}
		n, ok := smallNumber(digits)
		if ok {
			segments = append(segments, segment{n, encoded, p.value})
		}
	}
	if len(segments) == 0 {
		return "", false
	}
	slices.SortStableFunc(segments, func(a, b segment) int { return cmp.Compare(a.n, b.n) })
	charset := ""
	var b []byte
	for i, s := range segments {
		if i > 0 && s.n == segments[i-1].n {
			continue // the first one counts, as for other parameters
		}
		value := s.value
		if s.encoded && i == 0 {
			if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
				charset, value = parts[0], parts[2]
			}
		}
		if s.encoded {
			value = percentDecode(value)
		}
		b = append(b, value...)
	}
	text, _ := decodeCharset(charset, b)
	return text, true
}

// smallNumber reads up to three digits.
func smallNumber(s string) (int, bool) {
	if s == "" || len(s) > 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// percentDecode decodes %XX; a bad escape stays as it is.
func percentDecode(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			b = append(b, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// asMap returns the parameters by name, RFC 2231 applied: the first of each name, and the extended
// form before the plain one (RFC 6266 section 4.3 says so for HTTP; clients do it here too).
func (v mimeValue) asMap() map[string]string {
	if len(v.params) == 0 {
		return nil
	}
	out := make(map[string]string, len(v.params))
	for _, p := range v.params {
		name, _, starred := strings.Cut(p.name, "*")
		if starred {
			continue
		}
		if _, ok := out[name]; ok {
			continue
		}
		out[name] = p.value
		if name != "name" && name != "filename" && !strings.Contains(p.token, "\\") {
			out[name] = cmp.Or(p.token, p.value)
		}
	}
	var done []string // what is put together of pieces, each once
	for _, p := range v.params {
		name, _, starred := strings.Cut(p.name, "*")
		if !starred || len(done) == maxExtended || slices.Contains(done, name) {
			continue
		}
		done = append(done, name)
		if value, ok := v.extended(name); ok {
			out[name] = value
		}
	}
	return out
}
