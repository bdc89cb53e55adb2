// Package mailauth says who really sent a message: SPF, DKIM, DMARC and ARC.
//
// An [Authenticator] evaluates a message into [verdict.AuthResults], which belongs in Message.Auth before
// scanners are asked; [AuthenticationResults] writes them as one header field for the recipient's own
// system, [Sealer] seals them for the next hop that reads ARC, and [Scanner] turns them into findings:
//
//	message ── Authenticator ── AuthResults ─┬─ Message.Auth ── Scanner ── findings
//	              │                          ├─ AuthenticationResults ── header field
//	           Resolver (DNS)                └─ Sealer ── ARC set
//
// Evaluating is total: there is no error that a caller could drop. What could not be looked up is
// temperror, what is malformed is permerror, and neither is ever a pass or a fail. SPF is evaluated for
// the origin of a message, not for the upstream that handed it over. Nothing is believed because a
// header says so: an Authentication-Results field counts only where the caller vouches for the upstream
// that wrote it.
//
// Everything is bounded: signatures and ARC sets that are verified, look-ups, what a record may hold, and
// time, by one budget for the message. The message is read once, whatever it is signed with, and in
// constant memory.
//
// The package follows RFC 7208 (SPF), RFC 6376, 8301, 8463 and 8616 (DKIM), RFC 9989 (DMARC), RFC 8617 (ARC)
// and RFC 8601 (Authentication-Results). A successor of ARC fits beside it: a chain of signatures is a
// list of [signature] over fields of the message, and only arc.go knows what binds them together.
package mailauth
