package impostor_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// scan returns the codes that s finds in a message.
func scan(t *testing.T, s impostor.Scanner, m *verdict.Message) []string {
	t.Helper()
	findings, err := s.Scan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// raw is a message that only has what it is given, and else what every mail program writes.
func raw(lines ...string) string {
	head := "Message-ID: <1@example.org>\nDate: Fri, 02 Jan 2026 03:04:05 +0000\nMIME-Version: 1.0\n"
	return head + strings.Join(lines, "\n")
}

const toBob = "To: bob@house.example"

var scanCases = []struct {
	name string
	mail string
	want []string // codes that must be there
	not  []string // codes that must not be there
}{
	{"an honest letter", raw("From: Ann <ann@example.org>", toBob, "Subject: Lunch", "", "Shall we meet at noon?"), nil, []string{"*"}},
	{"a brand's name", raw("From: PayPal Service <x@mailer.example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"impostor.brand-name"}, nil},
	{"a brand's name with other letters", raw("From: P\u0430yPa1 <x@mailer.example.org>", toBob, "Subject: Hello", "", "Hello"),
		[]string{"impostor.brand-name", "text.obfuscated", "form.raw"}, nil},
	{"an office", raw("From: Head Office <office@example.org>", toBob, "Subject: Office hours", "", "The office is closed."), nil, []string{"*"}},
	{"a brand in one word with others", raw("From: NetflixBilling <x@mailer.example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"impostor.brand-name"}, nil},
	{"a brand itself", raw("From: PayPal <service@mail.paypal.com>", toBob, "Subject: Your receipt", "", "Hello"), nil, []string{"impostor.brand-name", "impostor.brand-domain"}},
	{"a brand in its country", raw("From: DHL Paket <noreply@dhl.de>", toBob, "Subject: Paket", "", "Hallo"), nil, []string{"impostor.brand-name"}},
	{"a family name that is a brand too", raw("From: Mary Chase <mary@example.org>", toBob, "Subject: Hello", "", "Hello"), nil, []string{"impostor.brand-name"}},
	{"such a name with a role", raw("From: Chase Customer Support <mary@example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"impostor.brand-name"}, nil},
	{"a brand in the domain", raw("From: Help <help@netflix-billing.example>", toBob, "Subject: Netflix", "", "Hello"), []string{"impostor.brand-domain"}, nil},
	{"a brand in the text", raw("From: Help <help@example.org>", toBob, "Subject: Your Netflix account has been suspended", "", "Your payment was declined, update your payment method."),
		[]string{"impostor.brand-text", "wording.suspension", "wording.payment-failed"}, nil},
	{"talk about a brand", raw("From: Ann <ann@example.org>", toBob, "Subject: Netflix tonight?", "", "There is a film that I want to see."), nil, []string{"*"}},
	{"a brand in a mailing list", raw("From: PayPal via group <x@lists.example.org>", toBob, "List-Post: <mailto:x@lists.example.org>", "Subject: Hello", "", "Hello"),
		nil, []string{"impostor.brand-name"}},

	{"an address in the name", raw(`From: "boss@bigfirm.com" <x@mailer.example.org>`, toBob, "Subject: Hello", "", "Hello"), []string{"impostor.name-address"}, nil},
	{"one's own address as the name", raw(`From: "x@example.org" <x@mailer.example.org>`, toBob, "Subject: Hello", "", "Hello"), nil, []string{"impostor.name-address"}},
	{"answers to a free mailbox", raw("From: Ann <ann@example.org>", toBob, "Reply-To: ann.example.77@gmail.com", "Subject: Hello", "", "Hello"), []string{"reply.freemail"}, nil},
	{"answers to another free mailbox", raw("From: Ann <ann@gmail.com>", toBob, "Reply-To: other@outlook.com", "Subject: Hello", "", "Hello"), []string{"reply.other-mailbox"}, nil},
	{"answers to a look-alike", raw("From: Ann <ann@bigfirm.com>", toBob, "Reply-To: ann@bigfrim.com", "Subject: Hello", "", "Hello"), []string{"reply.look-alike"}, nil},
	{"answers elsewhere", raw("From: Ann <ann@bigfirm.com>", toBob, "Reply-To: ann@helpdesk-software.com", "Subject: Hello", "", "Hello"), []string{"reply.elsewhere"}, nil},
	{"answers to the same house", raw("From: Ann <ann@mail.bigfirm.com>", toBob, "Reply-To: sales@bigfirm.com", "Subject: Hello", "", "Hello"), nil, []string{"*"}},
	{"answers to the list", raw("From: Ann <ann@example.org>", toBob, "Reply-To: talk@gmail.com", "List-Post: <mailto:talk@gmail.com>", "Subject: Hello", "", "Hello"), nil, []string{"reply.freemail"}},
	{"answers to neither list nor author", raw("From: Ann <ann@example.org>", toBob, "Reply-To: talk@gmail.com", "List-Post: <mailto:other@example.org>", "Subject: Hello", "", "Hello"), []string{"reply.freemail"}, nil},
	{"answers to nowhere", raw("From: Ann <ann@example.org>", toBob, "Reply-To: ann@nowhere", "Subject: Hello", "", "Hello"), []string{"reply.no-host"}, nil},
	{"an answer to nothing", raw("From: Ann <ann@example.org>", toBob, "Subject: RE: your invoice", "", "Hello"), []string{"thread.fake"}, nil},
	{"an answer", raw("From: Ann <ann@example.org>", toBob, "In-Reply-To: <2@house.example>", "Subject: Re: your invoice", "", "Hello"), nil, []string{"*"}},
	{"noise for an answer", raw("From: Ann <ann@example.org>", toBob, "In-Reply-To: <"+strings.Repeat("Zq7", 60)+">", "Subject: Hello", "", "Hello"), []string{"thread.noise"}, nil},
	{"an answer in a list", raw("From: Ann <ann@example.org>", toBob, "List-Post: <mailto:a@example.org>", "References: <2@house.example>", "Subject: [talk] Re: x", "", "> why\n\nWhy not?"),
		[]string{"thread.list"}, nil},

	{"a name without an address", raw("From: Support team, <a@example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"from.syntax"}, nil},
	{"two authors", raw("From: a@example.org, b@example.org", toBob, "Subject: Hello", "", "Hello"), []string{"from.several"}, nil},
	{"no such domain", raw("From: Ann <ann@webserver17>", toBob, "Subject: Hello", "", "Hello"), []string{"from.no-host"}, nil},
	{"a free project", raw("From: Ann <noreply@some-project-1a2b.firebaseapp.com>", toBob, "Subject: Hello", "", "Hello"), []string{"from.shared-host"}, nil},
	{"a cheap domain", raw("From: Ann <ann@example.icu>", toBob, "Subject: Hello", "", "Hello"), []string{"from.cheap-domain"}, nil},
	{"a made up address", raw("From: Ann <xk4t9q2m7@example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"from.random"}, nil},
	{"a decorated name", raw("From: \"*** Ann ***\" <ann@example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"from.decorated"}, nil},
	{"the reader as author", raw(`From: "bob@house.example" <ann@example.org>`, toBob, "Subject: Hello", "", "Hello"), []string{"from.recipient-name"}, nil},
	{"an office at a free mailbox", raw("From: Billing Department <jo.smith.771@gmail.com>", toBob, "Subject: Hello", "", "Hello"), []string{"impostor.department"}, nil},
	{"a person at a free mailbox", raw("From: Jo Smith <jo.smith.771@gmail.com>", toBob, "Subject: Hello", "", "Hello"), nil, []string{"*"}},
	{"a charge and a number to call", raw("From: Jo Smith <jo.smith.771@gmail.com>", toBob, "Subject: Receipt", "", "Your annual plan was renewed. If you did not authorize this, call us at +1 (888) 555-0142."),
		[]string{"text.telephone", "wording.invoice"}, nil},
	{"a firm and its number", raw("From: Jo Smith <jo@example.org>", toBob, "Subject: Receipt", "", "Your annual plan was renewed. If you did not authorize this, call us at +1 (888) 555-0142."),
		nil, []string{"text.telephone"}},
	{"signed by another", raw("From: Ann <ann@bigfirm.com>", toBob, "DKIM-Signature: v=1; d=otherfirm.onmicrosoft.com; s=x", "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"),
		[]string{"form.signed-elsewhere"}, []string{"form.unsigned"}},
	{"signed by the author", raw("From: Ann <ann@bigfirm.com>", toBob, "DKIM-Signature: v=1; d=mail.bigfirm.com; s=x", "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"),
		nil, []string{"form.signed-elsewhere"}},
	{"signed by the provider", raw("From: Ann <ann@big-firm.com>", toBob, "DKIM-Signature: v=1; d=bigfirm.onmicrosoft.com; s=x", "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"),
		nil, []string{"form.signed-elsewhere"}},
	{"signed by a service for newsletters", raw("From: Ann <ann@bigfirm.com>", toBob, "DKIM-Signature: v=1; d=sender.example; s=x", "List-Unsubscribe: <https://sender.example/u>", "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"),
		nil, []string{"form.signed-elsewhere"}},
	{"nobody", raw("From: Ann <ann@example.org>", "To: undisclosed-recipients:;", "Subject: Hello", "", "Hello"), []string{"to.hidden"}, nil},
	{"oneself", raw("From: Ann <ann@example.org>", "To: ann@example.org", "Subject: Hello", "", "Hello"), []string{"to.self"}, nil},
	{"no fields", "From: Ann <ann@example.org>\n\nHello", []string{"identifier.missing", "date.missing", "subject.missing", "to.hidden"}, nil},
	{"bad fields", "From: Ann <ann@example.org>\nMessage-ID: <1>\nDate: yesterday\n" + toBob + "\nSubject: x\n\nHello", []string{"identifier.invalid", "date.invalid"}, nil},
	{"the future", "From: Ann <ann@example.org>\nMessage-ID: <1@example.org>\nDate: Fri, 02 Jan 2099 03:04:05 +0000\n" + toBob + "\nSubject: x\n\nHello", []string{"date.future"}, nil},
	{"a way out that is none", raw("From: Ann <ann@example.org>", toBob, "List-Unsubscribe: <Zk3P.9@example.org>", "Subject: Hello", "", "Hello"), []string{"list.unsubscribe-form"}, nil},
	{"a way out", raw("From: Ann <ann@example.org>", toBob, "List-Unsubscribe: <mailto:out@example.org>, <https://example.org/out>", "Subject: Hello", "", "Hello"), nil, []string{"*"}},
	{"a subject for the reader", raw("From: Ann <ann@example.org>", toBob, "Subject: bob@house.example, your parcel", "", "Hello"), []string{"subject.recipient"}, nil},
	{"a subject with a mark", raw("From: Ann <ann@example.org>", toBob, "Subject: Lower rates          kqzp", "", "Hello"), []string{"subject.padding"}, nil},
	{"a loud subject", raw("From: Ann <ann@example.org>", toBob, "Subject: URGENT BUSINESS $$$", "", "Hello"), []string{"subject.capitals", "subject.shouting"}, nil},
	{"a subject with pictures", raw("From: Ann <ann@example.org>", toBob, "Subject: =?utf-8?q?=F0=9F=8E=81_Hello?=", "", "Hello"), []string{"subject.pictures"}, nil},
	{"a program that is none", raw("From: Ann <ann@example.org>", toBob, "X-Mailer: x7Qk2", "Subject: Hello", "", "Hello"), []string{"mailer.bulk"}, nil},
	{"a program that it is not", raw("From: Ann <ann@example.org>", toBob, "X-Mailer: Microsoft Outlook Express 6.00.2600.0000", "Subject: Hello", "", "Hello"), []string{"mailer.forged"}, nil},
	{"a program that it is", raw("From: Ann <ann@example.org>", toBob, "X-Mailer: Microsoft Outlook Express 6.00.2600.0000", "X-MimeOLE: Produced By Microsoft MimeOLE", "Subject: Hello", "", "Hello"), nil, []string{"*"}},
	{"ASCII in an encoded word", raw("From: =?utf-8?b?QW5u?= <ann@example.org>", toBob, "Subject: Hello", "", "Hello"), []string{"form.encoded-ascii"}, nil},
	{"a form letter", raw("From: Ann <ann@example.org>", toBob, "Subject: Dear [first-name], hello", "", "Hello"), []string{"text.template"}, nil},
	{"a reader with no name", raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "", "Dear bob@house.example,\n\nhello"), []string{"text.greets-address"}, nil},
	{"unsigned HTML", raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"), []string{"form.unsigned", "body.html-only"}, nil},
	{"signed HTML", raw("From: Ann <ann@example.org>", toBob, "DKIM-Signature: v=1", "Subject: Hello", "Content-Type: text/html", "", "<p>Hello"), nil, []string{"form.unsigned"}},
	{"one alternative", raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "Content-Type: multipart/alternative; boundary=b", "", "--b\nContent-Type: text/html\n\n<p>Hello\n--b--"),
		[]string{"body.one-alternative"}, nil},
	{"two alternatives", raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "Content-Type: multipart/alternative; boundary=b", "",
		"--b\nContent-Type: text/plain\n\nHello\n--b\nContent-Type: text/html\n\n<p>Hello\n--b--"), nil, []string{"body.one-alternative", "body.html-only"}},
	{"base64 for nothing", raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "Content-Transfer-Encoding: base64", "", strings.Repeat("SGVsbG8sIHdvcmxkISBIZWxsbyE=\n", 1)+strings.Repeat("SGVs\n", 100)),
		[]string{"body.base64"}, nil},
	{"what a bounce quotes", raw("From: Mailer <mailer@example.org>", toBob, "Auto-Submitted: auto-replied", "Subject: failed", "Content-Type: multipart/mixed; boundary=b", "",
		"--b\nContent-Type: message/rfc822\n\nSubject: x\n\nYou have been selected to win a prize, claim your reward: free spins, no deposit bonus!\n--b--"), nil, []string{"*"}},
	{"what an answer quotes", raw("From: Ann <ann@example.org>", toBob, "In-Reply-To: <2@house.example>", "Subject: Re: spam", "",
		"Look what I got:\n> You have been selected to win a prize, claim your reward: free spins, no deposit bonus!\n"), nil, []string{"*"}},
	{"a bounce", raw("From: Mail Delivery System <MAILER-DAEMON@mx.example.org>", toBob, "Auto-Submitted: auto-replied", "Subject: Undelivered Mail Returned to Sender", "",
		"I'm sorry to have to inform you that your message could not be delivered to one or more recipients. The mail system: delivery failed, mailbox full, quota exceeded."),
		nil, []string{"wording.parcel", "from.syntax", "to.hidden"}},
	{"a file", "Content-Type: application/octet-stream\nContent-Disposition: attachment\n\nbytes", nil, []string{"*"}},
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, c := range scanCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := verdicttest.New(t, c.mail)
			m.Envelope.To = []verdict.Recipient{{Address: "bob@house.example"}}
			got := scan(t, impostor.Scanner{}, m)
			for _, code := range c.want {
				if !slices.Contains(got, code) {
					t.Errorf("no %s among %v", code, got)
				}
			}
			for _, code := range c.not {
				if slices.Contains(got, code) || code == "*" && len(got) > 0 {
					t.Errorf("unwanted %s: %v", code, got)
				}
			}
		})
	}
}

func TestOwnDomain(t *testing.T) {
	t.Parallel()
	pass := verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "house.example"}}
	other := verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "bulk.example"}, DMARC: verdict.DMARCResult{Result: "fail"}}
	for _, c := range []struct {
		name string
		from string
		auth verdict.AuthResults
		want []string
	}{
		{"nobody checked", "ann@house.example", verdict.AuthResults{}, nil},
		{"proven by SPF", "ann@house.example", pass, nil},
		{"proven by DKIM", "ann@mail.house.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "fail"},
			DKIM: []verdict.DKIMResult{{Result: "pass", Domain: "house.example"}}}, nil},
		{"proven by DMARC", "ann@house.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "fail"}, DMARC: verdict.DMARCResult{Result: "pass"}}, nil},
		{"left open", "ann@house.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "temperror"}}, nil},
		{"not proven", "ann@house.example", verdict.AuthResults{SPF: verdict.SPFResult{Result: "none"}}, []string{"impostor.own-domain"}},
		{"another proved himself", "ann@house.example", other, []string{"impostor.own-domain"}},
		{"a domain of the configuration", "ann@firm.example", other, []string{"impostor.own-domain"}},
		{"somebody else", "ann@elsewhere.example", other, nil},
		{"a look-alike", "ann@h0use.example", pass, []string{"impostor.look-alike"}},
		{"a namesake", "ann@house.com", pass, []string{"impostor.same-name"}},
		{"a look-alike of the configuration", "ann@megac0rp.com", pass, []string{"impostor.look-alike"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := verdicttest.New(t, raw("From: Ann <"+c.from+">", toBob, "Subject: Hello", "", "Hello"))
			m.Envelope.To = []verdict.Recipient{{Address: "bob@house.example"}}
			m.Auth = c.auth
			got := scan(t, impostor.Scanner{Domains: []string{"firm.example", "megacorp.com"}}, m)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestForgedList shows that the fields of a list help only where its domain is proven, if anybody checked.
func TestForgedList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		auth verdict.AuthResults
		want bool
	}{
		{"nobody checked", verdict.AuthResults{}, false},
		{"proven by DKIM", verdict.AuthResults{DKIM: []verdict.DKIMResult{{Result: "pass", Domain: "lists.example.org"}}}, false},
		{"proven by SPF", verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "bounces.example.org"}}, false},
		{"not proven", verdict.AuthResults{SPF: verdict.SPFResult{Result: "none"}}, true},
		{"another is proven", verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass", Domain: "elsewhere.example"}}, true},
	} {
		m := verdicttest.New(t, raw("From: Ann <xk4t9q2m7@elsewhere.example>", toBob, "List-Post: <mailto:talk@example.org>", "Subject: Hello", "", "Hello"))
		m.Auth = c.auth
		if got := slices.Contains(scan(t, impostor.Scanner{}, m), "from.random"); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFreemailRecipientIsNotProtected(t *testing.T) {
	t.Parallel()
	m := verdicttest.New(t, raw("From: Ann <ann@gmail.com>", toBob, "Subject: Hello", "", "Hello"))
	m.Envelope.To = []verdict.Recipient{{Address: "bob@gmail.com"}}
	m.Auth.SPF.Result = "none"
	if got := scan(t, impostor.Scanner{}, m); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	s := impostor.Scanner{
		Domains: []string{"firm.example"},
		People:  []impostor.Person{{Name: "Ann Chief", Addresses: []string{"ann@firm.example", "ann.private@example.com"}}},
	}
	for from, want := range map[string]bool{
		"Ann Chief <ann@firm.example>":               false,
		"Ann Chief <ANN.private@example.com>":        false,
		"Ann Chief <other@firm.example>":             false, // a colleague of the same name
		"Ann Chief <ann.chief@elsewhere.example>":    true,
		"\"Chief, Ann\" <x@elsewhere.example>":       true,
		"Bob Chief <bob@elsewhere.example>":          false,
		"ceo@elsewhere.example (Ann Chief)":          true,
		"=?utf-8?q?A=CE=B7n_Chief?= <x@example.com>": true, // a Greek eta
	} {
		m := verdicttest.New(t, raw("From: "+from, toBob, "Subject: Hello", "", "Hello"))
		if got := slices.Contains(scan(t, s, m), "impostor.person"); got != want {
			t.Errorf("%s: %v, want %v", from, got, want)
		}
	}
}

// contacts is a Contacts of pairs.
type contacts struct {
	known map[string]bool
	err   error
}

func (c contacts) Seen(_ context.Context, recipient, sender string) (bool, error) {
	return c.known[recipient+" "+sender], c.err
}

func TestContacts(t *testing.T) {
	t.Parallel()
	broken := errors.New("out of order")
	for _, c := range []struct {
		name     string
		contacts impostor.Contacts
		want     []string
		err      error
	}{
		{"none", nil, nil, nil},
		{"new", contacts{}, []string{"impostor.first-contact"}, nil},
		{"known to one", contacts{known: map[string]bool{"bob@house.example ann@example.org": true}}, nil, nil},
		{"broken", contacts{err: broken}, nil, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := verdicttest.New(t, raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "", "Hello"))
			m.Envelope.To = []verdict.Recipient{{Address: "carol@house.example"}, {Address: "bob@house.example"}}
			findings, err := impostor.Scanner{Contacts: c.contacts}.Scan(t.Context(), m)
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, f.Code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m := verdicttest.New(t, raw("From: Ann <ann@example.org>", "", "Hello"))
	if _, err := (impostor.Scanner{}).Scan(ended, m); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	m = verdict.NewMessage(verdict.Bytes(strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 100)))
	if _, err := (impostor.Scanner{}).Scan(t.Context(), m); !errors.Is(err, verdict.ErrTooComplex) {
		t.Errorf("error %v, want %v", err, verdict.ErrTooComplex)
	}
}

// TestBounded shows that the time for a large text does not grow with it beyond a bound.
func TestBounded(t *testing.T) {
	t.Parallel()
	m := verdicttest.New(t, raw("From: Ann <ann@example.org>", toBob, "Subject: Hello", "", strings.Repeat("verify your acc0unt p\u0430ypal ", 100_000)))
	start := time.Now()
	scan(t, impostor.Scanner{}, m)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner {
			return impostor.Scanner{Domains: []string{"house.example"}, Contacts: new(impostor.Memory)}
		},
		Hit: func(tb testing.TB) *verdict.Message {
			return verdicttest.New(tb, raw("From: PayPal Service <x@mailer.example.org>", toBob, "Subject: Hello", "", "Hello"))
		},
	})
}

func FuzzScan(f *testing.F) {
	for _, c := range scanCases {
		f.Add(c.mail)
	}
	for _, c := range foldCases {
		f.Add("From: " + c.in + "\nSubject: " + c.in + "\n\n" + c.in)
	}
	for _, hostile := range verdicttest.Hostile() {
		if len(hostile) < 4096 {
			f.Add(string(hostile))
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		m := verdict.NewMessage(verdict.Bytes(in))
		m.Envelope.To = []verdict.Recipient{{Address: "bob@house.example"}}
		s := impostor.Scanner{Domains: []string{"example.com"}, People: []impostor.Person{{Name: "Ann Chief"}}}
		findings, err := s.Scan(t.Context(), m)
		if err != nil && !errors.Is(err, verdict.ErrTooComplex) {
			t.Error(err)
		}
		seen := map[string]bool{}
		for _, f := range findings {
			want := verdict.Found(f.Code)
			if seen[f.Code] || f.Class != want.Class || f.Score*want.Score < 0 || len(f.Detail) > 200 || want.Score == 0 {
				t.Errorf("%+v, of %+v", f, want)
			}
			seen[f.Code] = true
		}
	})
}
