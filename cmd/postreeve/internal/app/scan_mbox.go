package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/postreeve/postreeve/verdict"
)

// mailbox yields the messages of an mbox (RFC 4155, the variant called mboxrd): each begins with a
// "From " line, and lines of the message that look like one have a ">" before them, which is taken off.
func (f *finder) mailbox(path string, r io.Reader, yield func(*item) bool) bool {
	br := bufio.NewReaderSize(r, 64<<10)
	if _, err := readLine(br, nil); err != nil && !errors.Is(err, io.EOF) {
		return yield(&item{path: path, err: err})
	}
	for n := 1; ; n++ {
		if f.ctx.Err() != nil {
			return false
		}
		buf, more, err := f.mailboxMessage(br)
		name := path
		if n > 1 || more {
			name = fmt.Sprintf("%s#%d", path, n)
		}
		it := &item{path: name, err: err}
		if err == nil {
			it.source, it.close = buf, func() { buf.Close() }
		}
		if !yield(it) {
			return false
		}
		if !more || err != nil {
			return true
		}
	}
}

// mailboxMessage reads up to the next "From " line or the end. more says that it was a line.
func (f *finder) mailboxMessage(br *bufio.Reader) (buf *verdict.Buffer, more bool, err error) {
	buf = f.spool.New()
	defer func() {
		if err != nil {
			buf.Close()
		}
	}()
	w := bufio.NewWriter(buf)
	var blank []byte // an empty line that may be the one before a separator
	size := int64(0)
	for {
		first, err := br.Peek(256)
		if isSeparator(first) && (blank != nil || size == 0) {
			_, err := readLine(br, nil)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return buf, true, errors.Join(err, w.Flush())
		}
		if len(first) == 0 {
			w.Write(blank) // at the end of the file it is the message's own
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return buf, false, errors.Join(err, w.Flush())
		}
		w.Write(blank)
		blank = nil
		line := &unescaper{w: w}
		n, err := readLine(br, line)
		if line.blank() {
			blank = line.held
		} else if werr := line.flush(); werr != nil {
			return buf, false, werr
		}
		if size += n; size > maxMessage {
			return buf, false, verdict.ErrTooLarge
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return buf, false, err
		}
	}
}

// isSeparator says whether data begins with the line that stands between messages: "From ", who, and a
// date with a time and a year. Text that merely begins with the word has no such date.
func isSeparator(data []byte) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return isMailbox(line) && separatorDate.Match(line)
}

var separatorDate = regexp.MustCompile(`[0-9]{2}:[0-9]{2}.*[0-9]{4}`)

// readLine copies one line, with its end, to w; nil discards it. Lines may be of any length.
func readLine(br *bufio.Reader, w io.Writer) (n int64, err error) {
	for {
		part, err := br.ReadSlice('\n')
		n += int64(len(part))
		if w != nil {
			if _, werr := w.Write(part); werr != nil {
				return n, werr
			}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// unescaper writes one line and takes the first ">" off one that is ">From ", ">>From " and so on. It
// holds the beginning back until it knows.
type unescaper struct {
	w    *bufio.Writer
	held []byte
	sure bool
}

func (u *unescaper) Write(p []byte) (int, error) {
	if u.sure {
		return u.w.Write(p)
	}
	u.held = append(u.held, p...)
	rest := bytes.TrimLeft(u.held, ">")
	if len(rest) < len("From ") && len(u.held) < 4096 && !bytes.HasSuffix(u.held, []byte("\n")) {
		return len(p), nil
	}
	if len(rest) < len(u.held) && bytes.HasPrefix(rest, []byte("From ")) {
		u.held = u.held[1:]
	}
	if u.blank() {
		return len(p), nil
	}
	return len(p), u.flush()
}

func (u *unescaper) blank() bool {
	return !u.sure && len(u.held) > 0 && len(bytes.TrimRight(u.held, "\r\n")) == 0
}

func (u *unescaper) flush() error {
	_, err := u.w.Write(u.held)
	u.held, u.sure = nil, true
	return err
}
