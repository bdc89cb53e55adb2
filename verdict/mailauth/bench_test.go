package mailauth_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// BenchmarkAuthenticate evaluates a signed message with SPF, DKIM and DMARC, all answers in the cache.
func BenchmarkAuthenticate(b *testing.B) {
	answers := map[string]string{
		"s1._domainkey.b.example. TXT": "",
		"b.example. TXT":               `b.example. 600 TXT "v=spf1 ip4:192.0.2.0/24 -all"`,
		"_dmarc.b.example. TXT":        `_dmarc.b.example. 600 TXT "v=DMARC1; p=reject"`,
	}
	for _, kind := range []string{"rsa", "ed25519"} {
		var quoted []string
		for _, p := range mailauth.SplitTXT(record(b, testKeys()[kind])) {
			quoted = append(quoted, `"`+p+`"`)
		}
		s := serveDNS(b, func(q dns.Question, _ string) *dns.Msg {
			m := new(dns.Msg)
			text := answers[q.Name+" "+dns.TypeToString[q.Qtype]]
			if strings.HasPrefix(q.Name, "s1.") {
				text = "s1._domainkey.b.example. 600 TXT " + strings.Join(quoted, " ")
			}
			if text == "" {
				m.Rcode = dns.RcodeNameError
				return m
			}
			m.Answer = []dns.RR{rr(b, text)}
			return m
		})
		for _, size := range []int{10 << 10, 5 << 20} {
			line := "aGVsbG8gd29ybGQgdGhpcyBpcyBhIGxpbmUgb2YgdGV4dCBvayBhbmQgc28gb24gYW5kIG\r\n"
			raw := sign(b, kind, "relaxed/relaxed", plainHead+"\r\n"+strings.Repeat(line, size/len(line)), "")
			b.Run(fmt.Sprintf("%s/%dK", kind, size>>10), func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				a := mailauth.Authenticator{Resolver: &mailauth.DNS{Servers: []string{s.addr}}}
				for b.Loop() {
					m := message(raw)
					m.Origin.Addr = netip.MustParseAddrPort("192.0.2.1:25")
					m.Envelope.From = "ann@b.example"
					got := a.Authenticate(b.Context(), m)
					if got.DMARC.Result != verdict.Pass || got.DKIM[0].Result != verdict.Pass || got.SPF.Result != verdict.Pass {
						b.Fatalf("%+v", got)
					}
				}
			})
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	m := message([]byte(plainHead + plainBody))
	m.Auth = verdict.AuthResults{SPF: verdict.SPFResult{Result: "pass"}, DMARC: verdict.DMARCResult{Result: "fail", Domain: "b.example", Policy: "reject"}}
	b.ReportAllocs()
	for b.Loop() {
		if fs, err := (mailauth.Scanner{}).Scan(b.Context(), m); err != nil || len(fs) != 1 {
			b.Fatal(fs, err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := sealer("ed25519")
	m := message([]byte(plainHead + "\r\n" + strings.Repeat("x", 10<<10)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(b.Context(), m, verdict.AuthResults{}); err != nil {
			b.Fatal(err)
		}
	}
}
