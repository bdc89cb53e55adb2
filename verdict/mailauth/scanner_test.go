package mailauth_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestScannerContract(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner { return mailauth.Scanner{} },
		Hit: func(tb testing.TB) *verdict.Message {
			m := verdicttest.Clean(tb)
			m.Auth.DMARC = verdict.DMARCResult{Result: "fail", Domain: "b.example", Policy: "reject", Applied: "reject"}
			return m
		},
		Want: verdict.Spam,
	})
}

func codes(t *testing.T, s mailauth.Scanner, m *verdict.Message) []string {
	t.Helper()
	fs, err := s.Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}

func TestScanner(t *testing.T) {
	t.Parallel()
	pass := verdict.SPFResult{Result: "pass", Domain: "b.example"}
	fail := verdict.DMARCResult{Result: "fail", Domain: "b.example", Policy: "reject", Applied: "reject"}
	with := func(policy, applied string) verdict.DMARCResult {
		d := fail
		d.Policy, d.Applied = policy, applied
		return d
	}
	for _, c := range []struct {
		name, from string
		auth       verdict.AuthResults
		want       []string
	}{
		{"nobody checked", "From: a@b.example", verdict.AuthResults{}, nil},
		{"all good", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: verdict.DMARCResult{Result: "pass", Domain: "b.example"}}, nil},
		{"reject", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: fail}, []string{"auth.dmarc.reject"}},
		{"quarantine", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: with("quarantine", "quarantine")}, []string{"auth.dmarc.quarantine"}},
		{"none", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: with("none", "none")}, []string{"auth.dmarc.none"}},
		{"reject in test", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: with("reject", "quarantine")}, []string{"auth.dmarc.quarantine"}},
		{"quarantine in test", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: with("quarantine", "none")}, []string{"auth.dmarc.none"}},
		{"reject, and ARC vouches", "From: a@b.example", verdict.AuthResults{SPF: pass, DMARC: with("reject", "none"), ARC: verdict.ARCResult{Result: "pass", Vouches: true}}, []string{"auth.dmarc.arc"}},
		{"nobody knows the client", "From: a@b.example", verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "none"}}, nil},
		{"SPF fail", "From: a@b.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "fail"}}, []string{"auth.spf.fail", "auth.nothing"}},
		{"SPF softfail", "From: a@b.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "softfail"}}, []string{"auth.spf.softfail", "auth.nothing"}},
		{"SPF permerror", "From: a@b.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "permerror"}}, []string{"auth.spf.permerror", "auth.nothing"}},
		{"DKIM fail", "From: a@b.example", verdict.AuthResults{SPF: pass, DKIM: []verdict.DKIMResult{{Result: "fail"}, {Result: "permerror"}}}, []string{"auth.dkim.fail"}},
		{"one DKIM good", "From: a@b.example", verdict.AuthResults{SPF: pass, DKIM: []verdict.DKIMResult{{Result: "fail"}, {Result: "pass"}}}, nil},
		{"ARC fail", "From: a@b.example", verdict.AuthResults{SPF: pass, ARC: verdict.ARCResult{Result: "fail"}}, []string{"auth.arc.fail"}},
		{"temporary", "From: a@b.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "temperror"}, DMARC: verdict.DMARCResult{Result: "temperror"}}, []string{"auth.temperror"}},
		{"no From", "Subject: x", verdict.AuthResults{}, []string{"from.missing"}},
		{"two From", "From: a@b.example\r\nFrom: a@b.example", verdict.AuthResults{}, []string{"from.multiple"}},
		{"two domains", "From: a@b.example, a@c.example", verdict.AuthResults{}, []string{"from.domains"}},
		{"two authors of one domain", "From: a@b.example, c@b.example", verdict.AuthResults{}, nil},
		{"group", "From: x: a@b.example;", verdict.AuthResults{}, []string{"from.group"}},
		{"no address", "From: Ann", verdict.AuthResults{}, []string{"from.invalid"}},
		{"look-alike", "From: a@pаypal.example", verdict.AuthResults{}, []string{"from.mixed-script"}},
		{"look-alike, encoded", "From: a@xn--pypal-4ve.example", verdict.AuthResults{}, []string{"from.mixed-script"}},
	} {
		m := message([]byte(c.from + "\r\n\r\nx\r\n"))
		m.Auth = c.auth
		if diff := cmp.Diff(c.want, codes(t, mailauth.Scanner{}, m)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestLookAlike(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]bool{
		"example.org":              false,
		"xn--80ak6aa92e.com":       true,  // all Cyrillic, drawn like Latin
		"xn--e1afmkfd.xn--p1ai":    false, // a Russian name in a Russian zone
		"xn--e1afmkfd.com":         false, // letters that no Latin one looks like
		"xn--mnchen-3ya.de":        false,
		"xn--fiqs8s.cn":            false,
		"xn--.example":             false,
		"www.xn--pypal-4ve.com":    true,
		"xn--pypal-4ve.xn--p1ai":   true,
		strings.Repeat("xn--", 50): false,
	} {
		if shown, got := mailauth.LookAlike(domain); got != want {
			t.Errorf("%s (%s): %v", domain, shown, got)
		}
	}
}

func TestTrustedSealers(t *testing.T) {
	t.Parallel()
	zone := sealZone(t, policies("b.example v=DMARC1; p=reject"), "rsa")
	zone["s1._domainkey.b.example"] = mailauthtest.Records{TXT: []string{record(t, testKeys()["rsa"])}}
	// A list gets a good message, seals what it saw, changes the body and seals again.
	raw := sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, "")
	changed := strings.Replace(string(raw), "Bye", "Bye, says the list", 1)
	s := sealer("rsa")
	m := message(raw)
	fields, err := s.Seal(t.Context(), message([]byte(changed)), authenticate(t, zone, m))
	if err != nil {
		t.Fatal(err)
	}
	m = message(append(fields, changed...))
	m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
	for _, c := range []struct {
		trusted       []string
		code, applied string
	}{
		{nil, "auth.dmarc.reject", "reject"},
		{[]string{"other.example"}, "auth.dmarc.reject", "reject"},
		{[]string{"other.example", "GW.example"}, "auth.dmarc.arc", "none"},
	} {
		m.Auth = (&mailauth.Authenticator{Resolver: zone, TrustedSealers: c.trusted}).Authenticate(t.Context(), m)
		if m.Auth.DMARC.Result != "fail" || m.Auth.ARC.Result != verdict.Pass || m.Auth.DMARC.Applied != c.applied {
			t.Errorf("%v: %+v", c.trusted, m.Auth)
		}
		if got := codes(t, mailauth.Scanner{}, m); !slices.Contains(got, c.code) {
			t.Errorf("%v: %v, want %s", c.trusted, got, c.code)
		}
	}
}

func TestScanEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (mailauth.Scanner{}).Scan(ctx, message([]byte(plainHead))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
