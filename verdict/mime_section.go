package verdict

import (
	"fmt"
)

// openCursor returns a cursor over st from offset off.
func openCursor(st mimeStream, off int64) (*mimeCursor, error) {
	if raw, ok := st.(rawStream); ok {
		if b, ok := raw.src.(Bytes); ok {
			return memoryCursor(b, off), nil
		}
	}
	r, err := st.section(off, st.size()-off)
	if err != nil {
		return nil, readError(err)
	}
	return readerCursor(r, off), nil
}

func readError(err error) error { return fmt.Errorf("verdict: reading the message: %w", err) }

// readMessageHeader reads the header section of a whole message.
func readMessageHeader(st rawStream, lim Limits) Header {
	c, err := openCursor(st, 0)
	if err != nil {
		return Header{&hdrSection{err: err}}
	}
	s, _ := readSection(c, st, lim, true, nil)
	c.close()
	if s.err == nil && c.err != nil {
		s.err = readError(c.err)
	}
	return Header{s}
}

// readSection reads a header section at the cursor and leaves the cursor behind it. A line for which
// end is true, if it is not nil, ends the section and stays unread. ended says that the section ended
// there or at the end of the stream, and not at an empty line.
func readSection(c *mimeCursor, st mimeStream, lim Limits, message bool, end func(mimeLine) bool) (s *hdrSection, ended bool) {
	s = &hdrSection{off: c.offset()}
	lines := sectionLines{c: c, from: c.pos}
	empty := 0
	fields := 0
	for {
		l, ok := c.next()
		if !ok {
			ended = true
			break
		}
		if l.head && len(l.raw) == l.eol {
			empty = len(l.raw)
			break
		}
		if l.head && end != nil && l.raw[0] == '-' && end(l) {
			c.back(l)
			ended = true
			break
		}
		if l.head && (!isBlank(l.raw[0]) || fields == 0) {
			fields++
		}
		if fields > lim.Fields {
			s.err = tooComplex("more than %d fields in one header section", lim.Fields)
		} else if lines.n+int64(len(l.raw)) > lim.HeaderBytes {
			s.err = tooComplex("a header section of more than %d bytes", lim.HeaderBytes)
		}
		if s.err != nil {
			c.back(l)
			break
		}
		lines.add(l.raw)
	}
	s.raw = lines.String(empty)
	s.body = c.offset()
	s.parseFields(message)
	if n, ok := s.firstGarbage(); ok && ended && s.err == nil {
		if err := c.rewind(st, s.off+int64(n), s.raw[n:]); err != nil {
			s.err = readError(err)
		}
		s.cut(n)
	}
	c.account()
	s.stats = c.stats
	return s, ended
}

// sectionLines gathers the lines of a section. If they are in memory, it only counts them.
type sectionLines struct {
	c    *mimeCursor
	from int
	n    int64
	copy []byte
}

func (l *sectionLines) add(line []byte) {
	l.n += int64(len(line))
	if l.c.r != nil {
		l.copy = append(l.copy, line...)
	}
}

// String returns the lines; the cursor stands behind them and the empty line of the given length.
func (l *sectionLines) String(empty int) string {
	if l.c.r != nil {
		return string(l.copy)
	}
	return string(l.c.data[l.from : l.c.pos-empty])
}
