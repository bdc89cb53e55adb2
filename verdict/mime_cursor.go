package verdict

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
)

const (
	windowSize = 64 << 10
	// firstRead is enough for nearly every header section, so that reading one does not read a body.
	firstRead = 8 << 10
	// maxBoundary is how long a boundary may be to be found for sure in one window.
	maxBoundary = 32 << 10
)

var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

// mimeCursor goes through a byte sequence line by line, forwards, in one window of memory. What is in
// memory already is its own window and never copied.
type mimeCursor struct {
	data  []byte // the window
	base  int64  // offset of data[0]
	pos   int    // of the next byte in data
	mid   bool   // pos is within a line whose beginning has been seen
	eof   bool   // nothing comes behind data
	r     io.ReadCloser
	buf   *[windowSize]byte
	err   error // of r, other than io.EOF
	stats lineStats
	acct  int // bytes of data before this are counted in stats
	limit int // bytes to read at once
}

// lineStats count what tells line ends apart.
type lineStats struct {
	cr, lf, crlf, nul, longest int
}

func (s *lineStats) bytes(b []byte) {
	s.cr += bytes.Count(b, crByte)
	s.nul += bytes.Count(b, nulByte)
}

var crByte, nulByte = []byte{'\r'}, []byte{0}

// memoryCursor reads from offset off of b.
func memoryCursor(b []byte, off int64) *mimeCursor {
	off = min(max(off, 0), int64(len(b)))
	return &mimeCursor{data: b, pos: int(off), acct: int(off), eof: true}
}

// readerCursor reads from r, whose first byte has the offset off. The cursor closes r.
func readerCursor(r io.ReadCloser, off int64) *mimeCursor {
	buf := windows.Get().(*[windowSize]byte)
	return &mimeCursor{data: buf[:0], base: off, r: r, buf: buf, limit: firstRead}
}

func (c *mimeCursor) close() {
	if c.r == nil {
		return
	}
	c.err = errors.Join(c.err, c.r.Close())
	windows.Put(c.buf)
	c.r, c.buf, c.data = nil, nil, nil
	c.pos, c.acct, c.eof = 0, 0, true
}

func (c *mimeCursor) offset() int64 { return c.base + int64(c.pos) }

// account counts what lies before pos.
func (c *mimeCursor) account() {
	if c.acct < c.pos {
		c.stats.bytes(c.data[c.acct:c.pos])
		c.acct = c.pos
	}
}

// more reads on. It returns false when nothing was added: at the end, or because the window is full.
func (c *mimeCursor) more() bool {
	if c.eof {
		return false
	}
	c.account()
	// Two bytes stay in front of pos: they tell how the line before it ended.
	if keep := max(c.pos-2, 0); keep > 0 {
		n := copy(c.buf[:], c.data[keep:])
		c.data = c.buf[:n]
		c.base += int64(keep)
		c.pos -= keep
		c.acct -= keep
	}
	had := len(c.data)
	if had == windowSize {
		return false
	}
	n, err := readSome(c.r, c.buf[had:min(windowSize, had+c.limit)])
	c.limit = windowSize
	c.data = c.buf[:had+n]
	if err != nil {
		c.eof = true
		if err != io.EOF {
			c.err = err
		}
	}
	return n > 0
}

// readSome reads at least one byte, or returns an error.
func readSome(r io.Reader, p []byte) (int, error) {
	for range 100 {
		if n, err := r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// startsWith says whether the line at pos begins with prefix.
func (c *mimeCursor) startsWith(prefix string) bool {
	for len(c.data)-c.pos < len(prefix) && c.more() {
	}
	rest := c.data[c.pos:]
	return len(rest) >= len(prefix) && string(rest[:len(prefix)]) == prefix
}

// mimeLine is one line, or a piece of one that is longer than the window.
type mimeLine struct {
	raw  []byte // with the line end; valid until the cursor moves on
	eol  int    // 0 without line end, 1 for LF, 2 for CRLF
	head bool   // raw begins the line
}

func (l mimeLine) text() []byte { return l.raw[:len(l.raw)-l.eol] }

// next returns the next line, or false at the end.
func (c *mimeCursor) next() (mimeLine, bool) {
	from, end := 0, -1
	for {
		if i := bytes.IndexByte(c.data[c.pos+from:], '\n'); i >= 0 {
			end = c.pos + from + i + 1
			break
		}
		from = len(c.data) - c.pos
		if !c.more() {
			break
		}
	}
	l := mimeLine{head: !c.mid}
	if end < 0 {
		l.raw = c.data[c.pos:]
		c.mid = true
		c.pos = len(c.data)
		return l, len(l.raw) > 0
	}
	l.raw = c.data[c.pos:end]
	l.eol = 1
	if n := len(l.raw); n > 1 && l.raw[n-2] == '\r' {
		l.eol = 2
		c.stats.crlf++
	}
	c.stats.lf++
	c.stats.longest = max(c.stats.longest, len(l.raw))
	c.mid = false
	c.pos = end
	return l, true
}

// back makes next return l, which it has just returned, again.
func (c *mimeCursor) back(l mimeLine) {
	c.pos -= len(l.raw)
	c.acct = min(c.acct, c.pos)
	c.mid = !l.head
	c.uncount(l.eol)
}

func (c *mimeCursor) uncount(eol int) {
	if eol > 0 {
		c.stats.lf--
	}
	if eol == 2 {
		c.stats.crlf--
	}
}

// lineStarts are the first bytes of lines that seek stops at.
type lineStarts [256]bool

// seek moves to the next line, this one included, that begins with one of the bytes. It returns false
// at the end, and calls tick now and then, which may stop it.
//
// This is the loop that all bulk content goes through.
func (c *mimeCursor) seek(want *lineStarts, tick func() bool) bool {
	for lines := 0; ; lines++ {
		if lines&0xfff == 0xfff && !tick() {
			return false
		}
		if c.pos == len(c.data) && !c.more() {
			return false
		}
		if !c.mid && want[c.data[c.pos]] {
			return true
		}
		i := bytes.IndexByte(c.data[c.pos:], '\n')
		if i < 0 {
			if !tick() {
				return false
			}
			if c.more() {
				continue
			}
			c.mid = true // the rest of the window: a long line, or the last one
			c.stats.longest = max(c.stats.longest, len(c.data)-c.pos)
			c.pos = len(c.data)
			continue
		}
		end := c.pos + i
		if end > 0 && c.data[end-1] == '\r' && (i > 0 || c.mid) {
			c.stats.crlf++
		}
		c.stats.lf++
		c.stats.longest = max(c.stats.longest, i+1)
		c.mid = false
		c.pos = end + 1
	}
}

// endOfLineBefore returns the length of the line end in front of pos: 0, 1 or 2.
func (c *mimeCursor) endOfLineBefore() int64 {
	switch {
	case c.pos == 0 || c.data[c.pos-1] != '\n':
		return 0
	case c.pos > 1 && c.data[c.pos-2] == '\r':
		return 2
	}
	return 1
}

// rewind moves back to offset off, which begins a line; skipped is what has been read from there to pos.
func (c *mimeCursor) rewind(s mimeStream, off int64, skipped string) error {
	c.account()
	for line := range strings.Lines(skipped) {
		switch {
		case strings.HasSuffix(line, "\r\n"):
			c.uncount(2)
		case strings.HasSuffix(line, "\n"):
			c.uncount(1)
		}
	}
	c.stats.cr -= strings.Count(skipped, "\r")
	c.stats.nul -= strings.Count(skipped, "\x00")
	c.mid = false
	if off >= c.base {
		c.pos = int(off - c.base)
		c.acct = c.pos
		return nil
	}
	r, err := s.section(off, s.size()-off)
	if err != nil {
		return err
	}
	c.err = errors.Join(c.err, c.r.Close())
	c.r, c.base, c.data, c.pos, c.acct, c.eof = r, off, c.buf[:0], 0, 0, false
	return nil
}
