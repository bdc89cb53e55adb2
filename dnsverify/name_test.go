package dnsverify_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/dnsverify"
)

// nameTests are names as people type them. An empty want is a refusal with the code and a word of the detail.
var nameTests = []struct {
	in, want string
	code     dnsverify.Code
	word     string
}{
	{in: "example.com", want: "example.com"},
	{in: "Example.COM.", want: "example.com"},
	{in: " example.com\t\r\n", want: "example.com"},
	{in: "bücher.example.com", want: "xn--bcher-kva.example.com"},
	{in: "BÜCHER.example.com", want: "xn--bcher-kva.example.com"},
	{in: "bu\u0308cher.example.com", want: "xn--bcher-kva.example.com"},
	{in: "straße.de", want: "xn--strae-oqa.de"},
	{in: "例え.jp", want: "xn--r8jz45g.jp"},
	{in: "example。com", want: "example.com"},
	{in: "ｅｘａｍｐｌｅ.com", want: "example.com"},
	{in: "xn--bcher-kva.example.com", want: "xn--bcher-kva.example.com"},
	{in: "r3---sn.example.com", want: "r3---sn.example.com"},
	{in: "1and1.com", want: "1and1.com"},
	{in: "a.b.c.d.example.co.uk", want: "a.b.c.d.example.co.uk"},
	{in: strings.Repeat(strings.Repeat("a", 49)+".", 5) + "com", want: strings.Repeat(strings.Repeat("a", 49)+".", 5) + "com"}, // 253
	{in: strings.Repeat(strings.Repeat("a", 49)+".", 5) + "info", code: dnsverify.InvalidName},
	{in: strings.Repeat("a", 64) + ".com", code: dnsverify.InvalidName},
	{in: "", code: dnsverify.InvalidName, word: "empty"},
	{in: ".", code: dnsverify.InvalidName},
	{in: "..", code: dnsverify.InvalidName},
	{in: "example..com", code: dnsverify.InvalidName},
	{in: ".example.com", code: dnsverify.InvalidName},
	{in: "localhost", code: dnsverify.InvalidName, word: "one label"},
	{in: "com", code: dnsverify.InvalidName},
	{in: "co.uk", code: dnsverify.PublicSuffix},
	{in: "CO.UK.", code: dnsverify.PublicSuffix},
	{in: "github.io", code: dnsverify.PublicSuffix, word: "hands out"},
	{in: "me.github.io", want: "me.github.io"},
	{in: "corp.internal", code: dnsverify.InvalidName, word: "public Internet"},
	{in: "192.0.2.1", code: dnsverify.InvalidName, word: "address"},
	{in: "192.0.2.1.", code: dnsverify.InvalidName, word: "address"},
	{in: "[192.0.2.1]", code: dnsverify.InvalidName, word: "address"},
	{in: "2001:db8::1", code: dnsverify.InvalidName, word: "address"},
	{in: "[IPv6:2001:db8::1]", code: dnsverify.InvalidName, word: "address"},
	{in: "192.0.2.1:25", code: dnsverify.InvalidName, word: "address"},
	{in: "１９２.０.２.１", code: dnsverify.InvalidName},
	{in: "192.0.2.256", code: dnsverify.InvalidName},
	{in: "1.2.3", code: dnsverify.InvalidName},
	{in: "_dmarc.example.com", code: dnsverify.InvalidName, word: "underscore"},
	{in: "a_b.example.com", code: dnsverify.InvalidName, word: "underscore"},
	{in: "-a.example.com", code: dnsverify.InvalidName},
	{in: "a-.example.com", code: dnsverify.InvalidName},
	{in: "*.example.com", code: dnsverify.InvalidName, word: "wildcard"},
	{in: "https://example.com/", code: dnsverify.InvalidName, word: "link"},
	{in: "user@example.com", code: dnsverify.InvalidName, word: "mail address"},
	{in: "example .com", code: dnsverify.InvalidName, word: "blanks"},
	{in: "xn--.example.com", code: dnsverify.InvalidName},
	{in: "xn--99999999999.example.com", code: dnsverify.InvalidName},
	{in: "a\u200db.com", code: dnsverify.InvalidName},
	{in: "a\u00adb.com", want: "ab.com"}, // UTS #46 drops the soft hyphen
	{in: "\u202eexample.com", code: dnsverify.InvalidName},
	{in: "exa\x00mple.com", code: dnsverify.InvalidName},
	{in: "example.com\r\nRCPT TO:<x>", code: dnsverify.InvalidName},
	{in: "\xff\xfe.com", code: dnsverify.InvalidName},
	{in: "<script>.com", code: dnsverify.InvalidName},
	{in: "a\\.b.com", code: dnsverify.InvalidName},
	{in: strings.Repeat("x", 64<<10), code: dnsverify.InvalidName, word: "too long"},
	{in: strings.Repeat("é.", 500), code: dnsverify.InvalidName},
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, tt := range nameTests {
		got, err := dnsverify.Names{}.Normalize(tt.in)
		if tt.want != "" {
			if got != tt.want || err != nil {
				t.Errorf("Normalize(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
			continue
		}
		var p *dnsverify.Problem
		if got != "" || !errors.As(err, &p) || p.Code != tt.code || !strings.Contains(p.Detail, tt.word) {
			t.Errorf("Normalize(%.80q) = %q, %v; want %s with %q", tt.in, got, err, tt.code, tt.word)
		}
	}
}

func TestNormalizeAllowances(t *testing.T) {
	t.Parallel()
	n := dnsverify.Names{PrivateSuffix: true, UnlistedTLD: true}
	for _, d := range []string{"github.io", "corp.internal"} {
		if got, err := n.Normalize(d); got != d || err != nil {
			t.Errorf("Normalize(%q) = %q, %v", d, got, err)
		}
	}
	for _, d := range []string{"co.uk", "internal"} {
		if got, err := n.Normalize(d); err == nil {
			t.Errorf("Normalize(%q) = %q, want a refusal", d, got)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, tt := range nameTests {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n := dnsverify.Names{PrivateSuffix: true, UnlistedTLD: true}
		got, err := n.Normalize(in)
		if err != nil {
			if !safe(err.Error()) || got != "" {
				t.Errorf("Normalize(%q) = %q, %q", in, got, err)
			}
			return
		}
		if again, err := n.Normalize(got); again != got || err != nil {
			t.Errorf("Normalize(%q) = %q, and of that %q, %v", in, got, again, err)
		}
		if len(got) > 253 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || !strings.Contains(got, ".") {
			t.Errorf("Normalize(%q) = %q", in, got)
		}
	})
}

// safe says whether a text can stand in a log, a terminal and a page.
func safe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`<>&"'`, r) })
}
