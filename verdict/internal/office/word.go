package office

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

// The characters around a field in the text of a document (MS-DOC section 2.8.25).
const (
	fieldBegin = 0x13
	fieldCode  = 0x14
	fieldEnd   = 0x15
)

// word looks at the main stream of a Word document. Its text is not put together from its pieces: the
// codes of fields stand in it as they are, in characters of one byte or two.
func (in *inspector) word(o *oleFile, e *cfb.Entry) error {
	r := bufio.NewReader(in.b.Reader(o.Open(e)))
	fib, err := r.Peek(12)
	if err != nil {
		return fmt.Errorf("%w: Word document without its beginning", ErrFormat)
	}
	if magic := binary.LittleEndian.Uint16(fib); magic != 0xA5EC && magic != 0xA5DC && magic != 0xA59B {
		return fmt.Errorf("%w: no Word document", ErrFormat)
	}
	if flags := fib[11]; flags&1 != 0 { // fEncrypted, MS-DOC section 2.5.2
		scheme := "rc4"
		if flags&0x80 != 0 {
			scheme = "xor"
		}
		in.encrypted(o, e, scheme)
		return nil
	}
	return in.wordText(r)
}

// wordText follows fields in one pass, three times over: as characters of one byte, and as characters of
// two that begin at an even or an odd place.
func (in *inspector) wordText(r *bufio.Reader) error {
	narrow := fields{in: in}
	wides := [2]fields{{in: in}, {in: in}}
	last := byte(0)
	for i := 0; ; i++ {
		c, err := r.ReadByte()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := narrow.char(rune(c)); err != nil {
			return err
		}
		if i > 0 {
			if err := wides[i&1].char(rune(c)<<8 | rune(last)); err != nil {
				return err
			}
		}
		last = c
	}
}

// char takes a character of the text. Most of what is read as characters is something else: text that
// no field can have in its code ends all fields.
func (f *fields) char(r rune) error {
	switch {
	case r == fieldBegin:
		f.begin()
	case len(f.stack) == 0:
	case r == fieldCode:
		return f.separate()
	case r == fieldEnd:
		return f.end()
	case r == 0 || r < ' ' && r != '\t' && r != '\r' && r != '\n' && r != 1 && r != 0x0B && r != 0x07 && r != 0x0C:
		f.stack, f.lost = f.stack[:0], 0
	default:
		f.text(string(r))
	}
	return nil
}
