package impostor_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
)

func ExampleScanner() {
	m := verdict.NewMessage(verdict.Bytes(strings.ReplaceAll(`From: Ann Chief <ann.chief.office@gmail.com>
To: Bob <bob@example.com>
Subject: Quick task
Date: Fri, 02 Jan 2026 03:04:05 +0000
Message-ID: <1@mail.gmail.com>

Hello Bob, are you at your desk? I need you to purchase some gift cards,
send me the codes. I am in a meeting right now.
`, "\n", "\r\n")))
	s := impostor.Scanner{
		Domains: []string{"example.com"},
		People:  []impostor.Person{{Name: "Ann Chief", Addresses: []string{"ann@example.com"}}},
	}
	findings, err := s.Scan(context.Background(), m)
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range findings {
		fmt.Printf("%s: %s\n", f.Code, f.Detail)
	}
	fmt.Println(verdict.Weigh{}.Merge(m, findings))
	// Output:
	// impostor.person: the name of Ann Chief beside ann.chief.office@gmail.com
	// wording.gift-card: need you to purchase, purchase some gift, some gift cards, gift cards
	// wording.task: quick task, are you at your desk, in a meeting right now
	// spam
}

func ExampleMemory() {
	known := new(impostor.Memory)
	m := verdict.NewMessage(verdict.Bytes("From: Ann <ann@example.org>\r\n\r\nHello\r\n"))
	m.Envelope.To = []verdict.Recipient{{Address: "bob@example.com"}}

	before, _ := known.Seen(context.Background(), "bob@example.com", "ann@example.org")
	known.Learn(m) // when it was delivered
	after, _ := known.Seen(context.Background(), "bob@example.com", "ann@example.org")
	fmt.Println(before, after)
	// Output: false true
}
