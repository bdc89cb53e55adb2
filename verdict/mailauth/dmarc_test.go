package mailauth_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// policies makes a zone of DMARC records: "domain record".
func policies(records ...string) mailauthtest.Zone {
	zone := mailauthtest.Zone{}
	for _, r := range records {
		domain, txt, _ := strings.Cut(r, " ")
		at := zone["_dmarc."+domain]
		at.TXT = append(at.TXT, txt)
		zone["_dmarc."+domain] = at
	}
	return zone
}

// spfAs is a checker that gives the result in its name: "pass b.example".
type spfAs string

func (s spfAs) check() verdict.SPFResult {
	result, domain, _ := strings.Cut(string(s), " ")
	return verdict.SPFResult{Result: verdict.AuthResult(result), Domain: domain}
}

func TestDMARC(t *testing.T) {
	t.Parallel()
	with := func(z mailauthtest.Zone, name string, r mailauthtest.Records) mailauthtest.Zone {
		z[name] = r
		return z
	}
	temp := mailauthtest.Records{Err: mailauth.ErrTemporary}
	for _, c := range []struct {
		name string
		zone mailauthtest.Zone
		from string // domain of From
		spf  spfAs
		want string // result, published policy, "testing"
	}{
		{"same domain", policies("b.example v=DMARC1; p=reject"), "b.example", "pass b.example", "pass reject"},
		{"other domain", policies("b.example v=DMARC1; p=reject"), "b.example", "pass c.example", "fail reject"},
		{"SPF fails", policies("b.example v=DMARC1; p=quarantine"), "b.example", "fail b.example", "fail quarantine"},
		{"no record", policies(), "b.example", "pass b.example", "none "},
		{"letter case", policies("b.example v=DMARC1; p=reject"), "B.Example", "pass b.example", "pass reject"},
		{"relaxed, below", policies("b.example v=DMARC1; p=reject"), "b.example", "pass m.b.example", "pass reject"},
		{"relaxed, above", policies("b.example v=DMARC1; p=reject"), "m.b.example", "pass b.example", "pass reject"},
		{"relaxed, beside", policies("b.example v=DMARC1; p=reject"), "m.b.example", "pass n.b.example", "pass reject"},
		{"strict, below", policies("b.example v=DMARC1; p=reject; aspf=s"), "b.example", "pass m.b.example", "fail reject"},
		{"strict, same", policies("b.example v=DMARC1; p=reject; aspf=s"), "b.example", "pass b.example", "pass reject"},
		{"only adkim is strict", policies("b.example v=DMARC1; p=reject; adkim=s"), "b.example", "pass m.b.example", "pass reject"},
		{"a suffix is no parent", policies("b.example v=DMARC1; p=reject"), "b.example", "pass evilb.example", "fail reject"},
		{"own record without one above", policies("m.b.example v=DMARC1; p=reject"), "m.b.example", "pass b.example", "fail reject"},

		{"sp", policies("b.example v=DMARC1; p=reject; sp=none"), "m.b.example", "none ", "fail none"},
		{"sp is not for the domain itself", policies("b.example v=DMARC1; p=reject; sp=none"), "b.example", "none ", "fail reject"},
		{"no sp", policies("b.example v=DMARC1; p=reject"), "m.b.example", "none ", "fail reject"},
		{"np, absent", policies("b.example v=DMARC1; p=none; sp=quarantine; np=reject"), "m.b.example", "none ", "fail reject"},
		{"np, existing", with(policies("b.example v=DMARC1; p=none; sp=quarantine; np=reject"), "m.b.example", mailauthtest.Records{MX: []string{"mx.example"}}), "m.b.example", "none ", "fail quarantine"},
		{"np, exists as parent only", with(policies("b.example v=DMARC1; p=none; sp=quarantine; np=reject"), "x.m.b.example", mailauthtest.Records{A: []string{"192.0.2.1"}}), "m.b.example", "none ", "fail quarantine"},
		{"np, dangling alias", with(policies("b.example v=DMARC1; p=none; sp=quarantine; np=reject"), "m.b.example", mailauthtest.Records{CNAME: "gone.example"}), "m.b.example", "none ", "fail quarantine"},
		{"np without sp", policies("b.example v=DMARC1; p=none; np=reject"), "m.b.example", "none ", "fail reject"},
		{"np, nobody knows", with(policies("b.example v=DMARC1; p=none; np=reject"), "m.b.example", temp), "m.b.example", "none ", "temperror "},
		{"np, nobody knows, but it passes", with(policies("b.example v=DMARC1; p=none; np=reject"), "m.b.example", temp), "m.b.example", "pass b.example", "pass none"},
		{"np, nobody knows, but it is the same", with(policies("b.example v=DMARC1; p=none; sp=reject; np=reject"), "m.b.example", temp), "m.b.example", "none ", "fail reject"},

		{"fewest labels", policies("b.example v=DMARC1; p=reject", "m.b.example v=DMARC1; p=none"), "x.m.b.example", "none ", "fail reject"},
		{"psd=n on the way", policies("b.example v=DMARC1; p=none", "m.b.example v=DMARC1; p=reject; psd=n"), "x.m.b.example", "none ", "fail reject"},
		{"psd=n keeps the parent off", policies("b.example v=DMARC1; p=none", "m.b.example v=DMARC1; p=reject; psd=n"), "m.b.example", "pass b.example", "fail reject"},
		{"psd=y, no record below", policies("bank.example v=DMARC1; p=reject; sp=quarantine; psd=y"), "giant.bank.example", "none ", "fail quarantine"},
		{"psd=y, aligned below it", policies("bank.example v=DMARC1; p=reject; psd=y"), "m.giant.bank.example", "pass giant.bank.example", "pass reject"},
		{"psd=y, two registrants", policies("bank.example v=DMARC1; p=reject; psd=y"), "giant.bank.example", "pass mega.bank.example", "fail reject"},
		{"psd=y, the suffix itself", policies("bank.example v=DMARC1; p=reject; psd=y"), "giant.bank.example", "pass bank.example", "fail reject"},
		{"psd=y, own record counts", policies("bank.example v=DMARC1; p=reject; psd=y", "giant.bank.example v=DMARC1; p=quarantine"), "giant.bank.example", "pass m.giant.bank.example", "pass quarantine"},
		{"psd=y sends itself", policies("bank.example v=DMARC1; p=reject; sp=none; psd=y"), "bank.example", "pass m.bank.example", "fail reject"},
		{"psd=y on a top-level domain", policies("example v=DMARC1; p=reject; np=reject; sp=none; psd=y"), "nobody.example", "none ", "fail reject"},

		{"test mode", policies("b.example v=DMARC1; p=reject; t=y"), "b.example", "none ", "fail reject testing"},
		{"test mode, passes", policies("b.example v=DMARC1; p=reject; t=y"), "b.example", "pass b.example", "pass reject"},
		{"quarantine in test mode", policies("b.example v=DMARC1; p=quarantine; t=y"), "b.example", "none ", "fail quarantine testing"},
		{"bad test mode", policies("b.example v=DMARC1; p=reject; t=yes"), "b.example", "none ", "fail reject"},
		{"sampling is gone", policies("b.example v=DMARC1; p=reject; pct=0; rf=afrf; ri=1"), "b.example", "none ", "fail reject"},

		{"two records", policies("b.example v=DMARC1; p=reject", "b.example v=DMARC1; p=none"), "b.example", "pass b.example", "none "},
		{"two records, and one above", policies("m.b.example v=DMARC1; p=reject", "m.b.example v=DMARC1; p=none", "b.example v=DMARC1; p=quarantine"), "m.b.example", "none ", "fail quarantine"},
		{"beside other text", policies("b.example v=spf1 -all", "b.example v=DMARC1; p=reject"), "b.example", "none ", "fail reject"},
		{"no policy, reports", policies("b.example v=DMARC1; rua=mailto:r@b.example"), "b.example", "none ", "fail none"},
		{"no policy, no reports", policies("b.example v=DMARC1; adkim=s"), "b.example", "none ", "none "},
		{"bad sp, reports", policies("b.example v=DMARC1; p=reject; sp=never; rua=mailto:r@b.example!10m"), "b.example", "none ", "fail none"},
		{"no policy ends the search", policies("m.b.example v=DMARC1; adkim=s", "b.example v=DMARC1; p=reject"), "m.b.example", "none ", "none "},

		{"record: temporary", with(policies(), "_dmarc.b.example", temp), "b.example", "pass b.example", "temperror "},
		{"walk: temporary", with(policies(), "_dmarc.example", temp), "b.example", "pass b.example", "temperror "},
		{"own record, walk temporary, same domain", with(policies("b.example v=DMARC1; p=reject"), "_dmarc.example", temp), "b.example", "pass b.example", "pass reject"},
		{"own record, walk temporary, domain below", with(policies("b.example v=DMARC1; p=reject"), "_dmarc.example", temp), "b.example", "pass m.b.example", "temperror reject"},
		{"walk of the identifier temporary", with(policies("b.example v=DMARC1; p=reject"), "_dmarc.m.b.example", temp), "b.example", "pass m.b.example", "temperror reject"},
		{"strict needs no walk", with(policies("b.example v=DMARC1; p=reject; aspf=s"), "_dmarc.m.b.example", temp), "b.example", "pass m.b.example", "fail reject"},
		{"SPF temporary, aligned", policies("b.example v=DMARC1; p=reject"), "b.example", "temperror m.b.example", "temperror reject"},
		{"SPF temporary, of somebody else", policies("b.example v=DMARC1; p=reject"), "b.example", "temperror evil.example", "fail reject"},
		{"single label", policies("localhost v=DMARC1; p=reject"), "localhost", "none ", "fail reject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := withSPF(t, c.zone, c.spf, "a@"+c.from).DMARC
			text := fmt.Sprintf("%s %s", got.Result, got.Policy)
			if got.Err == mailauth.ErrPolicyTest {
				text += " testing"
			}
			if text != c.want {
				t.Errorf("%s (%v), want %s", text, got.Err, c.want)
			}
			applied := ""
			if got.Result == "fail" {
				applied = got.Policy
				if got.Err == mailauth.ErrPolicyTest {
					applied = map[string]string{"reject": "quarantine", "quarantine": "none", "none": "none"}[got.Policy]
				}
			}
			if got.Applied != applied {
				t.Errorf("%q applies, want %q", got.Applied, applied)
			}
			if got.Domain != strings.ToLower(c.from) {
				t.Errorf("domain %q", got.Domain)
			}
		})
	}
}

func TestTreeWalkQueries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, want string }{
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
		{"a.b.c.d.e.f.example.com", "a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com"},
		{"x.a.b.c.d.e.f.example.com", "x.a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com"},
		{"com", "com"},
	} {
		got := slices.Collect(mailauth.WalkTargets(c.from))
		if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" {
			t.Errorf("%s: %s", c.from, diff)
		}
	}
	log := &mailauthtest.Log{Resolver: policies("example.com v=DMARC1; p=none")}
	withSPF(t, log, "pass m.example.com", "a@example.com")
	want := []string{"TXT _dmarc.example.com", "TXT _dmarc.com", "TXT _dmarc.m.example.com"}
	if diff := cmp.Diff(want, log.Asked()); diff != "" {
		t.Error(diff)
	}
	log = &mailauthtest.Log{Resolver: policies("example.com v=DMARC1; p=none")}
	withSPF(t, log, "pass other.example", "a@example.com")
	if got := log.Asked(); len(got) != 2 {
		t.Errorf("asked %v for a domain that cannot be aligned", got)
	}
}

func TestAuthor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		want   verdict.AuthResult
	}{
		{"From: a@b.example", "pass"},
		{"From: =?utf-8?q?A?= <a@b.example>", "pass"},
		{`From: "x@evil.example" <a@b.example>`, "pass"},
		{`From: "a@b.example" <x@evil.example>`, "none"},
		{"From: (x@evil.example) a@b.example (c)", "pass"},
		{"From: a@b.example, c@B.example", "pass"},
		{"From: <@relay.example:a@b.example>", "pass"},
		{`From: "a@evil.example"@b.example`, "pass"},
		{"From: a @ b . example", "pass"},
		{"From: a@b.example.", "pass"},
		{"Subject: x", "permerror"},
		{"From:", "permerror"},
		{"From: a", "permerror"},
		{"From: a@b.example\r\nFrom: a@b.example", "permerror"},
		{"From: x@evil.example\r\nFrom : a@b.example", "permerror"},
		{"From: a@b.example, x@evil.example", "permerror"},
		{"From: friends: a@b.example;", "permerror"},
		{"From: friends: ;", "permerror"},
		{"From: <a@b.example> <x@evil.example>", "permerror"},
		{"From: \"a@b.example", "permerror"},
		{"From: (a@b.example", "permerror"},
		{"From: <a@b.example", "permerror"},
		{"From: a@b.example\x00", "permerror"},
		{"From: a@b.example\r x@evil.example", "permerror"},
		{"From: a@[192.0.2.1]", "permerror"},
		{"From: a@[IPv6:2001:db8::1]", "permerror"},
		{"From: @b.example", "permerror"},
		{"From: a@", "permerror"},
		{"From: a@b..example", "permerror"},
	} {
		m := message([]byte(c.header + "\r\n\r\nx\r\n"))
		m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
		got := withChecker(t, policies("b.example v=DMARC1; p=reject"), spfAs("pass b.example"), m)
		if got.DMARC.Result != c.want {
			t.Errorf("%q: %+v, want %s", c.header, got.DMARC, c.want)
		}
	}
}

// dmarcRecords are records and what is read of them: p sp np psd, "t" for test mode, "void".
var dmarcRecords = []struct{ txt, want string }{
	{"v=DMARC1; p=reject", "reject   u"},
	{" v = DMARC1 ;p=Reject;sp=QUARANTINE ; np=none; psd=Y", "reject quarantine none y"},
	{"V=DMARC1; P=none; t=Y; psd=n;", "none   n t"},
	{"v=DMARC1;p=none;;;=;x;y=", "none   u"},
	{"v=DMARC1; p=reject; p=none", "reject   u"},
	{"v=DMARC1", "none   u void"},
	{"v=DMARC1; p=reject; np=", "none   u void"},
	{"v=DMARC1; p=; rua=https://r.example/x", "none   u"},
	{"v=DMARC1; rua=r@b.example", "none   u void"},
	{"v=DMARC1; rua=<mailto:r@b.example>", "none   u void"},
	{"v=dmarc1; p=reject", ""},
	{"v=DMARC1x; p=reject", ""},
	{"v=DMARC1 p=reject", ""},
	{"p=reject; v=DMARC1", ""},
	{"", ""},
	{"v=spf1 -all", ""},
}

func describeRecord(txt string) string {
	p, sp, np, psd, testing, void, ok := mailauth.ParseDMARCRecord(txt)
	if !ok {
		return ""
	}
	s := fmt.Sprintf("%s %s %s %c", p, sp, np, psd)
	if testing {
		s += " t"
	}
	if void {
		s += " void"
	}
	return s
}

func TestDMARCRecord(t *testing.T) {
	t.Parallel()
	for _, c := range dmarcRecords {
		if got := describeRecord(c.txt); got != c.want {
			t.Errorf("%q: %q, want %q", c.txt, got, c.want)
		}
	}
}

func FuzzDMARCRecord(f *testing.F) {
	for _, c := range dmarcRecords {
		f.Add(c.txt)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		p, sp, np, psd, _, _, ok := mailauth.ParseDMARCRecord(txt)
		if !ok {
			return
		}
		for _, v := range []string{p, sp, np} {
			if !slices.Contains([]string{"", "none", "quarantine", "reject"}, v) {
				t.Errorf("policy %q", v)
			}
		}
		if p == "" || !strings.ContainsRune("yun", rune(psd)) || !strings.Contains(txt, "DMARC1") {
			t.Errorf("p=%q psd=%c of %q", p, psd, txt)
		}
	})
}
