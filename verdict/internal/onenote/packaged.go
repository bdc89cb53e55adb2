package onenote

import (
	"encoding/binary"
	"fmt"
)

// Sections that come from OneDrive are stored in packages of another kind (MS-ONESTORE section 2.8,
// MS-FSSHTTPB section 2.2.1.5): a row of objects with a header each, of which one sort is the content of
// a file.
const (
	formatOffset = 48
	formatPacked = "\x2F\xE9\x8D\x63\xD4\xA6\xC1\x4B\x9A\x36\xB3\xFC\x25\x11\xA5\xB7"
	firstObject  = 68

	typeBlob   = 0x02
	longLength = 0x7FFF // the length follows
)

// isPacked says whether the section is of the other kind.
func (s *section) isPacked() bool { return string(s.at(formatOffset, 16)) == formatPacked }

// objects walks the objects. What is within an object that has others in it comes behind its own data.
func (s *section) objects() error {
	for pos := int64(firstObject); pos < s.size; {
		if err := s.b.Object(); err != nil {
			return err
		}
		h, ok := s.header(pos)
		if !ok {
			return fmt.Errorf("%w: OneNote package is cut off", ErrFormat)
		}
		pos = h.data + h.length
		if h.start && h.kind == typeBlob && pos <= s.size {
			if err := s.blob(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// objectHeader is the header of an object (MS-FSSHTTPB section 2.2.1.5).
type objectHeader struct {
	start        bool // of an object, or its end
	kind         int
	data, length int64
}

func (s *section) header(pos int64) (h objectHeader, ok bool) {
	b := s.at(pos, 13)
	if len(b) == 0 {
		return h, false
	}
	switch b[0] & 3 {
	case 1:
		h.data = pos + 1
		return h, true
	case 3:
		h.data = pos + 2
		return h, true
	case 0:
		if len(b) < 2 {
			return h, false
		}
		v := binary.LittleEndian.Uint16(b)
		return objectHeader{true, int(v >> 3 & 0x3F), pos + 2, int64(v >> 9)}, true
	}
	if len(b) < 4 {
		return h, false
	}
	v := binary.LittleEndian.Uint32(b)
	h = objectHeader{true, int(v >> 3 & 0x3FFF), pos + 4, int64(v >> 17)}
	if h.length == longLength {
		n, size := compact(b[4:])
		if size == 0 || n > uint64(s.size) {
			return h, false
		}
		h.data, h.length = h.data+int64(size), int64(n)
	}
	return h, true
}

// compact reads a number of which the first bits say how long it is (MS-FSSHTTPB section 2.2.1.1).
func compact(b []byte) (v uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] == 0 {
		return 0, 1
	}
	n := 1
	for b[0]>>(n-1)&1 == 0 {
		n++
	}
	if n == 8 { // a whole number of 8 bytes behind the mark
		if len(b) < 9 {
			return 0, 0
		}
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	if len(b) < n {
		return 0, 0
	}
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v >> n, n
}

// blob adds the content of a file.
func (s *section) blob(h objectHeader) error {
	n, size := compact(s.at(h.data, 9))
	if size == 0 || int64(size) >= h.length || n == 0 {
		return nil
	}
	return s.add(h.data+int64(size), int64(min(n, uint64(h.length-int64(size)))))
}
