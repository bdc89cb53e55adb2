package office

import (
	"bufio"
	"encoding/binary"
	"io"
	"strings"
)

// Records of binary workbooks (MS-XLSB section 2.3.2).
const (
	brtFmla0     = 8 // to 11: cells with a formula
	brtFmla1     = 11
	brtName      = 39
	brtBundleSh  = 156
	brtSupBook   = 360
	supBookDDE   = 1
	supBookOLE   = 2
	maxBinRecord = 8 << 10
)

// binaryRecords calls f with each record of a part. What is beyond maxBinRecord is left out.
func (p *opc) binaryRecords(m *part, f func(id int, c *cursor) error) error {
	rc, err := p.open(m)
	if err != nil {
		return err
	}
	defer rc.Close()
	r := bufio.NewReader(rc)
	buf := make([]byte, maxBinRecord)
	for {
		id, err := binaryNumber(r, 2)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return ignoreEnd(err)
		}
		size, err := binaryNumber(r, 4)
		if err != nil {
			return ignoreEnd(err)
		}
		if err := p.in.b.Object(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf[:min(size, maxBinRecord)])
		if err != nil {
			return ignoreEnd(err)
		}
		if _, err := r.Discard(size - n); err != nil {
			return ignoreEnd(err)
		}
		if err := f(id, &cursor{p: buf[:n]}); err != nil {
			return err
		}
	}
}

// binaryNumber reads a number of at most n bytes with seven bits each.
func binaryNumber(r *bufio.Reader, n int) (int, error) {
	v := 0
	for i := range n {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		v |= int(c&0x7F) << (7 * i)
		if c&0x80 == 0 {
			break
		}
	}
	return v, nil
}

// wideText reads a string with its number of characters before it.
func (c *cursor) wideText() string {
	n := c.u32()
	if n == 0xFFFFFFFF || int64(n)*2 > int64(len(c.p)) {
		return ""
	}
	return wide(c.take(2 * int(n)))
}

func (p *opc) binaryWorkbook(m *part) error {
	return p.binaryRecords(m, func(id int, c *cursor) error {
		switch id {
		case brtBundleSh:
			state := ""
			switch c.u32() {
			case 1:
				state = "hidden"
			case 2:
				state = "veryHidden"
			}
			c.u32()
			rel := c.wideText()
			return p.sheet(m, workbookSheet{name: cut(c.wideText()), id: rel, state: state})
		case brtName:
			c.take(9) // flags, key, sheet
			if name := c.wideText(); isAutoName(name) {
				p.auto = addOnce(p.auto, cut(strings.TrimPrefix(name, "_xlnm.")))
			}
		}
		return nil
	})
}

func (p *opc) binaryExternal(m *part) error {
	return p.binaryRecords(m, func(id int, c *cursor) error {
		if id != brtSupBook {
			return nil
		}
		kind := c.u16()
		first, second := c.wideText(), c.wideText()
		switch kind {
		case supBookDDE:
			return p.in.addText(&p.in.rep.DDE, first+"|"+second)
		case supBookOLE:
			return p.in.object(Object{Class: cut(second), Where: m.name, Linked: true})
		}
		return nil
	})
}

func (p *opc) binaryMacroSheet(m *part, macro *Macro) error {
	return p.binaryRecords(m, func(id int, c *cursor) error {
		if id < brtFmla0 || id > brtFmla1 {
			return nil
		}
		macro.HasCode = true
		// The formula comes after a value of its kind: it is found by its length, which ends the record.
		for off := 9; off+6 < len(c.p) && off < 600; off++ {
			n := int(binary.LittleEndian.Uint32(c.p[off+2:]))
			if n <= 0 || off+6+n > len(c.p) {
				continue
			}
			for name := range formulaFunctions(c.p[off+6:off+6+n], 12) {
				macro.Suspicious = addOnce(macro.Suspicious, name)
			}
			break
		}
		return nil
	})
}
