package relay

import (
	"net/netip"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// received is what can be read from a Received field (RFC 5321 section 4.4) whoever wrote it.
type received struct {
	helo string     // what the client called itself
	name string     // what its address is called, where the writer says so
	addr netip.Addr // where it connected from; the zero Addr if it does not say
	by   string     // who wrote the field
	note string     // the comment behind by
}

// client returns the client of the field, if it names an address.
func (r received) client() (verdict.Client, bool) {
	return verdict.Client{Addr: netip.AddrPortFrom(r.addr, 0), Helo: r.helo, Name: r.name}, r.addr.IsValid()
}

// parseReceived reads the forms in use:
//
//	from HELO (NAME [ADDR]) by …            Postfix, Sendmail, Gmail, most others
//	from HELO (ADDR) by …                   Exchange
//	from [ADDR] (helo=HELO) by …            Exim, no name for the address
//	from NAME ([ADDR] helo=HELO) by …       Exim
//
// The address is taken from the comment, which the server writes, and not from the word before it,
// which the client chose, except in the third form.
func parseReceived(v string) (r received) {
	words := receivedWords(v)
	clause := ""
	for i, w := range words {
		comment := strings.HasPrefix(w, "(")
		if !comment {
			switch k := strings.ToLower(w); {
			case clause == "from" && r.helo == "":
			case k == "from" && i == 0, k == "by" && r.by == "":
				clause = k
				continue
			case isClause(k):
				clause = k
				continue
			}
		}
		switch {
		case clause == "from" && comment:
			r.comment(strings.Trim(w, "()"))
		case clause == "from" && r.helo == "":
			r.helo = w
		case clause == "by" && comment && r.note == "":
			r.note = strings.Trim(w, "()")
		case clause == "by" && r.by == "":
			r.by = w
		}
	}
	return r
}

func isClause(w string) bool {
	switch w {
	case "with", "id", "for", "via":
		return true
	}
	return false
}

// comment reads what a server wrote about its client in parentheses.
func (r *received) comment(c string) {
	for w := range strings.FieldsSeq(c) {
		key, value, has := strings.Cut(w, "=")
		switch {
		case has && strings.EqualFold(key, "helo"):
			if a, ok := literal(r.helo); ok { // the third form: Exim wrote the address itself
				r.addr = a
			} else {
				r.name = r.helo
			}
			r.helo = value
			if r.addr.IsValid() {
				return // what follows the client's own words is not looked at
			}
		case has:
		default:
			if a, ok := literal(w); ok {
				r.addr = a
			} else if r.name == "" {
				r.name = strings.TrimSuffix(w, ".")
			}
		}
	}
}

// literal reads an address with or without brackets, and the IPv6: of RFC 5321 section 4.1.3.
func literal(w string) (netip.Addr, bool) {
	w = strings.Trim(w, "[],;")
	if len(w) > 5 && strings.EqualFold(w[:5], "IPv6:") {
		w = w[5:]
	}
	a, err := netip.ParseAddr(w)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// receivedWords cuts a field into words and whole comments, up to the date. Comments may nest.
func receivedWords(v string) []string {
	var words []string
	for v != "" && len(words) < 100 {
		v = strings.TrimLeft(v, " \t\r\n")
		end := 0
		if strings.HasPrefix(v, "(") {
			depth := 0
			for end = range len(v) {
				if v[end] == '(' {
					depth++
				} else if v[end] == ')' {
					depth--
				}
				if depth == 0 {
					break
				}
			}
			end++
		} else if end = strings.IndexAny(v, " \t\r\n(;"); end < 0 {
			end = len(v)
		}
		if end > 0 {
			words = append(words, v[:end])
		}
		if v = v[end:]; strings.HasPrefix(v, ";") {
			break
		}
	}
	return words
}
