package dnsverify_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

var own = dnsverify.Own{Hosts: []string{"mx1.gw.example.net", ".eu.gw.example.net"}, Addrs: []netip.Prefix{netip.MustParsePrefix("127.255.0.0/16")}}

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := map[string]dnsverify.Platform{
		"contoso-com.mail.protection.outlook.com.":   dnsverify.PlatformMicrosoft,
		"CONTOSO-com.Mail.Protection.Outlook.com":    dnsverify.PlatformMicrosoft,
		"contoso-com.mail.eo.outlook.com":            dnsverify.PlatformMicrosoft,
		"contosotest-com.o-v1.mx.microsoft":          dnsverify.PlatformMicrosoftDNSSEC,
		"x.mail.protection.office365.us":             dnsverify.PlatformMicrosoftGov,
		"x.mail.protection.partner.outlook.cn":       dnsverify.PlatformMicrosoftChina,
		"outlook-com.olc.protection.outlook.com":     dnsverify.PlatformConsumer,
		"smtp.google.com":                            dnsverify.PlatformGoogle,
		"aspmx.l.google.com":                         dnsverify.PlatformGoogle,
		"alt4.aspmx.l.google.com":                    dnsverify.PlatformGoogle,
		"aspmx5.googlemail.com":                      dnsverify.PlatformGoogle,
		"gmail-smtp-in.l.google.com":                 dnsverify.PlatformConsumer,
		"alt1.gmail-smtp-in.l.google.com":            dnsverify.PlatformConsumer,
		"mxa-001.gslb.pphosted.com":                  dnsverify.PlatformGateway,
		"mx1.gw.example.net":                         dnsverify.PlatformOurs,
		"a.eu.gw.example.net":                        dnsverify.PlatformOurs,
		"eu.gw.example.net":                          dnsverify.PlatformOther,
		".":                                          dnsverify.PlatformNone,
		"mail.example.com":                           dnsverify.PlatformOther,
		"smtp.google.com.evil.example":               dnsverify.PlatformOther,
		"notsmtp.google.com":                         dnsverify.PlatformOther,
		"evil-mail.protection.outlook.com":           dnsverify.PlatformOther,
		"x.mail.protection.outlook.com.evil.example": dnsverify.PlatformOther,
		"mx.microsoft.evil.example":                  dnsverify.PlatformOther,
		".mx.microsoft":                              dnsverify.PlatformOther,
		"xmx1.gw.example.net":                        dnsverify.PlatformOther,
	}
	for host, want := range tests {
		if got, _ := dnsverify.Classify(host, own); got != want {
			t.Errorf("Classify(%q) = %s, want %s", host, got, want)
		}
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	type want struct {
		Platform dnsverify.Platform
		Next     string
		Ask      bool
		State    dnsverify.Connection
		Codes    []dnsverify.Code
	}
	const ms, g = dnsverify.PlatformMicrosoft, dnsverify.PlatformGoogle
	tests := []struct {
		name    string
		records dnstest.Records
		want    want
	}{
		{"microsoft", dnstest.Records{"@": {"MX 0 x-com.mail.protection.outlook.com."}},
			want{ms, "x-com.mail.protection.outlook.com", false, dnsverify.NotConnected, nil}},
		{"microsoft dnssec", dnstest.Records{"@": {"MX 0 x-com.o-v1.mx.microsoft."}},
			want{dnsverify.PlatformMicrosoftDNSSEC, "x-com.o-v1.mx.microsoft", false, dnsverify.NotConnected, nil}},
		{"google, five hosts in any order", dnstest.Records{"@": {"MX 5 alt1.aspmx.l.google.com.", "MX 1 ASPMX.L.GOOGLE.COM."}},
			want{g, "aspmx.l.google.com", false, dnsverify.NotConnected, nil}},
		{"own server", dnstest.Records{"@": {"MX 10 mail"}, "mail": {"A 127.0.0.9"}},
			want{dnsverify.PlatformOther, "mail.example.com", true, dnsverify.NotConnected, nil}},
		{"another gateway", dnstest.Records{"@": {"MX 10 mx.eu1.pphosted.com."}},
			want{dnsverify.PlatformGateway, "", true, dnsverify.NotConnected, nil}},
		{"connected", dnstest.Records{"@": {"MX 0 mx1.gw.example.net.", "MX 10 b.eu.gw.example.net."}},
			want{dnsverify.PlatformOurs, "", true, dnsverify.Connected, nil}},
		{"connected by a name of the customer's", dnstest.Records{"@": {"MX 0 mail"}, "mail": {"A 127.255.1.1"}},
			want{dnsverify.PlatformOurs, "", true, dnsverify.Connected, nil}},
		{"mixed", dnstest.Records{"@": {"MX 0 mx1.gw.example.net.", "MX 10 x.mail.protection.outlook.com."}},
			want{ms, "x.mail.protection.outlook.com", true, dnsverify.Mixed, []dnsverify.Code{dnsverify.MXMixed}}},
		{"null MX", dnstest.Records{"@": {"MX 0 ."}},
			want{dnsverify.PlatformNone, "", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.NullMX}}},
		{"null MX beside another", dnstest.Records{"@": {"MX 0 .", "MX 10 smtp.google.com."}},
			want{g, "smtp.google.com", false, dnsverify.NotConnected, []dnsverify.Code{dnsverify.NullMX}}},
		{"implicit MX", dnstest.Records{"@": {"A 127.0.0.9"}},
			want{dnsverify.PlatformOther, "example.com", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.NoMXImplicit}}},
		{"address as MX", dnstest.Records{"@": {"MX 10 192.0.2.1."}},
			want{dnsverify.PlatformOther, "", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.MXIsIP}}},
		{"alias as MX", dnstest.Records{"@": {"MX 10 mail"}, "mail": {"CNAME host"}, "host": {"A 127.0.0.9"}},
			want{dnsverify.PlatformOther, "mail.example.com", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.MXIsCNAME}}},
		{"private address", dnstest.Records{"@": {"MX 10 mail"}, "mail": {"A 10.0.0.1"}},
			want{dnsverify.PlatformOther, "", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.NextHopRefused}}},
		{"consumer", dnstest.Records{"@": {"MX 5 gmail-smtp-in.l.google.com."}},
			want{dnsverify.PlatformConsumer, "", true, dnsverify.NotConnected, []dnsverify.Code{dnsverify.NextHopRefused}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := dnstest.New(t)
			n.Strict()
			n.Zone("example.com", tt.records)
			standIns(n)
			d, err := n.Client().Discover(t.Context(), "example.com", own)
			if err != nil {
				t.Fatal(err)
			}
			got := want{Platform: d.Platform, Next: d.NextHop, Ask: d.Ask, State: d.Connection}
			for _, p := range d.Problems {
				got.Codes = append(got.Codes, p.Code)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s\n%+v", diff, d)
			}
		})
	}
}

// standIns are zones for the hosts of big providers, with addresses that may be asked here.
func standIns(n *dnstest.Net) {
	any := dnstest.Records{"*": {"A 127.0.0.9"}}
	for _, z := range []string{"outlook.com", "google.com", "googlemail.com", "gmail.com", "pphosted.com", "example.net", "office365.com"} {
		n.Zone(z, any)
	}
	n.Zone("mx.microsoft", any)
}

func TestDiscoverFailureIsNotImplicit(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	n.Zone("example.com", dnstest.Records{"@": {"A 127.0.0.9", "MX 0 smtp.google.com."}}).Fault(dnstest.ServFail)
	d, err := n.Client().Discover(t.Context(), "example.com", own)
	var p *dnsverify.Problem
	if !errors.As(err, &p) || p.Code != dnsverify.LameServers {
		t.Errorf("Discover with SERVFAIL: %+v, %v; want lame_servers", d, err)
	}
}

func TestDiscoverNotes(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	n.Zone("example.com", dnstest.Records{"@": {"1800 MX 0 smtp.google.com."}, "*": {"MX 5 mail.example.com."}})
	standIns(n)
	d, err := n.Client().Discover(t.Context(), "example.com", own)
	if err != nil || !d.Wildcard || d.TTL.Minutes() != 30 {
		t.Errorf("%+v, %v; want a wildcard and a TTL of 30 minutes", d, err)
	}
	_, err = n.Client().Discover(t.Context(), "missing.org", own)
	var p *dnsverify.Problem
	if !errors.As(err, &p) || p.Code != dnsverify.NoSuchDomain {
		t.Errorf("Discover of a missing domain: %v", err)
	}
}

func TestCheckNextHop(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	standIns(n)
	n.Zone("example.com", dnstest.Records{
		"mail": {"A 127.0.0.9"}, "private": {"A 10.1.2.3"}, "both": {"A 10.1.2.3", "A 127.0.0.9"}, "self": {"A 127.255.0.1"},
		"none": {"TXT x"}, "alias": {"CNAME mx1.gw.example.net."}, "broken": {"CNAME broken"}})
	tests := []struct {
		hop  string
		code dnsverify.Code
	}{
		{"mail.example.com", ""}, {"mail.example.com:2525", ""}, {"MAIL.example.com.", ""}, {"both.example.com", ""}, {"127.0.0.9", ""},
		{"x-com.mail.protection.outlook.com", ""}, {"smtp.google.com", ""},
		{"smtp.office365.com", dnsverify.NextHopRefused}, {"outlook.office365.com:587", dnsverify.NextHopRefused},
		{"smtp.gmail.com", dnsverify.NextHopRefused}, {"SMTP-relay.gmail.com.", dnsverify.NextHopRefused},
		{"gmail-smtp-in.l.google.com", dnsverify.NextHopRefused}, {"alt2.gmail-smtp-in.l.google.com", dnsverify.NextHopRefused},
		{"mx1.gw.example.net", dnsverify.MXPointsToSelf}, {"self.example.com", dnsverify.MXPointsToSelf},
		{"alias.example.com", dnsverify.MXPointsToSelf}, {"127.255.0.9:25", dnsverify.MXPointsToSelf},
		{"private.example.com", dnsverify.NextHopRefused}, {"10.0.0.1", dnsverify.NextHopRefused}, {"[fd00::1]:25", dnsverify.NextHopRefused},
		{"169.254.169.254", dnsverify.NextHopRefused}, {"none.example.com", dnsverify.NextHopRefused}, {".", dnsverify.NextHopRefused},
		{"", dnsverify.NextHopRefused}, {"localhost", dnsverify.InvalidName}, {"bad host.example.com", dnsverify.InvalidName},
		{"broken.example.com", dnsverify.CNAMELoop},
	}
	c := n.Client()
	for _, tt := range tests {
		err := c.CheckNextHop(t.Context(), tt.hop, own)
		var p *dnsverify.Problem
		if tt.code == "" && err != nil || tt.code != "" && (!errors.As(err, &p) || p.Code != tt.code) {
			t.Errorf("CheckNextHop(%q) = %v, want %q", tt.hop, err, tt.code)
		}
	}
}

func TestHostileMX(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	var many []string
	for i := range 300 {
		many = append(many, "MX "+strings.Repeat("1", 1+i%3)+` h\010\027<b>`+strings.Repeat("x", 1+i%40)+`.\"quoted\".example.com.`)
	}
	n.Zone("example.com", dnstest.Records{"@": many})
	c := n.Client()
	d, err := c.Discover(t.Context(), "example.com", own)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.MX) > 32 {
		t.Errorf("%d MX records were kept", len(d.MX))
	}
	for _, m := range d.MX {
		if strings.ContainsFunc(m.Host, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`<>"&'`, r) }) {
			t.Fatalf("host %q is not safe to show", m.Host)
		}
	}
}
