// Package links judges where a message leads. Nothing is ever fetched: a link that is followed by a machine may be used up, or tell a
// stranger that somebody is there.
//
//	HTML, text, PDF, QR codes, invitations ── links ── one form ── services taken away ── findings
//
// Links are found where mail programs make them: in HTML, in comments that only Outlook reads, in plain text, in the
// annotations of PDF files, in QR codes of pictures and of PDF files, in invitations, and in attached messages. An address is read
// as browsers read it (WHATWG URL, RFC 3986, UTS 46), so that all ways to write one host are one. The services that rewrite links,
// those of mail gateways and those of large sites that send people anywhere, are taken away as far as their form is known; where one
// does not say where it leads, that is said. The organisational domain is that of the public suffix list.
//
// What is judged is how a link is written, who its host belongs to and looks like, whether its text says something else,
// and what all links of a message are together. Each finding is evidence with a weight; verdict.Codes has the reasons.
// None of it makes a message malicious:
//
//	engine := verdict.Engine{Scanners: []verdict.Scanner{
//		&links.Scanner{Protected: []string{"example.com"}},
//	}}
//
// [List] asks blocklists over DNS (RFC 5782), about hosts in links (Scanner.Lists) and about clients ([Blocklist]). None is asked
// by default: their rules of use are for whoever turns them on.
package links
