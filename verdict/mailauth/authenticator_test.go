package mailauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

// testKeys makes keys once: RSA keys take time.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"rsa": rsaKey, "ed25519": ed}
})

func record(t testing.TB, key crypto.Signer) string {
	t.Helper()
	r, err := mailauth.KeyRecord(key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	plainHead = "From: Ann <ann@b.example>\r\nTo: bob@example.net\r\nSubject: hello\r\n  world\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
	plainBody = "\r\nHello  world \r\n\r\nBye\r\n\r\n\r\n"
)

// sign signs raw with tags of its own.
func sign(t testing.TB, kind, c string, raw, more string) []byte {
	t.Helper()
	out, err := mailauth.SignDKIM("b.example", "s1", "v=1; a="+kind+"-sha256;", []string{"From", "To", "Subject", "From", "X-None"}, c, testKeys()[kind], []byte(raw), more)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func keyZone(t testing.TB, kind string) mailauthtest.Zone {
	t.Helper()
	return mailauthtest.Zone{"s1._domainkey.b.example": {TXT: []string{record(t, testKeys()[kind])}}}
}

func TestDKIMRoundTrip(t *testing.T) {
	t.Parallel()
	for kind := range testKeys() {
		for _, c := range []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "simple", "relaxed"} {
			raw := sign(t, kind, c, plainHead+plainBody, "")
			bodyRelaxed := strings.HasSuffix(c, "/relaxed")
			headRelaxed := strings.HasPrefix(c, "relaxed")
			for _, x := range []struct {
				name, old, new string
				pass           bool
			}{
				{"as it is", "", "", true},
				{"LF alone", "\r\n", "\n", true},
				{"final lines", "Bye\r\n\r\n\r\n", "Bye\r\n", true},
				{"body", "Bye", "Buy", false},
				{"body blanks", "Hello  world ", "Hello world", bodyRelaxed},
				{"subject", "hello", "hallo", false},
				{"subject blanks", "hello\r\n  world", "hello  world", headRelaxed},
				{"letter case of a name", "Subject: hello", "SUBJECT: hello", headRelaxed},
				{"unsigned field", "Date:", "X-Date:", true},
				{"second From", "From: Ann", "From: x@evil.example\r\nFrom: Ann", false}, // signed twice
				{"field that was not there", "Subject: hello", "X-None: 1\r\nSubject: hello", false},
			} {
				changed := raw
				if x.old != "" {
					changed = []byte(strings.ReplaceAll(string(raw), x.old, x.new))
				}
				got := authenticate(t, keyZone(t, kind), message(changed))
				if len(got.DKIM) != 1 || (got.DKIM[0].Result == verdict.Pass) != x.pass || got.DKIM[0].Domain != "b.example" || got.DKIM[0].Selector != "s1" {
					t.Errorf("%s %s, %s: %+v", kind, c, x.name, got.DKIM)
				}
			}
		}
	}
}

func TestDKIMRefused(t *testing.T) {
	t.Parallel()
	weak := "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALgSoqXVSEmfcIsOzw7oRuCCOwsmtX/SJnTWxYyj2leFxfS/AVJ+dYfY+hXqMsT7l+MZvvh/R1WzN4MO/kI/7XsCAwEAAQ=="
	good := record(t, testKeys()["rsa"])
	p := good[strings.Index(good, "p="):]
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name, more string
		key        []string
		want       verdict.AuthResult
	}{
		{"good", "", []string{good}, "pass"},
		{"i= of the domain", " i=ann@b.example;", []string{good}, "pass"},
		{"i= below", " i=@m.b.example;", []string{good}, "pass"},
		{"i= of another domain", " i=@evilb.example;", []string{good}, "permerror"},
		{"i= below, strict key", " i=@m.b.example;", []string{"t=s; " + p}, "permerror"},
		{"strict key", "", []string{"t=y:s; " + p}, "pass"},
		{"body length", " l=5;", []string{good}, "permerror"},
		{"expired", fmt.Sprintf(" x=%d;", at.Unix()-1), []string{good}, "permerror"},
		{"expires now", fmt.Sprintf(" x=%d;", at.Unix()), []string{good}, "pass"},
		{"expires before it was made", fmt.Sprintf(" t=%d; x=%d;", at.Unix()+20, at.Unix()+10), []string{good}, "permerror"},
		{"bad time", " t=soon;", []string{good}, "permerror"},
		{"query over http", " q=http;", []string{good}, "permerror"},
		{"query over dns and http", " q=http:dns/txt;", []string{good}, "pass"},
		{"tag twice", " q=dns/txt; q=dns/txt;", []string{good}, "permerror"},
		{"no key", "", nil, "permerror"},
		{"revoked key", "", []string{"v=DKIM1; p="}, "permerror"},
		{"weak key", "", []string{weak}, "permerror"},
		{"another key", "", []string{record(t, testKeys()["ed25519"])}, "permerror"},
		{"key for sha1", "", []string{"h=sha1; " + p}, "permerror"},
		{"key for chats", "", []string{"s=chat; " + p}, "permerror"},
		{"key for anything", "", []string{"s=*; h=sha1:sha256; " + p}, "pass"},
		{"key of version 2", "", []string{"v=DKIM2; " + p}, "permerror"},
		{"key without text", "", []string{""}, "permerror"},
		{"key that is none", "", []string{"p=AAAA"}, "permerror"},
		{"two keys", "", []string{good, good}, "permerror"},
		{"key beside other text", "", []string{"v=spf1 -all", good}, "pass"},
		{"64 KB of key", "", []string{"p=" + strings.Repeat("A", 64<<10)}, "permerror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := message(sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, c.more))
			m.Received = at
			got := authenticate(t, mailauthtest.Zone{"s1._domainkey.b.example": {TXT: c.key}}, m)
			if len(got.DKIM) != 1 || got.DKIM[0].Result != c.want || (got.DKIM[0].Err == nil) != (c.want == verdict.Pass) {
				t.Errorf("%+v, want %s", got.DKIM, c.want)
			}
		})
	}
}

// TestTemporary lets each look-up of a message that passes everything fail in turn: no result becomes a
// fail, none that needs the answer stays a pass, and DMARC is as good as what is left.
func TestTemporary(t *testing.T) {
	t.Parallel()
	full := func() mailauthtest.Zone {
		z := keyZone(t, "rsa")
		z["b.example"] = mailauthtest.Records{TXT: []string{"v=spf1 include:spf.b.example mx -all"}, MX: []string{"mx.b.example"}, A: []string{"192.0.2.9"}}
		z["spf.b.example"] = mailauthtest.Records{TXT: []string{"v=spf1 a:relay.b.example ?all"}}
		z["relay.b.example"] = mailauthtest.Records{A: []string{"192.0.2.8"}}
		z["mx.b.example"] = mailauthtest.Records{A: []string{"192.0.2.1"}}
		z["_dmarc.b.example"] = mailauthtest.Records{TXT: []string{"v=DMARC1; p=reject"}}
		return z
	}
	raw := sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, "")
	evaluate := func(zone mailauth.Resolver) verdict.AuthResults {
		m := message(raw)
		m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "mx.b.example"}
		m.Envelope.From = "ann@b.example"
		return authenticate(t, zone, m)
	}
	log := &mailauthtest.Log{Resolver: full()}
	if got := evaluate(log); got.SPF.Result != "pass" || !anyDKIM(got, "pass") || got.DMARC.Result != "pass" {
		t.Fatalf("undisturbed: %+v", got)
	}
	for _, question := range log.Asked() {
		kind, name, _ := strings.Cut(question, " ")
		for _, fault := range []error{mailauth.ErrTemporary, errors.New("some other error")} {
			z := full()
			r := z[name]
			r.Fault = map[mailauth.RecordType]error{mailauth.RecordType(kind): fault}
			z[name] = r
			got := evaluate(z)
			for method, result := range map[string]verdict.AuthResult{"spf": got.SPF.Result, "dkim": got.DKIM[0].Result, "dmarc": got.DMARC.Result} {
				if result != "pass" && result != "temperror" {
					t.Errorf("%s fails: %s is %s", question, method, result)
				}
			}
			switch {
			case name == "s1._domainkey.b.example":
				if got.DKIM[0].Result != "temperror" || got.DMARC.Result != "pass" {
					t.Errorf("%s fails: %+v", question, got)
				}
			case name == "_dmarc.b.example":
				if got.DMARC.Result != "temperror" {
					t.Errorf("%s fails: %+v", question, got.DMARC)
				}
			case got.SPF.Result != "temperror":
				t.Errorf("%s fails: %+v", question, got.SPF)
			}
		}
	}
	got := evaluate(failing{})
	if got.SPF.Result != "temperror" || got.DKIM[0].Result != "temperror" || got.DMARC.Result != "temperror" {
		t.Errorf("no DNS at all: %+v", got)
	}
	got = (&mailauth.Authenticator{}).Authenticate(t.Context(), message(raw))
	if got.DKIM[0].Result != "temperror" || got.DMARC.Result != "temperror" {
		t.Errorf("no resolver: %+v", got)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	zone := mailauthtest.Zone{
		"b.example":    {TXT: []string{"v=spf1 ip4:192.0.2.1 -all"}},
		"helo.example": {TXT: []string{"v=spf1 ip4:192.0.2.1 -all"}},
	}
	client := func(addr, helo string) verdict.Client {
		c := verdict.Client{Helo: helo}
		if addr != "" {
			c.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 25)
		}
		return c
	}
	for _, c := range []struct {
		name         string
		peer, origin verdict.Client
		from         string
		result       verdict.AuthResult
		domain       string
	}{
		{"origin counts", client("192.0.2.2", ""), client("192.0.2.1", ""), "a@b.example", "pass", "b.example"},
		{"peer does not", client("192.0.2.1", ""), client("192.0.2.2", ""), "a@b.example", "fail", "b.example"},
		{"unknown origin", client("192.0.2.1", ""), verdict.Client{}, "a@b.example", "", ""},
		{"mapped address", client("192.0.2.1", ""), client("::ffff:192.0.2.1", ""), "a@b.example", "pass", "b.example"},
		{"null sender", client("192.0.2.1", ""), client("192.0.2.1", "helo.example"), "", "pass", "helo.example"},
		{"null sender, no name", client("192.0.2.1", ""), client("192.0.2.1", "[192.0.2.1]"), "", "none", "[192.0.2.1]"},
		{"quoted at sign", client("192.0.2.1", ""), client("192.0.2.1", ""), `"x@evil.example"@b.example`, "pass", "b.example"},
	} {
		m := message([]byte(plainHead + plainBody))
		m.Peer, m.Origin, m.Envelope.From = c.peer, c.origin, c.from
		identity := "mailfrom"
		if c.from == "" {
			identity = "helo"
		}
		if got := authenticate(t, zone, m).SPF; got.Result != c.result || got.Domain != c.domain || got.Result != "" && got.Identity != identity {
			t.Errorf("%s: %+v, want %s %s", c.name, got, c.result, c.domain)
		}
	}
}

func TestUpstream(t *testing.T) {
	t.Parallel()
	field := "Authentication-Results: eop.example; spf=pass smtp.mailfrom=x@b.example;\r\n dkim=pass header.d=b.example; dkim=fail header.d=c.example\r\n"
	forged := "Authentication-Results: eop.example; spf=pass smtp.mailfrom=forged.example; dkim=pass header.d=forged.example\r\n"
	nameless := strings.Replace(field, "eop.example; ", "", 1)
	for _, c := range []struct {
		name, fields, id string
		trusted          bool
		want             string // SPF domain, DKIM domains, DMARC
	}{
		{"trusted", field + forged, "EOP.example", true, "b.example [b.example] pass"},
		{"not trusted", field, "eop.example", false, " [] "},
		{"another name", field, "other.example", true, " [] "},
		{"no name", nameless, "", true, "b.example [b.example] pass"},
		{"no name, but a name is wanted", nameless, "eop.example", true, " [] "},
		{"none", "", "eop.example", true, " [] "},
		{"malformed", "Authentication-Results: eop.example; spf==pass\r\n", "eop.example", true, " [] "},
		{"SPF of somebody else", "Authentication-Results: eop.example; spf=pass smtp.helo=c.example\r\n", "eop.example", true, "c.example [] fail"},
	} {
		m := message([]byte(c.fields + plainHead + plainBody))
		a := mailauth.Authenticator{Resolver: policies("b.example v=DMARC1; p=reject")}
		got := a.Authenticate(t.Context(), m)
		if c.trusted {
			got = a.AuthenticateBehind(t.Context(), m, c.id)
		}
		var domains []string
		for _, d := range got.DKIM {
			domains = append(domains, d.Domain)
		}
		if text := fmt.Sprintf("%s %v %s", got.SPF.Domain, domains, got.DMARC.Result); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// panicking is a resolver and checker of somebody else.
type panicking struct{}

func (panicking) Lookup(context.Context, string, mailauth.RecordType) ([]string, error) { panic("x") }
func (panicking) CheckSPF(context.Context, netip.Addr, string, string) verdict.SPFResult {
	panic("x")
}

func TestContained(t *testing.T) {
	t.Parallel()
	m := message(sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, ""))
	m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
	got := withChecker(t, panicking{}, panicking{}, m)
	if got.SPF.Result != "temperror" || got.DMARC.Result != "temperror" || anyDKIM(got, "pass", "fail") {
		t.Errorf("%+v", got)
	}
	broken := verdict.NewMessage(brokenSource{})
	got = withChecker(t, mailauthtest.Zone{}, spfAs("pass b.example"), broken)
	if got.DMARC.Result == verdict.Pass || got.ARC.Result == verdict.Pass || got.DKIM != nil {
		t.Errorf("a message that cannot be read: %+v", got)
	}
}

type brokenSource struct{}

func (brokenSource) Open() (io.ReadCloser, error) { return nil, errors.New("broken") }
func (brokenSource) Size() int64                  { return 10 }

// breaking is a source that ends with an error behind its header.
type breaking struct{ verdict.Bytes }

func (b breaking) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.Bytes), errReader{})), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestBrokenBody(t *testing.T) {
	t.Parallel()
	raw := sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, "")
	got := authenticate(t, keyZone(t, "rsa"), verdict.NewMessage(breaking{raw}))
	if len(got.DKIM) != 1 || got.DKIM[0].Result != "temperror" || got.ARC.Result != "temperror" {
		t.Errorf("%+v", got)
	}
}

// hostile are header sections and bodies that cost work.
func hostile() map[string]string {
	sig := "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=b.example; s=s1; h=from; bh=AAAA; b=AAAA\r\n"
	set := "ARC-Seal: i=%[1]d; a=rsa-sha256; cv=pass; d=b.example; s=s1; b=AAAA\r\nARC-Message-Signature: i=%[1]d; a=rsa-sha256; d=b.example; s=s1; h=from; bh=AAAA; b=AAAA\r\nARC-Authentication-Results: i=%[1]d; b.example; none\r\n"
	var chain strings.Builder
	for i := 50; i > 0; i-- {
		fmt.Fprintf(&chain, set, i)
	}
	return map[string]string{
		"thousands of signatures": strings.Repeat(sig, 1900) + "From: a@b.example\r\n\r\nx\r\n",
		"fifty ARC sets":          strings.Replace(chain.String(), "i=1; a=rsa-sha256; cv=pass", "i=1; a=rsa-sha256; cv=none", 1) + "From: a@b.example\r\n\r\nx\r\n",
		"ARC set 4294967297":      "ARC-Seal: i=4294967297; cv=none\r\nFrom: a@b.example\r\n\r\n",
		"long h=":                 strings.Replace(sig, "h=from", "h=from"+strings.Repeat(":x", 100_000), 1) + "From: a@b.example\r\n\r\n",
		"long h= of one name":     strings.Repeat("X: y\r\n", 1500) + strings.Repeat(strings.Replace(sig, "h=from", "h=from"+strings.Repeat(":x", 250), 1), 10) + "From: a@b.example\r\n\r\n",
		"many tags":               strings.Replace(sig, "v=1;", "v=1;"+strings.Repeat("x=1;", 100_000), 1) + "From: a@b.example\r\n\r\n",
		"huge header":             sig + "X: " + strings.Repeat("y", 5<<20) + "\r\nFrom: a@b.example\r\n\r\n",
		"empty lines":             sig + "From: a@b.example\r\n\r\n" + strings.Repeat("\r\n", 4<<20) + "x",
		"blanks":                  strings.Replace(sig, "simple/simple", "relaxed/relaxed", 1) + "From: a@b.example\r\n\r\n" + strings.Repeat(" \t", 4<<20) + "x",
		"CRs":                     sig + "From: a@b.example\r\n\r\n" + strings.Repeat("\r", 4<<20),
		"many addresses":          "From: " + strings.Repeat("a@b.example, ", 50_000) + "a@b.example\r\n\r\n",
		"many domains":            "From: a@b0.example" + strings.Repeat(", a@b.example", 10) + "\r\n\r\n",
		"deep comment":            "From: " + strings.Repeat("(", 500_000) + " a@b.example\r\n\r\n",
		"long domain":             "From: a@" + strings.Repeat("x.", 100_000) + "example\r\n\r\n",
		"nothing":                 "",
		"no header":               "\r\nx\r\n",
	}
}

func TestHostileMessages(t *testing.T) {
	t.Parallel()
	key := record(t, testKeys()["rsa"])
	zone := mailauthtest.Zone{
		"s1._domainkey.b.example": {TXT: []string{key}},
		"_dmarc.b.example":        {TXT: []string{"v=DMARC1; p=reject;" + strings.Repeat(" x=y;", 13_000)}},
		"b.example":               {TXT: []string{"v=spf1 " + strings.Repeat("include:b.example ", 3000) + "-all"}},
	}
	for name, raw := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message([]byte(raw))
			m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
			m.Envelope.From = "a@b.example"
			start := time.Now()
			got := authenticate(t, zone, m)
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
			if got.DMARC.Result == verdict.Pass || anyDKIM(got, verdict.Pass) || got.ARC.Result == verdict.Pass || got.SPF.Result != "permerror" {
				t.Errorf("%+v", got)
			}
			if name == "thousands of signatures" && len(got.DKIM) != 1900 {
				t.Errorf("%d results", len(got.DKIM))
			}
			wellFormed(t, mailauth.AuthenticationResults("mx.gw.example", got))
		})
	}
}

func TestManyAuthors(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&b, "a@b%d.example, ", i)
	}
	start := time.Now()
	got := authenticate(t, mailauthtest.Zone{}, message([]byte("From: "+b.String()+"a@b.example\r\n\r\n")))
	if d := time.Since(start); d > 15*time.Second || got.DMARC.Result != "permerror" {
		t.Errorf("%v, %+v", d, got.DMARC)
	}
}

// TestCutHeader: behind a limit there may be another From.
func TestCutHeader(t *testing.T) {
	t.Parallel()
	m := message([]byte("From: a@b.example\r\nX: " + strings.Repeat("y", 2<<20) + "\r\nFrom: x@evil.example\r\n\r\n"))
	m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
	got := withChecker(t, policies("b.example v=DMARC1; p=reject"), spfAs("pass b.example"), m)
	if got.DMARC.Result != "permerror" || !errors.Is(got.DMARC.Err, verdict.ErrTooComplex) {
		t.Errorf("%+v", got.DMARC)
	}
}

// TestSlowDNS ends by the budget, with everything that waited left open.
func TestSlowDNS(t *testing.T) {
	t.Parallel()
	m := message(sign(t, "rsa", "relaxed/relaxed", plainHead+plainBody, ""))
	m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
	m.Envelope.From = "a@b.example"
	a := mailauth.Authenticator{Resolver: hanging{}, Timeout: 50 * time.Millisecond}
	got := a.Authenticate(t.Context(), m)
	if got.SPF.Result != "temperror" || got.DMARC.Result != "temperror" || !anyDKIM(got, "temperror") {
		t.Errorf("%+v", got)
	}
}

type hanging struct{}

func (hanging) Lookup(ctx context.Context, _ string, _ mailauth.RecordType) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
