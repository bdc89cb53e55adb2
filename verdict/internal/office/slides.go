package office

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

// Records of PowerPoint (MS-PPT section 2.13.24).
const (
	pptText       = 0x0FBA // CString
	pptObject     = 0x1011 // ExOleObjStg: a compound file
	pptLink       = 0x0FD7 // ExHyperlink
	pptAction     = 0x0FF3 // InteractiveInfoAtom
	pptOLEEmbed   = 0x0FCC
	pptOLELink    = 0x0FCE
	pptOLEAtom    = 0x0FC3
	pptEncryption = 0x2F14 // DocumentEncryptionAtom

	actionMacro   = 1
	actionProgram = 2
)

// slides walks the records of a presentation. Containers are entered by not skipping what is in them.
func (in *inspector) slides(o *oleFile, e *cfb.Entry) error {
	r := in.b.Reader(o.Open(e))
	var head [8]byte
	w := pptReader{in: in, o: o, e: e}
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return ignoreEnd(err)
		}
		if err := in.b.Object(); err != nil {
			return err
		}
		version := binary.LittleEndian.Uint16(head[:])
		kind := binary.LittleEndian.Uint16(head[2:])
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if version&0xF == 0xF {
			w.container = kind
			continue
		}
		body := io.LimitReader(r, size)
		if err := w.record(kind, version>>4, body, size); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return ignoreEnd(err)
		}
	}
}

func ignoreEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// pptReader is the state of a walk.
type pptReader struct {
	in        *inspector
	o         *oleFile
	e         *cfb.Entry
	container uint16 // that began last
	action    byte   // of the last action
	linked    bool
}

func (w *pptReader) record(kind, instance uint16, body io.Reader, size int64) error {
	switch kind {
	case pptObject:
		return w.object(instance, body, size)
	case pptEncryption:
		w.in.encrypted(w.o, w.e, "rc4-cryptoapi")
	case pptAction:
		p := make([]byte, 16)
		n, _ := io.ReadFull(body, p)
		w.action = 0
		if n > 8 {
			w.action = p[8]
		}
	case pptText:
		return w.text(instance, body, size)
	case pptOLEAtom:
		p := make([]byte, 24)
		n, _ := io.ReadFull(body, p)
		if n == len(p) && w.container == pptOLELink {
			w.linked = true
		}
	}
	return nil
}

// text takes the strings that mean something where they stand.
func (w *pptReader) text(instance uint16, body io.Reader, size int64) error {
	p := make([]byte, min(size, 2*maxText))
	n, _ := io.ReadFull(body, p)
	s := strings.TrimRight(wide(p[:n]), "\x00")
	switch w.container {
	case pptLink:
		if strings.Contains(s, ":") || strings.Contains(s, `\`) || strings.Contains(s, "/") {
			return w.in.link("hyperlink", s, false)
		}
	case pptOLEEmbed, pptOLELink:
		if instance == 2 { // ProgID
			linked := w.linked
			w.linked = false
			return w.in.object(Object{Class: cut(s), Where: w.o.at(w.e), Linked: linked})
		}
	}
	if w.action == actionProgram {
		w.action = 0
		return w.in.link("program", s, false)
	}
	return nil
}

// object takes an embedded compound file apart: an object, a control or the VBA project.
func (w *pptReader) object(instance uint16, body io.Reader, size int64) error {
	packed, err := w.in.b.ReadAll(body, min(size, w.in.b.Limits.Kept))
	if ignoreEnd(err) != nil {
		return err
	}
	content := packed
	if instance == 1 && len(packed) > 4 {
		content, err = w.in.inflate(bytes.NewReader(packed[4:]), int64(binary.LittleEndian.Uint32(packed)))
		w.in.b.Keep(-int64(len(packed)))
		if err = w.in.note(w.o.at(w.e), err); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(content, []byte(cfb.Magic)) {
		return nil
	}
	err = w.in.ole(bytes.NewReader(content), int64(len(content)), w.o.at(w.e), w.o.depth+1)
	return w.in.note(w.o.at(w.e), err)
}

// inflate decompresses zlib data; with an error it returns what was read before it.
func (in *inspector) inflate(r io.Reader, hint int64) ([]byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, err
	}
	b, err := in.b.ReadAll(z, min(hint, in.b.Limits.Kept))
	return b, ignoreEnd(err)
}

// currentUser tells whether a presentation is encrypted (MS-PPT section 2.3.2).
func (in *inspector) currentUser(o *oleFile, e *cfb.Entry) error {
	b, err := o.small(in, e, 64)
	if err != nil || len(b) < 16 {
		return err
	}
	if binary.LittleEndian.Uint32(b[12:]) == 0xF3D1C4DF {
		in.encrypted(o, e, "rc4-cryptoapi")
	}
	return nil
}
