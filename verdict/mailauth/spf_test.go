package mailauth_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// spfRecords are SPF records and whether they follow the grammar of RFC 7208 section 12.
var spfRecords = []struct {
	txt  string
	good bool
}{
	{"v=spf1", true},
	{"V=SPF1 -ALL", true},
	{"v=spf1  a  mx/24 mx//64 a:b.example/24//64 ", true},
	{"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip4:192.0.2.1 ip6:::1", true},
	{"v=spf1 include:%{d}.b.example exists:%{ir}.%{l1r+-}._spf.%{d2} ~all", true},
	{"v=spf1 redirect=_spf.b.example", true},
	{"v=spf1 exp=e.b.example x-unknown=%{s}=a:b unknown= -all", true},
	{"v=spf1 ptr ptr:b.example ?all", true},
	{"v=spf1 a:b.example.", true},
	{"v=spf1 a:%%.%_.%-", true},
	{"v=spf1 a:foo:8080.b.example", true},
	{"v=spf1 -all moose", false},
	{"v=spf1 -all:x", false},
	{"v=spf1 all/8", false},
	{"v=spf1 a:", false},
	{"v=spf1 a:b", false},
	{"v=spf1 a:b.example:8080", false},
	{"v=spf1 a:b.123", false},
	{"v=spf1 a:b.-x", false},
	{"v=spf1 a/33", false},
	{"v=spf1 a/024", false},
	{"v=spf1 a//129", false},
	{"v=spf1 a/", false},
	{"v=spf1 ip4:192.0.2.256", false},
	{"v=spf1 ip4:2001:db8::", false},
	{"v=spf1 ip6:192.0.2.1", false},
	{"v=spf1 ip4", false},
	{"v=spf1 include", false},
	{"v=spf1 include:b.example/24", false},
	{"v=spf1 exists:%{x}.b.example", false},
	{"v=spf1 exists:%{c}.b.example", false},
	{"v=spf1 exists:%{d0}.b.example", false},
	{"v=spf1 exists:%{d", false},
	{"v=spf1 exists:%b.example", false},
	{"v=spf1 exists:%{d&}.b.example", false},
	{"v=spf1 redirect=", false},
	{"v=spf1 redirect=a.example redirect=b.example", false},
	{"v=spf1 exp=a.example exp=b.example", false},
	{"v=spf1 +exp=a.example", false},
	{"v=spf1 a\tmx", false},
	{"v=spf1 a\x00", false},
	{"v=spf1 \xc3\xbc=x", false},
	{"v=spf1 ++all", false},
	{"v=spf1 -", false},
}

func TestSPFRecord(t *testing.T) {
	t.Parallel()
	for _, c := range spfRecords {
		if err := mailauth.ParseSPFRecord(c.txt); (err == nil) != c.good {
			t.Errorf("%q: %v", c.txt, err)
		}
	}
	for txt, want := range map[string]bool{"v=spf1": true, "v=SPF1 a": true, "v=spf10": false, "v=spf1\ta": false, " v=spf1": false, "": false} {
		if mailauth.IsSPFRecord(txt) != want {
			t.Errorf("%q", txt)
		}
	}
}

// FuzzSPF evaluates any record, its macros expanded with any sender: there is always one of the seven results,
// in bounded time.
func FuzzSPF(f *testing.F) {
	for _, c := range spfRecords {
		f.Add(c.txt, "ann", "mail.b.example")
	}
	f.Add("v=spf1 include:b.example redirect=b.example", "a@b", "[::1]")
	f.Fuzz(func(t *testing.T, txt, local, helo string) {
		zone := mailauthtest.Zone{
			"b.example":                  {TXT: []string{txt}, A: []string{"192.0.2.7"}, MX: []string{"b.example", ""}},
			"1.2.0.192.in-addr.arpa":     {PTR: []string{"b.example", "x.b.example"}},
			"x.b.example":                {A: []string{"192.0.2.1"}, TXT: []string{"v=spf1 a -all", txt}},
			"e.b.example":                {TXT: []string{txt}},
			"mail.b.example":             {TXT: []string{txt}},
			"_spf.b.example":             {Err: mailauth.ErrTemporary},
			"2.0.192.ann._spf.b.example": {A: []string{"127.0.0.2"}},
		}
		log := &mailauthtest.Log{Resolver: zone}
		r := mailauth.SPF{Resolver: log}.CheckSPF(t.Context(), netip.MustParseAddr("192.0.2.1"), helo, local+"@b.example")
		switch r.Result {
		case "none", "neutral", verdict.Pass, "fail", "softfail", "temperror", "permerror":
		default:
			t.Errorf("result %q", r.Result)
		}
		if n := len(log.Asked()); n > 200 {
			t.Errorf("%d questions", n)
		}
		for _, q := range log.Asked() {
			if strings.ContainsAny(q, "\r\n\x00") || strings.Contains(q, "alias.invalid") {
				t.Errorf("question %q", q)
			}
		}
	})
}

func TestSPFLimits(t *testing.T) {
	t.Parallel()
	zone := mailauthtest.Zone{
		"loop.example":  {TXT: []string{"v=spf1 include:loop.example -all"}},
		"again.example": {TXT: []string{"v=spf1 redirect=again.example"}},
		"voids.example": {TXT: []string{"v=spf1 a:1.gone.example a:2.gone.example a:3.gone.example -all"}},
		"two.example":   {TXT: []string{"v=spf1 a:1.gone.example a:2.gone.example -all"}},
		"many.example":  {TXT: []string{"v=spf1 " + strings.Repeat("mx:mx.example ", 11) + "-all"}},
		"mx.example":    {MX: []string{"h.example"}},
		"h.example":     {A: []string{"192.0.2.9"}},
		"long.example":  {TXT: []string{"v=spf1 exists:" + strings.Repeat("%{s}", 10_000) + ".b.example -all"}},
		"big.example":   {TXT: []string{"v=spf1 " + strings.Repeat("ip4:192.0.2.9 ", 4600) + "-all"}},
	}
	for domain, want := range map[string]verdict.AuthResult{
		"loop.example": "permerror", "again.example": "permerror", "voids.example": "permerror",
		"two.example": "fail", "long.example": "permerror", "many.example": "permerror", "big.example": "fail",
	} {
		log := &mailauthtest.Log{Resolver: zone}
		got := mailauth.SPF{Resolver: log}.CheckSPF(t.Context(), netip.MustParseAddr("192.0.2.1"), "h.example", "a@"+domain)
		if got.Result != want {
			t.Errorf("%s: %+v, want %s", domain, got, want)
		}
		if n := len(log.Asked()); n > 25 {
			t.Errorf("%s: %d questions", domain, n)
		}
	}
	if got := (mailauth.SPF{Resolver: zone}).CheckSPF(t.Context(), netip.Addr{}, "h.example", "a@two.example"); got.Result != "permerror" {
		t.Errorf("no address: %+v", got)
	}
}

// TestSPFFuzzCorpus runs the inputs that another implementation was fuzzed with.
func TestSPFFuzzCorpus(t *testing.T) {
	t.Parallel()
	n := 0
	for _, path := range globs(t, corpus(t, "spf-fuzz"), "*", "*/*", "*/*/*") {
		for line := range strings.Lines(tryRead(path)) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "string("); ok {
				txt := unquote(text)
				zone := mailauthtest.Zone{"b.example": {TXT: []string{"v=spf1 " + txt, txt}}, "1.2.0.192.in-addr.arpa": {PTR: []string{"b.example"}}}
				mailauth.SPF{Resolver: zone}.CheckSPF(t.Context(), netip.MustParseAddr("192.0.2.1"), txt, txt+"@b.example")
				n++
			}
		}
	}
	if n == 0 {
		t.Error("no inputs")
	}
}
