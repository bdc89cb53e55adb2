package dnsverify_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// The record is made from a key and checked with the same key: nothing has to be stored.
func Example() {
	dnstest.Use(func(net *dnstest.Net) {
		zone := net.Zone("example.com", nil)
		verifier := &dnsverify.Verifier{
			Challenge: &dnsverify.Challenge{Key: []byte("a secret of at least 16 bytes")},
			Client:    net.Client(),
		}
		claim := dnsverify.Claim{Tenant: "account 17", Domain: "example.com"}

		record, err := verifier.Challenge.Record(claim)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(record.ZoneLine())

		before, _ := verifier.Verify(context.Background(), claim)
		fmt.Println(before.Status, before.Problem.Code)

		zone.Set("_postreeve-challenge", `TXT "`+record.Value+`"`)
		after, _ := verifier.Verify(context.Background(), claim)
		fmt.Println(after.Status, len(after.Servers), "servers")
	})
	// Output:
	// _postreeve-challenge.example.com. 300 IN TXT "token=6laecjz6rmz4lcpsdtlhbvdvkqzwh4zc"
	// absent record_absent
	// verified 2 servers
}

func ExampleNames_Normalize() {
	for _, typed := range []string{" Bücher.Example.COM. ", "co.uk", "192.0.2.1", "me@example.com"} {
		name, err := dnsverify.Names{}.Normalize(typed)
		fmt.Println(name, err)
	}
	// Output:
	// xn--bcher-kva.example.com <nil>
	//  dnsverify: public_suffix: co.uk: This is not one domain but a suffix under which many register theirs.
	//  dnsverify: invalid_name: 192.0.2.1: This is not a domain name. The reason: it is an address.
	//  dnsverify: invalid_name: me@example.com: This is not a domain name. The reason: it is a mail address: enter only what stands after the at sign.
}

// A monitor keeps a claim true: it is proven after two matches, and looked at every day from then on.
func ExampleMonitor() {
	dnstest.Use(func(net *dnstest.Net) {
		challenge := &dnsverify.Challenge{Key: []byte("a secret of at least 16 bytes")}
		monitor := &dnsverify.Monitor{
			Checker: &dnsverify.Verifier{Challenge: challenge, Client: net.Client()},
			Store:   &dnsverify.MemoryStore{}, // or a FileStore, or one's own
			Confirm: 1,                        // nanosecond, so that this example takes no time; the default is 30 s
		}
		ctx := context.Background()
		entry, err := monitor.Add(ctx, dnsverify.Claim{Tenant: "account 17", Domain: "example.com"})
		if err != nil {
			fmt.Println(err)
			return
		}
		record, _ := challenge.Record(entry.Claim)
		net.Zone("example.com", dnstest.Records{"_postreeve-challenge": {`TXT "` + record.Value + `"`}})

		entry, result, err := monitor.Check(ctx, entry.Key())
		fmt.Println(entry.State, result.Status, entry.Serves(), err)

		_, _, err = monitor.Check(ctx, entry.Key()) // Monitor.Run would come back by itself
		fmt.Println(err)
	})
	// Output:
	// pending verified false <nil>
	// dnsverify: temporary: example.com: The answer could not be had now. It was checked a moment ago.
}

func ExampleClient_Discover() {
	dnstest.Use(func(net *dnstest.Net) {
		net.Zone("example.com", dnstest.Records{"@": {"MX 0 example-com.mail.protection.outlook.com."}})
		net.Zone("outlook.com", dnstest.Records{"*": {"A 127.0.0.1"}})
		own := dnsverify.Own{Hosts: []string{".gw.example.net"}}

		d, err := net.Client().Discover(context.Background(), "example.com", own)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.Product, d.Connection, d.NextHop)
		fmt.Println(net.Client().CheckNextHop(context.Background(), "smtp.office365.com", own))
	})
	// Output:
	// Microsoft 365 not_connected example-com.mail.protection.outlook.com
	// dnsverify: next_hop_refused: smtp.office365.com: This host can never be a next hop. It is where users of Microsoft 365 send mail; use the tenant's own MX name.
}

// A plan is data: it can be read, stored as JSON, and checked step by step.
func ExamplePlanner() {
	dnstest.Use(func(net *dnstest.Net) {
		net.Zone("example.com", dnstest.Records{"@": {"300 MX 10 mail"}, "mail": {"A 127.0.0.1"}})
		planner := &dnsverify.Planner{
			Verifier: &dnsverify.Verifier{
				Challenge: &dnsverify.Challenge{Key: []byte("a secret of at least 16 bytes")},
				Client:    net.Client(),
			},
			Own: dnsverify.Own{Hosts: []string{"mx.gw.example.net"}},
		}
		plan, err := planner.Plan(context.Background(), dnsverify.Move{
			Claim:   dnsverify.Claim{Tenant: "account 17", Domain: "example.com"},
			Gateway: []string{"mx.gw.example.net"},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, step := range plan.Steps {
			fmt.Println(step.ID+":", step.Title)
			for _, record := range step.Add {
				fmt.Println("  +", record)
			}
			for _, record := range step.Remove {
				fmt.Println("  -", record)
			}
		}
		state, err := planner.Check(context.Background(), plan, dnsverify.StepMX)
		fmt.Println(state.Progress, state.Detail, err)
	})
	// Output:
	// proof: Prove the domain
	//   + _postreeve-challenge.example.com. 300 IN TXT "token=6laecjz6rmz4lcpsdtlhbvdvkqzwh4zc"
	// hop: Check the next hop mail.example.com
	// allow: Let the gateway in at mail.example.com
	// mx: Put the gateway in front
	//   + example.com. 300 IN MX 0 mx.gw.example.net.
	//   + example.com. 300 IN MX 10 mail.example.com.
	// watch: Watch all name servers and resolvers
	// old: Remove the old MX records
	//   - example.com. 300 IN MX 10 mail.example.com.
	// drain: Leave the old way open
	// exposure: Look for ways past the gateway
	// lock: Lock mail.example.com
	// not_yet First comes: Prove the domain. <nil>
}
