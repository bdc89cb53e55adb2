package m365_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/postreeve/postreeve/m365"
	"github.com/postreeve/postreeve/m365/m365test"
)

// A tenant is put behind a gateway, looked at, and taken out again.
func Example() {
	server := m365test.Start(m365test.Config{}) // a real one needs no BaseURL
	defer server.Close()
	journal, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(journal)

	profile, err := m365.ReadProfile(strings.NewReader(`{
		"domains": ["contoso.example"], "mode": "eop-first", "arc-sealer": "gw.example",
		"regions": {"eu": {"smart-host": "in.gw.example", "egress": ["192.0.2.1"]}}}`))
	if err != nil {
		log.Fatal(err)
	}
	client, err := m365.NewClient(m365.ClientConfig{Tenant: server.TenantID(), Tokens: server.Tokens(), BaseURL: server.ExchangeURL()})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	tenant := &m365.Tenant{Profile: profile, Exchange: client, Journal: journal, NoWait: true}

	plan, err := tenant.Plan(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := plan.Blocked(); err != nil {
		log.Fatal(err) // says what is in the way and what to do about it
	}
	for _, s := range plan.Steps {
		fmt.Println(s.Verb, s.Title)
	}
	if _, err := tenant.Apply(ctx, plan); err != nil {
		log.Fatal(err)
	}
	report, err := tenant.Verify(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.OK(), report.Mode)

	out, err := tenant.PlanOffboard(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := tenant.Offboard(ctx, out); err != nil {
		log.Fatal(err)
	}
	// Output:
	// probe See whether the tenant can have inbound connectors
	// update Allow the addresses of the gateway in the connection filter
	// update Trust the ARC seal of the gateway
	// create Inbound connector Disable IP Throttling on Postreeve Connector with enhanced filtering
	// create Outbound connector Postreeve Scanning
	// create Rule Send Office 365 spam emails to Junk folder (High)
	// create Rule Send Office 365 spam emails to Junk folder (Low)
	// create Rule Postreeve Spam Rule
	// create Rule Postreeve Return Rule
	// create Rule Postreeve Redirect Rule
	// enable Turn on Postreeve Redirect Rule
	// true mail goes through the gateway before it is delivered
}

// For admins who grant no access the same comes as a document.
func ExampleRunbook() {
	guide, err := m365.Runbook(&m365.Profile{
		Domains: []string{"ex.net"}, Mode: m365.MXFirst, ARCSealer: "gw.example",
		Regions: map[string]m365.Region{"eu": {Egress: []string{"192.0.2.1"}, MX: []string{"mx.gw.example"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for i, s := range guide.Steps {
		fmt.Printf("%d. %s\n", i+1, s.Title)
	}
	// Output:
	// 1. Allow the addresses of the gateway in the connection filter
	// 2. Trust the ARC seal of the gateway
	// 3. Inbound connector Disable IP Throttling on Postreeve Connector with enhanced filtering
	// 4. Rule Postreeve Spam Rule
	// 5. Inbound connector Inbound from Postreeve Only, off
	// 6. Move the MX records to the gateway
	// 7. Turn on Inbound from Postreeve Only
}
