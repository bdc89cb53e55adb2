package impostor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/impostor"
)

var foldCases = []struct{ name, in, want string }{
	{"empty", "", ""},
	{"blanks", " \r\n\t ", ""},
	{"case and signs", "Hello, World -- it's me!", "hello world it s me"},
	{"accents", "Überprüfung à l'étranger, señor Straße", "uberprufung a l etranger senor strasse"},
	{"combining", "re\u0301sume\u0301", "resume"},
	{"numbers", "pay $1,000.50 or 20% in 48h", "pay $ 0 or 0 % in 0h"},
	{"a number in front of a currency", "100€", "0 $"},
	{"digits behind a word", "norton360 level3", "norton level"},
	{"leet", "acc0unt v1agra PayPa1s", "account viagra paypais"},
	{"signs for letters", "v!agra ca$ino", "viagra casino"},
	{"mixed scripts", "p\u0430yp\u0430l", "paypal"},
	{"invisible", "pay\u200bpal sus\u00adpend", "paypal suspend"},
	{"mathematical", "\U0001d40f\U0001d42b\U0001d422\U0001d433\U0001d41e", "prize"},
	{"full width", "\uff30\uff41\uff59", "pay"},
	{"small capitals", "\u1d18\u1d00\u028f\u1d0d\u1d07\u0274\u1d1b", "payment"},
	{"framed", "\u24c5\u24d0\u24e8", "pay"},
	{"spaced", "a W I N N E R today", "awinner today"},
	{"spaced to the end", "today W I N N E R", "today winner"},
	{"initials are not spaced", "J R R Tolkien", "j r r tolkien"},
	{"another script", "\u041f\u0440\u0438\u0432\u0435\u0442 \u6f22\u5b57", "npubet ~~"},
	{"broken UTF-8", "pay\xff\xfepal", "pay pal"},
}

func TestPhoneNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"call +1 (888) 555-0142 now":         "+1 (888) 555-0142",
		"call 1-808-555-0177.":               "1-808-555-0177",
		"Tel. 0113 496 0123 oder":            "0113 496 0123",
		"order 00340434161094042557":         "",
		"on 2026-01-02 at 10:00":             "",
		"10.1.2.3 and 192.168.100.200":       "",
		"on 2026-01-02 10:00":                "",
		"12 34":                              "",
		"":                                   "",
		"+":                                  "",
		"((((":                               "",
		"call 1\u2011808\u2011555\u20110177": "1\u2011808\u2011555\u20110177",
	} {
		if got := impostor.PhoneNumber(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for _, c := range foldCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := impostor.FoldString(c.in); got != c.want {
				t.Errorf("%q became %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func FuzzFold(f *testing.F) {
	for _, c := range foldCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := impostor.FoldString(in)
		if strings.Contains(out, "  ") || strings.TrimSpace(out) != out {
			t.Errorf("%q became %q, with blanks too many", in, out)
		}
		for i := range len(out) {
			if c := out[i]; !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789 $%~", rune(c)) {
				t.Errorf("%q became %q, with %q", in, out, c)
			}
		}
		if len(out) > 3*len(in)+2 {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
	})
}

var mailboxCases = []struct {
	in   string
	want []string
	odd  string
}{
	{"", nil, ""},
	{"ann@example.org", []string{"ann@example.org"}, ""},
	{"Ann Example <ann@example.org>", []string{"ann@example.org"}, ""},
	{`"Example, Ann" <ann@example.org>`, []string{"ann@example.org"}, ""},
	{"ann@example.org (Ann Example)", []string{"ann@example.org"}, ""},
	{"Ann <ann@example.org>, Bob <bob@example.org>", []string{"ann@example.org", "bob@example.org"}, ""},
	{`"\"Ann\" <x@y>" <ann@example.org>`, []string{"ann@example.org"}, ""},
	{"undisclosed-recipients:;", nil, ""},
	{"Friends: ann@example.org, bob@example.org;", []string{"ann@example.org", "bob@example.org"}, ""},
	{"Support team, <a@example.org>", []string{"a@example.org"}, "a name without an address"},
	{"Support team, (<a@example.org>)", []string{"a@example.org"}, "an address where none belongs"},
	{"MAILER-DAEMON", nil, ""},
	{"The Post Office <>", nil, ""},
	{"Nobody at all", nil, "a name without an address"},
	{"Ann ann@example.org", []string{"ann@example.org"}, "a name beside an address without angle brackets"},
	{"Ann <a@example.org> <b@example.org>", []string{"b@example.org"}, "two addresses for one name"},
	{"Ann <<a@example.org>>", []string{"a@example.org"}, "angle brackets in an address"},
	{`"Ann <a@example.org>`, []string{"a@example.org"}, "an address where none belongs"},
	{"(((a@example.org", []string{"a@example.org"}, "an address where none belongs"},
	{"<a@example.org", []string{"a@example.org"}, "text that is not closed"},
}

func TestMailboxes(t *testing.T) {
	t.Parallel()
	for _, c := range mailboxCases {
		got, odd := impostor.Mailboxes(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" || odd != c.odd {
			t.Errorf("%s: odd %q, want %q; addresses (-want +got):\n%s", c.in, odd, c.odd, diff)
		}
	}
}

func FuzzMailboxes(f *testing.F) {
	for _, c := range mailboxCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, _ := impostor.Mailboxes(in)
		for _, a := range got {
			if !strings.Contains(a, "@") || len(a) > len(in) {
				t.Errorf("%q holds the address %q", in, a)
			}
		}
	})
}

func TestResembles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		domain, own string
		want        bool
	}{
		{"example.com", "example.com", false},
		{"mail.example.com", "example.com", false},
		{"exarnple.com", "example.com", true},
		{"examp1e.com", "example.com", true},
		{"exmaple.com", "example.com", true},
		{"examples.com", "example.com", true},
		{"example.co", "example.com", true},
		{"ex-ample.com", "example.com", true},
		{"example-login.com", "example.com", true},
		{"secure-example.com", "example.com", true},
		{"xn--exmple-cua.com", "example.com", true},
		{"xn--exampe-3jc.com", "example.com", false}, // another letter altogether
		{"acme.com", "acne.com", false},              // too short to tell
		{"acme.net", "acme.com", false},
		{"weather.com", "example.com", false},
		{"", "example.com", false},
	} {
		if how, got := impostor.Resembles(c.domain, c.own); got != c.want {
			t.Errorf("%s for %s: %v (%s), want %v", c.domain, c.own, got, how, c.want)
		}
	}
}

func TestBogus(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]bool{
		"example.com": false, "a.b.example.co.uk": false, "xn--bcher-kva.example": false, "bücher.de": false,
		"[192.0.2.1]": false, "host.local": false, "localhost": false, "": true, "webserver17": true, "%rand.com": true,
		"shop,com": true, "a..com": true, "mail.notatld": true, "\ufffd\ufffd.com": true,
	} {
		if got := impostor.Bogus(domain); got != want {
			t.Errorf("%q: %v, want %v", domain, got, want)
		}
	}
}

func TestSameName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shown, name string
		want        bool
	}{
		{"Ann Example", "Ann Example", true},
		{"EXAMPLE, Ann", "Ann Example", true},
		{"Dr. Ann Example", "Ann Example", true},
		{"Ann Example - CEO", "Ann Example", true},
		{"A. Example", "Ann Example", true},
		{"Ann E.", "Ann Example", true},
		{"\u0410nn Ex\u0430mple", "Ann Example", true}, // Cyrillic A and a
		{"René Müller", "Rene Muller", true},
		{"Ann Maria Example", "Ann Example", true},
		{"Ann Example", "Ann M. Example", true},
		{"A. E.", "Ann Example", false},
		{"Bob Example", "Ann Example", false},
		{"Ann", "Ann Example", false},
		{"Ann", "Ann", false},
		{"The Ann Example Fan Club of London", "Ann Example", false},
		{"", "Ann Example", false},
	} {
		if got := impostor.SameName(c.shown, c.name); got != c.want {
			t.Errorf("%q for %q: %v, want %v", c.shown, c.name, got, c.want)
		}
	}
}

func TestIsRandom(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{
		"xk4t9q2m7": true, "qWpLmZx": true, "hJkQrTz": true, "1908178270928": true, "zxcvbnmk": true,
		"ann": false, "annExample": false, "JSmith": false, "IBMSupport": false, "info": false, "newsletter": false,
		"rechtsschutz": false, "john1985": false, "MacDonald": false, "noreply": false, "sales2": false, "bounce+a=b.c": false,
	} {
		if got := impostor.IsRandom(word); got != want {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}

func TestSplitHumps(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ParcelServiceUK": "Parcel Service UK", "ABCBank": "ABC Bank", "plain words": "plain words", "": "", "A": "A",
	} {
		if got := impostor.SplitHumps(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

var dateCases = []struct {
	in   string
	want string // in UTC; empty: none
}{
	{"Fri, 02 Jan 2026 03:04:05 +0100", "2026-01-02T02:04:05Z"},
	{"2 Jan 2026 03:04 -0330", "2026-01-02T06:34:00Z"},
	{"Fri,  2 Jan 2026 03:04:05 GMT", "2026-01-02T03:04:05Z"},
	{"Fri 2 January 2026 03:04:05 +0000 (UTC)", "2026-01-02T03:04:05Z"},
	{"Thu, 01 Feb 96 03:04:05 EST", "1996-02-01T03:04:05Z"},
	{"Thu, 01 Feb 02 03:04:05 Z", "2002-02-01T03:04:05Z"},
	{"", ""},
	{"yesterday", ""},
	{"Fri, 02 Jan 2026 03:04:05", ""},
	{"Fri, 02 Jan 2026 03:04:05 PM -0400", ""},
	{"Fri, 31 Feb 2026 03:04:05 +0000", ""},
	{"Fri, 02 Jan 2026 25:04:05 +0000", ""},
	{"Fri, 02 Foo 2026 03:04:05 +0000", ""},
	{"2026-01-02T03:04:05Z", ""},
	{"Fri, 02 Jan 2026 03:04:05 Central European Time", ""},
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for _, c := range dateCases {
		got := ""
		if d := impostor.ParseDate(c.in); !d.IsZero() {
			got = d.UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
