// Package relay takes mail by SMTP, has it judged, and does with it what the recipient's policy says.
//
//	peer ── Server ── MAIL, RCPT ── content ── Auth ──── Judge ── Policy ── stamp ── NextHop → 250
//	        Limits    Directory     verdict.   mailauth  verdict.           Headers  ├ Holder → 250
//	        TLS PROXY whose mail?   Spool                Engine             ARC seal ├ Queue → 250
//	                                                                                 └ 4xx, 5xx
//
// A [Server] is a struct literal. It asks a [Directory] at every RCPT whose mail this is: an unknown
// domain is refused (550 5.7.1), so the gateway is no open relay, and an unproven one is deferred (451
// 4.7.1). It reads the content once, finds out who sent it first where an [Upstream] is trusted to know,
// refuses loops (5.4.6), has it found out who really sent it ([Auth]: SPF, DKIM, DMARC, ARC), asks its
// [Judge], and turns the report into an [Action] by the [Policy] of the domain. What goes on gets header
// fields on top ([Headers]) and loses only fields that nobody but the gateway may write; everything else
// stays as it came, byte for byte, so signatures survive.
//
// 250 is said only after the [NextHop] has said 250, or a [Holder] or [Queue] has made the message
// durable. A reply of the next hop is handed on with its class and codes. At the end of the content SMTP
// has one reply for all recipients: when the hop refuses some of them nobody gets the message, the
// sender is told to try again, and then each recipient is answered at RCPT. Nothing is lost, doubled or
// bounced later. What a sender asks for with NOTIFY=SUCCESS, and a hop without DSN does not do, is for a [Notifier];
// without one DSN is not announced.
//
// [SMTP] is the next hop that most want: a list of hosts or the MX of a name, with a pool of pipelined
// connections, TLS by policy and a circuit breaker. [ByDomain] and functions compose hops.
//
// Two engines speak SMTP with clients: [Strict], our own, and [GoSMTP], the server of
// github.com/emersion/go-smtp behind a guard. Package relaytest has a next hop for tests.
//
// Standards: RFC 5321 (SMTP), 1870 (SIZE), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 3461
// (DSN), 2034 and 3463 (enhanced codes), 6152 (8BITMIME), 6531 (SMTPUTF8), 8689 (REQUIRETLS), 9422
// (LIMITS), 8601 (Authentication-Results), and Postfix's XCLIENT and XFORWARD; the PROXY protocol of HAProxy.
package relay
