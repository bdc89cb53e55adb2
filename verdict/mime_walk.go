package verdict

import (
	"fmt"
	"strings"
	"time"
)

// partTree is what walking a message gives.
type partTree struct {
	parts []*Part
	err   error
	notes anomalyList
}

// mimeWalker finds the parts of one message.
type mimeWalker struct {
	tree     *partTree
	lim      Limits
	deadline time.Time
	headers  int64 // bytes
	decoded  int64 // bytes of nested messages
	kept     int64 // bytes of those that stay in memory
}

func walkMessage(m *Message) partTree {
	lim := m.Limits.withDefaults()
	t := partTree{notes: anomalyList{limit: lim.Anomalies}}
	w := &mimeWalker{tree: &t, lim: lim, deadline: time.Now().Add(lim.Time)}
	t.err = w.root(m)
	return t
}

func (w *mimeWalker) root(m *Message) error {
	h := m.Header()
	if err := h.Err(); err != nil {
		return err
	}
	st := rawStream{m.raw()}
	c, err := openCursor(st, h.BodyOffset())
	if err != nil {
		return err
	}
	s := &streamWalk{mimeWalker: w, st: st, c: c}
	if h.s != nil {
		c.stats = h.s.stats
	}
	err = s.enter(nil, h.s, true)
	if err == nil {
		err = s.run()
	}
	return s.finish(err)
}

// nested walks the decoded content of p: an attached message, or a multipart with the given boundaries
// whose encoding hides them.
func (w *mimeWalker) nested(p *Part, bounds []string) error {
	st := &decodedStream{parent: p.stream, off: p.off, n: p.n, encoding: p.Encoding}
	if err := st.measure(w.lim.Decoded-w.decoded, keepDecoded-w.kept); err != nil {
		return err
	}
	w.decoded += st.length
	w.kept += int64(len(st.kept))
	c, err := openCursor(st, 0)
	if err != nil {
		return err
	}
	s := &streamWalk{mimeWalker: w, st: st, c: c, outer: p}
	if bounds != nil {
		s.open = []openPart{{part: p, bounds: bounds}}
		s.inherited = 1
	} else {
		err = s.enterAt(p, true)
	}
	if err == nil {
		err = s.run()
	}
	return s.finish(err)
}

// streamWalk walks one stream: the message, or the content of an encoded part of it.
type streamWalk struct {
	*mimeWalker
	st    mimeStream
	c     *mimeCursor
	outer *Part // whose content the stream is, or nil
	open  []openPart
	// inherited open parts begin outside of the stream.
	inherited int
	leaf      *Part // whose content is being read; nil between the parts of a multipart
	uu        *Part // uuencoded file that is being read, within leaf
	stop      error
}

func (s *streamWalk) note(code string, p *Part, format string, args ...any) {
	path := ""
	if p != nil {
		path = p.Path
	}
	s.tree.notes.add(code, path, format, args...)
}

// tick looks at the clock.
func (s *streamWalk) tick() bool {
	if s.stop == nil && time.Now().After(s.deadline) {
		s.stop = tooComplex("finding the parts takes more than %v", s.lim.Time)
	}
	return s.stop == nil
}

// run goes through the content that follows the first header section.
func (s *streamWalk) run() error {
	for i := 0; s.c.seek(s.wanted(), s.tick); i++ {
		if i&0x3ff == 0 && !s.tick() {
			break
		}
		var err error
		switch s.c.data[s.c.pos] {
		case '-':
			err = s.dashes()
		case 'b':
			err = s.begin()
		case 'e':
			s.endUU()
		default:
			s.outside()
		}
		if err != nil {
			return err
		}
	}
	if s.stop != nil {
		return s.stop
	}
	if s.c.err != nil {
		return readError(s.c.err)
	}
	return s.closeTo(0, s.c.offset())
}

// finish closes the cursor and looks at what it counted.
func (s *streamWalk) finish(err error) error {
	s.c.account()
	st := s.c.stats
	s.c.close()
	if err != nil {
		return err
	}
	if s.c.err != nil {
		return readError(s.c.err)
	}
	if st.nul > 0 {
		s.note(mimeNul, s.outer, "%d NUL bytes", st.nul)
	}
	if n := st.cr - st.crlf; n > 0 {
		s.note(mimeBareCR, s.outer, "%d CR without LF", n)
	}
	if st.crlf > 0 && st.crlf < st.lf {
		s.note(mimeLines, s.outer, "%d lines end in CRLF, %d in LF alone", st.crlf, st.lf-st.crlf)
	}
	if st.longest > 1000 {
		s.note(mimeLongLine, s.outer, "a line of %d bytes or more", st.longest)
	}
	return nil
}

const (
	wantDash = 1 << iota
	wantUU
	wantUUEnd
	wantOutside
)

// lineStartTables has a table for each set of the bits above.
var lineStartTables = func() (t [16]lineStarts) {
	for i := range t {
		t[i]['-'] = i&wantDash != 0
		t[i]['b'] = i&wantUU != 0
		t[i]['e'] = i&wantUUEnd != 0
		t[i]['c'] = i&wantOutside != 0
		t[i]['C'] = i&wantOutside != 0
	}
	return t
}()

// wanted says which lines matter now.
func (s *streamWalk) wanted() *lineStarts {
	i := 0
	for k := range s.open {
		if s.open[k].bounds != nil {
			i |= wantDash
		}
	}
	switch {
	case s.uu != nil:
		i |= wantUUEnd
	case s.leaf == nil:
		i |= wantOutside
	case strings.HasPrefix(s.leaf.Declared, "text/") && newDecoder(s.leaf.Encoding) == nil:
		i |= wantUU
	}
	return &lineStartTables[i]
}

// dashes handles a line that begins with a dash.
func (s *streamWalk) dashes() error {
	eol := s.c.endOfLineBefore()
	start := s.c.offset()
	l, _ := s.c.next()
	d, ok := findDelimiter(s.open, l.text())
	if !ok {
		return nil
	}
	o := &s.open[d.index]
	if d.prefix {
		s.note(mimeDelimiter, o.part, "the line %s begins with a delimiter", quote(string(l.text())))
	}
	if o.closed {
		s.note(mimeAfterEnd, o.part, "the line %s follows the final delimiter", quote(string(l.text())))
	}
	if err := s.closeTo(d.index+1, start-eol); err != nil {
		return err
	}
	o.closed = d.final
	if d.final {
		return nil
	}
	// The rest of a line that is longer than the window belongs to no header section.
	for ok := true; ok && s.c.mid; {
		_, ok = s.c.next()
	}
	return s.enterAt(o.part, false)
}

// outside looks for parts where there should be none: around the parts of a multipart.
func (s *streamWalk) outside() {
	l, _ := s.c.next()
	const field = "content-type:"
	if t := l.text(); len(t) < len(field) || !strings.EqualFold(string(t[:len(field)]), field) {
		return
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		if o := &s.open[i]; o.bounds != nil {
			if !o.looked {
				o.looked = true
				s.note(mimeHiddenPart, o.part, "%s outside of the parts", quote(string(l.text())))
			}
			return
		}
	}
}

// enterAt begins a part at the cursor: its header section comes first.
func (s *streamWalk) enterAt(parent *Part, message bool) error {
	sec, _ := readSection(s.c, s.st, s.lim, message, s.isDelimiter)
	if sec.err != nil {
		return sec.err
	}
	if s.c.err != nil {
		return readError(s.c.err)
	}
	return s.enter(parent, sec, message)
}

func (s *streamWalk) isDelimiter(l mimeLine) bool {
	_, ok := findDelimiter(s.open, l.text())
	return ok
}

// enter begins a part whose header section has just been read, and those at its very beginning.
func (s *streamWalk) enter(parent *Part, sec *hdrSection, message bool) error {
	for {
		p, bounds, err := s.newPart(parent, sec, message)
		if err != nil {
			return err
		}
		s.open = append(s.open, openPart{part: p, bounds: bounds})
		s.leaf = p
		if bounds != nil {
			s.leaf = nil
			return nil
		}
		if !isMessage(p.Declared) || newDecoder(p.Encoding) != nil {
			return nil
		}
		// An attached message: its header section follows at once.
		p.container = true
		var ended bool
		sec, ended = readSection(s.c, s.st, s.lim, true, s.isDelimiter)
		if sec.err != nil {
			return sec.err
		}
		if ended && sec.raw == "" && s.c.offset() == p.off {
			p.container = false // nothing there
			return nil
		}
		parent, message = p, true
	}
}

// newPart makes a part of a header section; its content begins at the cursor.
func (s *streamWalk) newPart(parent *Part, sec *hdrSection, message bool) (*Part, []string, error) {
	p := &Part{Parent: parent, Header: Header{sec}, stream: s.st, off: s.c.offset(), message: message, textLimit: s.lim.Text}
	if parent != nil {
		p.Depth = parent.Depth + 1
	}
	if sec != nil {
		s.headers += int64(len(sec.raw))
	}
	switch {
	case p.Depth > s.lim.Depth:
		return nil, nil, tooComplex("parts nested deeper than %d", s.lim.Depth)
	case len(s.tree.parts) >= s.lim.Parts:
		return nil, nil, tooComplex("more than %d parts", s.lim.Parts)
	case s.headers > s.lim.Headers:
		return nil, nil, tooComplex("more than %d bytes of header sections", s.lim.Headers)
	case !s.tick():
		return nil, nil, s.stop
	}
	defaultType := "text/plain"
	if parent != nil && parent.Declared == "multipart/digest" {
		defaultType = "message/rfc822" // RFC 2046 section 5.1.5
	}
	ctype, cdisp := p.describe(defaultType)
	bounds, multipart, err := boundaries(p.Header)
	if err != nil {
		return nil, nil, err
	}
	s.number(p, bounds != nil)
	s.tree.parts = append(s.tree.parts, p)
	if !s.tree.notes.full() {
		s.checkHeader(p)
		s.checkFields(p, ctype, cdisp)
		s.checkBoundaries(p, bounds, multipart)
	}
	return p, bounds, nil
}

// number gives the part its path. It counts the part in its multipart.
func (s *streamWalk) number(p *Part, multipart bool) {
	switch {
	case p.Parent == nil:
		if !multipart {
			p.Path = "1"
		}
	case p.message && multipart:
		p.Path = p.Parent.Path + ".TEXT"
	case p.message:
		p.Path = p.Parent.Path + ".1"
	default:
		o := &s.open[len(s.open)-1]
		o.children++
		o.part.container = true
		prefix := strings.TrimSuffix(p.Parent.Path, ".TEXT")
		if prefix != "" {
			prefix += "."
		}
		p.Path = fmt.Sprintf("%s%d", prefix, o.children)
	}
}

// closeTo ends the open parts from index n on at offset end.
func (s *streamWalk) closeTo(n int, end int64) error {
	if s.uu != nil {
		s.uu.n = max(end-s.uu.off, 0)
		s.uu = nil
	}
	for i := len(s.open) - 1; i >= n; i-- {
		o := s.open[i]
		if i >= s.inherited {
			o.part.n = max(end-o.part.off, 0)
		}
		s.open = s.open[:i]
		if err := s.closed(o, i < s.inherited); err != nil {
			return err
		}
	}
	s.leaf = nil
	return nil
}

// closed looks at a part that has ended.
func (s *streamWalk) closed(o openPart, inherited bool) error {
	p := o.part
	encoded := newDecoder(p.Encoding) != nil
	switch {
	case o.bounds == nil && isMessage(p.Declared) && encoded:
		p.container = p.n > 0
		if !p.container {
			return nil
		}
		return s.nested(p, nil)
	case o.bounds == nil:
		return nil
	case o.children == 0 && encoded && !inherited:
		// Perhaps the encoding is meant seriously.
		return s.nested(p, o.bounds)
	case o.children == 0:
		s.note(mimeNoParts, p, "no line has the boundary %s", quote(o.bounds[0]))
	case !o.closed:
		s.note(mimeNoEnd, p, "no final delimiter for the boundary %s", quote(o.bounds[0]))
	}
	return nil
}
