package ics

import "github.com/postreeve/postreeve/verdict/internal/inspect"

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is an attachment that is within the calendar.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit  = inspect.ErrLimit
	ErrFormat = inspect.ErrFormat
)

// Report is a calendar object, or several of them that stand one after the other.
type Report struct {
	Method string // in upper case, as "REQUEST"; "" if it is no invitation
	Name   string // X-WR-CALNAME
	Items  []Item
	Files  []File
}

// Item is an event, a to-do, a journal entry or a free/busy time.
type Item struct {
	Kind        string // "VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"
	UID         string
	Summary     string
	Description string // text
	HTML        string // the description as HTML, of X-ALT-DESC; often empty
	Location    string
	Organizer   Person
	Attendees   []Person
	// Links are the targets of URL, ATTACH, CONFERENCE and of what clients add of their own, without
	// those that stand in the texts above. Each once, in order.
	Links  []string
	Alarms []string // actions of alarms in upper case: "DISPLAY", "AUDIO", "EMAIL", "PROCEDURE"
}

// Person is an organizer or attendee.
type Person struct {
	Address string // without mailto:; as it stands there if it is another URI
	Name    string // CN
	SentBy  string // address of who acts for them
}
