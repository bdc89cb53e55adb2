package gworkspace_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

func ExampleTenant_Plan() {
	server := gworkspacetest.New(gworkspacetest.Config{}) // in place of Google
	server.GrantAll()

	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	tenant := &gworkspace.Tenant{Profile: reroute(), Client: client, LookupMX: googleMX}
	plan, err := tenant.Plan(context.Background())
	if err != nil || plan.Blocked() != nil {
		fmt.Println(err, plan.Blocked())
		return
	}
	fmt.Println("done:", strings.Join(plan.InOrder, "; "))
	for i, step := range plan.Steps {
		fmt.Printf("%d. %s: %s\n", i+1, step.Title, step.Console.Link)
	}
	// Output:
	// done: Let Postreeve read the settings; Turn off comprehensive mail storage
	// 1. Add the host of the gateway: https://admin.google.com/ac/apps/gmail/hosts
	// 2. Trust mail that comes back from the gateway: https://admin.google.com/ac/apps/gmail/spam
	// 3. Send inbound mail to the gateway: https://admin.google.com/ac/apps/gmail/compliance
}

func ExampleTenant_Verify() {
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	rule := gworkspacetest.RedirectRule("r1", "Postreeve Redirect Rule (do not edit) postreeve", "X-Postreeve-Token: LOOPLOOPLOOPLOOP26")
	server.AddRules(gworkspacetest.TopUnit, []map[string]any{rule})
	server.AddUnit("u2", "/Sales")
	server.SetStates("u2", gworkspacetest.State("r1", false)) // somebody turned it off for Sales

	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	tenant := &gworkspace.Tenant{Profile: reroute(), Secrets: secrets(), Client: client, LookupMX: googleMX}
	report, err := tenant.Verify(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Mode)
	for _, d := range report.Drift {
		fmt.Println(d)
	}
	// Output:
	// mail of some units does not go through the gateway: they override the redirect rule
	// content compliance rule Postreeve Redirect Rule (do not edit) postreeve in /Sales: Enabled: wanted true, found false, read (turned off in /Sales)
}

func ExampleRunbook() {
	guide, err := gworkspace.Runbook(reroute(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	step := guide.Steps[2]
	fmt.Println(step.Title)
	fmt.Println(step.Console.Path)
	for _, v := range step.Console.Values[:4] {
		fmt.Printf("  %s: %s\n", v.Name, v.Value)
	}
	fmt.Println(step.Wait)
	if err := os.WriteFile(os.DevNull, []byte(guide.Markdown()), 0o600); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Add the host of the gateway
	// Admin console > Apps > Google Workspace > Gmail > Hosts > Add route
	//   Name: Postreeve Scanner
	//   Specify email server: Single host
	//   Host name: in.gw.example
	//   Port: 25
	// up to 24 hours until it has effect, often minutes, longer with large groups
}

func ExampleTenant_Offboard() {
	server := gworkspacetest.New(gworkspacetest.Config{})
	onboarded(server)
	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := (&gworkspace.Tenant{Profile: reroute(), Client: client, LookupMX: googleMX}).Offboard(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, step := range plan.Steps {
		fmt.Printf("%d. %s\n", i+1, step.Title)
	}
	// Output:
	// 1. Turn off the rule
	// 2. Wait until the gateway is empty
	// 3. Delete the rule
	// 4. Stop trusting the gateway
	// 5. Delete the host
	// 6. Put comprehensive mail storage back
	// 7. Revoke the access to the settings
	// 8. Delete the keys of the service account
	// 9. Remove the proof of ownership
}

func ExampleClient_Remediate() {
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	server.AddUser(gworkspacetest.User{Email: "ann@ex.net"}, gworkspacetest.User{Email: "ben@ex.net"})
	server.AddGroup("team@ex.net", "ann@ex.net", "ben@ex.net")
	server.AddMessage("ben@ex.net", gworkspacetest.Message{MessageID: "<1@evil.example>", Header: map[string]string{"X-Postreeve-Id": "7QX"}})

	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := client.Remediate(context.Background(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: "X-Postreeve-Id",
		Targets: []gworkspace.Target{{MessageID: "<1@evil.example>", Recipient: "team@ex.net", OurID: "7QX"}}})
	for _, d := range done {
		fmt.Println(d.Mailbox, d.State)
	}
	fmt.Println(server.Mailbox("ben@ex.net")[0].Labels, err)
	// Output:
	// ann@ex.net not found
	// ben@ex.net cured
	// [TRASH] <nil>
}

// The wider scope of the same service does not stand for the one that is asked for.
func ExampleScopeError() {
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.Grant("https://www.googleapis.com/auth/cloud-identity.policies")
	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		fmt.Println(err)
		return
	}
	missing, err := client.Granted(context.Background(), server.Account(), gworkspacetest.Admin, []string{gworkspace.ScopePolicies})
	fmt.Println(missing, err)
	// Output: [https://www.googleapis.com/auth/cloud-identity.policies.readonly] <nil>
}
