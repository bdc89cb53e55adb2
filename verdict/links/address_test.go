package links

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// addresses are targets of links, and what browsers make of them. The fuzzer begins with them.
var addresses = []struct {
	in, base string
	want     string // "" if it leads nowhere
	org      string
	user     string
	tricks   tricks
}{
	{in: "https://www.example.com/a?b=c#d", want: "https://www.example.com/a?b=c#d", org: "example.com"},
	{in: " HTTP://WWW.Example.COM.:80 ", want: "http://www.example.com/", org: "example.com"},
	{in: "https://example.co.uk:8443/", want: "https://example.co.uk:8443/", org: "example.co.uk"},
	{in: "www.example.org/x", want: "http://www.example.org/x", org: "example.org"},
	{in: "example.org:8080/x", want: "http://example.org:8080/x", org: "example.org"},
	{in: "//example.org/x", want: "https://example.org/x", org: "example.org"},
	{in: "http:example.org/x", want: "http://example.org/x", org: "example.org", tricks: trickSlashes},
	{in: "http:////example.org/x", want: "http://example.org/x", org: "example.org", tricks: trickSlashes},
	{in: `https:\\example.org\x`, want: "https://example.org/x", org: "example.org", tricks: trickBackslash},
	{in: "https://example.com\\@evil.test/", want: `https://example.com/@evil.test/`, org: "example.com", tricks: trickBackslash},
	{in: "https://bank.example.com@evil.example.net/x", want: "https://evil.example.net/x", org: "example.net", user: "bank.example.com"},
	{in: "https://a:b@c@example.net/", want: "https://example.net/", org: "example.net", user: "a:b@c"},
	{in: "ht\ntp://exa\tmple.com/", want: "http://example.com/", org: "example.com", tricks: trickControl},
	{in: "https://example.com/a/b\r\n c", want: "https://example.com/a/b c", org: "example.com"},
	{in: "https://%65xample.com/", want: "https://example.com/", org: "example.com", tricks: trickEscapedHost},
	{in: "https://exam\u200bple.com/", want: "https://example.com/", org: "example.com", tricks: trickInvisible | trickWideHost},
	{in: "https://ｅｘａｍｐｌｅ.com/", want: "https://example.com/", org: "example.com", tricks: trickWideHost},
	{in: "https://example。com/", want: "https://example.com/", org: "example.com", tricks: trickWideHost},
	{in: "https://bücher.example/", want: "https://xn--bcher-kva.example/", org: "xn--bcher-kva.example"},
	{in: "https://раураl.com/", want: "https://xn--l-7sba6dbr.com/", org: "xn--l-7sba6dbr.com"},
	{in: "http://192.0.2.1/", want: "http://192.0.2.1/", org: "192.0.2.1"},
	{in: "http://3221225985/", want: "http://192.0.2.1/", org: "192.0.2.1", tricks: trickNumericHost},
	{in: "http://0xC0000201/", want: "http://192.0.2.1/", org: "192.0.2.1", tricks: trickNumericHost},
	{in: "http://0300.0.2.1/", want: "http://192.0.2.1/", org: "192.0.2.1", tricks: trickNumericHost},
	{in: "http://192.513/", want: "http://192.0.2.1/", org: "192.0.2.1", tricks: trickNumericHost},
	{in: "http://[2001:db8::1]:81/", want: "http://[2001:db8::1]:81/", org: "2001:db8::1"},
	{in: "http://[::ffff:192.0.2.1]/", want: "http://192.0.2.1/", org: "192.0.2.1"},
	{in: "http://1.2.3.4.5/", want: "http://1.2.3.4.5/", org: "4.5"},
	{in: "x.html", base: "https://example.com/a/b?c", want: "https://example.com/a/x.html", org: "example.com"},
	{in: "/x", base: "https://example.com/a/b", want: "https://example.com/x", org: "example.com"},
	{in: "?x", base: "https://example.com/a/b", want: "https://example.com/a/b?x", org: "example.com"},
	{in: "mailto:ann@example.org?subject=x", want: "mailto:ann@example.org?subject=x"},
	{in: "javascript:alert(1)", want: "javascript:alert(1)"},
	{in: "data:text/html;base64,AAAA", want: "data:text/html;base64,AAAA"},
	{in: "x.html"},
	{in: "#top"},
	{in: ""},
	{in: "http://"},
	{in: "https://exa mple.com/"},
	{in: "http:///"},
	{in: "https://[zz]/"},
	{in: "https://%"},
	{in: "https://%00%"},
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, c := range addresses {
		a, ok := parseAddress(c.in, c.base)
		if ok != (c.want != "") {
			t.Errorf("%q: %v, %+v", c.in, ok, a)
			continue
		}
		if !ok {
			continue
		}
		if diff := cmp.Diff([]any{c.want, c.org, c.user, c.tricks}, []any{a.String(), a.org, a.user, a.tricks}); diff != "" {
			t.Errorf("%q: %s", c.in, diff)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, c := range addresses {
		f.Add(c.in)
	}
	for _, c := range wrapped {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := parseAddress(s, "")
		if !ok || !a.web() {
			return
		}
		if strings.ContainsAny(a.host, "/\\@# \t\r\n") || a.host != strings.ToLower(a.host) {
			t.Errorf("%q: host %q", s, a.host)
		}
		// What was brought into one form stays as it is.
		b, ok := parseAddress(a.String(), "")
		if !ok || b.host != a.host || b.org != a.org || b.port != a.port {
			t.Errorf("%q: %+v, then %+v", s, a, b)
		}
		l := &link{at: a}
		l.follow()
		if len(l.passes) > maxWraps {
			t.Errorf("%q: %d services", s, len(l.passes))
		}
		carried(l.at)
	})
}

// plainTexts are texts, and what mail programs make links of.
var plainTexts = []struct {
	in   string
	want []string
}{
	{"See https://example.com/a, please.", []string{"https://example.com/a"}},
	{"(https://example.com/a_(b)) x", []string{"https://example.com/a_(b)"}},
	{"<http://example.com/?a=b&c=d>", []string{"http://example.com/?a=b&c=d"}},
	{"seehttp://example.com/x", []string{"http://example.com/x"}},
	{"hxxp://example.com/ and file://x", nil},
	{"www.example.org and WWW.Example.net/x.", []string{"www.example.org", "WWW.Example.net/x"}},
	{"Visit example.com today", []string{"example.com"}},
	{"ann@example.com and bob%40example.com", nil},
	{"main.go, README.md, a.b.c, x.py/y, 1.2.3.4, e.g. this", nil},
	{"go to example.de/login now", []string{"example.de/login"}},
	{"example.de alone", nil},
	{"\u201chttps://example.com/x\u201d", []string{"https://example.com/x"}},
	{"https://bücher.example/ü", []string{"https://bücher.example/ü"}},
	{"https://\nhttp:// ://. .. . www. www.", nil},
	{"https://a.example/https://b.example/", []string{"https://a.example/https://b.example/"}},
	{"ftp://ftp.example.org/x.zip!", []string{"ftp://ftp.example.org/x.zip"}},
	{"", nil},
	{" -.-@", nil},
	{"a .-.-. b.example/ --.--", nil},
}

func TestFindPlain(t *testing.T) {
	t.Parallel()
	for _, c := range plainTexts {
		var got []string
		findPlain(c.in, func(p plainLink) bool { got = append(got, p.target); return true })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.in, diff)
		}
	}
}

func FuzzFindPlain(f *testing.F) {
	for _, c := range plainTexts {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		findPlain(s, func(p plainLink) bool {
			if n++; n > len(s) || !strings.Contains(s, p.target) || p.target == "" {
				t.Fatalf("%q: %q", s, p.target)
			}
			return true
		})
	})
}
