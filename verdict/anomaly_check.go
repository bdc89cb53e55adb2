package verdict

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// hdrOddities are the anomalies behind the flags of a header section.
var hdrOddities = [...]struct {
	flag   hdrFlags
	code   string
	detail string
}{
	{hdrMbox, headerMbox, "the message begins with a From line"},
	{hdrNoColon, headerNoColon, "a line without colon"},
	{hdrBadName, headerBadName, "a name with bytes that it may not have"},
	{hdrSpaceColon, headerSpaceColon, "a blank before the colon"},
	{hdrBlankFold, headerBlankFold, "a continuation line of blanks"},
	{hdrFoldFirst, headerFoldFirst, "the section begins with a blank"},
	{hdrNoEnd, headerNoEnd, "no empty line before the body"},
}

// checkHeader looks at the header section as such.
func (s *streamWalk) checkHeader(p *Part) {
	h := p.Header.s
	if h == nil {
		return
	}
	if h.flags != 0 {
		for _, o := range hdrOddities {
			if h.flags&o.flag != 0 {
				s.note(o.code, p, "%s", o.detail)
			}
		}
	}
	for name, values := range twice(p.Header, p.message) {
		code := headerRepeated
		if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
			code = headerDuplicate
		}
		s.note(code, p, "%d times %s: %s, %s", len(values), name, quote(values[0]), quote(values[1]))
	}
	if n := strings.Count(h.raw, "\x00"); n > 0 {
		s.note(headerNul, p, "%d NUL bytes", n)
	}
	if n := strings.Count(h.raw, "\r") - strings.Count(h.raw, "\r\n"); n > 0 {
		s.note(headerBareCR, p, "%d CR without LF", n)
	}
	if !isASCII(h.raw) && !utf8.ValidString(h.raw) {
		s.note(header8bit, p, "bytes that are neither ASCII nor UTF-8")
	}
	if strings.Contains(h.raw, "=?") {
		s.checkWords(p)
	}
}

func (s *streamWalk) checkWords(p *Part) {
	for f := range p.Header.All() {
		if !strings.Contains(f.raw, "=?") {
			continue
		}
		if _, hidden := decodeWords(f.Value()); hidden {
			s.note(headerHidden, p, "in %s", quote(f.Name))
		}
	}
}

// checkFields looks at the MIME fields.
func (s *streamWalk) checkFields(p *Part, ctype, cdisp mimeValue) {
	if _, ok := p.Header.find("Content-Type"); ok && declaredType(ctype.kind, "") == "" {
		s.note(mimeType, p, "Content-Type %s", quote(p.Header.Get("Content-Type")))
	}
	for _, v := range []mimeValue{ctype, cdisp} {
		if v.odd {
			s.note(mimeParams, p, "parameters of %s", quote(v.kind))
		}
		s.checkParams(p, v)
	}
	s.checkEncoding(p)
	s.checkNames(p, ctype, cdisp)
	if charset := p.Params["charset"]; charset != "" && strings.HasPrefix(p.Declared, "text/") {
		if _, ok := decodeCharset(charset, nil); !ok {
			s.note(mimeCharset, p, "charset %s", quote(charset))
		}
	}
	switch p.Declared {
	case "message/partial":
		s.note(mimePartial, p, "piece %s of %s", quote(p.Params["number"]), quote(p.Params["total"]))
	case "message/external-body":
		s.note(mimeExternal, p, "access type %s", quote(p.Params["access-type"]))
	}
}

func (s *streamWalk) checkParams(p *Part, v mimeValue) {
	if len(v.params) < 2 {
		return
	}
	first := make(map[string]string, len(v.params))
	for _, q := range v.params {
		value, ok := first[q.name]
		if !ok {
			first[q.name] = q.value
		} else if value != q.value && q.name != "boundary" { // that has a code of its own
			s.note(mimeParamTwice, p, "%s is %s and %s", quote(q.name), quote(value), quote(q.value))
		}
	}
}

func (s *streamWalk) checkEncoding(p *Part) {
	value := p.Header.Get("Content-Transfer-Encoding")
	if value == "" {
		return
	}
	if _, odd := encodingName(value); odd {
		s.note(mimeEncodingForm, p, "Content-Transfer-Encoding %s", quote(value))
	}
	switch {
	case !knownEncoding(p.Encoding):
		s.note(mimeEncoding, p, "Content-Transfer-Encoding %s", quote(value))
	case newDecoder(p.Encoding) == nil:
	case strings.HasPrefix(p.Declared, "multipart/"):
		s.note(mimeMultiEncoding, p, "%s in %s", p.Declared, quote(value))
	case isMessage(p.Declared):
		s.note(mimeMsgEncoding, p, "%s in %s", p.Declared, quote(value))
	}
}

func (s *streamWalk) checkNames(p *Part, ctype, cdisp mimeValue) {
	names := append(filenames(cdisp, "filename"), filenames(ctype, "name")...)
	if len(names) < 2 {
		return
	}
	for _, n := range names[1:] {
		if extension(n) != extension(names[0]) {
			s.note(mimeFilenameType, p, "%s and %s", quote(names[0]), quote(n))
			return
		}
	}
	for _, n := range names[1:] {
		if n != names[0] {
			s.note(mimeFilename, p, "%s and %s", quote(names[0]), quote(n))
			return
		}
	}
}

func (s *streamWalk) checkBoundaries(p *Part, bounds []string, multipart bool) {
	if !multipart {
		return
	}
	if bounds == nil {
		s.note(mimeNoBoundary, p, "%s", p.Declared)
		return
	}
	if len(bounds) > 1 {
		s.note(mimeBoundary, p, "%s or %s", quote(bounds[0]), quote(bounds[1]))
	}
	for _, b := range bounds {
		if !goodBoundary(b) {
			s.note(mimeBoundaryForm, p, "boundary %s", quote(b))
		}
		for _, o := range s.open {
			for _, outer := range o.bounds {
				switch {
				case b == outer:
					s.note(mimeBoundaryAgain, p, "boundary %s", quote(b))
				case outer != "" && strings.HasPrefix(b, outer):
					s.note(mimeBoundaryStart, p, "boundary %s begins with %s", quote(b), quote(outer))
				}
			}
		}
	}
}

// decodeOddities are the anomalies behind the flags of a decoder.
var decodeOddities = [...]struct {
	flag   decodeFlags
	code   string
	detail string
}{
	{base64Junk, mimeBase64Junk, "bytes outside of the alphabet"},
	{base64Padding, mimeBase64Padding, "padding in the middle"},
	{base64Length, mimeBase64Length, "not a whole number of groups"},
	{qpEscape, mimeQPEscape, "a bad escape"},
	{uuLine, mimeUULine, "a line that does not fit"},
}

// check adds what only decoding shows.
func (t *partTree) check() []Anomaly {
	l := t.notes
	l.kept = slices.Clone(l.kept)
	for _, p := range t.parts {
		if l.full() {
			break
		}
		if newDecoder(p.Encoding) == nil || p.isMultipart() {
			continue
		}
		m, err := p.measure(false)
		if err != nil {
			l.add(mimeUnread, p.Path, "%v", err)
			break
		}
		for _, o := range decodeOddities {
			if m.flags&o.flag != 0 {
				l.add(o.code, p.Path, "%s", o.detail)
			}
		}
	}
	return l.kept
}
