package mailauth_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"
	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// reportedCases are bodies of Authentication-Results and what is in them: "by|method=result ptype.prop=value".
// An empty want is an error.
var reportedCases = []struct{ body, want string }{
	{"example.org; none", "example.org|"},
	{"example.org 1; none", "example.org|"},
	{"Example.ORG; spf=Pass smtp.mailfrom=a@b.example", "example.org|spf=pass smtp.mailfrom=a@b.example"},
	{"example.org;\r\n\tdkim=pass (good; \"x\" \\) (nested)) header.d=b.example header.s=s1;\r\n dmarc=fail reason=\"no; way\" header.from=b.example",
		"example.org|dkim=pass header.d=b.example header.s=s1|dmarc=fail header.from=b.example reason=no; way"},
	{"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=b.example; dkim=none", "|spf=pass smtp.mailfrom=b.example|dkim=none"},
	{"x (a) 1 (b); dkim (c) / 1 (d) = (e) fail (f) policy (g) . (h) expired (i) = (j) 12", "x|dkim=fail policy.expired=12"},
	{`x; dkim=pass header.i="a b"@b.example`, "x|dkim=pass header.i=a b@b.example"},
	{`x; spf=pass smtp.mailfrom=a smtp.mailfrom=b`, "x|spf=pass smtp.mailfrom=a"},
	{`x; a.example; spf=pass`, "x|spf=pass"},
	{`x; dkim=pass header.b=ab/c+d==`, "x|dkim=pass header.b=ab/c+d=="},
	{`"a b"; spf=pass`, "a b|spf=pass"},
	{`"a b"=pass`, ""},
	{`" " = pass; dkim=pass`, ""},
	{"", "|"},
	{";", "|"},
	{"; spf=pass", ""},
	{"x = = y;", ""},
	{"x; spf=pass smtp.=a", ""},
	{"x; spf=pass smtp.mailfrom", ""},
	{"x; spf=pass (open", ""},
	{"x; spf=pass reason=\"open", ""},
	{"x; spf/two=pass", ""},
	{"x; =pass", ""},
	{"x; spf==pass", ""},
	{"x;; spf=pass", "x|spf=pass"},
	{"x; spf=pa\x00ss", ""},
	{"x; spf=pass; " + strings.Repeat("dkim=fail;", 300), ""},
	{strings.Repeat("x", 70_000), ""},
}

func render(r mailauth.Reported) string {
	parts := []string{r.By}
	for _, s := range r.Results {
		var props []string
		for k, v := range s.Properties {
			props = append(props, " "+k+"="+v)
		}
		slices.Sort(props)
		text := s.Method + "=" + string(s.Result) + strings.Join(props, "")
		if s.Reason != "" {
			text += " reason=" + s.Reason
		}
		parts = append(parts, text)
	}
	if len(parts) == 1 {
		parts = append(parts, "")
	}
	return strings.Join(parts, "|")
}

func TestParseAuthenticationResults(t *testing.T) {
	t.Parallel()
	for _, c := range reportedCases {
		r, err := mailauth.ParseAuthenticationResults(c.body)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%.60q: %q, want an error", c.body, render(r))
		case c.want != "" && err != nil:
			t.Errorf("%.60q: %v", c.body, err)
		case c.want != "" && render(r) != c.want:
			t.Errorf("%.60q: %q, want %q", c.body, render(r), c.want)
		}
	}
}

func FuzzParseAuthenticationResults(f *testing.F) {
	for _, c := range reportedCases {
		f.Add(c.body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r, err := mailauth.ParseAuthenticationResults(body)
		if err != nil && (r.By != "" || r.Results != nil) {
			t.Errorf("an error, and %+v", r)
		}
		for _, s := range r.Results {
			if s.Method == "" || strings.ContainsAny(s.Method, "\r\n; ") {
				t.Errorf("method %q", s.Method)
			}
		}
	})
}

var fieldStart = regexp.MustCompile(`(?im)^#?\s*authentication-results:`)

// TestAuthresSuite parses fields that other software and large operators write, and refuses bogus ones.
func TestAuthresSuite(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "authres")
	total := newTally("authres (parsing)", map[string]string{})
	parse := func(name, body string, good bool) {
		_, err := mailauth.ParseAuthenticationResults(strings.TrimSpace(body))
		problem := ""
		if (err == nil) != good {
			problem = fmt.Sprintf("%q: %v", body, err)
		}
		total.check(t, name, problem)
	}
	for _, path := range globs(t, dir, "mail-authenticationresults/*.txt") {
		name, text := filepath.Base(path), string(readFile(t, path))
		if strings.Contains(name, "Strings") {
			for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
				parse(fmt.Sprintf("%s/%d", name, i), line, strings.Contains(name, "Good"))
			}
			continue
		}
		parse(name, fieldStart.ReplaceAllString(text, ""), true)
	}
	for _, path := range globs(t, dir, "*.eml", "authentication_milter/*/*.eml") {
		text := string(readFile(t, path))
		if i := strings.Index(text, "\nDATA\n"); i >= 0 {
			text = text[i+len("\nDATA\n"):]
		}
		for i, v := range message([]byte(crlf(text))).Header().Values("Authentication-Results") {
			parse(fmt.Sprintf("%s/%s/%d", filepath.Base(filepath.Dir(path)), filepath.Base(path), i), v, true)
		}
	}
	total.report(t)
}

var long = strings.Repeat("a.", 120) + "example"

// resultCases are results, hostile ones among them, and what is written of them.
var resultCases = []struct {
	host string
	r    verdict.AuthResults
	want string
}{
	{"mx.gw.example", verdict.AuthResults{}, "mx.gw.example; none"},
	{"", verdict.AuthResults{}, "unknown; none"},
	{"mx.gw.example", verdict.AuthResults{
		SPF:   verdict.SPFResult{Result: "pass", Domain: "b.example"},
		DKIM:  []verdict.DKIMResult{{Result: "pass", Domain: "b.example", Selector: "s1"}, {Result: "fail", Domain: "c.example", Selector: "s2", Err: errors.New("bad")}},
		DMARC: verdict.DMARCResult{Result: "pass", Domain: "b.example", Policy: "reject"},
		ARC:   verdict.ARCResult{Result: "pass", Sealer: "l.example"},
	}, `mx.gw.example; spf=pass smtp.mailfrom=b.example; dkim=pass header.d=b.example header.s=s1; dkim=fail reason="bad" header.d=c.example header.s=s2; dmarc=pass header.from=b.example polrec.p=reject; arc=pass (l.example)`},
	{"mx.gw.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "mail.b.example", Identity: "helo"}}, "mx.gw.example; spf=pass smtp.helo=mail.b.example"},
	{"mx.gw.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "temperror", Domain: "b.example", Err: errors.New("192.0.2.53: timeout")}},
		"mx.gw.example; spf=temperror smtp.mailfrom=b.example"},
	{"mx.gw.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "fail", Domain: "b.example", Err: mailauth.Explanation("see https://evil.example")}},
		"mx.gw.example; spf=fail smtp.mailfrom=b.example"},
	{"mx.gw.example", verdict.AuthResults{DMARC: verdict.DMARCResult{Result: "fail", Domain: "b.example", Policy: "reject", Err: mailauth.ErrPolicyTest}},
		`mx.gw.example; dmarc=fail reason="policy in test mode" header.from=b.example polrec.p=reject`},
	{"evil\r\nX: y", verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass\r\nX: y", Domain: "b.example; dkim=pass\r\n"}},
		`unknown; spf=permerror smtp.mailfrom="b.example; dkim=pass??"`},
	{"mx.gw.example", verdict.AuthResults{DKIM: []verdict.DKIMResult{{Result: "permerror", Domain: "ü\"\\)(", Err: errors.New("\"\r\n\\ü")}}},
		`mx.gw.example; dkim=permerror reason="\"??\\??" header.d="??\"\\)("`},
}

func TestAuthenticationResults(t *testing.T) {
	t.Parallel()
	for _, c := range resultCases {
		if got := mailauth.AuthenticationResults(c.host, c.r); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	var many verdict.AuthResults
	for i := range 2000 {
		many.DKIM = append(many.DKIM, verdict.DKIMResult{Result: "fail", Domain: long, Selector: fmt.Sprint(i)})
	}
	many.DKIM[1999].Result = verdict.Pass
	many.SPF = verdict.SPFResult{Result: "pass", Domain: long}
	many.DMARC = verdict.DMARCResult{Result: "fail", Domain: "b.example"}
	got := mailauth.AuthenticationResults("mx.gw.example", many)
	wellFormed(t, got)
	if !strings.Contains(got, "dkim=pass") || !strings.Contains(got, "dmarc=fail") {
		t.Errorf("the good signature and DMARC are not in %s", got)
	}
}

// wellFormed holds a body of ours against our parser and another one.
func wellFormed(t *testing.T, body string) {
	t.Helper()
	if len(body) > 900 {
		t.Errorf("%d octets", len(body))
	}
	for _, c := range []byte(body) {
		if c < ' ' || c > '~' {
			t.Fatalf("octet %#x in %q", c, body)
		}
	}
	r, err := mailauth.ParseAuthenticationResults(body)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	id, _, err := authres.Parse(body)
	if !strings.EqualFold(id, r.By) && err == nil {
		t.Errorf("another parser reads %q, we %q: %s", id, r.By, body)
	}
}

func FuzzAuthenticationResults(f *testing.F) {
	for _, c := range resultCases {
		d := append(c.r.DKIM, verdict.DKIMResult{})[0]
		f.Add(c.host, string(c.r.SPF.Result), c.r.SPF.Domain, d.Domain, d.Selector, c.r.DMARC.Policy, "why")
	}
	f.Fuzz(func(t *testing.T, host, result, domain, d, s, policy, why string) {
		r := verdict.AuthResults{
			SPF:   verdict.SPFResult{Result: verdict.AuthResult(result), Domain: domain, Err: errors.New(why)},
			DKIM:  []verdict.DKIMResult{{Result: "fail", Domain: d, Selector: s, Err: errors.New(why)}},
			DMARC: verdict.DMARCResult{Result: "pass", Domain: domain, Policy: policy},
			ARC:   verdict.ARCResult{Result: "fail", Sealer: d, Err: errors.New(why)},
		}
		body := mailauth.AuthenticationResults(host, r)
		wellFormed(t, body)
		back, _ := mailauth.ParseAuthenticationResults(body)
		var methods []string
		for _, m := range back.Results {
			methods = append(methods, m.Method)
		}
		want := []string{"spf", "dkim", "dmarc", "arc"}
		if result == "" {
			want = want[1:]
		}
		if len(body) < 600 {
			if diff := cmp.Diff(want, methods); diff != "" {
				t.Errorf("%s\n%s", body, diff)
			}
		}
	})
}
