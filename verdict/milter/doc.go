// Package milter is a verdict.Scanner that asks any milter, the filters of Sendmail and Postfix:
//
//	scanner := &milter.Scanner{Address: "unix:/run/clamav/clamav-milter.ctl", Reject: verdict.Malicious}
//
// The milter is told everything that it would hear from a mail server: the client that sent the message first, HELO, sender,
// recipients, header and body. What it answers decides:
//
//	reject, or a reply with 5xx     milter.reject       Spam, or what Reject says
//	discard                         milter.discard      Spam, or what Discard says
//	quarantine                      milter.quarantine   Spam, or what Quarantine says
//	tempfail, or a reply with 4xx   an error: it wants to be asked again later
//	a header field                  milter.header       what Rules say, evidence only without a rule
//	other changes                   milter.change       evidence only: messages are not changed here
//	some recipients refused         milter.recipient    evidence only; all refused is milter.reject
//	accept, continue                nothing found
//
// A milter may accept a message before it has seen all of it, for instance because of the client; that is its word, and
// counts as nothing found. Everything else is an error, and never clean. About a message without recipients, from a
// file for instance, it is told that it is for <postmaster>.
//
// The protocol is that of libmilter, version 6 and down to 2, by emersion/go-milter. Of the macros the milter gets j, i,
// {daemon_name}, {client_addr}, {tls_version}, {cipher}, {mail_addr} and {rcpt_addr}.
package milter
