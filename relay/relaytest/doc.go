// Package relaytest has what tests of relays need: a [Sink], an SMTP server that takes every message and
// keeps it, or fails just as it is told to, at any step of a session.
package relaytest
