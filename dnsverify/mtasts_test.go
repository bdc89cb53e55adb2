package dnsverify_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// policyTests are policies and what comes of them; nil is a refusal.
var policyTests = []struct {
	name, in string
	want     *dnsverify.STSPolicy
}{
	{"plain", "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
		&dnsverify.STSPolicy{Mode: "enforce", MX: []string{"mail.example.com", "*.example.net"}, MaxAge: 168 * time.Hour}},
	{"line feeds, blanks, capitals in hosts", "version:STSv1\nmode:testing \nmx:\tMail.Example.COM.\nmax_age: 1",
		&dnsverify.STSPolicy{Mode: "testing", MX: []string{"mail.example.com"}, MaxAge: time.Second}},
	{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 0\n", &dnsverify.STSPolicy{Mode: "none"}},
	{"unknown keys", "version: STSv1\nfuture: x\nmode: none\nmax_age: 5\ngarbage\n", &dnsverify.STSPolicy{Mode: "none", MaxAge: 5 * time.Second}},
	{"the first of two counts", "version: STSv1\nmode: enforce\nmode: none\nmx: a.example.com\nmax_age: 5\nmax_age: 9\n",
		&dnsverify.STSPolicy{Mode: "enforce", MX: []string{"a.example.com"}, MaxAge: 5 * time.Second}},
	{"max_age beyond the year", "version: STSv1\nmode: none\nmax_age: 99999999\n", &dnsverify.STSPolicy{Mode: "none", MaxAge: 31557600 * time.Second}},
	{"empty", "", nil},
	{"no version", "mode: none\nmax_age: 5\n", nil},
	{"other version", "version: STSv2\nmode: none\nmax_age: 5\n", nil},
	{"no mode", "version: STSv1\nmax_age: 5\n", nil},
	{"no max_age", "version: STSv1\nmode: none\n", nil},
	{"negative max_age", "version: STSv1\nmode: none\nmax_age: -5\n", nil},
	{"enforce without mx", "version: STSv1\nmode: enforce\nmax_age: 5\n", nil},
	{"wildcard within", "version: STSv1\nmode: enforce\nmx: a.*.example.com\nmax_age: 5\n", nil},
	{"markup as host", "version: STSv1\nmode: enforce\nmx: <script>.com\nmax_age: 5\n", nil},
	{"an HTML page", "<!doctype html><html>not found</html>", nil},
	{"too many hosts", "version: STSv1\nmode: enforce\nmax_age: 5\n" + strings.Repeat("mx: a.example.com\n", 300), nil},
	{"too long", "version: STSv1\nmode: none\nmax_age: 5\n" + strings.Repeat("x", 64<<10), nil},
}

func TestParseSTSPolicy(t *testing.T) {
	t.Parallel()
	for _, tt := range policyTests {
		got, err := dnsverify.ParseSTSPolicy([]byte(tt.in))
		if tt.want == nil {
			if err == nil || !safe(err.Error()) {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
}

func TestSTSPolicyAllows(t *testing.T) {
	t.Parallel()
	p := &dnsverify.STSPolicy{Mode: "enforce", MX: []string{"mail.example.com", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.com.": true, "a.example.net": true, "a.b.example.net": false, "example.net": false,
		".example.net": false, "xmail.example.com": false, "example.com": false, "": false,
	} {
		if p.Allows(host) != want || p.Blocks(host) == want {
			t.Errorf("Allows(%q) = %v, want %v", host, p.Allows(host), want)
		}
	}
	if (&dnsverify.STSPolicy{Mode: "testing"}).Blocks("x.example.com") {
		t.Error("a policy in mode testing blocks")
	}
}

func FuzzParseSTSPolicy(f *testing.F) {
	for _, tt := range policyTests {
		f.Add([]byte(tt.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := dnsverify.ParseSTSPolicy(in)
		if err != nil {
			if !safe(err.Error()) {
				t.Errorf("%q", err)
			}
			return
		}
		if p.MaxAge < 0 || p.MaxAge > 31557600*time.Second || len(p.MX) == 0 && p.Mode != "none" || len(p.MX) > 256 {
			t.Errorf("%+v", p)
		}
		for _, m := range p.MX {
			if !safe(m) || !p.Allows(strings.Replace(m, "*", "a", 1)) {
				t.Errorf("pattern %q", m)
			}
		}
	})
}

func TestMTASTSRecord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		records []string
		id      string
		code    dnsverify.Code
	}{
		{"none", nil, "", ""},
		{"plain", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", ""},
		{"no semicolon at the end", []string{"v=STSv1; id=1"}, "1", ""},
		{"blanks", []string{"v=STSv1 ;id=a1 ; x=y"}, "a1", ""},
		{"foreign records beside it", []string{"v=spf1 -all", "v=STSv1; id=1;", "v=STSv12; id=2;"}, "1", ""},
		{"two", []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}, "", dnsverify.MTASTSMultiple},
		{"id too long", []string{"v=STSv1; id=" + strings.Repeat("a", 33)}, "", ""},
		{"id with markup", []string{"v=STSv1; id=<b>"}, "", ""},
		{"no id", []string{"v=STSv1;"}, "", ""},
		{"other case", []string{"V=stsv1; id=1;"}, "", ""},
	}
	ps := newPolicyServer(t, policy("enforce", "mail.example.com"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := dnstest.New(t)
			var rrs []string
			for _, r := range tt.records {
				rrs = append(rrs, txt(r))
			}
			n.Zone("example.com", dnstest.Records{"_mta-sts": rrs, "_smtp._tls": {txt("v=TLSRPTv1; rua=mailto:a@example.com,https://r.example.com/x")}})
			c := n.Client()
			c.HTTP = ps.client
			s, err := c.MTASTS(t.Context(), "example.com")
			var p *dnsverify.Problem
			if tt.code == "" && err != nil || tt.code != "" && (!errors.As(err, &p) || p.Code != tt.code) {
				t.Fatalf("%+v, %v", s, err)
			}
			if s.ID != tt.id || (s.Policy != nil) != (tt.id != "") {
				t.Errorf("%+v, want id %q", s, tt.id)
			}
			if rua, err := c.TLSRPT(t.Context(), "example.com"); err != nil || len(rua) != 2 || rua[0] != "mailto:a@example.com" {
				t.Errorf("TLSRPT: %q, %v", rua, err)
			}
		})
	}
}

// TestMTASTSPrivate wants the policy host's address filtered like that of a name server.
func TestMTASTSPrivate(t *testing.T) {
	t.Parallel()
	n := dnstest.New(t)
	n.Zone("example.com", dnstest.Records{"_mta-sts": {txt("v=STSv1; id=1;")}, "mta-sts": {"A 169.254.169.254"}})
	s, err := n.Client().MTASTS(t.Context(), "example.com")
	if err == nil || !strings.Contains(err.Error(), "no public address") || s.ID != "1" {
		t.Errorf("%+v, %v", s, err)
	}
}
