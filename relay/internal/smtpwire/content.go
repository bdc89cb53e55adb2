package smtpwire

import (
	"bytes"
	"errors"
	"fmt"
)

// What a message must not contain. They stand in ContentError.Kind.
var (
	ErrBareCR      = errors.New("bare CR")
	ErrBareLF      = errors.New("bare LF")
	ErrNUL         = errors.New("NUL")
	ErrLineTooLong = errors.New("line too long")
)

// ContentError says what is wrong with the bytes of a message, and where.
type ContentError struct {
	Kind   error // ErrBareCR, ErrBareLF, ErrNUL or ErrLineTooLong
	Offset int64 // of the offending byte, from 0, after dots were removed and line ends mended
	Line   int64 // that it stands in, from 1
}

// Error names the fault and its place.
func (e *ContentError) Error() string {
	return fmt.Sprintf("%v in line %d of the message (offset %d)", e.Kind, e.Line, e.Offset)
}

// Unwrap returns Kind.
func (e *ContentError) Unwrap() error { return e.Kind }

// lines follows the lines of a message from block to block and finds what must not be there. The zero
// value stands at the beginning of a message and has no bound on lines.
type lines struct {
	max  int   // octets of a line with its CRLF; 0 means no bound
	off  int64 // octets seen
	line int64 // lines finished
	col  int   // octets of the line that is not finished
	cr   bool  // the last octet was a CR
	dots bool  // in the block that check has seen last, a line begins with a dot
}

// atStart says whether the next octet begins a line.
func (l *lines) atStart() bool { return l.col == 0 }

// check looks at the next block. The usual case costs one search for each line and two passes over the
// block; only a block with something wrong is walked byte by byte, to say where.
func (l *lines) check(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if l.clean(p) {
		return nil
	}
	return l.locate(p)
}

// clean moves on over p if nothing is wrong with it, and leaves l as it was otherwise.
func (l *lines) clean(p []byte) bool {
	if bytes.IndexByte(p, 0) >= 0 || l.cr && p[0] != '\n' {
		return false
	}
	// Every LF has a CR before it, and there are no more CRs than that: then no CR is bare either.
	crs := bytes.Count(p, []byte{'\r'})
	at, col, count, cr := 0, l.col, 0, l.cr
	dots := col == 0 && p[0] == '.'
	for {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			break
		}
		if at+i == 0 {
			if !cr {
				return false
			}
			crs++ // it ended the block before
		} else if p[at+i-1] != '\r' {
			return false
		}
		if l.max > 0 && col+i+1 > l.max {
			return false
		}
		at += i + 1
		col = 0
		count++
		dots = dots || at < len(p) && p[at] == '.'
	}
	col += len(p) - at
	if l.max > 0 && col > l.max {
		return false
	}
	ends := p[len(p)-1] == '\r'
	if ends {
		crs--
	}
	if crs != count {
		return false
	}
	l.off += int64(len(p))
	l.line += int64(count)
	l.col = col
	l.cr = ends
	l.dots = dots
	return true
}

// locate finds the first fault in p, which has one.
func (l *lines) locate(p []byte) error {
	for _, c := range p {
		switch {
		case l.cr && c != '\n':
			return &ContentError{ErrBareCR, l.off - 1, l.line + 1}
		case !l.cr && c == '\n':
			return &ContentError{ErrBareLF, l.off, l.line + 1}
		case c == 0:
			return &ContentError{ErrNUL, l.off, l.line + 1}
		case l.max > 0 && l.col >= l.max:
			return &ContentError{ErrLineTooLong, l.off, l.line + 1}
		}
		l.off++
		l.col++
		l.cr = c == '\r'
		if c == '\n' {
			l.line++
			l.col = 0
		}
	}
	return nil
}

// finish is called at the end of the message. A last line without CRLF is allowed, a last CR is not.
func (l *lines) finish() error {
	if l.cr {
		return &ContentError{ErrBareCR, l.off - 1, l.line + 1}
	}
	return nil
}
