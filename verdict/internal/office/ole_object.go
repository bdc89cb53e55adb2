package office

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

// cursor reads fields of little endian records. What is beyond the end is zero and sets bad.
type cursor struct {
	p   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.p) {
		c.bad, c.p = true, nil
		return nil
	}
	out := c.p[:n]
	c.p = c.p[n:]
	return out
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// text reads up to a NUL.
func (c *cursor) text() string {
	i := bytes.IndexByte(c.p, 0)
	if i < 0 {
		c.bad = true
		return ""
	}
	s := latin1(c.p[:i])
	c.p = c.p[i+1:]
	return s
}

// sized reads text with its length in 32 bits before it.
func (c *cursor) sized() string {
	n := c.u32()
	if int64(n) > int64(len(c.p)) {
		c.bad = true
		return ""
	}
	return strings.TrimRight(latin1(c.take(int(n))), "\x00")
}

// latin1 makes bytes of an unknown charset text.
func latin1(b []byte) string {
	var sb strings.Builder
	sb.Grow(len(b))
	for _, c := range b {
		sb.WriteRune(rune(c))
	}
	return sb.String()
}

// wide decodes UTF-16.
func wide(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// small reads a stream that is expected to be small; more than max bytes of it are left out.
func (o *oleFile) small(in *inspector, e *cfb.Entry, max int64) ([]byte, error) {
	b, err := in.b.ReadAll(io.LimitReader(o.Open(e), max), min(e.Size, max))
	if e := in.b.Keep(-int64(len(b))); e != nil {
		return nil, e
	}
	if err == io.ErrUnexpectedEOF {
		err = nil // what is there may be enough
	}
	return b, err
}

const nativeHead = 16 << 10 // bytes in which the names of a packaged file stand

// ole10Native takes the file out of the stream of the packager (MS-OLEDS section 2.3.6).
func (in *inspector) ole10Native(o *oleFile, e *cfb.Entry) error {
	head, err := o.small(in, e, nativeHead)
	if err != nil {
		return err
	}
	p, ok := parsePackage(head, 4)
	if !ok {
		// Other programs keep their own data in a stream of this name.
		if len(head) <= 4 || !startsFile(head[4:]) {
			return nil
		}
		return in.stream("", o.at(e), e.Size-4, func() (io.Reader, error) { return skip(o.Open(e), 4) })
	}
	if err := in.object(Object{Class: "Package", Where: o.dir(e), Linked: p.linked}); err != nil {
		return err
	}
	if p.linked {
		return in.link("object", p.path, false)
	}
	size := min(p.size, max(0, e.Size-p.off))
	return in.stream(p.name(), o.at(e), size, func() (io.Reader, error) {
		r, err := skip(o.Open(e), p.off)
		return io.LimitReader(r, size), err
	})
}

func skip(r io.Reader, n int64) (io.Reader, error) {
	if _, err := io.CopyN(io.Discard, r, n); err != nil {
		return nil, err
	}
	return r, nil
}

// packaged is a file in the format of the packager.
type packaged struct {
	label, path string
	off, size   int64
	linked      bool
}

// name is what the user sees; if it has no extension, the path may.
func (p *packaged) name() string {
	if !strings.Contains(p.label, ".") && strings.Contains(p.path, ".") {
		return p.path
	}
	return p.label
}

// parsePackage parses what follows the first n bytes.
func parsePackage(b []byte, n int) (packaged, bool) {
	c := cursor{p: b}
	c.take(n)
	var p packaged
	if c.u16() != 2 { // stream header
		return p, false
	}
	p.label = c.text()
	p.path = c.text()
	c.u16()
	switch kind := c.u16(); kind {
	case 1:
		p.linked = true
		return p, !c.bad
	case 3:
	default:
		return p, false
	}
	c.sized() // path of the temporary file
	p.size = int64(c.u32())
	p.off = int64(len(b) - len(c.p))
	return p, !c.bad
}

// compObj reads what an object calls itself (MS-OLEDS section 2.3.8).
func (in *inspector) compObj(o *oleFile, e *cfb.Entry) error {
	if o.depth == 0 && e.Path == e.Name {
		return nil // of the document itself
	}
	b, err := o.small(in, e, 4096)
	if err != nil {
		return err
	}
	c := cursor{p: b}
	c.take(28)
	c.sized() // user type
	if marker := c.u32(); marker == 0xFFFFFFFF || marker == 0xFFFFFFFE {
		c.u32() // clipboard format by number
	} else if marker != 0 {
		c.take(int(min(marker, maxText)))
	}
	class := c.sized()
	if c.bad || class == "" {
		return nil
	}
	return in.object(Object{Class: cut(class), Where: o.dir(e)})
}

var (
	urlMoniker  = []byte("\xE0\xC9\xEA\x79\xF9\xBA\xCE\x11\x8C\x82\x00\xAA\x00\x4B\xA9\x0B")
	fileMoniker = []byte("\x03\x03\x00\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46")
)

// oleLink reads where a linked object is (MS-OLEDS section 2.3.3).
func (in *inspector) oleLink(o *oleFile, e *cfb.Entry) error {
	b, err := o.small(in, e, 64<<10)
	if err != nil || len(b) < 8 {
		return err
	}
	targets := monikers(b)
	linked := binary.LittleEndian.Uint32(b[4:])&1 != 0
	if !linked && len(targets) == 0 {
		return nil
	}
	for _, t := range targets {
		if err := in.link("object", t, true); err != nil {
			return err
		}
	}
	return in.object(Object{Class: "OLE2Link", Where: o.dir(e), Linked: true, Update: true})
}

// monikers returns the targets that are in the serialized form of monikers.
func monikers(b []byte) []string {
	const most = 16 // each costs the reading of a text
	var out []string
	for p := b; len(out) < most; {
		i := bytes.Index(p, urlMoniker)
		if i < 0 {
			break
		}
		c := cursor{p: p[i+16:]}
		n := min(int(min(c.u32(), 2*maxText)), len(c.p))
		s, _, _ := strings.Cut(wide(c.take(n)), "\x00")
		if s != "" {
			out = append(out, s)
		}
		p = p[i+16:]
	}
	for p := b; len(out) < 2*most; {
		i := bytes.Index(p, fileMoniker)
		if i < 0 {
			break
		}
		c := cursor{p: p[i+16:]}
		c.u16()
		if s := c.sized(); s != "" {
			out = append(out, cut(s))
		}
		p = p[i+16:]
	}
	return out
}
