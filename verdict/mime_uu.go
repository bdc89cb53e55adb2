package verdict

import (
	"bytes"
	"fmt"
)

// begin handles a line that begins with b in a text: it may begin a uuencoded file.
func (s *streamWalk) begin() error {
	start := s.c.offset()
	if !s.c.startsWith("begin ") {
		s.c.next()
		return nil
	}
	l, _ := s.c.next()
	name, ok := uuBegin(l.text())
	if !ok || s.c.mid {
		return nil
	}
	// "begin" is a word too: the next line decides.
	l, ok = s.c.next()
	if !ok {
		return nil
	}
	data := bytes.TrimRight(l.text(), " \t\r")
	fits := isUULine(data) || string(data) == "end"
	s.c.back(l)
	if !fits {
		return nil
	}
	parent := s.leaf
	switch {
	case parent.Depth+1 > s.lim.Depth:
		return tooComplex("parts nested deeper than %d", s.lim.Depth)
	case len(s.tree.parts) >= s.lim.Parts:
		return tooComplex("more than %d parts", s.lim.Parts)
	}
	parent.children++
	name, _ = decodeWords(name)
	p := &Part{
		Path:      fmt.Sprintf("%s.uu%d", parent.Path, parent.children),
		Depth:     parent.Depth + 1,
		Parent:    parent,
		Declared:  "application/octet-stream",
		Filename:  name,
		Encoding:  encUU,
		stream:    s.st,
		off:       start,
		textLimit: s.lim.Text,
	}
	s.tree.parts = append(s.tree.parts, p)
	s.note(mimeUU, p, "uuencoded file %s", quote(name))
	s.uu = p
	return nil
}

// endUU handles a line that begins with e within a uuencoded file.
func (s *streamWalk) endUU() {
	l, _ := s.c.next()
	if s.c.mid || string(bytes.TrimRight(l.text(), " \t\r")) != "end" {
		return
	}
	s.uu.n = s.c.offset() - s.uu.off
	s.uu = nil
}
