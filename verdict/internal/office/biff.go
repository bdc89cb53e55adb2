package office

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Records of Excel (MS-XLS section 2.3).
const (
	biffFormula    = 0x0006
	biffEOF        = 0x000A
	biffName       = 0x0018
	biffExtern     = 0x0017 // EXTERNSHEET, which holds a path up to BIFF5
	biffExternName = 0x0023
	biffFilePass   = 0x002F
	biffBoundSheet = 0x0085
	biffSupBook    = 0x01AE
	biffHyperlink  = 0x01B8
	biffBOF        = 0x0809

	sheetMacro = 0x0040 // type of a substream that is a macro sheet
)

const maxRecord = 8 << 10 // bytes of a record that are looked at

// isBIFF says whether head is that of a workbook that is in no compound file, as programs of before 1993
// wrote it and Excel still reads it.
func isBIFF(head []byte) bool {
	if len(head) < 8 || head[0] != 9 || head[3] != 0 {
		return false
	}
	switch head[1] {
	case 0, 2, 4, 8:
		return head[2] >= 4 && head[2] <= 16
	}
	return false
}

// biffReader walks the records of a workbook.
type biffReader struct {
	in      *inspector
	where   string
	version int // 2 to 8
	depth   int // substreams that have begun
	locked  bool

	sheets []biffSheet
	macros int // macro sheets that have begun
	macro  *Macro
	link   string // path of the SUPBOOK whose names follow
	auto   []string
}

// biffSheet is a sheet as the list at the beginning of the workbook has it.
type biffSheet struct {
	name  string
	state byte
	macro bool
}

// biff takes apart a workbook.
func (in *inspector) biff(r io.Reader, where string) error {
	w := &biffReader{in: in, where: where, version: 8}
	if err := w.records(r); err != nil {
		return err
	}
	return w.finish()
}

func (w *biffReader) records(r io.Reader) error {
	var head [4]byte
	buf := make([]byte, maxRecord)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return nil // whatever is missing, Excel shows what is there
			}
			return err
		}
		if err := w.in.b.Object(); err != nil {
			return err
		}
		id := binary.LittleEndian.Uint16(head[:])
		size := int(binary.LittleEndian.Uint16(head[2:]))
		if id == 0 && size == 0 {
			continue // padding
		}
		n, err := io.ReadFull(r, buf[:min(size, maxRecord)])
		if err == nil && size > n {
			_, err = io.CopyN(io.Discard, r, int64(size-n))
		}
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if e := w.record(id, buf[:n]); e != nil {
			return e
		}
		if err != nil {
			return nil
		}
	}
}

func (w *biffReader) record(id uint16, p []byte) error {
	switch id {
	case biffBOF, 0x0009, 0x0209, 0x0409:
		return w.begin(id, p)
	case biffEOF:
		w.depth--
		if err := w.endLink(false); err != nil {
			return err
		}
		return w.endMacro()
	case biffFilePass:
		return w.filePass(p)
	}
	if w.locked {
		return w.lockedRecord(id, p)
	}
	switch id {
	case biffBoundSheet:
		w.boundSheet(p)
	case biffName:
		w.name(p)
	case biffSupBook:
		return w.supBook(p)
	case biffExtern:
		if w.version < 8 && len(p) > 1 {
			return w.path(latin1(p[1:min(len(p), 1+int(p[0]))]), false)
		}
	case biffExternName:
		return w.externName(p)
	case biffHyperlink:
		for _, target := range monikers(p) {
			if err := w.in.link("hyperlink", target, false); err != nil {
				return err
			}
		}
	case biffFormula, 0x0206, 0x0406, 0x0021, 0x0221, 0x0018 | 0x0200:
		w.formula(p)
	}
	return nil
}

// begin starts a substream.
func (w *biffReader) begin(id uint16, p []byte) error {
	c := cursor{p: p}
	version, kind := c.u16(), c.u16()
	switch {
	case id == 0x0009:
		w.version = 2
	case id == 0x0209:
		w.version = 3
	case id == 0x0409:
		w.version = 4
	case version == 0x0500:
		w.version = 5
	default:
		w.version = 8
	}
	w.depth++
	if kind != sheetMacro {
		return nil
	}
	if err := w.endMacro(); err != nil {
		return err
	}
	w.macros++
	w.macro = &Macro{Lang: XLM}
	// The list of sheets is in the order of the sheets.
	n := 0
	for _, s := range w.sheets {
		if !s.macro {
			continue
		}
		if n++; n == w.macros {
			w.macro.Name, w.macro.Hidden, w.macro.VeryHidden = s.name, s.state != 0, s.state == 2
			break
		}
	}
	return nil
}

func (w *biffReader) endMacro() error {
	if w.macro == nil {
		return nil
	}
	m := *w.macro
	w.macro = nil
	m.AutoExec = w.auto
	return add(w.in, &w.in.rep.Macros, m)
}

// finish adds the macro sheets that the list names and whose content was not met.
func (w *biffReader) finish() error {
	if err := w.endMacro(); err != nil {
		return err
	}
	n := 0
	for _, s := range w.sheets {
		if !s.macro {
			continue
		}
		if n++; n <= w.macros {
			continue
		}
		m := Macro{Lang: XLM, Name: s.name, HasCode: true, Hidden: s.state != 0, VeryHidden: s.state == 2, AutoExec: w.auto}
		if err := add(w.in, &w.in.rep.Macros, m); err != nil {
			return err
		}
	}
	return w.endLink(false)
}

// filePass tells how what follows is encrypted (MS-XLS section 2.4.117).
func (w *biffReader) filePass(p []byte) error {
	w.locked = true
	scheme := "xor"
	c := cursor{p: p}
	if kind := c.u16(); len(p) > 4 && kind == 1 {
		scheme = "rc4"
		if major := c.u16(); major > 1 {
			scheme = "rc4-cryptoapi"
		}
	}
	if strings.Contains(w.where, "/") || strings.Contains(w.where, "!") {
		return w.in.note(w.where, fmt.Errorf("%w: embedded workbook (%s)", ErrEncrypted, scheme))
	}
	w.in.rep.Encrypted, w.in.rep.Scheme = true, scheme
	return nil
}

// lockedRecord reads what stays legible in an encrypted workbook: nothing but the kind of the sheets
// that begin, which begin has seen.
func (w *biffReader) lockedRecord(id uint16, p []byte) error {
	if w.macro != nil && id == biffFormula {
		w.macro.HasCode = true
	}
	return nil
}

func (w *biffReader) boundSheet(p []byte) {
	if len(p) < 8 || len(w.sheets) >= w.in.b.Limits.Files {
		return
	}
	s := biffSheet{state: p[4] & 3, macro: p[5] == 1}
	if w.version < 8 {
		s.name = latin1(p[7:min(len(p), 7+int(p[6]))])
	} else {
		s.name = biffText(p[7:], int(p[6]))
	}
	w.sheets = append(w.sheets, s)
}

// biffText reads a string whose first byte says whether its characters are wide.
func biffText(p []byte, chars int) string {
	if len(p) == 0 {
		return ""
	}
	p, flags := p[1:], p[0]
	if flags&1 != 0 {
		return wide(p[:min(len(p), 2*chars)])
	}
	return latin1(p[:min(len(p), chars)])
}

// name looks for names that make Excel run a macro (MS-XLS section 2.4.150).
func (w *biffReader) name(p []byte) {
	if len(p) < 15 {
		return
	}
	flags, chars := binary.LittleEndian.Uint16(p), int(p[3])
	var name string
	if w.version < 8 {
		name = latin1(p[14:min(len(p), 14+chars)])
	} else {
		name = biffText(p[14:], chars)
	}
	if flags&0x20 != 0 && name != "" { // built in
		switch name[0] {
		case 1:
			name = "Auto_Open"
		case 2:
			name = "Auto_Close"
		case 0x0A:
			name = "Auto_Activate"
		case 0x0B:
			name = "Auto_Deactivate"
		}
	}
	if isAutoName(name) {
		w.auto = addOnce(w.auto, cut(name))
	}
}

// isAutoName knows the names as Excel compares them: in any case, with anything after them, and with
// characters in between that nobody sees.
func isAutoName(name string) bool {
	s := strings.ToLower(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xAD || r >= 0x200B && r <= 0x200F || r >= 0x2060 && r <= 0x206F || r == 0xFEFF {
			return -1
		}
		return r
	}, name))
	s = strings.TrimPrefix(s, "_xlnm.")
	for _, p := range []string{"auto_open", "auto_close", "auto_activate", "auto_deactivate", "auto_ouvrir", "auto_öffnen", "auto_abrir"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// supBook reads a reference to another workbook or program (MS-XLS section 2.4.271).
func (w *biffReader) supBook(p []byte) error {
	if err := w.endLink(false); err != nil {
		return err
	}
	c := cursor{p: p}
	c.u16() // sheets
	chars := int(c.u16())
	if chars < 1 || chars > 255 {
		return nil // this workbook itself
	}
	return w.path(biffText(c.p, chars), true)
}

// path takes the encoded path of a reference. A program and its topic have a separator between them.
func (w *biffReader) path(s string, names bool) error {
	if strings.Contains(s, "\x03") && s[0] > 2 { // lower: an encoded file name or this workbook
		w.link = s
		if !names {
			return w.endLink(false)
		}
		return nil
	}
	if s = decodePath(s); strings.Contains(s, "://") || strings.HasPrefix(s, `\\`) {
		return w.in.link("data", s, false)
	}
	return nil
}

// decodePath turns the marks of an encoded path into what they stand for (MS-XLS section 2.5.277).
func decodePath(s string) string {
	if strings.HasPrefix(s, "\x01\x01@") {
		s = `\\` + s[3:]
	} else if strings.HasPrefix(s, "\x01\x05") && len(s) > 3 {
		s = s[3:] // a URL, after its length
	}
	s = strings.ReplaceAll(s, "\x03", `\`)
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
}

// externName tells what the reference before it is: an OLE object or DDE (MS-XLS section 2.4.105).
func (w *biffReader) externName(p []byte) error {
	if len(p) < 2 {
		return nil
	}
	return w.endLink(binary.LittleEndian.Uint16(p)&0x10 != 0)
}

// endLink adds the reference that waits.
func (w *biffReader) endLink(object bool) error {
	if w.link == "" {
		return nil
	}
	app, topic, _ := strings.Cut(w.link, "\x03")
	w.link = ""
	app, topic = strings.TrimLeft(app, "\x01\x02\x04\x05"), decodePath(topic)
	if app == "" {
		return nil // a sheet of this workbook, as BIFF5 writes it
	}
	if object {
		return w.in.link("object", topic, false)
	}
	return w.in.addText(&w.in.rep.DDE, app+"|"+topic)
}

// formula looks for functions of macro sheets that act.
func (w *biffReader) formula(p []byte) {
	if w.macro == nil {
		return
	}
	w.macro.HasCode = true
	head := 22 // cell, value, flags
	switch {
	case w.version < 5:
		head = 18
	}
	if len(p) <= head {
		return
	}
	for name := range formulaFunctions(bytes.Clone(p[head:]), w.version) {
		w.macro.Suspicious = addOnce(w.macro.Suspicious, name)
	}
}
