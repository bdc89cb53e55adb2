package pdf

import (
	"bufio"
	"io"
)

// lzwReader decodes LZW as PDF and TIFF write it (ISO 32000-2 section 7.4.4): with codes that become
// longer one code early, which compress/lzw does not know.
type lzwReader struct {
	r     *bufio.Reader
	early int
	bits  uint32
	nbits int
	width int
	last  int // code before this one; -1 after a clear
	next  int // code to be given
	done  bool

	prefix [4096]uint16
	suffix [4096]byte
	length [4096]uint16
	out    []byte // decoded and not yet given
	buf    [4097]byte
}

const (
	lzwClear = 256
	lzwEnd   = 257
)

func newLZW(r io.Reader, early int) io.Reader {
	l := &lzwReader{r: bufio.NewReader(r), early: min(max(early, 0), 1)}
	l.clear()
	return l
}

func (l *lzwReader) clear() { l.width, l.last, l.next = 9, -1, 258 }

func (l *lzwReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(l.out) == 0 {
		if l.done {
			return 0, io.EOF
		}
		l.step()
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

// step decodes one code. A code that cannot be ends the data.
func (l *lzwReader) step() {
	for l.nbits < l.width {
		c, err := l.r.ReadByte()
		if err != nil {
			l.done = true
			return
		}
		l.bits = l.bits<<8 | uint32(c)
		l.nbits += 8
	}
	l.nbits -= l.width
	code := int(l.bits>>l.nbits) & (1<<l.width - 1)
	switch {
	case code == lzwClear:
		l.clear()
		return
	case code == lzwEnd, code > l.next, code == l.next && l.last < 0:
		l.done = true
		return
	}
	n := 0
	if code == l.next { // the string of the last code and its first byte again
		n = l.expand(l.last) + 1
		l.buf[n-1] = l.buf[0]
	} else {
		n = l.expand(code)
	}
	if l.last >= 0 && l.next < 4096 {
		l.prefix[l.next], l.suffix[l.next] = uint16(l.last), l.buf[0]
		l.length[l.next] = l.lengthOf(l.last) + 1
		l.next++
	}
	if l.next+l.early >= 1<<l.width && l.width < 12 {
		l.width++
	}
	l.last = code
	l.out = l.buf[:n]
}

func (l *lzwReader) lengthOf(code int) uint16 {
	if code < lzwClear {
		return 1
	}
	return l.length[code]
}

// expand writes the string of a code to buf.
func (l *lzwReader) expand(code int) int {
	n := int(l.lengthOf(code))
	for i := n - 1; i >= 0; i-- {
		if code < lzwClear {
			l.buf[i] = byte(code)
			break
		}
		l.buf[i] = l.suffix[code]
		code = int(l.prefix[code])
	}
	return n
}
