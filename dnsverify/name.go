package dnsverify

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxName is the longest name in presentation form without the final dot (RFC 1035 section 2.3.4).
const maxName = 253

// Names says which domain names are taken. The zero value takes names that somebody can register
// on the public Internet, and what is below them.
type Names struct {
	// PrivateSuffix takes suffixes that a company hands out itself, such as github.io.
	PrivateSuffix bool
	// UnlistedTLD takes names under top-level domains that are not in the public list, such as corp.internal.
	UnlistedTLD bool
}

var toASCII = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.CheckHyphens(false), // r3---sn.example.com is in use
	idna.StrictDomainName(true),
	idna.VerifyDNSLength(true),
)

// Normalize returns the domain in the one form in which it is stored and compared: lower case, A-labels
// (UTS #46, non-transitional), no final dot. The error is a *Problem with code InvalidName or PublicSuffix.
// What Normalize returns is itself normal.
func (n Names) Normalize(domain string) (string, error) {
	d, err := normalize(domain)
	if err != nil {
		return "", err
	}
	suffix, icann := publicsuffix.PublicSuffix(d)
	switch {
	case !icann && !strings.Contains(suffix, ".") && !n.UnlistedTLD:
		return "", invalid(d, "its top-level domain is not on the public Internet")
	case suffix != d:
		return d, nil
	case icann:
		return "", &Problem{Code: PublicSuffix, Name: d}
	case n.PrivateSuffix:
		return d, nil
	}
	return "", &Problem{Code: PublicSuffix, Name: d, Detail: "It belongs to a company that hands out names below it."}
}

// normalize does all that does not depend on a policy.
func normalize(domain string) (string, error) {
	if len(domain) > 4*maxName || !utf8.ValidString(domain) {
		return "", invalid(show(domain, 80), "it is too long or not text")
	}
	d := strings.Trim(domain, " \t\r\n")
	if d == "" {
		return "", invalid("", "it is empty")
	}
	if isAddress(d) {
		return "", invalid(show(d, 80), "it is an address")
	}
	a, err := toASCII.ToASCII(strings.TrimSuffix(d, "."))
	if err != nil {
		return "", invalid(show(d, 80), reason(d))
	}
	// Mapping may have made dots, digits and capitals out of other characters, so look at the outcome.
	a = strings.ToLower(strings.TrimSuffix(a, "."))
	if isAddress(a) {
		return "", invalid(a, "it is an address")
	}
	return a, checkLabels(a)
}

func checkLabels(a string) error {
	if len(a) > maxName {
		return invalid(show(a, 80), "it is longer than 253 characters")
	}
	labels := strings.Split(a, ".")
	if len(labels) < 2 {
		return invalid(show(a, 80), "it has only one label")
	}
	for _, l := range labels {
		switch {
		case l == "" || len(l) > 63:
			return invalid(show(a, 80), "a label is empty or longer than 63 characters")
		case l[0] == '-' || l[len(l)-1] == '-':
			return invalid(show(a, 80), "a label begins or ends with a hyphen")
		case strings.ContainsFunc(l, func(r rune) bool { return !isLDH(r) }):
			return invalid(show(a, 80), reason(a))
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return invalid(show(a, 80), "its last label is a number")
	}
	return nil
}

func isLDH(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-'
}

func isAddress(s string) bool {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(s, "."), "["), "]")
	s = strings.TrimPrefix(strings.ToLower(s), "ipv6:")
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

// reason says in words why IDNA refused a name, for the mistakes that people make.
func reason(d string) string {
	switch {
	case strings.Contains(d, "://"), strings.ContainsAny(d, "/:"):
		return "it is a link: enter only the domain"
	case strings.Contains(d, "@"):
		return "it is a mail address: enter only what stands after the at sign"
	case strings.Contains(d, "_"):
		return "a mail domain has no underscore"
	case strings.Contains(d, "*"):
		return "a wildcard cannot be proven"
	case strings.ContainsAny(d, " \t\r\n"):
		return "there are blanks in it"
	case strings.Contains(d, ".."), strings.HasPrefix(d, "."):
		return "a label is empty"
	}
	return "a character or a length in it is not allowed"
}

func invalid(name, why string) *Problem {
	return &Problem{Code: InvalidName, Name: name, Detail: "The reason: " + why + "."}
}

// parent returns the name above, "" for a top-level domain.
func parent(name string) string {
	_, p, _ := strings.Cut(name, ".")
	return p
}

// under says whether name is zone or below it. Both are in lower case without final dot; "" is the root.
func under(name, zone string) bool {
	return zone == "" || name == zone || strings.HasSuffix(name, "."+zone)
}

// canonical is the form in which names from answers are compared: lower case, no final dot.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// show makes a text from outside fit for a log, a terminal and a page: printable ASCII without
// markup characters, at most max octets of it.
func show(s string, max int) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if b.Len() >= max {
			b.WriteString("...")
			break
		}
		if c := s[i]; c >= ' ' && c <= '~' && !strings.ContainsRune(`<>&"'`+"`", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
