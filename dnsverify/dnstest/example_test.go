package dnstest_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// In a test, New(t) takes the place of Use.
func Example() {
	dnstest.Use(func(n *dnstest.Net) {
		zone := n.Zone("example.com", dnstest.Records{
			"@":    {"MX 10 mail"},
			"mail": {"A 127.0.0.1"},
		})
		client := n.Client()
		d, err := client.Discover(context.Background(), "example.com", dnsverify.Own{})
		fmt.Println(d.MX[0].Host, err)

		zone.Fault(dnstest.Silent)
		_, err = client.Discover(context.Background(), "example.com", dnsverify.Own{})
		fmt.Println(err != nil)
	})
	// Output:
	// mail.example.com <nil>
	// true
}
