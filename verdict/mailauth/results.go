package mailauth

import (
	"errors"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// maxResults is how long a field body may be: it has to fit one line of 998 octets with its name.
const maxResults = 900

// AuthenticationResults writes results as the body of an Authentication-Results field (RFC 8601), to be
// stamped under the name of this host. It is one line of printable ASCII, at most 900 octets long,
// whatever the results hold. What nobody checked is left out; if that is everything, the body says none.
//
// Signatures that do not fit are left out, those that did not pass first. The reasons of temporary errors
// are not given: they speak of our name servers.
func AuthenticationResults(hostname string, r verdict.AuthResults) string {
	id := value(asciiDomain(hostname))
	if id[0] == '"' {
		id = "unknown" // a quoted one would be right, but not everybody reads it
	}
	var head, tail []string
	if s := r.SPF; s.Result != "" {
		property := "smtp.mailfrom"
		if s.Identity == helo {
			property = "smtp.helo"
		}
		head = append(head, entry("spf", s.Result, reason(s.Result, s.Err), property, s.Domain))
	}
	if d := r.DMARC; d.Result != "" {
		tail = append(tail, entry("dmarc", d.Result, reason(d.Result, d.Err), "header.from", d.Domain, "polrec.p", d.Policy))
	}
	if a := r.ARC; a.Result != "" {
		text := entry("arc", a.Result, reason(a.Result, a.Err))
		if d := value(a.Sealer); d[0] != '"' { // quotes mean nothing in a comment
			text += " (" + d + ")"
		}
		tail = append(tail, text)
	}
	room := maxResults - len(id)
	for _, e := range append(head, tail...) {
		room -= len(e) + len("; ")
	}
	parts := append([]string{id}, head...)
	parts = append(parts, dkimEntries(r.DKIM, room)...)
	parts = append(parts, tail...)
	if len(parts) == 1 {
		parts = append(parts, "none")
	}
	return strings.Join(parts, "; ")
}

// dkimEntries writes as many signatures as there is room for, in their order.
func dkimEntries(list []verdict.DKIMResult, room int) []string {
	texts := make([]string, len(list))
	for _, passed := range []bool{true, false} {
		for i, d := range list {
			if (d.Result == verdict.Pass) != passed || d.Result == "" {
				continue
			}
			text := entry("dkim", d.Result, reason(d.Result, d.Err), "header.d", d.Domain, "header.s", d.Selector)
			if room -= len(text) + len("; "); room < 0 {
				break
			}
			texts[i] = text
		}
	}
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// entry writes method=result with a reason and properties, which come as names and values. Empty ones are
// left out.
func entry(method string, result verdict.AuthResult, reason string, props ...string) string {
	text := method + "=" + keyword(string(result))
	if reason != "" {
		text += " reason=" + quoted(reason, 80)
	}
	for i := 0; i+1 < len(props); i += 2 {
		if props[i+1] != "" {
			text += " " + props[i] + "=" + value(props[i+1])
		}
	}
	return text
}

// reason is what may be said in public about a result that is not a pass.
func reason(result verdict.AuthResult, err error) string {
	var said Explanation
	switch {
	case err == nil, result == "temperror", result == verdict.Pass, errors.As(err, &said):
		return ""
	case errors.Is(err, ErrPolicyTest):
		return "policy in test mode"
	}
	return err.Error()
}

// keyword makes a result that is none of the known ones harmless.
func keyword(s string) string {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return "permerror"
		}
	}
	return s
}

// value writes a property value: as it is if it consists of letters, digits, dots, hyphens and
// underscores, and quoted otherwise.
func value(s string) string {
	const most = 253
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && !isDigit(c) && c != '.' && c != '-' && c != '_' {
			return quoted(s, most)
		}
	}
	if s == "" || len(s) > most {
		return quoted(s, most)
	}
	return s
}

// quoted writes a quoted-string of printable ASCII, cut to a length (RFC 5322 section 3.2.4). Every other
// byte becomes a question mark.
func quoted(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	out := []byte{'"'}
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ' || c >= 0x7f:
			out = append(out, '?')
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '"'))
}
