package office

import (
	"bytes"
	"fmt"
	"strings"
)

// finishObject looks at the data of the object that has been read.
func (w *rtfReader) finishObject() error {
	o := w.object
	w.object.data, w.object.half = nil, false
	if len(o.data) == 0 {
		return nil
	}
	err := w.in.note("objdata", o.inspect(w.in))
	w.object = rtfObject{depth: w.depth, class: o.class}
	return err
}

// rtfObject is an object in RTF: how it is embedded, and its data in the form of OLE 1.
type rtfObject struct {
	class                   string
	update, linked, control bool
	data                    []byte
	high                    byte
	half                    bool
	depth                   int
}

// hex takes a digit. What is none is passed over, as Word does.
func (o *rtfObject) hex(in *inspector, c byte) error {
	var v byte
	switch {
	case c >= '0' && c <= '9':
		v = c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		v = c | 0x20 - 'a' + 10
	default:
		return nil
	}
	if !o.half {
		o.high, o.half = v, true
		return nil
	}
	o.half = false
	if len(o.data)&0xFFF == 0 {
		if err := in.b.Keep(0x1000); err != nil {
			return err
		}
	}
	o.data = append(o.data, o.high<<4|v)
	return nil
}

// inspect parses the data (MS-OLEDS section 2.2).
func (o *rtfObject) inspect(in *inspector) error {
	c := cursor{p: o.data}
	c.u32() // version, which nobody checks
	kind := c.u32()
	class := c.sized()
	topic := c.sized()
	c.sized()
	if o.control {
		if err := in.addText(&in.rep.Controls, class); err != nil {
			return err
		}
	}
	if c.bad || kind != 1 && kind != 2 {
		class, c.p = o.class, o.data // damaged on purpose; Word may still get at it
	}
	linked := kind == 1 || o.linked || strings.EqualFold(class, "OLE2Link")
	found := Object{Class: cut(class), Where: "objdata", Linked: linked, Update: o.update}
	if err := in.object(found); err != nil {
		return err
	}
	if kind == 1 {
		return in.link("object", topic, o.update)
	}
	return o.native(in, c, class)
}

// native looks at the native data of an embedded object.
func (o *rtfObject) native(in *inspector, c cursor, class string) error {
	all := c.p
	size := int(c.u32())
	native := c.p[:min(max(size, 0), len(c.p))]
	if i := bytes.Index(all, []byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")); i >= 0 {
		return in.ole(bytes.NewReader(all[i:]), int64(len(all)-i), "objdata", o.depth+1)
	}
	p, ok := parsePackage(native, 0)
	if !ok {
		p, ok = parsePackage(all, 0)
		native = all
	}
	if !ok {
		if startsFile(native) {
			return in.file("", "objdata", native)
		}
		if class == "" {
			return fmt.Errorf("%w: object data of RTF that nothing can be told from", ErrFormat)
		}
		return nil
	}
	if p.linked {
		return in.link("object", p.path, o.update)
	}
	end := min(p.off+p.size, int64(len(native)))
	return in.file(p.name(), "objdata", native[p.off:max(end, p.off)])
}
