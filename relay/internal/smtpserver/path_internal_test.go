package smtpserver

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var pathCases = []struct {
	in      string
	address string
	rest    string
	ok      bool
}{
	{"<>", "", "", true},
	{"<> SIZE=1", "", " SIZE=1", true},
	{"<a@b>", "a@b", "", true},
	{`<"a"@b>`, `"a"@b`, "", true},
	{`<"\a\\\""@b>`, `"a\\\""@b`, "", true},
	{`<""@b>`, `""@b`, "", true},
	{`<"a b>c@d"@b> X`, `"a b>c@d"@b`, " X", true},
	{"<@a,@b:c@d>", "c@d", "", true},
	{"<@[1.2.3.4]:c@d>", "c@d", "", true},
	{"<@[IPv6:::1],@x:c@d>", "c@d", "", true},
	{"<a@[IPv6:::ffff:1.2.3.4]>", "a@[IPv6:::ffff:1.2.3.4]", "", true},
	{"<Postmaster>", "Postmaster", "", true},
	{"<" + strings.Repeat("l", 256) + "@b>", strings.Repeat("l", 256) + "@b", "", true},
	{"<" + strings.Repeat("l", 257) + "@b>", "", "", false},
	{"<a@" + strings.Repeat("d.", 127) + "d>", "a@" + strings.Repeat("d.", 127) + "d", "", true},
	{"<a@" + strings.Repeat("d.", 128) + "d>", "", "", false},
	{"<a@" + strings.Repeat("d", 64) + ">", "", "", false},
	{"", "", "", false},
	{"<", "", "", false},
	{"a@b", "", "", false},
	{"<a@b", "", "", false},
	{"<a@b>x", "", "", false},
	{"<a>", "", "", false},
	{"<@b>", "", "", false},
	{"<a@@b>", "", "", false},
	{"<@a:>", "", "", false},
	{"<@a,b:c@d>", "", "", false},
	{"<@:c@d>", "", "", false},
	{"<@[:c@d>", "", "", false},
	{"<a@b.>", "", "", false},
	{"<a@.b>", "", "", false},
	{"<a@b c>", "", "", false},
	{"<a@[]>", "", "", false},
	{"<a@[1.2.3]>", "", "", false},
	{"<a@[::1]>", "", "", false},
	{"<a@[IPv6:1.2.3.4]>", "", "", false},
	{"<a@[IPv6:fe80::1%eth0]>", "", "", false},
	{"<a@[tag:]>", "", "", false},
	{"<a@[1.2.3.4]x>", "", "", false},
	{`<"a@b>`, "", "", false},
	{`<"a\`, "", "", false},
	{`<"a"b@c>`, "", "", false},
	{"<a\rb@c>", "", "", false},
	{"<\"a\nb\"@c>", "", "", false},
	{"<\"a\\\x00b\"@c>", "", "", false},
	{"<a\xff@c>", "", "", false},
	{"<a\u202e@c>", "", "", false},
	{"<j\u00f6rg@b\u00fccher>", "j\u00f6rg@b\u00fccher", "", true},
}

func TestCutPath(t *testing.T) {
	t.Parallel()
	for _, c := range pathCases {
		address, rest, ok := cutPath(c.in)
		if ok != c.ok || ok && (address != c.address || rest != c.rest) {
			t.Errorf("cutPath(%.60q) = %q, %q, %v; want %q, %q, %v", c.in, address, rest, ok, c.address, c.rest, c.ok)
		}
	}
}

func FuzzCutPath(f *testing.F) {
	for _, c := range pathCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		address, rest, ok := cutPath(in)
		if !ok {
			return
		}
		if !utf8.ValidString(address) || len(address) > maxPath || strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q gave %q", in, address)
		}
		again, left, ok := cutPath("<" + address + ">" + rest)
		if !ok || again != address || left != rest {
			t.Errorf("%q gave %q, and that gave %q, %q, %v", in, address, again, left, ok)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add(" SIZE=1 BODY=8BITMIME ORCPT=rfc822;a+2Bb@c", " NOTIFY=NEVER ORCPT=utf-8;\\x{E9}")
	f.Fuzz(func(t *testing.T, mail, rcpt string) {
		c := &Conn{server: &Server{DSN: true, SMTPUTF8: true}, utf8: true}
		if o, err := c.mailParams(mail); err == nil && (!printable(o.EnvelopeID) || o.Size < 0) {
			t.Errorf("%q gave %+v", mail, o)
		}
		if o, err := c.rcptParams(rcpt); err == nil && !printable(o.OriginalRecipient) {
			t.Errorf("%q gave %+v", rcpt, o)
		}
	})
}

func FuzzXClient(f *testing.F) {
	f.Add("NAME=a.test ADDR=IPV6:::1 PORT=1 PROTO=ESMTP HELO=[UNAVAILABLE]")
	f.Fuzz(func(t *testing.T, arg string) {
		var got Forwarded
		if got.parse(arg) && (got.Name != "" && !validHelo(got.Name) || got.Helo != "" && !validHelo(got.Helo)) {
			t.Errorf("%q gave %+v", arg, got)
		}
	})
}
