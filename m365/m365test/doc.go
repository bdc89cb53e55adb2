// Package m365test is a Microsoft 365 tenant as an HTTP server, for tests of what configures one.
//
// [New] starts a server that speaks the Exchange admin API, the part of Microsoft Graph that package m365
// uses, and the sign-in service. It keeps its objects in memory and behaves as the services were seen to:
//
//   - The wire: side-car keys, a warnings array, lists as array, bare string or null, pages with links that
//     expire, an error envelope whose message is always "Invalid Operation", 403 with a body of NUL bytes,
//     401 with a claims challenge, 429 with Retry-After, regional redirects, replies that get lost.
//   - Binding: unknown parameters, enum members by unique prefix, untagged hash tables, forms of an empty
//     list of which only one works.
//   - Objects: priorities that shift, names of 64 characters, 300 rules, 1024 spoof pairs, networks from /24
//     to /32, connectors that a rule still names, ARC sealers as one string, sizes that read back as
//     "39.06 MB (40,960,000 bytes)", connectors a plain listing hides, a Get- with a bad identity that
//     returns everything, lists that lag behind writes.
//   - Tenants: not yet customizable, developer, hybrid, with preset policies in force.
//
// A server complains when it is misused: unknown parameters, a Get- by identity, missing headers, null
// parameters, a Graph call without immutable ids. With a testing.TB the test fails, without one
// [Server.Misuse] tells.
//
// Faults are injected with [Server.Inject], by cmdlet or by the number of the write. [Server.Snapshot] is
// the whole tenant in a canonical form, to be compared byte by byte. What Microsoft does not document is
// an option of [Config], so that both readings can be tested.
package m365test
