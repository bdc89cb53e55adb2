package m365_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

func ExampleClient() {
	tenant := m365test.Start(m365test.Config{Secret: "from a file"})
	defer tenant.Close()
	ctx := context.Background()

	tokens, err := m365.ClientSecret(m365.AuthConfig{Tenant: "contoso.example", ClientID: "6f1c7f5e-1111-4222-8333-944444444444",
		LoginURL: tenant.LoginURL()}, "from a file")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := m365.NewClient(m365.ClientConfig{Tenant: "contoso.example", Tokens: tokens, BaseURL: tenant.ExchangeURL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.New(ctx, m365.InboundConnector{Name: "From the gateway", Comment: "ours", SenderDomains: []string{"*"},
		SenderIPAddresses: []string{"192.0.2.1"}})
	fmt.Println(err)
	all, err := client.InboundConnectors(ctx)
	fmt.Println(len(all), all[0].SenderDomains, *all[0].RequireTls, err)

	// What the service would take for something else is not sent.
	err = client.Check(m365.Call{Cmdlet: "Enable-TransportRule", Params: m365.Params{"Identity": "x", "Mode": "Enf"}})
	fmt.Println(errors.Is(err, m365.ErrInvalid))
	// Output:
	// <nil>
	// 1 [*] true <nil>
	// true
}

func ExampleGraph_Remediate() {
	tenant := m365test.Start(m365test.Config{})
	defer tenant.Close()
	tenant.AddUser("ann@contoso.example")
	tenant.AddMessage("ann@contoso.example", m365test.Message{MessageID: "<1@evil.example>", Headers: map[string]string{"X-Postreeve-Id": "7QX"}})

	graph, err := m365.NewGraph(m365.GraphConfig{Tokens: tenant.Tokens(), BaseURL: tenant.GraphURL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := graph.Remediate(context.Background(), m365.Remedy{Cure: m365.SoftDelete, IDHeader: "X-Postreeve-Id",
		Targets: []m365.Target{{MessageID: "<1@evil.example>", Recipient: "ann@contoso.example", OurID: "7QX"}}})
	fmt.Println(done[0].Mailbox, done[0].State, err, tenant.Mailbox("ann@contoso.example")[0].Folder)
	// Output:
	// ann@contoso.example cured <nil> recoverableitemsdeletions
}
