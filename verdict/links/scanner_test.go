package links_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner {
			return &links.Scanner{Protected: []string{"example.com"}}
		},
		Hit: func(tb testing.TB) *verdict.Message {
			return verdicttest.Mail{HTML: `<a href="https://examp1e.com/login">https://example.com/login</a>`}.Message(tb)
		},
	})
}

// message returns a mail from letters.test, whose name is in no other domain of these tests.
func message(t *testing.T, mail verdicttest.Mail) *verdict.Message {
	t.Helper()
	mail.From = firstOf(mail.From, "Ann <ann@letters.test>")
	m := mail.Message(t)
	m.Envelope = verdict.Envelope{From: "ann@letters.test", To: []verdict.Recipient{{Address: "bob@recipient.test"}}}
	return m
}

func firstOf(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// codes scans and returns the codes that were found, sorted, each once.
func codes(t *testing.T, sc verdict.Scanner, m *verdict.Message) []string {
	t.Helper()
	found, err := sc.Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	known := map[string]bool{}
	for _, c := range verdict.Codes() {
		known[c.Code] = true
	}
	for _, f := range found {
		if !known[f.Code] {
			t.Errorf("%s is in no table", f.Code)
		}
		out = append(out, f.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cases are messages, and codes that have to be found and that must not be.
var cases = []struct {
	name string
	mail verdicttest.Mail
	want []string
	not  []string
}{
	{
		name: "own site",
		mail: verdicttest.Mail{HTML: `<a href="https://www.letters.test/a">Read on</a>`},
		not:  []string{"link.foreign", "link.call", "link.text"},
	},
	{
		name: "a site by a related name",
		mail: verdicttest.Mail{From: "A <a@examplebank.test>", HTML: `<a href="https://www.examplebank-mail.com/a">Log in</a>`},
		not:  []string{"link.foreign", "link.call"},
	},
	{
		name: "text and target",
		mail: verdicttest.Mail{HTML: `<a href="https://evil.other-site.net/a">https://www.example.com/login</a>`},
		want: []string{"link.text", "link.foreign"},
	},
	{
		name: "text in disguise and target",
		mail: verdicttest.Mail{HTML: "<a href=\"https://evil.other-site.net/a\">www.exa\u200bmple.com</a>"},
		want: []string{"link.text"},
	},
	{
		name: "text is the sender's, the target counts clicks",
		mail: verdicttest.Mail{HTML: `<a href="https://u1.ct.sendgrid.net/ls/click?upn=x">www.letters.org</a>`},
		not:  []string{"link.text", "link.text-own", "link.foreign"},
	},
	{
		name: "text is the sender's, the target nobody's",
		mail: verdicttest.Mail{From: "Ann <ann@letters.org>", HTML: `<a href="https://clicks.example.net/x">www.letters.org</a>`},
		want: []string{"link.text-own"},
		not:  []string{"link.text"},
	},
	{
		name: "text is the site behind a rewriter",
		mail: verdicttest.Mail{HTML: `<a href="https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.example.com%2F&data=x">www.example.com</a>`},
		not:  []string{"link.text", "link.redirect"},
	},
	{
		name: "the site behind a rewriter differs from the text",
		mail: verdicttest.Mail{HTML: `<a href="https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.other-site.net%2F&data=x">www.example.com</a>`},
		want: []string{"link.text"},
	},
	{
		name: "user info and numbers",
		mail: verdicttest.Mail{HTML: `<a href="https://www.example.com@0xC0000201/">a</a> <a href="http://198.51.100.7/">b</a> <a href="http://192.168.1.1/">router</a>`},
		want: []string{"link.user-info", "link.numeric-host", "link.address"},
	},
	{
		name: "only the router",
		mail: verdicttest.Mail{Text: "http://192.168.1.1:8081/ and http://localhost:3000/"},
		not:  []string{"link.address", "link.port"},
	},
	{
		name: "obfuscated",
		mail: verdicttest.Mail{HTML: `<a href="https:\\evil.example.net\a">a</a> <a href="https://%65vil.example.net:8090/">b</a>`},
		want: []string{"link.obfuscated", "link.port"},
	},
	{
		name: "other scripts",
		mail: verdicttest.Mail{HTML: `<a href="https://раураӏ.com/">a</a> <a href="https://bücher.example.net/">b</a>`},
		want: []string{"link.mixed-script", "link.punycode", "link.brand-look-alike"},
	},
	{
		name: "an open redirect",
		mail: verdicttest.Mail{HTML: `<a href="https://www.google.com/url?q=https://evil.example.net/">a</a> <a href="https://go.example.com/?u=https://evil.example.net/">b</a>`},
		want: []string{"link.redirect", "link.carries"},
	},
	{
		name: "a redirect to the sender",
		mail: verdicttest.Mail{HTML: `<a href="https://www.google.com/url?q=https://www.letters.test/">a</a>`},
		not:  []string{"link.redirect", "link.foreign"},
	},
	{
		name: "places for everybody",
		mail: verdicttest.Mail{HTML: `<a href="https://a-b.pages.dev/">a</a> <a href="https://bit.ly/abc">b</a> <a href="https://forms.gle/abc">c</a>
			<a href="https://x.duckdns.org/">d</a> <a href="https://bucket.s3.eu-west-1.amazonaws.com/x/index.html">e</a> <a href="https://we.tl/t-a">f</a>`},
		want: []string{"link.free-host", "link.shortener", "link.form-host", "link.dynamic-host", "link.stored-page", "link.share"},
	},
	{
		name: "keys",
		mail: verdicttest.Mail{HTML: `<a href="https://evil.test.example.com/a#Xy12Zk93hGAAbb71Qq">a</a>
			<a href="https://x.example.com/#bob@recipient.test">b</a> <a href="https://x.example.com/?e=Ym9iQHJlY2lwaWVudC50ZXN0">c</a>
			<a href="https://x.example.com/?e=bob%40recipient.test">d</a> <a href="https://y.example.com/4Ab12Cd34Ef56Gh78Ij90Kl12Mn34">e</a>`},
		want: []string{"link.token", "link.victim-fragment", "link.victim-coded", "link.victim", "link.path-token"},
	},
	{
		name: "look-alikes of a protected domain",
		mail: verdicttest.Mail{Text: "https://protectecl.example/ https://pr0tected-bank.com/login https://protected-bank.com.evil.example.net/ https://protected-bank.net/"},
		want: []string{"link.look-alike", "link.same-name"},
	},
	{
		name: "the protected domain",
		mail: verdicttest.Mail{Text: "https://www.protected-bank.com/login"},
		not:  []string{"link.look-alike", "link.same-name"},
	},
	{
		name: "names of others",
		mail: verdicttest.Mail{HTML: `<a href="https://rnicrosoft.com/">a</a> <a href="https://paypal-secure-login.example.com/">b</a>
			<a href="https://paypal-verify.net/">c</a> <a href="https://www.paypal.com.example.net/">d</a> <a href="https://netflix.example.com/">e</a>`},
		want: []string{"link.brand-look-alike", "link.brand-word", "link.brand-subdomain", "link.brand-label"},
	},
	{
		name: "the real ones",
		mail: verdicttest.Mail{HTML: `<a href="https://login.microsoftonline.com/">Microsoft</a> <a href="https://www.paypal.com/">PayPal</a>`},
		not:  []string{"link.brand-look-alike", "link.brand-word", "link.brand-subdomain", "link.brand-elsewhere"},
	},
	{
		name: "a name in the sender's name",
		mail: verdicttest.Mail{From: `"Netflix Support" <x@letters.test>`, HTML: `<p>Hello</p><a href="https://a.example.net/">Update your payment</a>`},
		want: []string{"link.brand-sender", "link.foreign", "link.call"},
	},
	{
		name: "a name in the text of a link",
		mail: verdicttest.Mail{HTML: `<p>Hello</p><a href="https://a.example.net/">Your PayPal account</a>`},
		want: []string{"link.brand-elsewhere"},
	},
	{
		name: "a social network, to be followed there",
		mail: verdicttest.Mail{HTML: `<p>Hello</p><a href="https://a.example.net/">Follow us on Facebook</a>`},
		not:  []string{"link.brand-elsewhere"},
	},
	{
		name: "a picture with a link",
		mail: verdicttest.Mail{HTML: `<a href="https://a.example.net/"><img src="https://i.imgur.com/a.png" alt="Claim your prize"></a><img src="http://198.51.100.7/t">`},
		want: []string{"link.picture-only", "link.image-host", "link.image-address", "link.foreign", "link.call"},
	},
	{
		name: "pictures from a service by its name",
		mail: verdicttest.Mail{HTML: `<a href="https://www.letters.test/">x</a><img src="https://www.free-images-4u.com/a.png"><img src="https://m.media-amazon.com/images/a.png">`},
		want: []string{"link.image-host"},
	},
	{
		name: "pictures from the site that is linked",
		mail: verdicttest.Mail{HTML: `<a href="https://www.free-images-4u.com/">x</a><img src="https://www.free-images-4u.com/a.png"><img src="https://www.letters.test/logo.png">`},
		not:  []string{"link.image-host"},
	},
	{
		name: "a conversation",
		mail: verdicttest.Mail{Header: []string{"In-Reply-To: <a@example.net>"}, HTML: `<a href="https://a.example.net/"><img src="https://www.letters.test/x.png"></a>`},
		not:  []string{"link.picture-only", "link.foreign", "link.call"},
	},
	{
		name: "a message to somebody else",
		mail: verdicttest.Mail{From: "PayPal <service@letters.test>", HTML: `<a href="mailto:x@gmail.com?subject=Report">Report</a> <a href="mailto:y@example.net">help@example.com</a>`},
		want: []string{"link.mailto", "link.mailto-only", "link.mailto-text", "link.brand-sender"},
	},
	{
		name: "unsubscribing by mail",
		mail: verdicttest.Mail{HTML: `<a href="mailto:list@example.net?subject=unsubscribe">Unsubscribe</a>`},
		not:  []string{"link.mailto", "link.mailto-foreign", "link.mailto-only"},
	},
	{
		name: "forms",
		mail: verdicttest.Mail{HTML: `<form action="https://a.example.net/x"><input name="user"><input type="password"></form><form action="https://b.example.net/"><input></form>`},
		want: []string{"link.form", "link.form-password"},
	},
	{
		name: "schemes",
		mail: verdicttest.Mail{HTML: `<a href="data:text/html;base64,PHNjcmlwdD4=">a</a> <a href="java` + "\n" + `script:document.location='x'">b</a>`},
		want: []string{"link.data", "link.script"},
	},
	{
		name: "programs",
		mail: verdicttest.Mail{HTML: `<a href="https://a.example.net/update.exe">a</a> <a href="https://x.workers.dev/a.zip">b</a>`},
		want: []string{"link.program", "link.archive"},
	},
	{
		name: "hidden text and letters in disguise",
		mail: verdicttest.Mail{HTML: `<div style="display:none">` + strings.Repeat("word ", 400) + `</div><a href="https://a.example.net/">𝐂𝐥𝐢𝐜𝐤 𝐡𝐞𝐫𝐞</a>`},
		want: []string{"link.hidden-text", "link.styled", "link.call"},
	},
	{
		name: "an address in the subject",
		mail: verdicttest.Mail{Subject: "Login to https://bit.ly/abc now"},
		want: []string{"link.subject"},
	},
	{
		name: "hosts",
		mail: verdicttest.Mail{Text: "https://a.b.c.d.e.f.example.net/ https://x7k2q9w4z1.com/ https://good.example.top/ https://a.co.ua/"},
		want: []string{"link.long-host", "link.random-host", "link.tld", "link.rented-name"},
	},
	{
		name: "an attached message",
		mail: verdicttest.Mail{Text: "See the attached.", Attach: []verdicttest.Attachment{{Type: "message/rfc822",
			Data: verdicttest.Mail{HTML: `<a href="https://www.paypal.com.example.net/">a</a>`}.Bytes()}}},
		want: []string{"link.brand-subdomain"},
		not:  []string{"link.foreign"},
	},
	{
		name: "an invitation",
		mail: verdicttest.Mail{Text: "Invitation", Attach: []verdicttest.Attachment{{Name: "a.ics", Type: "text/calendar; charset=utf-8", Encoding: "8bit",
			Data: []byte("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Call\r\nDESCRIPTION:Join at https://www.paypal.com.example.net/x\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")}}},
		want: []string{"link.brand-subdomain"},
	},
	{
		name: "a PDF file",
		mail: verdicttest.Mail{Text: "See the attached.", Attach: []verdicttest.Attachment{{Name: "a.pdf", Type: "application/pdf", Data: []byte("%PDF-1.4\n" +
			"1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n" +
			"3 0 obj\n<</Type/Page/Parent 2 0 R/Annots[4 0 R]>>\nendobj\n" +
			"4 0 obj\n<</Type/Annot/Subtype/Link/A<</S/URI/URI(https://www.paypal.com.example.net/x)>>>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n")}}},
		want: []string{"link.brand-subdomain"},
	},
	{
		name: "too many",
		mail: verdicttest.Mail{Text: strings.Repeat("https://a.example.org/x ", 3) + manyLinks(1200)},
		want: []string{"link.too-many"},
	},
}

func manyLinks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("https://a.example.org/" + strings.Repeat("a", i%40) + string(rune('a'+i%26)) + strings.Repeat("b", i/40) + "\n")
	}
	return b.String()
}

func TestScan(t *testing.T) {
	t.Parallel()
	sc := &links.Scanner{Protected: []string{"protected-bank.com", "Protected.example."}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := codes(t, sc, message(t, c.mail))
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("%s is missing in %v", w, got)
				}
			}
			for _, n := range c.not {
				if slices.Contains(got, n) {
					t.Errorf("%s is in %v", n, got)
				}
			}
		})
	}
}

func TestQRCode(t *testing.T) {
	t.Parallel()
	png, err := os.ReadFile(filepath.Join("testdata", "qr-example.png"))
	if err != nil {
		t.Fatal(err)
	}
	mail := verdicttest.Mail{HTML: "<p>Scan the code to keep your mailbox</p>", Attach: []verdicttest.Attachment{{Name: "code.png", Type: "image/png", Inline: true, Data: png}}}
	got := codes(t, &links.Scanner{}, message(t, mail))
	if diff := cmp.Diff([]string{"link.qr", "link.qr-foreign"}, got); diff != "" {
		t.Error(diff)
	}
	// Pictures beyond the limit are told.
	for range 3 {
		mail.Attach = append(mail.Attach, mail.Attach[0])
	}
	got = codes(t, &links.Scanner{Limits: links.Limits{Pictures: 2}}, mail.Message(t))
	if !slices.Contains(got, "link.unseen") {
		t.Errorf("%v", got)
	}
}

func TestBrands(t *testing.T) {
	t.Parallel()
	sc := &links.Scanner{Brands: []links.Brand{{Name: "Muster Bank", Domains: []string{"musterbank.example"}}}}
	mail := verdicttest.Mail{Text: "https://musterbank-login.example.net/ https://mu5terbank.com/ https://paypa1.com/ https://www.musterbank.example/"}
	if diff := cmp.Diff([]string{"link.brand-look-alike"}, brandCodes(codes(t, sc, mail.Message(t)))); diff != "" {
		t.Error(diff)
	}
	none := &links.Scanner{Brands: []links.Brand{}}
	if got := brandCodes(codes(t, none, mail.Message(t))); got != nil {
		t.Errorf("%v", got)
	}
}

func brandCodes(in []string) (out []string) {
	for _, c := range in {
		if strings.HasPrefix(c, "link.brand") {
			out = append(out, c)
		}
	}
	return out
}

// TestNames holds the list of well-known names to a form.
func TestNames(t *testing.T) {
	t.Parallel()
	sc := &links.Scanner{}
	for _, host := range []string{"www.microsoft.com", "login.microsoftonline.com", "www.paypal.com", "www.dhl.de", "mail.google.com", "www.amazon.co.uk", "secure.bankofamerica.com", "www.gov.uk", "github.com", "www.sparkasse.de"} {
		m := verdicttest.Mail{Text: "https://" + host + "/"}
		if got := brandCodes(codes(t, sc, m.Message(t))); got != nil {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// TestNewsletters shows that the service that a newsletter's way out leads to is not called foreign, and that only a signature makes
// it a newsletter.
func TestNewsletters(t *testing.T) {
	t.Parallel()
	const key = "/c/eJx1kMtuwjAQRX8lm9XUJHYS4ux4C"
	page := `<p>Our new catalogue is here, with all that the garden needs in spring.</p><a href="https://trk.pigeon.test` + key + `">More</a>`
	way := "List-Unsubscribe: <https://trk.pigeon.test/u/1>, <mailto:u@pigeon.test>"
	for _, c := range []struct {
		name   string
		header []string
		want   []string
	}{
		{"signed, with a way out", []string{"DKIM-Signature: d=letters.test", way}, []string{"link.foreign-some"}},
		{"a way out elsewhere", []string{"DKIM-Signature: d=letters.test", "List-Unsubscribe: <https://other.test/u/1>"}, []string{"link.foreign-some", "link.path-token"}},
		{"not signed", []string{way}, []string{"link.foreign", "link.path-token"}},
		{"no way out", []string{"DKIM-Signature: d=letters.test"}, []string{"link.foreign", "link.path-token"}},
		{"a way out to an IP address", []string{"DKIM-Signature: d=letters.test", "List-Unsubscribe: <https://192.0.2.1/u>"}, []string{"link.foreign", "link.path-token"}},
	} {
		m := message(t, verdicttest.Mail{Header: c.header, HTML: page})
		if diff := cmp.Diff(c.want, codes(t, &links.Scanner{}, m)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	m := message(t, verdicttest.Mail{Header: []string{"DKIM-Signature: d=letters.test", way}, HTML: page})
	m.Auth.DKIM = []verdict.DKIMResult{{Result: "fail", Domain: "letters.test"}}
	if diff := cmp.Diff([]string{"link.foreign", "link.path-token"}, codes(t, &links.Scanner{}, m)); diff != "" {
		t.Errorf("a signature that is not valid: %s", diff)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&links.Scanner{}).Scan(ctx, verdicttest.Clean(t)); err == nil {
		t.Error("no error")
	}
}
