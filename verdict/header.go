package verdict

import (
	"iter"
	"strings"
)

// Header is the header section of a message or a part (RFC 5322 section 2.2, RFC 2045 section 3): its
// fields in their order, each with its exact bytes. It is immutable and may be used by many goroutines.
// The zero Header has no fields.
//
// It is read as tolerantly as mail clients do: lines may end in CRLF or LF, blanks may stand before the
// colon, and a line that is no field is kept as one without a name. The section ends at the first empty
// line. If there is none, it ends at the first line that is no field, or else where the part ends.
type Header struct{ s *hdrSection }

type hdrSection struct {
	raw    string // fields only, without the empty line
	off    int64  // of raw[0]
	body   int64  // behind the empty line
	fields []fieldPos
	flags  hdrFlags
	stats  lineStats // of what was read, the section included
	err    error
}

// fieldPos holds offsets in hdrSection.raw. A line that is no field has name == start.
type fieldPos struct{ start, name, value, end uint32 }

// hdrFlags are the oddities that the parser stumbles over anyway.
type hdrFlags uint8

const (
	hdrNoColon    hdrFlags = 1 << iota // a line without colon
	hdrBadName                         // a name with blanks, control or 8 bit bytes
	hdrSpaceColon                      // a blank before the colon
	hdrBlankFold                       // a continuation line of nothing but blanks
	hdrFoldFirst                       // a continuation line with nothing to continue
	hdrMbox                            // a "From " line
	hdrNoEnd                           // ended by a line that is no field
)

// Err says why the section was not read to its end: ErrTooComplex or the error of the source. If it is
// nil, the section is whole.
func (h Header) Err() error {
	if h.s == nil {
		return nil
	}
	return h.s.err
}

// Len returns the number of fields, lines that are no fields included.
func (h Header) Len() int {
	if h.s == nil {
		return 0
	}
	return len(h.s.fields)
}

// BodyOffset returns where the body begins: behind the empty line, counted like Field.Offset.
func (h Header) BodyOffset() int64 {
	if h.s == nil {
		return 0
	}
	return h.s.body
}

// All yields the fields in their order. Their raw bytes, joined, are the section without the empty line.
func (h Header) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range h.Len() {
			if !yield(h.s.field(i)) {
				return
			}
		}
	}
}

func (s *hdrSection) field(i int) Field {
	p := s.fields[i]
	return Field{
		Name:  s.raw[p.start:p.name],
		raw:   s.raw[p.start:p.end],
		value: int(p.value - p.start),
		off:   s.off + int64(p.start),
	}
}

// Get returns the value of the first field with the name, compared without case, or "". See Field.Value.
func (h Header) Get(name string) string {
	f, _ := h.find(name)
	return f.Value()
}

// Text returns the text of the first field with the name, or "". See Field.Text.
func (h Header) Text(name string) string {
	f, _ := h.find(name)
	return f.Text()
}

// Values returns the values of all fields with the name, in their order; nil if there are none.
func (h Header) Values(name string) []string {
	var out []string
	for f := range h.named(name) {
		out = append(out, f.Value())
	}
	return out
}

func (h Header) find(name string) (Field, bool) {
	for f := range h.named(name) {
		return f, true
	}
	return Field{}, false
}

func (h Header) named(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range h.Len() {
			p := h.s.fields[i]
			if int(p.name-p.start) != len(name) || len(name) == 0 ||
				!strings.EqualFold(h.s.raw[p.start:p.name], name) {
				continue
			}
			if !yield(h.s.field(i)) {
				return
			}
		}
	}
}

// parseFields finds the fields in s.raw. A message may begin with an mbox line; a part may not.
func (s *hdrSection) parseFields(message bool) {
	raw := s.raw
	if raw == "" {
		return
	}
	s.fields = make([]fieldPos, 0, strings.Count(raw, "\n")+1)
	for i := 0; i < len(raw); {
		end := len(raw)
		if j := strings.IndexByte(raw[i:], '\n'); j >= 0 {
			end = i + j + 1
		}
		switch {
		case isBlank(raw[i]) && i > 0:
			s.fields[len(s.fields)-1].end = uint32(end)
			if strings.Trim(raw[i:end], " \t\r\n") == "" {
				s.flags |= hdrBlankFold
			}
		default:
			s.fields = append(s.fields, s.parseField(i, end, message && i == 0))
		}
		i = end
	}
}

// parseField looks at the first line of a field.
func (s *hdrSection) parseField(start, end int, mbox bool) fieldPos {
	line := s.raw[start:end]
	none := fieldPos{uint32(start), uint32(start), uint32(start), uint32(end)}
	if mbox && isMboxLine(line) {
		s.flags |= hdrMbox
		return none
	}
	colon := strings.IndexByte(line, ':')
	switch {
	case isBlank(line[0]):
		s.flags |= hdrFoldFirst
		return none
	case colon < 0:
		s.flags |= hdrNoColon
		return none
	}
	name := strings.TrimRight(line[:colon], blanks)
	if !isFieldName(name) {
		s.flags |= hdrBadName
		return none
	}
	if len(name) < colon {
		s.flags |= hdrSpaceColon
	}
	return fieldPos{uint32(start), uint32(start + len(name)), uint32(start + colon + 1), uint32(end)}
}

// firstGarbage returns the offset in raw of the first line that is no field, not counting an mbox line.
func (s *hdrSection) firstGarbage() (int, bool) {
	for i, p := range s.fields {
		if p.name == p.start && (i > 0 || s.flags&hdrMbox == 0) {
			return int(p.start), true
		}
	}
	return 0, false
}

// cut ends the section at offset n of raw, which begins a field.
func (s *hdrSection) cut(n int) {
	i := 0
	for i < len(s.fields) && int(s.fields[i].start) < n {
		i++
	}
	s.fields = s.fields[:i]
	s.raw = s.raw[:n]
	s.body = s.off + int64(n)
	s.flags |= hdrNoEnd
}

// isMboxLine says whether a first line is the envelope line of an mbox file. "From : a@example.org" is a
// field with a blank before its colon.
func isMboxLine(line string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(line, ">"), "From ")
	return ok && !strings.HasPrefix(strings.TrimLeft(rest, " \t"), ":")
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isFieldName says whether s is a field name by RFC 5322 section 2.2.
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] < 33 || s[i] > 126 {
			return false
		}
	}
	return s != ""
}
