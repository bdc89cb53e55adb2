package relay

import (
	"io"
	"mime"
	"slices"
	"strings"
)

const resultsName = "Authentication-Results"

// isResults says whether a field is an Authentication-Results in one of our names, as any reader might see it.
func isResults(name, value string, names []string) bool {
	if !strings.EqualFold(name, resultsName) {
		return false
	}
	if strings.Contains(value, "=?") && inOurName(decoded(value), names) { // for readers that decode every field
		return true
	}
	return inOurName(value, names)
}

// decoded returns a value with its encoded words (RFC 2047) read, whatever their charset, as far as they can be.
func decoded(value string) string {
	d := mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	text, err := d.DecodeHeader(value)
	if err != nil {
		return value
	}
	return text
}

// inOurName says whether results are reported in one of our names. Those in a name that is no host name may be
// taken for ours by readers that map letters, so they are.
func inOurName(value string, names []string) bool {
	id := authservID(value)
	if contained(names, id) || strings.ContainsFunc(id, func(r rune) bool { return r >= 0x7f }) {
		return true
	}
	// Readers that do not know quotes and comments see the first words.
	head, _, _ := strings.Cut(strings.ReplaceAll(value, `\`, ""), "=")
	for w := range strings.FieldsFuncSeq(head, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`;,()"/`, r) }) {
		if contained(names, strings.TrimSuffix(w, ".")) {
			return true
		}
	}
	return false
}

func contained(names []string, id string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, id) })
}

// authservID returns the first word of an Authentication-Results field (RFC 8601 section 2.2), past comments.
func authservID(v string) string {
	for v = strings.TrimSpace(v); strings.HasPrefix(v, "("); v = strings.TrimSpace(v) {
		v = v[commentLen(v):]
	}
	if strings.HasPrefix(v, `"`) {
		v = unquote(v[1:])
	} else if i := strings.IndexAny(v, "; \t\r\n(/"); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSuffix(dropControls(v), ".")
}

// dropControls drops what a lenient reader does not see.
func dropControls(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// unquote reads a quoted string (RFC 5322 section 3.2.4) behind its first quote.
func unquote(v string) string {
	var b strings.Builder
	for i := 0; i < len(v) && v[i] != '"'; i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		b.WriteByte(v[i])
	}
	return strings.TrimSpace(b.String())
}
