package relay

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

var receivedCases = []struct {
	name, in string
	want     received
}{
	{"Postfix", "from mail.example.org (mail.example.org [192.0.2.1])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\tby mx.example.net (Postfix) with ESMTPS id 4ABC for <b@example.net>; Sat, 21 Nov 2026 10:00:00 +0000",
		received{helo: "mail.example.org", name: "mail.example.org", addr: netip.MustParseAddr("192.0.2.1"), by: "mx.example.net", note: "Postfix"}},
	{"Postfix, IPv6", "from a (b [IPv6:2001:db8::1]) by c (Postfix) with ESMTP id 1; date",
		received{helo: "a", name: "b", addr: netip.MustParseAddr("2001:db8::1"), by: "c", note: "Postfix"}},
	{"Gmail", "from out.example.org (out.example.org. [198.51.100.7]) by mx.google.com with ESMTPS id k12si3 for <b@example.net> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); Sat, 21 Nov 2026 02:00:00 -0800 (PST)",
		received{helo: "out.example.org", name: "out.example.org", addr: netip.MustParseAddr("198.51.100.7"), by: "mx.google.com", note: ""}},
	{"Exchange", "from mail.example.org (203.0.113.9) by AM4PEPF00027A5E.mail.protection.outlook.com (10.167.16.69) with Microsoft SMTP Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.1 via Frontend Transport; date",
		received{helo: "mail.example.org", addr: netip.MustParseAddr("203.0.113.9"), by: "AM4PEPF00027A5E.mail.protection.outlook.com", note: "10.167.16.69"}},
	{"Exim, no name", "from [192.0.2.8] (helo=liar) by mx.example.net with esmtp (Exim 4.98) id 1; date",
		received{helo: "liar", addr: netip.MustParseAddr("192.0.2.8"), by: "mx.example.net", note: ""}},
	{"Exim, with a name", "from host.example.org ([192.0.2.9] helo=liar) by mx.example.net with esmtp id 1; date",
		received{helo: "liar", name: "host.example.org", addr: netip.MustParseAddr("192.0.2.9"), by: "mx.example.net"}},
	{"an address literal in HELO is the client's word", "from [203.0.113.1] (real.example.org [192.0.2.3]) by mx; date",
		received{helo: "[203.0.113.1]", name: "real.example.org", addr: netip.MustParseAddr("192.0.2.3"), by: "mx"}},
	{"an address in Exim's helo is the client's word", "from host.example.org ([192.0.2.9] helo=[203.0.113.1]) by mx; date",
		received{helo: "[203.0.113.1]", name: "host.example.org", addr: netip.MustParseAddr("192.0.2.9"), by: "mx"}},
	{"the client is called by", "from by (by [192.0.2.3]) by mx; date", received{helo: "by", name: "by", addr: netip.MustParseAddr("192.0.2.3"), by: "mx"}},
	{"an address in the name of a certificate is the client's word", "from a (a.example [192.0.2.1])\r\n\t(using TLSv1.3 with cipher X)\r\n\t(Client CN \"x 203.0.113.66 y\", Issuer \"z\" (not verified))\r\n\tby mx (Postfix) with ESMTPS id 1; d",
		received{helo: "a", name: "a.example", addr: netip.MustParseAddr("192.0.2.1"), by: "mx", note: "Postfix"}},
	{"an address in the name of an account is the client's word", "from a (a.example [192.0.2.1]) (Authenticated sender: 203.0.113.66) by mx; d",
		received{helo: "a", name: "a.example", addr: netip.MustParseAddr("192.0.2.1"), by: "mx"}},
	{"a name that is an address", "from a (203.0.113.66 [192.0.2.1]) by mx; d", received{helo: "a", addr: netip.MustParseAddr("192.0.2.1"), by: "mx"}},
	{"what follows the brackets", "from a (b [192.0.2.1] 203.0.113.66 [203.0.113.67]) by mx; d", received{helo: "a", name: "b", addr: netip.MustParseAddr("192.0.2.1"), by: "mx"}},
	{"no address, but one in a later comment", "from a (unknown) (Client CN \"[203.0.113.66] x\") by mx; d", received{helo: "a", name: "unknown", by: "mx"}},
	{"Sendmail, may be forged", "from a (b.example [192.0.2.1] (may be forged)) by mx; d", received{helo: "a", name: "b.example", addr: netip.MustParseAddr("192.0.2.1"), by: "mx"}},
	{"a parenthesis escaped in a comment", "from a (x\\) [203.0.113.66] y [192.0.2.1]) by mx; d", received{helo: "a", name: "x\\)", addr: netip.MustParseAddr("203.0.113.66"), by: "mx"}},
	{"qmail", "from host.example (HELO [203.0.113.66]) (192.0.2.1) by mx with SMTP; d", received{helo: "host.example", name: "host.example", addr: netip.MustParseAddr("192.0.2.1"), by: "mx"}},
	{"by only", "by mx.example.net (Postfix, from userid 0) id 1; date", received{by: "mx.example.net", note: "Postfix, from userid 0"}},
	{"empty", "", received{}},
	{"garbage", "((((; from ) by", received{}},
}

func TestParseReceived(t *testing.T) {
	t.Parallel()
	for _, tt := range receivedCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := parseReceived(tt.in)
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(received{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func FuzzParseReceived(f *testing.F) {
	for _, tt := range receivedCases {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := parseReceived(in)
		if r.addr.Zone() != "" || r.addr.Is4In6() {
			t.Errorf("address %v is not in its plain form", r.addr)
		}
		if !strings.Contains(in, r.by) || !strings.Contains(in, r.helo) {
			t.Errorf("%+v is not from %q", r, in)
		}
	})
}

func header(s string) verdict.Header {
	return verdict.NewMessage(verdict.Bytes(strings.ReplaceAll(s, "\n", "\r\n") + "\r\n\r\n")).Header()
}

func TestUpstreamOrigin(t *testing.T) {
	t.Parallel()
	chain := "Received: from eop (eop [40.92.0.1]) by gw; d\n" +
		"Received: from first (first [198.51.100.7]) by mx.google.com with ESMTPS id 1; d\n" +
		"Received: from inner (inner [10.0.0.1]) by first; d"
	for _, tt := range []struct {
		name, header string
		up           Upstream
		addr, helo   string
	}{
		{"topmost Received", chain, Upstream{}, "40.92.0.1", "eop"},
		{"second Received", chain, Upstream{Hops: 1}, "198.51.100.7", "first"},
		{"fewer than hops", chain, Upstream{Hops: 3}, "", ""},
		{"negative hops", chain, Upstream{Hops: -1}, "", ""},
		{"what Gmail wrote", chain, Upstream{Kind: Gmail}, "198.51.100.7", "first"},
		{"no Received at all", "Subject: x", Upstream{}, "", ""},
		{"Exchange Online", "X-Forefront-Antispam-Report:\n CIP:203.0.113.9;CTRY:NL;LANG:en;SCL:1;SRV:;IPV:NLI;SFV:NSPM;H:mail.example.org;PTR:mail.example.org;CAT:NONE;SFS:(13230040);DIR:INB;", Upstream{Kind: ExchangeOnline}, "203.0.113.9", "mail.example.org"},
		{"Exchange Online, the topmost of two", "X-Forefront-Antispam-Report: CIP:203.0.113.9;H:real\nX-Forefront-Antispam-Report: CIP:192.0.2.66;H:forged", Upstream{Kind: ExchangeOnline}, "203.0.113.9", "real"},
		{"Exchange Online, IPv6", "X-Forefront-Antispam-Report: CIP:2001:db8::1;H:a", Upstream{Kind: ExchangeOnline}, "2001:db8::1", "a"},
		{"Exchange Online, mail of the tenant's own", "X-Forefront-Antispam-Report: CIP:255.255.255.255;CTRY:;H:a;DIR:INT", Upstream{Kind: ExchangeOnline}, "", ""},
		{"Exchange Online, nonsense", "X-Forefront-Antispam-Report: CIP:localhost;H:a", Upstream{Kind: ExchangeOnline}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, ok := tt.up.origin(header(tt.header))
			if ok != (tt.addr != "") || ok && (c.Addr.Addr().String() != tt.addr || c.Helo != tt.helo) {
				t.Errorf("got %+v %v, want %q %q", c, ok, tt.addr, tt.helo)
			}
		})
	}
}
