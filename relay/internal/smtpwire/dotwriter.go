package smtpwire

import (
	"bytes"
	"errors"
	"io"
)

// DotWriter sends a message in the form that follows a 354 reply: a dot at the beginning of a line is
// doubled, and Close sends the line with the single dot (RFC 5321 section 4.5.2).
//
// What is written must consist of lines that end with CRLF; only the last one may lack it. Anything else
// could not be sent unchanged, or might end the message early at a next hop that takes a bare LF for a
// line end. It is refused with a *ContentError, before any byte of that call has gone out; the
// connection is then of no more use, since there is no way to take back a message that was begun.
//
// Slices are handed through untouched wherever no dot has to be doubled, so the writer below should be a
// bufio.Writer or something else that gathers small writes. A DotWriter is for one goroutine.
type DotWriter struct {
	w     io.Writer
	lines lines
	err   error
}

// NewDotWriter returns a writer that sends one message to w.
func NewDotWriter(w io.Writer) *DotWriter {
	d := new(DotWriter)
	d.Reset(w)
	return d
}

// Reset makes d ready for another message.
func (d *DotWriter) Reset(w io.Writer) { *d = DotWriter{w: w} }

var errClosed = errors.New("smtpwire: write after the end of the message")

// Write sends p. A chunk may end anywhere, also between CR and LF. After an error every call returns it.
func (d *DotWriter) Write(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	atStart := d.lines.atStart()
	if err := d.lines.check(p); err != nil {
		d.err = err
		return 0, err
	}
	if !d.lines.dots {
		if d.err = d.send(p); d.err != nil {
			return 0, d.err
		}
		return len(p), nil
	}
	n := 0
	if atStart && p[0] == '.' {
		if d.err = d.send(p[:1]); d.err != nil {
			return 0, d.err
		}
	}
	for {
		i := dotLine(p[n:])
		if i < 0 {
			break
		}
		// The dot goes out with this slice and again as the first byte of the next one.
		if d.err = d.send(p[n : n+i+1]); d.err != nil {
			return n, d.err
		}
		n += i
	}
	if d.err = d.send(p[n:]); d.err != nil {
		return n, d.err
	}
	return len(p), nil
}

// dotLine returns the index of the first dot that follows an LF, or -1.
func dotLine(p []byte) int {
	at := 0
	for {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		if at < len(p) && p[at] == '.' {
			return at
		}
	}
}

func (d *DotWriter) send(p []byte) error {
	_, err := d.w.Write(p)
	return err
}

// Close ends the message: the CRLF that its last line may lack, and the dot. It does not close or flush
// the writer below. After an error it sends nothing and returns that error.
func (d *DotWriter) Close() error {
	if d.err != nil {
		return d.err
	}
	if err := d.lines.finish(); err != nil {
		d.err = err
		return err
	}
	end := "\r\n.\r\n"
	if d.lines.atStart() {
		end = ".\r\n"
	}
	if _, err := io.WriteString(d.w, end); err != nil {
		d.err = err
		return err
	}
	d.err = errClosed
	return nil
}
