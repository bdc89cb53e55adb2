package links

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
)

// tricks are the ways in which an address was written that nobody uses who has nothing to hide.
type tricks uint16

const (
	trickBackslash   tricks = 1 << iota // http:\\host, which programs read as http://host
	trickControl                        // tabs or line ends inside, which programs leave out
	trickInvisible                      // characters without width in the host
	trickEscapedHost                    // a host with %-escapes
	trickNumericHost                    // an address in one number, in hex or octal, or with parts left out
	trickSlashes                        // http:host, http:/host, http:////host
	trickWideHost                       // letters that only look different and are mapped to ASCII: full width, circled, mathematical
)

// address is where a link leads, as a browser would understand it (WHATWG URL, RFC 3986).
type address struct {
	scheme   string // in lower case
	user     string // user info as written, without the at sign; "" if there is none
	host     string // in lower case and ASCII (RFC 5890 A-labels), without trailing dot; an IP address in its usual form
	port     string // "" if it is that of the scheme
	path     string // with its leading slash; of other schemes than http everything behind the colon
	query    string
	fragment string
	ip       netip.Addr // if host is an IP address
	org      string     // the organisational domain of host; the IP address if it is one
	tricks   tricks
}

// maxAddress is the length from which on the rest of an address is not looked at.
const maxAddress = 16 << 10

// web says whether a browser opens it over the network.
func (a address) web() bool {
	return (a.scheme == "http" || a.scheme == "https" || a.scheme == "ftp") && a.host != ""
}

// String returns the address in one form for all ways to write it, without user info.
func (a address) String() string {
	if !a.web() {
		return a.scheme + ":" + a.path
	}
	var b strings.Builder
	b.WriteString(a.scheme + "://")
	if a.ip.Is6() {
		b.WriteString("[" + a.host + "]")
	} else {
		b.WriteString(a.host)
	}
	if a.port != "" {
		b.WriteString(":" + a.port)
	}
	b.WriteString(a.path)
	if a.query != "" {
		b.WriteString("?" + a.query)
	}
	if a.fragment != "" {
		b.WriteString("#" + a.fragment)
	}
	return b.String()
}

// parseAddress reads the target of a link. base is what relative ones belong to, "" if that is not known. It
// returns false for what leads nowhere: empty, relative without base, a place in the same text.
func parseAddress(s, base string) (address, bool) {
	var a address
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || r == 0xA0 || htmldoc.IsInvisible(r) })
	if len(s) > maxAddress {
		s = s[:maxAddress]
	}
	if strings.ContainsAny(s, "\t\r\n") {
		if !softBreaks(s) {
			a.tricks |= trickControl
		}
		s = dropControls.Replace(s)
	}
	if s == "" || s[0] == '#' {
		return a, false
	}
	scheme, rest, ok := cutScheme(s)
	switch {
	case ok:
	case strings.HasPrefix(s, "//"), strings.HasPrefix(s, `\\`):
		scheme, rest = "https", s
	case startsLikeHost(s):
		scheme, rest = "http", "//"+s // what many mail programs make of it
	case base != "":
		return resolve(base, s)
	default:
		return a, false
	}
	a.scheme = scheme
	switch scheme {
	case "http", "https", "ftp":
		return a.readWeb(rest)
	}
	a.path = rest
	return a, true
}

var dropControls = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// softBreaks says whether the line ends in s are those of a program that wraps long lines: few, and none in the host.
func softBreaks(s string) bool {
	i := strings.IndexAny(s, "\t\r\n")
	return i > 12 && strings.Count(s, "/") >= 2 && strings.Count(s[:i], "/") >= 3
}

// cutScheme cuts "http" from "http://host". A host with a port, "host.example:8080/", is no scheme.
func cutScheme(s string) (scheme, rest string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i < 2 || i > 20 {
		return "", "", false
	}
	for j := range i {
		c := s[j]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || j > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return "", "", false
		}
	}
	scheme, rest = strings.ToLower(s[:i]), s[i+1:]
	if strings.Contains(scheme, ".") && len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		return "", "", false
	}
	return scheme, rest, true
}

// startsLikeHost says whether s without a scheme begins with the name of a host.
func startsLikeHost(s string) bool {
	host := s
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		host = s[:i]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if len(host) < 4 || len(host) > 253 || !strings.Contains(host, ".") || strings.ContainsAny(host, " @\\<>\"") {
		return false
	}
	if host[0] == '.' || strings.HasSuffix(host, ".html") || strings.HasSuffix(host, ".php") {
		return false
	}
	return knownSuffix(strings.ToLower(host))
}

// resolve reads a relative target.
func resolve(base, s string) (address, bool) {
	b, ok := parseAddress(base, "")
	if !ok || !b.web() {
		return b, false
	}
	b.query, b.fragment = "", ""
	switch {
	case s[0] == '/':
		b.path = s
	case s[0] == '?':
		b.path += s
	default:
		b.path = b.path[:strings.LastIndexByte(b.path, '/')+1] + s
	}
	b.splitPath(b.path)
	return b, true
}

// readWeb reads what stands behind the colon of http, https and ftp.
func (a address) readWeb(rest string) (address, bool) {
	n := 0
	for n < len(rest) && (rest[n] == '/' || rest[n] == '\\') {
		if rest[n] == '\\' {
			a.tricks |= trickBackslash
		}
		n++
	}
	if n != 2 {
		a.tricks |= trickSlashes
	}
	rest = rest[n:]
	authority := rest
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		authority = rest[:i]
		if rest[i] == '\\' {
			a.tricks |= trickBackslash
		}
		a.splitPath(rest[i:])
	} else {
		a.path = "/"
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		a.user, authority = authority[:i], authority[i+1:]
	}
	host := authority
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, a.port = authority[:i], authority[i+1:]
	}
	a.setHost(host)
	if a.port == defaultPort(a.scheme) || !isPort(a.port) {
		a.port = ""
	}
	if a.host == "" {
		return a, false
	}
	return a, true
}

func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "ftp":
		return "21"
	}
	return "80"
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// splitPath takes apart what stands behind the authority.
func (a *address) splitPath(s string) {
	s, a.fragment, _ = strings.Cut(s, "#")
	s, a.query, _ = strings.Cut(s, "?")
	if strings.HasPrefix(s, `\`) {
		s = "/" + s[1:]
	}
	if s == "" || s[0] != '/' {
		s = "/" + s
	}
	a.path = s
}

// setHost brings a host into one form.
func (a *address) setHost(h string) {
	if strings.IndexByte(h, '%') >= 0 {
		if u := unescape(h); u != h {
			h = u
			a.tricks |= trickEscapedHost
		}
	}
	if h != "" && h[0] == '[' {
		if ip, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
			a.setIP(ip)
		}
		return
	}
	h = strings.TrimRight(h, ".")
	if !plainHost(h) {
		h = a.mapHost(h)
	}
	if len(h) > 512 {
		h = h[len(h)-512:]
	}
	h = strings.Trim(h, ".")
	if ip, odd, ok := parseIPv4(h); ok {
		if odd {
			a.tricks |= trickNumericHost
		}
		a.setIP(ip)
		return
	}
	if strings.ContainsFunc(h, forbidden) {
		return // no host: browsers refuse it
	}
	a.host = h
	a.org = orgDomain(h)
}

// forbidden says whether no host may have r (WHATWG URL, forbidden domain code points).
func forbidden(r rune) bool {
	return r <= ' ' || r == 0x7F || strings.ContainsRune("<>\"\\^`{|}/?#@:%[]", r)
}

func (a *address) setIP(ip netip.Addr) {
	a.ip = ip.Unmap()
	a.host = a.ip.String()
	a.org = a.host
}

// plainHost says whether h has only lower case letters, digits, dots and hyphens.
func plainHost(h string) bool {
	for i := range len(h) {
		c := h[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// mapHost maps a host to lower case and ASCII as browsers do (UTS 46), and keeps what they would not take.
func (a *address) mapHost(h string) string {
	if isASCII(h) {
		return strings.ToLower(h)
	}
	clean := strings.Map(func(r rune) rune {
		if htmldoc.IsInvisible(r) {
			a.tricks |= trickInvisible
			return -1
		}
		return r
	}, h)
	out, err := idna.Lookup.ToASCII(clean)
	if err != nil {
		if out, err = idna.Punycode.ToASCII(strings.ToLower(clean)); err != nil {
			return strings.ToLower(clean)
		}
	}
	out = strings.ToLower(out)
	if !strings.Contains(out, "xn--") {
		a.tricks |= trickWideHost
	}
	return out
}

// parseIPv4 reads an IPv4 address in any form that browsers take: one to four numbers, decimal, hex or
// octal. odd: not in the usual form.
func parseIPv4(h string) (ip netip.Addr, odd, ok bool) {
	if h == "" || len(h) > 60 {
		return ip, false, false
	}
	last := h[strings.LastIndexByte(h, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return ip, false, false
	}
	parts := strings.Split(h, ".")
	if len(parts) > 4 {
		return ip, false, false
	}
	var v uint64
	odd = len(parts) != 4
	for i, p := range parts {
		n, strange, good := ipNumber(p)
		if !good {
			return ip, false, false
		}
		odd = odd || strange
		if i < len(parts)-1 {
			if n > 255 {
				return ip, false, false
			}
			v = v<<8 | n
			continue
		}
		width := 8 * (5 - len(parts))
		if n >= 1<<width {
			return ip, false, false
		}
		v = v<<width | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), odd, true
}

func ipNumber(s string) (n uint64, odd, ok bool) {
	if s == "" {
		return 0, false, false
	}
	base := 10
	if len(s) > 1 && s[0] == '0' {
		base, s, odd = 8, s[1:], true
		if s[0] == 'x' || s[0] == 'X' {
			base, s = 16, s[1:]
		}
	}
	if s == "" {
		return 0, odd, true
	}
	n, err := strconv.ParseUint(s, base, 33)
	return n, odd, err == nil
}

// unescape replaces %-escapes once; what is none stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// orgDomain returns the organisational domain: the one label below a public suffix. A host that is a public suffix
// itself, or has one label, is its own.
func orgDomain(host string) string {
	if strings.IndexByte(host, '.') < 0 {
		return host
	}
	if org, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return org
	}
	return host
}

// knownSuffix says whether host ends in a top-level domain that exists.
func knownSuffix(host string) bool {
	suffix, icann := publicsuffix.PublicSuffix(host)
	return (icann || strings.IndexByte(suffix, '.') >= 0) && len(suffix) < len(host)
}

// within says whether host is domain or below it.
func within(host, domain string) bool {
	return len(host) >= len(domain) && strings.HasSuffix(host, domain) &&
		(len(host) == len(domain) || host[len(host)-len(domain)-1] == '.')
}
