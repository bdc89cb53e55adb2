// Package ics reads calendars (iCalendar, RFC 5545, and invitations, RFC 5546) as far as they lead
// somewhere or pretend to be from somebody: who invites whom, what the text says, where it links to.
//
// It is as tolerant as calendar programs are: components that do not end, lines without a colon and
// wrong values are passed over.
package ics
