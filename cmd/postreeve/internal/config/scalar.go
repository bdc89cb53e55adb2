package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"golang.org/x/net/idna"
)

// text reads one text and has it parsed.
func text[T any](dst *T, parse func(string) (T, error)) reader {
	return func(d *decoder, v value) {
		s, ok := d.text(v)
		if !ok {
			return
		}
		got, err := parse(s)
		if err != nil {
			d.fail(v, "%v", err)
			return
		}
		*dst = got
	}
}

// texts reads a list of texts, or one of them.
func texts[T any](dst *[]T, parse func(string) (T, error)) reader {
	return func(d *decoder, v value) {
		out := []T{}
		for _, item := range d.items(v) {
			var got T
			n := len(d.errs)
			if text(&got, parse)(d, item); len(d.errs) == n {
				out = append(out, got)
			}
		}
		*dst = out
	}
}

// some is texts for a list that must not be empty.
func some[T any](dst *[]T, parse func(string) (T, error)) reader {
	return func(d *decoder, v value) {
		if len(d.items(v)) == 0 {
			d.fail(v, "the list is empty: it wants at least one entry")
		}
		texts(dst, parse)(d, v)
	}
}

// oneOf reads one of a few words.
func oneOf[T any](dst *T, words map[string]T) reader {
	names := make([]string, 0, len(words))
	for n := range words {
		names = append(names, n)
	}
	return text(dst, func(s string) (T, error) {
		got, ok := words[s]
		if !ok {
			return got, fmt.Errorf("%s is not one of the words for this: %s", quote(s), Suggest(s, names))
		}
		return got, nil
	})
}

func (d *decoder) text(v value) (string, bool) {
	var s string
	switch n := v.node.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.SequenceNode, *ast.MappingNode:
		d.fail(v, "wants text, got %s: put it in quotes if it is text", kind(v.node))
		return "", false
	default:
		d.fail(v, "wants text, got %s", kind(v.node))
		return "", false
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		d.fail(v, "wants text of printable characters, got %s", quote(s))
		return "", false
	}
	return s, true
}

func boolean(dst *bool) reader {
	return func(d *decoder, v value) {
		b, ok := v.node.(*ast.BoolNode)
		if !ok {
			d.fail(v, "wants true or false, got %s", kind(v.node))
			return
		}
		*dst = b.Value
	}
}

// count reads a positive number. The word none, for no limit, becomes -1.
func count(dst *int) reader {
	return func(d *decoder, v value) {
		if n, ok := none(v); ok {
			*dst = int(n)
			return
		}
		n, ok := whole(v.node)
		if !ok || n < 1 || n > math.MaxInt32 {
			d.fail(v, "wants a number from 1 to %d, or none for no limit", math.MaxInt32)
			return
		}
		*dst = int(n)
	}
}

// natural reads a number that may be 0.
func natural(dst *int, most int) reader {
	return func(d *decoder, v value) {
		n, ok := whole(v.node)
		if !ok || n < 0 || n > int64(most) {
			d.fail(v, "wants a number from 0 to %d", most)
			return
		}
		*dst = int(n)
	}
}

func whole(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		return int64(x), x <= math.MaxInt64
	}
	return 0, false
}

func none(v value) (int64, bool) {
	s, ok := v.node.(*ast.StringNode)
	return -1, ok && s.Value == "none"
}

// size reads a number of bytes. The word none, for no limit, becomes -1.
func size[T int | int64](dst *T) reader {
	return func(d *decoder, v value) {
		n, ok := none(v)
		if !ok {
			if n, ok = whole(v.node); !ok {
				if s, isText := v.node.(*ast.StringNode); isText {
					n, ok = parseSize(s.Value)
				}
			}
			if ok && n == 0 {
				d.fail(v, "0 is no size: say none for no limit, or a number from 1 on with one of the units %s", units)
				return
			}
			ok = ok && n > 0
		}
		if !ok || int64(T(n)) != n {
			d.fail(v, "wants a size as in 64KiB, 50MB or 4GiB (the units are %s), or none for no limit", units)
			return
		}
		*dst = T(n)
	}
}

// units are those of parseSize, which takes them in small letters and behind a blank too.
const units = "B, KB, MB, GB, TB, KiB, MiB, GiB and TiB"

func parseSize(s string) (int64, bool) {
	digits := strings.TrimLeft(s, "0123456789")
	n, err := strconv.ParseInt(s[:len(s)-len(digits)], 10, 64)
	if err != nil {
		return 0, false
	}
	unit, ok := map[string]int64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
		"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "TB": 1e12, "TIB": 1 << 40, "T": 1 << 40,
	}[strings.ToUpper(strings.TrimSpace(digits))]
	if !ok || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// duration reads a time with its unit, from 1 ms to 24 h.
func duration(dst *time.Duration) reader {
	return func(d *decoder, v value) {
		s, _ := v.node.(*ast.StringNode)
		if s == nil {
			d.fail(v, "wants a time with its unit, as in 500ms, 30s or 5m")
			return
		}
		t, err := time.ParseDuration(s.Value)
		if err != nil || t < time.Millisecond || t > 24*time.Hour {
			d.fail(v, "wants a time from 1ms to 24h, as in 500ms, 30s or 5m")
			return
		}
		*dst = t
	}
}

// prefix accepts a network or a single address.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s is no address or network, as in 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", quote(s))
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%s has bits set behind its length: did you mean %s?", quote(s), p.Masked())
	}
	return p, nil
}

// listenAddr accepts host:port with an address, a name or nothing before the colon.
func listenAddr(s string) (string, error) {
	host, port, err := splitPort(s)
	if err != nil {
		return "", fmt.Errorf("%w, as in 127.0.0.1:2525, [::1]:2525 or :25", err)
	}
	if host != "" {
		if host, err = hostOrIP(host); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(host, port), nil
}

// hopAddr accepts host:port, or a host alone for port 25.
func hopAddr(s string) (string, error) {
	host, port, err := splitPort(s)
	if err != nil {
		if _, aerr := netip.ParseAddr(s); aerr != nil && strings.Contains(s, ":") {
			return "", fmt.Errorf("%w, as in mail.example.net:25, 192.0.2.7:25 or [2001:db8::7]:25", err)
		}
		host, port = s, "25"
	}
	if port == "0" {
		return "", errors.New("port 0 is no port of a next hop")
	}
	if host, err = hostOrIP(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

func splitPort(s string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		return "", "", fmt.Errorf("%s is no host and port", quote(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", "", fmt.Errorf("%s: the port wants a number from 0 to 65535", quote(s))
	}
	return host, port, nil
}

func hostOrIP(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), nil
	}
	return hostname(s)
}

// hostname accepts a name of DNS and returns it in lower case and ASCII, without a dot at its end.
func hostname(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if !isASCII(name) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("%s is no host name", quote(s))
		}
		name = ascii
	}
	if len(name) > 253 {
		return "", fmt.Errorf("%s is longer than a host name can be", quote(s[:32]+"…"))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notHost) {
			return "", fmt.Errorf("%s is no host name", quote(s))
		}
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; !strings.ContainsFunc(last, unicode.IsLetter) {
		return "", fmt.Errorf("%s is no host name", quote(s))
	}
	return name, nil
}

func notHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// domainName accepts a name, or a name behind a dot for all its subdomains.
func domainName(s string) (string, error) {
	rest, sub := strings.CutPrefix(s, ".")
	name, err := hostname(rest)
	if err != nil {
		return "", fmt.Errorf("%s is no domain, as in ex.net, or .ex.net for its subdomains", quote(s))
	}
	if sub {
		name = "." + name
	}
	return name, nil
}

// mailbox accepts an address with a local part that needs no quotes.
func mailbox(s string) (string, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 1 || i > 64 || strings.ContainsAny(s[:i], " \t\"(),:;<>@[\\]") {
		return "", fmt.Errorf("%s is no mail address, as in postmaster@ex.net", quote(s))
	}
	domain, err := hostname(s[i+1:])
	if err != nil {
		return "", fmt.Errorf("%s is no mail address: %w", quote(s), err)
	}
	return s[:i+1] + domain, nil
}

func path(base string) func(string) (string, error) {
	return func(s string) (string, error) {
		if filepath.IsAbs(s) || base == "" {
			return filepath.Clean(s), nil
		}
		return filepath.Join(base, s), nil
	}
}

// quote shows what stands in a file without letting it speak to the terminal.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strconv.QuoteToGraphic(s)
}

func isOneOf(word string, words ...string) bool { return slices.Contains(words, word) }
