// Package smtpwire holds the bytes of SMTP: command lines, replies, message data behind DATA (RFC 5321
// section 4.5.2) and in BDAT chunks (RFC 3030). It knows nothing of sessions and of the order of commands.
//
// A line ends with CRLF and with nothing else. Whatever one party might take for a line end or for the end
// of a message and another might not, is refused by name and place (ContentError) and never handed on:
// bare CR, bare LF, NUL, and lines without bound. Nothing is guessed, so two servers in a row cannot
// disagree on where a message ends.
//
// Data is searched in bulk and handed on as slices of the read buffer. Every buffer has a bound; the large
// ones come from a pool and are held only while a message is read.
package smtpwire
