package relay_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

func ExampleSMTP() {
	sink := &relaytest.Sink{Faults: []relaytest.Fault{
		{At: relaytest.AtRcpt, Match: "<nobody@", Reply: "550 5.1.1 no such user"},
	}}
	if err := sink.Listen(); err != nil {
		fmt.Println(err)
		return
	}
	defer sink.Close()

	hop := &relay.SMTP{Hosts: []string{sink.Addr()}, Hostname: "mx.gw.example"}
	defer hop.Close()

	envelope := verdict.Envelope{From: "ann@example.org", To: []verdict.Recipient{
		{Address: "bob@ex.net"}, {Address: "nobody@ex.net"},
	}}
	receipts, err := hop.Deliver(context.Background(), envelope, verdict.Bytes("Subject: hi\r\n\r\nHello Bob.\r\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range receipts {
		fmt.Println(r.Recipient, r.Accepted(), r.Reply.Code, r.Reply.Enhanced, r.Reply.Text)
	}
	// Output:
	// bob@ex.net true 250 2.0.0 taken
	// nobody@ex.net false 550 5.1.1 no such user
}

func ExampleByDomain() {
	sink := &relaytest.Sink{}
	if err := sink.Listen(); err != nil {
		fmt.Println(err)
		return
	}
	defer sink.Close()
	hop := &relay.SMTP{Hosts: []string{sink.Addr()}}
	defer hop.Close()

	hops := relay.ByDomain{"ex.net": hop}
	envelope := verdict.Envelope{To: []verdict.Recipient{{Address: "bob@ex.net"}, {Address: "eve@elsewhere.example"}}}
	receipts, _ := hops.Deliver(context.Background(), envelope, verdict.Bytes("Subject: hi\r\n\r\n"))
	for _, r := range receipts {
		fmt.Println(r.Recipient, r.Reply.Code, r.Reply.Enhanced)
	}
	// Output:
	// bob@ex.net 250 2.0.0
	// eve@elsewhere.example 550 5.1.2
}
