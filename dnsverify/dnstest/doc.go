// Package dnstest is an Internet of name servers in one process: a root, top-level domains, authoritative servers
// made of maps, and a validating resolver, on loopback addresses that share one port, over UDP and TCP.
//
// Zones are delegated from the root, so that a client can walk the whole way. Each server can be given data of
// its own and faults by name. What a test does wrong with the package fails the test.
//
//	n := dnstest.New(t)
//	z := n.Zone("example.com", dnstest.Records{
//		"@":    {"MX 10 mail"},
//		"mail": {"A 192.0.2.1"},
//	})
//	z.Server(1).Fault(dnstest.Silent)
//	c := n.Client()
//
// A record is written as in a zone file, without the owner: "TXT \"a b\"" or "300 MX 10 mail". Names in it are
// relative to the zone unless they end in a dot. SOA and NS records are made by the package. The servers listen on
// addresses of 127.0.0.0/8, which work without set-up on Linux and Windows; other systems need aliases of lo0.
//
// Signatures are pretended: the resolver sets AD for zones that say so ([Zone.Sign]) and answers SERVFAIL for
// those with the fault [Bogus].
package dnstest
