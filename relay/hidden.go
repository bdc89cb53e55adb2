package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict"
)

// hidden says whether there are fields of ours where we cannot take them off: the header has no end, and
// they stand behind the line that we take for the beginning of the body, where other readers go on.
func (h Headers) hidden(m *verdict.Message, names []string) (bool, error) {
	head := m.Header()
	end := int64(0)
	for f := range head.All() {
		end = f.Offset() + f.Len()
	}
	if end != head.BodyOffset() || end == m.Size() {
		return false, nil // there is an empty line, or nothing more
	}
	r, err := m.Open()
	if err != nil {
		return false, fmt.Errorf("reading the message: %w", err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, end); err != nil {
		return false, fmt.Errorf("reading the message: %w", err)
	}
	return h.among(bufio.NewReader(r), names)
}

// continues says whether a message begins with a continuation line. Behind a field of ours it would be a
// part of that.
func continues(h verdict.Header) bool {
	for f := range h.All() {
		if f.Name != "" {
			return false
		}
		raw := f.Raw()
		return raw[0] == ' ' || raw[0] == '\t'
	}
	return false
}

// maxLook is how much of a line, with those that continue it, is looked at for a name.
const maxLook = 1 << 10

// among says whether there is a field of ours among the lines of r.
func (h Headers) among(r *bufio.Reader, names []string) (bool, error) {
	var field []byte
	ours := func() bool {
		name, value := lenientLine(string(field))
		return h.reserved(name) || isResults(name, value, names)
	}
	start := true // of a line, not of a rest that did not fit into the buffer
	for {
		p, err := r.ReadSlice('\n')
		if start && len(p) > 0 && p[0] != ' ' && p[0] != '\t' {
			if ours() {
				return true, nil
			}
			field = field[:0]
		}
		for _, c := range p[:min(len(p), maxLook-len(field))] {
			if c != '\r' && c != '\n' {
				field = append(field, c)
			}
		}
		switch {
		case err == io.EOF:
			return ours(), nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false, fmt.Errorf("reading the message: %w", err)
		}
		start = err == nil
	}
}
