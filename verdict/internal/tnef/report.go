package tnef

import "github.com/postreeve/postreeve/verdict/internal/inspect"

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is an attachment. Its name is the long one if there is one.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit  = inspect.ErrLimit
	ErrFormat = inspect.ErrFormat
)

// Report is what is in a message. What is in messages attached to it is in the same lists.
type Report struct {
	Class   string // as "IPM.Note"
	Subject string
	Bodies  []Body
	Files   []File
}

// Body is a form of the text of a message.
type Body struct {
	Type  string // "text/plain", "text/html" or "application/rtf"
	Text  []byte // in a charset of one byte, or UTF-8 if it was in Unicode
	Where string // "" for the message itself, otherwise the attachment that has it
}
