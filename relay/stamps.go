package relay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// maxStamp is the longest line that is written, without its end. RFC 5322 section 2.1.1 allows 998 octets.
// Fields of ours are one line each; those of an ARC set may be several.
const maxStamp = 998

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

// wellSealed says what is wrong with the fields of an ARC set, if anything is: they come from a sealer that
// somebody has plugged in.
func wellSealed(fields []byte) error {
	first := true
	for line := range bytes.Lines(fields) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		switch {
		case !ok || bytes.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }) >= 0:
			return fmt.Errorf("%w: a line of the ARC set that is no line of a header", errStamp)
		case len(text) > maxStamp:
			return fmt.Errorf("%w: a line of the ARC set of %d octets", errStamp, len(text))
		case len(bytes.Trim(text, " \t")) == 0:
			return fmt.Errorf("%w: an empty line in the ARC set", errStamp)
		case text[0] == ' ' || text[0] == '\t':
			if first {
				return fmt.Errorf("%w: an ARC set that begins with a continuation line", errStamp)
			}
		default:
			name, _, ok := bytes.Cut(text, []byte(":"))
			if !ok || len(name) < 5 || !bytes.EqualFold(name[:4], []byte("ARC-")) || bytes.ContainsAny(name, " \t") {
				return fmt.Errorf("%w: a line of the ARC set that begins with none of its fields", errStamp)
			}
		}
		first = false
	}
	return nil
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
