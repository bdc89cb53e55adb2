package ics

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"strings"
)

const (
	maxValue  = 256 << 10 // bytes of a value that are kept; attachments have no such limit
	maxParams = 50
)

// property is a line of a calendar (RFC 5545 section 3.1).
type property struct {
	name   string // in upper case, without a group
	params []param
	value  []byte // as it stands there
}

type param struct{ name, value string }

func (p *property) param(name string) string {
	for _, a := range p.params {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// lines gives the unfolded lines of a calendar.
type lines struct {
	rest []byte
	buf  []byte
}

// next returns the next line, which is valid until the next call; ok is false at the end.
func (l *lines) next() (line []byte, ok bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	line = l.physical()
	if !l.folded() {
		return line, true
	}
	l.buf = append(l.buf[:0], line...)
	for l.folded() {
		l.buf = append(l.buf, l.physical()[1:]...)
	}
	return l.buf, true
}

// folded says whether the next line continues the one before it.
func (l *lines) folded() bool {
	return len(l.rest) > 0 && (l.rest[0] == ' ' || l.rest[0] == '\t')
}

// physical takes a line that ends with CR, LF or both.
func (l *lines) physical() []byte {
	i := bytes.IndexAny(l.rest, "\r\n")
	if i < 0 {
		line := l.rest
		l.rest = nil
		return line
	}
	line := l.rest[:i]
	// Some writers end a line with CR CR LF.
	for i < len(l.rest) && l.rest[i] == '\r' {
		i++
	}
	if i < len(l.rest) && l.rest[i] == '\n' {
		i++
	}
	l.rest = l.rest[i:]
	return line
}

// parse splits a line; ok is false if it has no name and colon.
func parse(line []byte) (p property, ok bool) {
	i := bytes.IndexAny(line, ";:")
	if i <= 0 {
		return p, false
	}
	name := strings.ToUpper(strings.TrimSpace(string(line[:min(i, 128)])))
	p.name = name[strings.LastIndexByte(name, '.')+1:]
	for line = line[i:]; line[0] == ';'; {
		var a param
		if a, line, ok = parseParam(line[1:]); !ok {
			return p, false
		}
		if len(p.params) < maxParams {
			p.params = append(p.params, a)
		}
	}
	p.value = line[1:]
	return p, true
}

// parseParam parses a parameter. What is left begins with a semicolon or a colon.
func parseParam(line []byte) (a param, rest []byte, ok bool) {
	i := bytes.IndexAny(line, "=;:")
	if i < 0 {
		return a, nil, false
	}
	a.name = strings.ToUpper(string(line[:min(i, 128)]))
	if line[i] != '=' {
		return a, line[i:], true
	}
	line = line[i+1:]
	var value []byte
	for {
		if len(line) > 0 && line[0] == '"' {
			end := bytes.IndexByte(line[1:], '"')
			if end < 0 {
				return a, nil, false
			}
			value = append(value, line[1:end+1]...)
			line = line[end+2:]
		}
		i := bytes.IndexAny(line, "\";:")
		if i < 0 {
			return a, nil, false
		}
		value = append(value, line[:i]...)
		if line = line[i:]; line[0] != '"' {
			break
		}
	}
	a.value = strings.ToValidUTF8(string(value[:min(len(value), 4096)]), "\uFFFD")
	return a, line, true
}

// text decodes a value of text (RFC 5545 section 3.3.11), also as vCalendar 1.0 wrote it.
func (p *property) text() string {
	v := p.value
	if strings.EqualFold(p.param("ENCODING"), "QUOTED-PRINTABLE") {
		if b, err := io.ReadAll(io.LimitReader(quotedprintable.NewReader(bytes.NewReader(v)), maxValue)); err == nil {
			v = b
		}
	}
	v = v[:min(len(v), maxValue)]
	s := string(v)
	if strings.IndexByte(s, '\\') >= 0 {
		s = unescaper.Replace(s)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

var unescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\:`, ":", `\"`, `"`)

// uri decodes a value that is a URI, in which some escape what they need not.
func (p *property) uri() string {
	const longest = 16 << 10
	s := string(bytes.TrimSpace(p.value[:min(len(p.value), longest)]))
	if strings.Contains(s, `\`) {
		s = unescaper.Replace(s)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
