// Package smtpserver is an SMTP server engine (RFC 5321) that drives sessions of emersion/go-smtp's Session
// interface. It takes that package's vocabulary and replaces its server.
//
// # What it holds to
//
// A message ends with CRLF.CRLF or with its last chunk, and with nothing else. Bare CR, bare LF, NUL and
// lines over the bound refuse the message by name and place (or, CR and LF only, are mended: Normalize);
// the rest of a refused message is read to its real end, so that none of it is ever taken for a command.
// After a read has failed or timed out nothing more is read: 421, and the connection is closed. A session
// that is content with half a message cannot make the engine say so.
//
// There is one goroutine for each connection, also in BDAT: when a chunk has been read, the reader that the
// session holds answers it and reads the next command itself. An idle connection holds a buffer of 4 KiB;
// one of 64 KiB comes from a pool while a message is read.
//
// # States
//
//	            fresh       ready      mail           rcpt        broken
//	HELO EHLO   ready       RSET too   RSET too       RSET too    RSET too
//	MAIL        EHLO first  mail       nested         nested      RSET first
//	RCPT        EHLO first  no MAIL    rcpt           rcpt        RSET first
//	DATA BDAT   EHLO first  no MAIL    no recipients  ready       RSET first
//	STARTTLS    EHLO first  fresh      nested         nested      RSET first
//	XCLIENT     fresh       fresh      nested         nested      RSET first
//	XFORWARD    EHLO first  ready      nested         nested      RSET first
//	RSET        fresh       ready      ready          ready       ready
//	NOOP VRFY EXPN HELP QUIT           in every state
//
// A command that does not fit is answered with 503 5.5.1, or with 554 5.5.1 where all recipients were
// refused; the chunk of a BDAT is thrown away first. A session is broken after a message in chunks has
// failed before its last one: what the client has sent behind it is not a message. The last chunk, though
// refused, ends that too. Any command but NOOP between two chunks gives the message up.
//
// # Extensions
//
//	PIPELINING          RFC 2920   replies go out together before the server waits
//	8BITMIME            RFC 6152   content is octets in any case
//	ENHANCEDSTATUSCODES RFC 2034
//	SIZE                RFC 1870   but doubled dots count
//	CHUNKING            RFC 3030   without BINARYMIME: a message is lines
//	STARTTLS            RFC 3207   if TLSConfig is set; refuses what was sent in the clear behind it
//	SMTPUTF8            RFC 6531   if wanted
//	DSN                 RFC 3461   if wanted, with RFC 6533
//	REQUIRETLS          RFC 8689   if wanted, under TLS only
//	LIMITS              RFC 9422   RCPTMAX
//	XCLIENT, XFORWARD   Postfix    for listed peers
//
// AUTH is not offered: this server takes mail for domains, not from users.
package smtpserver
