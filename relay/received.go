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
//	from NAME (HELO HELO) (ADDR) by …       qmail
//
// The address is taken from the comment, which the server writes, and not from the word before it,
// which the client chose, except in the third form.
func parseReceived(v string) (r received) {
	words := receivedWords(v)
	clause, told := "", false
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
			// Those behind the one with the address have words of the client: what its certificate or its
			// account is called.
			told = told || r.comment(strings.Trim(w, "()"))
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

// comment reads what a server wrote about its client in parentheses. It is false if there is more in the
// next. An address in brackets comes before one without, which may be a name; the first one counts.
func (r *received) comment(c string) (told bool) {
	bracketed := false
	for i, w := range strings.Fields(c) {
		key, value, has := strings.Cut(w, "=")
		addr, isAddr := literal(w)
		switch {
		case i == 0 && strings.EqualFold(w, "HELO"): // qmail; what follows is the client's own word
			r.name = r.helo
			return false
		case has && strings.EqualFold(key, "helo"):
			if a, ok := literal(r.helo); ok && !bracketed { // the third form: Exim wrote the address itself
				r.addr = a
			} else {
				r.name = r.helo
			}
			r.helo = value
			return true // what follows the client's own words is not looked at
		case has || bracketed:
		case isAddr && w[0] == '[':
			r.addr, bracketed = addr, true
		case isAddr && i == 0:
			r.addr = addr
		case i == 0:
			r.name = strings.TrimSuffix(w, ".")
		}
	}
	return true
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
			end = commentLen(v)
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

// commentLen returns the length of the comment at the beginning of v (RFC 5322 section 3.2.2), all of v if it
// has no end.
func commentLen(v string) int {
	depth := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(v)
}
