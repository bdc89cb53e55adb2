// Package icap is a verdict.Scanner that asks an ICAP service, as anti-virus and data-loss products offer it:
//
//	scanner := &icap.Scanner{URL: "icap://127.0.0.1:1344/avscan"}
//
// The raw message goes as the body of an HTTP response that a client is about to get (RESPMOD), or of a request that it
// makes (REQMOD), of type message/rfc822. What the service would change decides:
//
//	204, or 200 with the same content                       nothing found
//	X-Infection-Found, X-Virus-ID and their like            icap.infected
//	200 with a page of its own (another status, or an       icap.blocked
//	answer where a request was asked about)
//	200 with other content                                  icap.modified
//
// All three are Malicious unless Class says otherwise. Everything else is an error, and never clean: another status, half
// an answer, content that does not come back whole.
//
// The service says by OPTIONS how much of a message it wants to see first (Preview), and may let it pass by that alone; with
// NoPreview it gets everything. Services also let pass what is larger than a limit of their own, without a word: set
// that above the largest message, or put verdict.MaxSize around the scanner.
//
// Version is the service with its ISTag, which changes with its signatures: a verdict.Cache with ContentOnly fits around it.
//
// The protocol is RFC 3507; the X- fields are those of draft-stecher-icap-subid and of what products send.
package icap
