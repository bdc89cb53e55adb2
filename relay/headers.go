package relay

import (
	"cmp"
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

// ours says whether a field of an incoming message is one that only we may write. names are those in which we
// report who sent a message.
func (h Headers) ours(f verdict.Field, names []string) bool {
	if f.Name != "" && !strings.EqualFold(f.Name, resultsName) {
		return h.reserved(f.Name)
	}
	name, value := lenient(f)
	return h.reserved(name) || isResults(name, value, names)
}

// reserved says whether a name begins with the prefix.
func (h Headers) reserved(name string) bool {
	p := h.prefix()
	return len(name) > len(p) && name[len(p)] == '-' && strings.EqualFold(name[:len(p)], p)
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
