package verdict

import "strings"

// Field is one field of a header section, folded lines included, or one line there that is no field.
type Field struct {
	// Name is the name as it was written, without blanks before the colon. It is empty for a line that
	// is no field: without a colon, with blanks or control bytes in its name, or an mbox "From " line.
	Name string

	raw   string
	value int // offset in raw behind the colon
	off   int64
}

// Raw returns a copy of the exact bytes of the field with name, folding and line end.
func (f Field) Raw() []byte { return []byte(f.raw) }

// Len returns the number of bytes in Raw.
func (f Field) Len() int64 { return int64(len(f.raw)) }

// Offset returns where the field begins in the raw message. A field of a part that lies in an encoded
// message (see Part) counts from the beginning of that message after decoding.
func (f Field) Offset() int64 { return f.off }

// Value returns what stands behind the colon, unfolded (RFC 5322 section 2.2.3) and without blanks
// around it. Line feeds are gone, but bytes that do not belong in a header, like a lone CR, NUL or raw
// 8 bit text, are still there. For a line that is no field it returns the line.
func (f Field) Value() string { return unfold(f.raw[f.value:]) }

// Text returns Value with the encoded words of RFC 2047 decoded, as valid UTF-8. CR, LF and NUL are
// replaced by U+FFFD, wherever they come from.
func (f Field) Text() string {
	s, _ := decodeWords(f.Value())
	return s
}

const blanks = " \t"

// unfold removes line ends and the blanks around s. It allocates only if s is folded.
func unfold(s string) string {
	s = strings.Trim(s, " \t\r\n")
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.Lines(s) {
		if l, ok := strings.CutSuffix(line, "\n"); ok {
			line = strings.TrimSuffix(l, "\r")
		}
		b.WriteString(line)
	}
	return b.String()
}
