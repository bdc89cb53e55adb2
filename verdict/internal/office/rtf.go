package office

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// destination is what the text of a group of RTF is for.
type destination uint8

const (
	destText destination = iota
	destSkip
	destObject   // hexadecimal data of an object
	destClass    // class of an object
	destField    // code of a field
	destTemplate // where the template is
	destHTML     // a tag of HTML that Outlook has put into RTF (MS-OXRTFEX)
)

// group is an open group.
type group struct {
	dest destination
	star bool // began with \*: unknown words make it one to skip
	own  bool // the destination began in this group
}

// rtfReader reads RTF as Word does, which forgives nearly everything.
type rtfReader struct {
	in     *inspector
	r      *bufio.Reader
	depth  int // of this document in others
	stack  []group
	lost   int // groups that are nested too deep to be told apart
	fields fields
	text   []byte // of a class or template
	object rtfObject
	skip   int // characters that stand for one that was given by number
	uc     int
	high   rune
}

const maxGroups = 10_000

// rtf takes RTF apart.
func (in *inspector) rtf(r io.Reader, depth int) error {
	w := &rtfReader{in: in, r: bufio.NewReaderSize(in.b.Reader(r), 32<<10), depth: depth, uc: 1}
	w.fields.in = in
	if err := w.read(); err != nil {
		return err
	}
	return w.finishObject()
}

func (w *rtfReader) read() error {
	for {
		if err := w.in.b.Step(); err != nil {
			return err
		}
		c, err := w.r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch c {
		case '{':
			w.push()
		case '}':
			err = w.pop()
		case '\\':
			err = w.control()
		case '\r', '\n':
		default:
			err = w.char(rune(c))
		}
		if err != nil {
			return err
		}
	}
}

func (w *rtfReader) push() {
	if len(w.stack) >= maxGroups {
		w.lost++
		return
	}
	g := group{}
	if n := len(w.stack); n > 0 {
		g.dest = w.stack[n-1].dest
	}
	w.stack = append(w.stack, g)
}

func (w *rtfReader) pop() error {
	w.skip = 0
	if w.lost > 0 {
		w.lost--
		return nil
	}
	n := len(w.stack)
	if n == 0 {
		return nil
	}
	g := w.stack[n-1]
	w.stack = w.stack[:n-1]
	if !g.own {
		return nil
	}
	switch g.dest {
	case destField:
		return w.fields.end()
	case destObject:
		return w.finishObject()
	case destClass:
		w.object.class = strings.TrimSpace(latin1(w.text))
		w.text = w.text[:0]
	case destHTML:
		err := w.htmlTag(string(w.text))
		w.text = w.text[:0]
		return err
	case destTemplate:
		target := strings.TrimSpace(latin1(w.text))
		w.text = w.text[:0]
		return w.in.remote("template", target)
	}
	return nil
}

// htmlTag takes the address of a link.
func (w *rtfReader) htmlTag(tag string) error {
	if i := strings.Index(strings.ToLower(tag), "href="); i >= 0 {
		rest := strings.TrimLeft(tag[i+len("href="):], "\"' ")
		if end := strings.IndexAny(rest, "\"' >"); end >= 0 {
			rest = rest[:end]
		}
		return w.in.link("hyperlink", strings.ReplaceAll(rest, "&amp;", "&"), false)
	}
	return nil
}

// top is the current group. Text outside of all of them belongs to one that nobody opened.
func (w *rtfReader) top() *group {
	if len(w.stack) == 0 {
		w.stack = append(w.stack, group{})
	}
	return &w.stack[len(w.stack)-1]
}

// begin makes the current group one of the destination.
func (w *rtfReader) begin(d destination) {
	g := w.top()
	g.dest, g.own = d, true
	if d == destClass || d == destTemplate || d == destHTML {
		w.text = w.text[:0]
	}
}

// char takes a character of text.
func (w *rtfReader) char(r rune) error {
	if w.skip > 0 {
		w.skip--
		return nil
	}
	switch w.top().dest {
	case destObject:
		return w.object.hex(w.in, byte(r))
	case destField:
		w.fields.text(string(r))
	case destClass, destTemplate, destHTML:
		if len(w.text) < maxText && r < 0x100 {
			w.text = append(w.text, byte(r))
		}
	}
	return nil
}

// control reads what follows a backslash.
func (w *rtfReader) control() error {
	c, err := w.r.ReadByte()
	if err != nil {
		return ignoreEnd(err)
	}
	switch {
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return w.word(c)
	case c == '\'':
		p, _ := w.r.Peek(2)
		n, err := strconv.ParseUint(string(p), 16, 8)
		if err != nil {
			return nil
		}
		w.r.Discard(2)
		if w.top().dest == destObject {
			// Word throws away half a byte that came before.
			w.object.half = false
			return nil
		}
		return w.char(rune(n))
	case c == '*':
		w.top().star = true
	case c == '\\' || c == '{' || c == '}':
		return w.char(rune(c))
	case c == '~':
		return w.char(' ')
	}
	return nil
}

const maxControl = 255 // letters of a control word that Word reads

// word reads a control word and its number.
func (w *rtfReader) word(c byte) error {
	name := make([]byte, 0, 32)
	for c|0x20 >= 'a' && c|0x20 <= 'z' {
		if len(name) < maxControl {
			name = append(name, c)
		}
		var err error
		if c, err = w.r.ReadByte(); err != nil {
			return ignoreEnd(err)
		}
	}
	number, negative := 0, false
	if c == '-' {
		negative = true
		c, _ = w.r.ReadByte()
	}
	for c >= '0' && c <= '9' {
		number = min(number*10+int(c-'0'), 1<<31-1)
		var err error
		if c, err = w.r.ReadByte(); err != nil {
			break
		}
	}
	if c != ' ' {
		w.r.UnreadByte()
	}
	if negative {
		number = -number
	}
	return w.command(string(name), number)
}

// command does what a control word says, as far as it matters here.
func (w *rtfReader) command(name string, number int) error {
	g := w.top()
	switch name {
	case "bin":
		return w.binary(int64(max(number, 0)))
	case "u":
		return w.unicode(number)
	case "uc":
		w.uc = min(max(number, 0), 16)
	case "object":
		w.object = rtfObject{depth: w.depth}
	case "objdata":
		w.begin(destObject)
	case "objclass":
		w.begin(destClass)
	case "objupdate":
		w.object.update = true
	case "objautlink", "objlink":
		w.object.linked = true
	case "objocx":
		w.object.control = true
	case "template":
		w.begin(destTemplate)
	case "htmltag":
		w.begin(destHTML)
	case "fldinst":
		w.begin(destField)
		w.fields.begin()
	case "fldrslt":
		g.dest = destText
	case "pict", "fonttbl", "colortbl", "stylesheet", "themedata", "colorschememapping", "datastore", "blipuid", "nonshppict":
		if g.dest != destObject {
			g.dest = destSkip
		}
	case "tab", "line", "par":
		return w.char(' ')
	default:
		if g.star && g.dest != destObject && g.dest != destField {
			g.dest = destSkip
		}
		if g.star && len(w.stack) > 1 && g.dest == destObject && !g.own {
			g.dest = destSkip // a group in the data that Word does not read
		}
	}
	return nil
}

// binary takes n bytes as they are.
func (w *rtfReader) binary(n int64) error {
	r := io.LimitReader(w.r, n)
	if w.top().dest != destObject {
		_, err := io.Copy(io.Discard, r)
		return ignoreEnd(err)
	}
	b, err := w.in.b.ReadAll(r, 0)
	w.object.data = append(w.object.data, b...)
	return ignoreEnd(err)
}

// unicode takes a character by its number; characters that stand for it follow.
func (w *rtfReader) unicode(number int) error {
	w.skip = 0
	r := rune(uint16(number))
	if utf16.IsSurrogate(r) {
		if w.high == 0 {
			w.high = r
			w.skip = w.uc
			return nil
		}
		r = utf16.DecodeRune(w.high, r)
	}
	w.high = 0
	if w.top().dest == destObject {
		return nil
	}
	err := w.char(r)
	w.skip = w.uc
	return err
}
