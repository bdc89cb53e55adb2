package mailauth_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

func ExampleAuthenticator() {
	m := verdict.NewMessage(verdict.Bytes("From: ann@example.org\r\nSubject: hello\r\n\r\nhello\r\n"))
	m.Origin = verdict.Client{Addr: netip.MustParseAddrPort("192.0.2.1:25252"), Helo: "mail.example.org"}
	m.Envelope.From = "ann@example.org"

	a := mailauth.Authenticator{
		Hostname: "mx.gw.example",
		Resolver: mailauthtest.Zone{ // in production: &mailauth.DNS{}
			"example.org":        {TXT: []string{"v=spf1 ip4:198.51.100.0/24 -all"}},
			"_dmarc.example.org": {TXT: []string{"v=DMARC1; p=reject"}},
		},
	}
	m.Auth = a.Authenticate(context.Background(), m)
	fmt.Println(mailauth.AuthenticationResults(a.Hostname, m.Auth))

	findings, err := mailauth.Scanner{}.Scan(context.Background(), m)
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range findings {
		fmt.Println(f.Code, f.Class)
	}
	// Output:
	// mx.gw.example; spf=fail smtp.mailfrom=example.org; dmarc=fail header.from=example.org polrec.p=reject; arc=none
	// auth.spf.fail unknown
	// auth.dmarc.reject spam
	// auth.nothing unknown
}

func ExampleSealer() {
	text, record, err := mailauth.GenerateKey(mailauth.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := mailauth.ParseKey(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	raw := "From: ann@example.org\r\n\r\nhello\r\n"
	a := mailauth.Authenticator{Resolver: mailauthtest.Zone{
		"2026a._domainkey.gw.example": {TXT: []string{record}},
	}}
	s := mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: "2026a", Key: key}

	m := verdict.NewMessage(verdict.Bytes(raw))
	fields, err := s.Seal(context.Background(), m, a.Authenticate(context.Background(), m))
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(fields)) {
		if name, _, ok := strings.Cut(line, ": i=1;"); ok {
			fmt.Println(name)
		}
	}
	next := verdict.NewMessage(verdict.Bytes(string(fields) + raw))
	arc := a.Authenticate(context.Background(), next).ARC
	fmt.Println(arc.Result, arc.Sealer)
	// Output:
	// ARC-Seal
	// ARC-Message-Signature
	// ARC-Authentication-Results
	// pass gw.example
}

func ExampleParseAuthenticationResults() {
	r, err := mailauth.ParseAuthenticationResults("mx.example.net; spf=pass (yes) smtp.mailfrom=ann@example.org;\r\n dkim=fail header.d=example.org")
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range r.Results {
		fmt.Println(r.By, s.Method, s.Result, s.Properties)
	}
	// Output:
	// mx.example.net spf pass map[smtp.mailfrom:ann@example.org]
	// mx.example.net dkim fail map[header.d:example.org]
}
