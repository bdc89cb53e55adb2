package unpack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xz lists what is in an xz file (The .xz File Format, version 1.2). Blocks are taken apart here and not
// by the library, which takes whatever memory a block asks for.
func (w *walker) xz() error {
	return w.one("", 1<<20, func() (io.ReadCloser, error) {
		x := &xzReader{mem: w.lim.Memory, br: bufio.NewReader(w.section())}
		if err := x.stream(); err != nil {
			return nil, err
		}
		return x, nil
	})
}

type xzReader struct {
	mem      *Memory
	br       *bufio.Reader
	check    int // bytes of the check behind a block
	block    io.Reader
	counted  *counter
	giveBack func()
}

// counter counts what a decoder takes, byte by byte where it wants bytes.
type counter struct {
	br *bufio.Reader
	n  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.br.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.br.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// stream reads the header of a stream (section 2.1.1).
func (x *xzReader) stream() error {
	var head [12]byte
	if _, err := io.ReadFull(x.br, head[:]); err != nil {
		return err
	}
	if string(head[:6]) != "\xFD7zXZ\x00" {
		return fmt.Errorf("%w: no xz stream", ErrFormat)
	}
	sizes := [...]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	x.check = sizes[head[7]&0xF]
	return nil
}

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		for x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
		}
		n, err := x.block.Read(p)
		if err == io.EOF {
			if err := x.endBlock(); err != nil {
				return n, err
			}
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next begins the next block (section 3.1). What comes behind the last is not looked at, but for a
// stream that follows without padding.
func (x *xzReader) next() error {
	size, err := x.br.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		return x.index()
	}
	p := make([]byte, (int(size)+1)*4-1)
	if _, err := io.ReadFull(x.br, p); err != nil {
		return unexpected(err)
	}
	dict, err := xzDictionary(p)
	if err != nil {
		return err
	}
	dict = min(dict, maxDictionary)
	if x.giveBack, err = x.mem.take(dict); err != nil {
		return err
	}
	x.counted = &counter{br: x.br}
	x.block, err = lzma.Reader2Config{DictCap: int(max(dict, lzma.MinDictCap))}.NewReader2(x.counted)
	return err
}

// xzDictionary reads the size of the dictionary from the header of a block, without its first byte.
func xzDictionary(p []byte) (int64, error) {
	flags := p[0]
	at := 1
	varint := func() uint64 {
		v, k := binary.Uvarint(p[min(at, len(p)):])
		at += max(k, 1)
		return v
	}
	if flags&0x40 != 0 {
		varint()
	}
	if flags&0x80 != 0 {
		varint()
	}
	const lzma2 = 0x21
	if id, size := varint(), varint(); flags&3 != 0 || id != lzma2 || size != 1 || at >= len(p) {
		return 0, fmt.Errorf("%w: an xz file with an unusual filter", ErrUnopened)
	}
	return lzma2Dictionary(p[at])
}

func lzma2Dictionary(prop byte) (int64, error) {
	if prop > 40 {
		return 0, fmt.Errorf("%w: a wrong LZMA2 dictionary size", ErrFormat)
	}
	return (2 | int64(prop&1)) << (prop/2 + 11), nil
}

// endBlock skips the padding and the check behind a block.
func (x *xzReader) endBlock() error {
	pad := int(-x.counted.n & 3)
	x.release()
	if _, err := x.br.Discard(pad + x.check); err != nil {
		return unexpected(err)
	}
	return nil
}

// index skips the index and the footer, and goes on with a stream that follows (section 4).
func (x *xzReader) index() error {
	c := &counter{br: x.br, n: 1}
	records, err := binary.ReadUvarint(c)
	if err != nil {
		return unexpected(err)
	}
	for range records {
		for range 2 {
			if _, err := binary.ReadUvarint(c); err != nil {
				return unexpected(err)
			}
		}
	}
	if _, err := x.br.Discard(int(-c.n&3) + 4 + 12); err != nil {
		return unexpected(err)
	}
	for {
		p, err := x.br.Peek(4)
		switch {
		case len(p) == 0:
			return io.EOF
		case len(p) == 4 && string(p) == "\x00\x00\x00\x00":
			if _, err := x.br.Discard(4); err != nil {
				return err
			}
		case err != nil && err != io.EOF:
			return err
		default:
			return x.stream()
		}
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (x *xzReader) release() {
	if x.giveBack != nil {
		x.giveBack()
		x.giveBack = nil
	}
	x.block = nil
}

func (x *xzReader) Close() error {
	x.release()
	return nil
}
