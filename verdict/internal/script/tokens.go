package script

import (
	"bytes"
	"html"
	"strings"
)

// attr is an attribute of a tag.
type attr struct{ name, value string }

// tokens splits HTML into tags and text the way browsers do (WHATWG HTML section 13.2.5), without ever
// copying text.
type tokens struct {
	p    []byte
	text []byte // since the last tag
	name string // of the tag, in lower case and without a prefix; with a slash before it if it ends one
	full string // with the prefix
	tag  []byte // of a start tag: what follows the name
	raw  []byte // of a start tag: the text up to the end tag, if the element has only text
	xml  bool   // an element may end with its start tag, which HTML does not know
}

// next goes to the next tag. At the end it returns false, and text is what was left.
func (t *tokens) next() bool {
	start := t.p
	for i := 0; ; {
		k := bytes.IndexByte(start[i:], '<')
		if k < 0 {
			t.text, t.p = start, nil
			return false
		}
		i += k
		rest := start[i+1:]
		switch {
		case len(rest) == 0:
			t.text, t.p = start, nil
			return false
		case rest[0] == '!' || rest[0] == '?' || rest[0] == '/' && len(rest) > 1 && !isLetter(rest[1]):
			t.text = start[:i]
			if len(t.text) > 0 {
				// Give the text first: what follows is no part of it.
				t.name, t.full, t.tag, t.raw, t.p = "", "", nil, nil, start[i:]
				return true
			}
			start = rest[skipMarkup(rest):]
			i = 0
		case isLetter(rest[0]) || rest[0] == '/':
			t.text = start[:i]
			t.readTag(rest)
			return true
		default:
			i++
		}
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// skipMarkup returns the length of a comment or declaration that begins after "<".
func skipMarkup(p []byte) int {
	if bytes.HasPrefix(p, []byte("!--")) {
		body := p[3:]
		for _, end := range []string{">", "->"} {
			if bytes.HasPrefix(body, []byte(end)) {
				return 3 + len(end)
			}
		}
		end, n := len(body), 0
		for _, mark := range []string{"-->", "--!>"} {
			if i := bytes.Index(body[:end], []byte(mark)); i >= 0 {
				end, n = i, len(mark)
			}
		}
		return 3 + end + n
	}
	if bytes.HasPrefix(p, []byte("![CDATA[")) {
		return len("![CDATA[") // in SVG its content counts
	}
	if i := bytes.IndexByte(p, '>'); i >= 0 {
		return i + 1
	}
	return len(p)
}

// rawElements have only text in them.
var rawElements = map[string]bool{"script": true, "style": true, "textarea": true, "title": true, "xmp": true, "noembed": true, "noframes": true}

// readTag reads the tag that begins after "<".
func (t *tokens) readTag(p []byte) {
	n := 0
	for n < len(p) && !isSpace(p[n]) && p[n] != '>' && (p[n] != '/' || n == 0) {
		n++
	}
	t.full = strings.ToLower(string(p[:min(n, 64)]))
	t.name, t.raw = t.full, nil
	if i := strings.IndexByte(t.name, ':'); i >= 0 {
		slash := ""
		if t.name[0] == '/' {
			slash = "/"
		}
		t.name = slash + t.name[i+1:]
	}
	p = p[n:]
	end := tagEnd(p)
	t.tag, t.p = p[:end], p[min(end+1, len(p)):]
	if rawElements[t.name] && !(t.xml && bytes.HasSuffix(t.tag, []byte("/"))) {
		t.raw = t.p[:endOf(t.p, t.full)]
		t.p = t.p[len(t.raw):]
	}
}

// tagEnd finds the ">" that ends a tag. Quotes count only where a value begins.
func tagEnd(p []byte) int {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '>':
			return i
		case '=':
			for i+1 < len(p) && isSpace(p[i+1]) {
				i++
			}
			if i+1 < len(p) && (p[i+1] == '"' || p[i+1] == '\'') {
				k := bytes.IndexByte(p[i+2:], p[i+1])
				if k < 0 {
					return len(p)
				}
				i += k + 2
			}
		}
	}
	return len(p)
}

// endOf finds the end tag of an element with only text.
func endOf(p []byte, name string) int {
	for i := 0; ; {
		k := bytes.Index(p[i:], []byte("</"))
		if k < 0 {
			return len(p)
		}
		i += k
		rest := p[i+2:]
		if len(rest) >= len(name) && strings.EqualFold(string(rest[:len(name)]), name) &&
			(len(rest) == len(name) || isSpace(rest[len(name)]) || rest[len(name)] == '>' || rest[len(name)] == '/') {
			return i
		}
		i += 2
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

const maxAttrs = 200

// attrs parses the attributes of the tag.
func (t *tokens) attrs() []attr {
	var out []attr
	p := t.tag
	for len(out) < maxAttrs {
		p = bytes.TrimLeft(p, " \t\r\n\f/")
		if len(p) == 0 {
			return out
		}
		n := 1 // an equals sign at the beginning is a part of the name
		for n < len(p) && !isSpace(p[n]) && p[n] != '=' && p[n] != '/' {
			n++
		}
		a := attr{name: strings.ToLower(string(p[:min(n, 256)]))}
		p = p[n:]
		if rest := bytes.TrimLeft(p, " \t\r\n\f"); len(rest) > 0 && rest[0] == '=' {
			a.value, p = value(bytes.TrimLeft(rest[1:], " \t\r\n\f"))
		}
		if i := strings.IndexByte(a.name, ':'); i >= 0 {
			a.name = a.name[i+1:]
		}
		out = append(out, a)
	}
	return out
}

// value reads the value of an attribute.
func value(p []byte) (string, []byte) {
	if len(p) == 0 {
		return "", p
	}
	if p[0] == '"' || p[0] == '\'' {
		k := bytes.IndexByte(p[1:], p[0])
		if k < 0 {
			return unescape(p[1:]), nil
		}
		return unescape(p[1 : k+1]), p[k+2:]
	}
	n := 0
	for n < len(p) && !isSpace(p[n]) {
		n++
	}
	return unescape(p[:n]), p[n:]
}

func unescape(p []byte) string {
	if bytes.IndexByte(p, '&') < 0 {
		return string(p)
	}
	return html.UnescapeString(string(p))
}
