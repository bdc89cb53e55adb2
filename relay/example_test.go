package relay_test

import (
	"context"
	"fmt"
	"net"
	"net/smtp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/relaytest"
	"github.com/postreeve/postreeve/verdict"
)

// A gateway for one domain, with a sink in the place of the next hop.
func ExampleServer() {
	sink := &relaytest.Sink{}
	if err := sink.Listen(); err != nil {
		fmt.Println(err)
		return
	}
	defer sink.Close()
	next := &relay.SMTP{Hosts: []string{sink.Addr()}, Hostname: "mx.gw.example"}
	defer next.Close()

	gw := &relay.Server{
		Hostname:  "mx.gw.example",
		Directory: relay.Static{"example.net": {Name: "example.net", Next: next}},
		Judge: &verdict.Engine{Scanners: []verdict.Scanner{
			verdict.Func("prize", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if m.Header().Text("Subject") == "You have won" {
					return []verdict.Finding{{Code: "prize.subject", Class: verdict.Spam}}, nil
				}
				return nil, nil
			}),
		}},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- gw.Serve(ctx, ln) }()

	msg := []byte("Subject: You have won\r\n\r\nClaim it now.\r\n")
	fmt.Println(smtp.SendMail(ln.Addr().String(), nil, "a@example.org", []string{"b@example.net"}, msg))
	fmt.Println(smtp.SendMail(ln.Addr().String(), nil, "a@example.org", []string{"b@example.com"}, msg))
	stop()
	fmt.Println(<-done)

	h := verdict.NewMessage(verdict.Bytes(sink.Messages()[0].Data)).Header()
	fmt.Println(h.Get("X-Postreeve-Verdict"), h.Get("X-Postreeve-Spam"))
	// Output:
	// <nil>
	// 550 "5.7.1 relaying denied: this domain is not served here"
	// <nil>
	// SPAM FAIL
}

// Tenants with their own policies: one has spam refused, the other tagged.
func ExamplePolicy() {
	next := relay.NextHopFunc(func(_ context.Context, e verdict.Envelope, _ verdict.Source) ([]relay.Receipt, error) {
		out := make([]relay.Receipt, len(e.To))
		for i, r := range e.To {
			out[i] = relay.Receipt{Recipient: r.Address, Reply: &relay.Reply{Code: 250}}
		}
		return out, nil
	})
	tenants := relay.Static{
		"strict.example":  {Name: "strict.example", Next: next, Policy: relay.Policy{Spam: relay.Reject}},
		"lenient.example": {Name: "lenient.example", Next: next},
	}
	for _, name := range []string{"strict.example", "lenient.example"} {
		p := tenants[name].Policy
		fmt.Println(name, p.Action(verdict.Spam), p.Action(verdict.Malicious), p.Action(verdict.Unknown))
	}
	// Output:
	// strict.example reject hold defer
	// lenient.example tag hold defer
}
