package tnef

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Properties (MS-OXPROPS) and their types (MS-OXCDATA section 2.11.1).
const (
	propSubject   = 0x0037
	propBody      = 0x1000
	propRTF       = 0x1009
	propHTML      = 0x1013
	propDisplay   = 0x3001
	propData      = 0x3701
	propShortName = 0x3704
	propLongName  = 0x3707

	typeMany    = 0x1000
	typeObject  = 0x000D
	typeString8 = 0x001E
	typeUnicode = 0x001F
	typeBinary  = 0x0102

	firstNamed = 0x8000
)

// messageID is the interface of an attached message; any other object is a storage.
const messageID = "\x07\x03\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"

// propReader reads through the properties of one attribute.
type propReader struct {
	body *io.SectionReader
	r    *bufio.Reader
	pos  int64
	err  error
}

func (p *propReader) bytes(n int64) []byte {
	if p.err != nil || n < 0 || n > 64 {
		p.fail()
		return make([]byte, 8)
	}
	b := make([]byte, max(n, 8))
	var m int
	m, p.err = io.ReadFull(p.r, b[:n])
	p.pos += int64(m)
	return b
}

func (p *propReader) fail() {
	if p.err == nil {
		p.err = io.ErrUnexpectedEOF
	}
}

func (p *propReader) u16() uint16 { return binary.LittleEndian.Uint16(p.bytes(2)) }
func (p *propReader) u32() uint32 { return binary.LittleEndian.Uint32(p.bytes(4)) }

// value returns the next n bytes as a section and goes behind them and their padding.
func (p *propReader) value(n int64) *io.SectionReader {
	if p.err != nil || n > p.body.Size()-p.pos {
		p.fail()
		return nil
	}
	out := io.NewSectionReader(p.body, p.pos, n)
	skip := min((n+3)&^3, p.body.Size()-p.pos)
	var m int64
	if skip <= int64(p.r.Buffered()) {
		k, err := p.r.Discard(int(skip))
		m, p.err = int64(k), err
	} else {
		// Not through the buffer: it may be a large attachment.
		m = skip
		p.r.Reset(io.NewSectionReader(p.body, p.pos+skip, p.body.Size()-p.pos-skip))
	}
	p.pos += m
	return out
}

// props reads the properties of a message, or of an attachment (MS-OXTNEF section 2.1.3.4). Where they
// are broken, they end.
func (d *document) props(body *io.SectionReader, at *attachment, where string, depth int) error {
	p := &propReader{body: body, r: bufio.NewReaderSize(body, 512)}
	count := p.u32()
	for range count {
		if err := d.b.Object(); err != nil {
			return err
		}
		kind, id := p.u16(), p.u16()
		if id >= firstNamed {
			p.name()
		}
		if err := d.prop(p, kind, id, at, where, depth); err != nil {
			return err
		}
		if p.err != nil {
			return nil
		}
	}
	return nil
}

// name skips the name of a property.
func (p *propReader) name() {
	p.bytes(16)
	if p.u32() == 0 {
		p.u32()
		return
	}
	p.value(int64(p.u32()))
}

// prop reads the values of one property.
func (d *document) prop(p *propReader, kind, id uint16, at *attachment, where string, depth int) error {
	many := kind&typeMany != 0
	kind &^= typeMany
	variable := kind == typeString8 || kind == typeUnicode || kind == typeBinary || kind == typeObject
	count := uint32(1)
	if many || variable {
		count = p.u32()
	}
	for range count {
		if p.err != nil {
			return nil
		}
		if err := d.b.Object(); err != nil {
			return err
		}
		n := fixedSize(kind)
		if variable {
			n = int64(p.u32())
		}
		if n == 0 && !variable {
			p.fail() // of a type that nobody knows, so neither is its size
			return nil
		}
		v := p.value(n)
		if v == nil || many {
			continue
		}
		if err := d.take(v, kind, id, at, where); err != nil {
			return err
		}
	}
	return nil
}

func fixedSize(kind uint16) int64 {
	switch kind {
	case 0x0001, 0x0002, 0x0003, 0x0004, 0x000A, 0x000B:
		return 4
	case 0x0005, 0x0006, 0x0007, 0x0014, 0x0040:
		return 8
	case 0x0048:
		return 16
	}
	return 0
}

// take keeps a value that matters.
func (d *document) take(v *io.SectionReader, kind, id uint16, at *attachment, where string) error {
	var err error
	if at != nil {
		switch id {
		case propLongName:
			at.long, err = d.propText(v, kind)
		case propShortName:
			at.short, err = d.propText(v, kind)
		case propDisplay:
			at.display, err = d.propText(v, kind)
		case propData:
			d.object(v, kind, at)
		}
		return err
	}
	switch id {
	case propSubject:
		if where == "" && d.rep.Subject == "" {
			d.rep.Subject, err = d.propText(v, kind)
		}
	case propBody:
		if kind == typeUnicode {
			return d.wideBody(v, where)
		}
		return d.body("text/plain", v, where)
	case propHTML:
		return d.body("text/html", v, where)
	case propRTF:
		return d.compressed(v, where)
	}
	return err
}

// object takes the content of an attachment that is one of the properties.
func (d *document) object(v *io.SectionReader, kind uint16, at *attachment) {
	if kind == typeBinary {
		at.data = v
		return
	}
	id := make([]byte, 16)
	if n, _ := v.ReadAt(id, 0); n < len(id) {
		return
	}
	at.message = string(id) == messageID
	at.object = io.NewSectionReader(v, 16, v.Size()-16)
}

func (d *document) propText(v *io.SectionReader, kind uint16) (string, error) {
	if kind != typeUnicode {
		return d.text(v)
	}
	b := make([]byte, min(v.Size(), maxName)&^1)
	n, err := v.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return inspect.Wide(b[:n]), err
}

func (d *document) wideBody(v *io.SectionReader, where string) error {
	b, err := d.b.ReadAll(v, v.Size())
	if err != nil {
		return err
	}
	if err := d.b.Keep(int64(len(b))); err != nil {
		return err
	}
	return d.addBody(Body{"text/plain", []byte(inspect.Wide(b)), where})
}

// compressed adds the body in RTF, decompressed.
func (d *document) compressed(v *io.SectionReader, where string) error {
	packed, err := d.b.ReadAll(v, v.Size())
	defer d.b.Keep(-int64(len(packed)))
	if err != nil {
		return err
	}
	text, err := decompressRTF(d.b, packed)
	if err != nil {
		return fmt.Errorf("body in RTF: %w", err)
	}
	return d.addBody(Body{"application/rtf", text, where})
}
