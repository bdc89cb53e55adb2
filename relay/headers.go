package relay

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// Headers names the header fields that the gateway writes on what it delivers, and takes off what
// comes in: nobody outside can forge a verdict.
//
//	<Prefix>-Id: the id of the message at this gateway
//	<Prefix>-Verdict: CLEAN, SPAM, MAL, or UNKNOWN where the policy delivers what nobody could judge
//	<Prefix>-Spam: FAIL, on what the policy tags
//	<Prefix>-Token: the domain's token, if it has one
//	<Prefix>-Forefront-Antispam-Report: what Exchange Online said on the way in, since it writes its
//	own field anew on the way back
//	<Prefix>-Note: takes in the first line of a message that begins with a continuation line, which would
//	otherwise continue one of the fields above
type Headers struct {
	// Prefix of the names. Empty means X-Postreeve.
	Prefix string
}

// maxStamp is the longest field that is written. RFC 5322 section 2.1.1 allows 998 octets in a line,
// and a field of ours is always one line.
const maxStamp = 998

func (h Headers) prefix() string { return cmp.Or(h.Prefix, "X-Postreeve") }

func (h Headers) name(what string) string { return h.prefix() + "-" + what }

// Valid says what is wrong with the prefix, if anything is.
func (h Headers) Valid() error {
	for _, c := range []byte(h.prefix()) {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return fmt.Errorf("relay: header prefix %q: a field name has no blanks, colons or control characters (RFC 5322 section 2.2)", h.Prefix)
		}
	}
	return nil
}

// ours says whether a field of an incoming message is one that only we may write.
func (h Headers) ours(f verdict.Field, hostname string) bool {
	if f.Name != "" && !strings.EqualFold(f.Name, resultsName) {
		return h.reserved(f.Name)
	}
	name, value := lenient(f)
	return h.reserved(name) || isResults(name, value, hostname)
}

// reserved says whether a name begins with the prefix.
func (h Headers) reserved(name string) bool {
	p := h.prefix()
	return len(name) > len(p) && name[len(p)] == '-' && strings.EqualFold(name[:len(p)], p)
}

const resultsName = "Authentication-Results"

func isResults(name, value, hostname string) bool {
	return strings.EqualFold(name, resultsName) && strings.EqualFold(authservID(value), hostname)
}

// lenient returns the name and value of a field as the most tolerant reader would see them: one that
// overlooks blanks, control and 8 bit characters in a name, or line ends before the colon.
func lenient(f verdict.Field) (name, value string) {
	if f.Name != "" {
		return f.Name, f.Value()
	}
	return lenientLine(f.Value())
}

func lenientLine(line string) (name, value string) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return "", ""
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, name), value
}

// authservID returns the first word of an Authentication-Results field (RFC 8601 section 2.2), past comments.
func authservID(v string) string {
	for v = strings.TrimSpace(v); strings.HasPrefix(v, "("); v = strings.TrimSpace(v) {
		v = v[commentLen(v):]
	}
	if strings.HasPrefix(v, `"`) {
		v = unquote(v[1:])
	} else if i := strings.IndexAny(v, "; \t\r\n("); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSuffix(v, ".")
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

// stamps collects header fields. It is the only place where the gateway writes header lines.
type stamps struct {
	b   strings.Builder
	err error
}

var errStamp = errors.New("relay: unfit for a header field")

// add writes one field as one line. A name or value that would break the line, or make it longer than
// maxStamp, is an error, and nothing of it is written.
func (s *stamps) add(name, value string) {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == ':' {
			s.err = cmp.Or(s.err, fmt.Errorf("%w: name %q", errStamp, name))
			return
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			s.err = cmp.Or(s.err, fmt.Errorf("%w: control character in %s", errStamp, name))
			return
		}
	}
	if name == "" || len(name)+2+len(value) > maxStamp {
		s.err = cmp.Or(s.err, fmt.Errorf("%w: %s of %d octets", errStamp, name, len(value)))
		return
	}
	s.b.WriteString(name)
	s.b.WriteString(": ")
	s.b.WriteString(value)
	s.b.WriteString("\r\n")
}

// clean makes text from outside fit for one line of at most max octets: what is not printable ASCII
// becomes a question mark.
func clean(text string, max int) string {
	fit := len(text) <= max
	for i := 0; fit && i < len(text); i++ {
		fit = text[i] >= ' ' && text[i] < 0x7f
	}
	if fit {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= max {
			break
		}
		if r < ' ' || r >= 0x7f {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func verdictWord(c verdict.Class) string {
	switch c {
	case verdict.Clean:
		return "CLEAN"
	case verdict.Spam:
		return "SPAM"
	case verdict.Malicious:
		return "MAL"
	default:
		return "UNKNOWN"
	}
}
