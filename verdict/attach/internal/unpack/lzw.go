package unpack

import (
	"bufio"
	"errors"
	"io"
)

// compress lists what is in a file of compress(1), ".Z". The standard library's LZW is that of GIF and
// TIFF, which pack codes differently.
func (w *walker) compress() error {
	return w.one("", 512<<10, func() (io.ReadCloser, error) {
		br := bufio.NewReader(io.NewSectionReader(w.r, 2, w.size-2))
		flags, err := br.ReadByte()
		if err != nil {
			return nil, err
		}
		most := uint(flags & 0x1F)
		if most < 9 || most > 16 {
			return nil, errors.New("a wrong code width")
		}
		z := &unlzw{br: br, most: most, block: flags&0x80 != 0, width: 9, prev: -1}
		z.next = 256
		if z.block {
			z.next = 257
		}
		return io.NopCloser(z), nil
	})
}

// unlzw decodes LZW with codes of growing width, the lowest bit first, in groups of eight codes: when the
// width changes, or the table is cleared, the rest of the group is padding.
type unlzw struct {
	br          *bufio.Reader
	most, width uint
	block       bool // code 256 clears the table
	next        int
	prev        int
	first       byte
	bits        uint32
	have        uint
	read        int64 // codes of this width that were read

	prefix [1 << 16]uint16
	suffix [1 << 16]byte
	stack  [1 << 16]byte
	out    []byte // a part of stack
}

func (z *unlzw) Read(p []byte) (int, error) {
	for len(z.out) == 0 {
		if err := z.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.out)
	z.out = z.out[n:]
	return n, nil
}

func (z *unlzw) step() error {
	if z.next == 1<<z.width && z.width < z.most {
		if err := z.align(); err != nil {
			return err
		}
		z.width++
	}
	code, err := z.code()
	if err != nil {
		return err
	}
	if code == 256 && z.block {
		if err := z.align(); err != nil {
			return err
		}
		z.width, z.next, z.prev = 9, 257, -1
		return nil
	}
	return z.emit(code)
}

func (z *unlzw) emit(code int) error {
	at := len(z.stack)
	c := code
	switch {
	case z.prev < 0 && code > 255, code > z.next, code == z.next && z.next == 1<<z.most:
		return errors.New("a code that cannot be there")
	case code == z.next:
		at--
		z.stack[at] = z.first
		c = z.prev
	}
	for c > 255 {
		if at == 0 || c == 256 && z.block {
			return errors.New("a code that leads nowhere")
		}
		at--
		z.stack[at] = z.suffix[c]
		c = int(z.prefix[c])
	}
	at--
	z.stack[at] = byte(c)
	z.first = byte(c)
	z.out = z.stack[at:]
	if z.prev >= 0 && z.next < 1<<z.most {
		z.prefix[z.next], z.suffix[z.next] = uint16(z.prev), z.first
		z.next++
	}
	z.prev = code
	return nil
}

// code reads one code. A file may end within a byte.
func (z *unlzw) code() (int, error) {
	for z.have < z.width {
		b, err := z.br.ReadByte()
		if err != nil {
			return 0, err
		}
		z.bits |= uint32(b) << z.have
		z.have += 8
	}
	c := z.bits & (1<<z.width - 1)
	z.bits >>= z.width
	z.have -= z.width
	z.read++
	return int(c), nil
}

// align throws away what is left of the group of eight codes.
func (z *unlzw) align() error {
	for z.read%8 != 0 {
		if _, err := z.code(); err != nil {
			return err
		}
	}
	z.read = 0
	return nil
}
