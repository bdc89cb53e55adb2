package m365test_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// A reply gets lost after the connector was made. The client looks before it tries again.
func Example() {
	tenant := m365test.Start(m365test.Config{})
	defer tenant.Close()
	tenant.Inject(m365test.Fault{Kind: m365test.DropAfter, Cmdlet: "New-InboundConnector"})

	client, err := m365.NewClient(m365.ClientConfig{Tenant: tenant.TenantID(), Tokens: tenant.Tokens(), BaseURL: tenant.ExchangeURL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := m365.InboundConnector{Name: "From the gateway", Comment: "mine", SenderDomains: []string{"*"}, SenderIPAddresses: []string{"192.0.2.1"}}
	_, err = client.Invoke(context.Background(), m365.Call{Cmdlet: "New-InboundConnector", Params: c.Params()})
	fmt.Println(errors.Is(err, m365.ErrAmbiguous))
	id, err := client.Find(context.Background(), c)
	fmt.Println(id != "", err, len(tenant.Objects("InboundConnector")), tenant.Misuse())
	// Output:
	// true
	// true <nil> 1 []
}
