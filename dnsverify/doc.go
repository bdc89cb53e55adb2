// Package dnsverify proves that a customer controls a domain, finds out where the domain's mail goes
// today, and moves it to a gateway and back without losing any.
//
// The order of things, and who does them:
//
//   - [Names] turns what a person typed into a domain name, or says why it is none.
//   - [Challenge] makes the TXT record that proves control. Tokens are keyed hashes of tenant, domain,
//     region and epoch: nothing has to be stored to check one, and every node with the key agrees.
//   - [Client] asks name servers. It walks from the root to the zone as its parent delegates it, asks each
//     authoritative server by itself, and asks validating resolvers beside them.
//   - [Verifier] puts the question: verified, partial, wrong, absent or failed, with what every server
//     said, the nearest mistake, and a record for auditors. An error is never taken for an absence.
//   - [Monitor] keeps asking for as long as the contract lasts. A DNS failure changes no state, and a
//     record that is gone takes no mail away before days have passed.
//   - [Client.Discover] reads and classifies the MX records and proposes the next hop; [Prober] looks
//     at that next hop: TLS, extensions, policy, and whether it takes mail from strangers.
//   - [Planner] writes the plan of the cutover, and of the way back, as data and as text, and checks each step.
//
// Ownership comes first and the MX record second. An MX record that points at the gateway proves nothing,
// and mail for a domain that was not proven is deferred, not refused.
//
// # Trust
//
// The set of authoritative servers comes from the parent zone, never from a server that is being asked.
// Private, loopback and reserved server addresses are refused unless Client.Allow says otherwise. Answers
// have to match a random id, a fresh port, the question and its random letter case. The AD bit of a resolver
// counts only when the path to it is trusted: a loopback address, or Client.TrustAD. Everything that came
// from a server passes through one escaping function before it reaches a result, so that results are
// safe in logs and pages.
//
// # Documents followed
//
//   - draft-ietf-dnsop-domain-verification-techniques: challenge records
//   - RFC 1034, 1035, 2181, 2308, 6891, 9520, 8914: DNS, negative answers, EDNS, errors
//   - RFC 5321 section 5.1, RFC 7505: MX records and the null MX
//   - RFC 8461: MTA-STS; RFC 8460: TLS reports; RFC 7672, 6698: DANE for SMTP
//   - RFC 3207, 2920, 3030, 1870: what a next hop may offer
//
// Package dnsverify/dnstest has name servers for tests, with faults by name.
package dnsverify
