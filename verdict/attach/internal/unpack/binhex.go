package unpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// binhexMark stands before a file in BinHex 4.0 (RFC 1741 appendix A).
const binhexMark = "(This file must be converted with BinHex"

// IsBinHex says whether head begins a text with a file in BinHex 4.0.
func IsBinHex(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 4<<10)], []byte(binhexMark))
}

const binhexAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"

// binhex lists the data fork of a file in BinHex.
func (w *walker) binhex() error {
	br := bufio.NewReaderSize(w.section(), 8<<10)
	for found := false; ; {
		c, err := br.ReadSlice('\n')
		found = found || bytes.Contains(c, []byte(binhexMark))
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%w: no BinHex", ErrFormat)
		}
		if found {
			break
		}
	}
	if _, err := br.ReadSlice(':'); err != nil {
		return broken(unexpected(err))
	}
	d := &hqx{br: br}
	r := bufio.NewReader(d)
	n, err := r.ReadByte()
	if err != nil {
		return broken(unexpected(err))
	}
	// The name, a version, type and creator, flags, the lengths of the two forks, and a sum.
	head := make([]byte, int(n)+1+4+4+2+4+4+2)
	if _, err := io.ReadFull(r, head); err != nil {
		return broken(unexpected(err))
	}
	size := int64(binary.BigEndian.Uint32(head[int(n)+11:]))
	return w.see(&Member{Name: dosName(head[:n]), Size: size, open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(r, size)), nil
	}})
}

// hqx decodes letters of six bits, and runs: a byte, 0x90 and a count, which is 0 for 0x90 itself.
type hqx struct {
	br   *bufio.Reader
	bits uint32
	have uint
	last byte
	run  int
}

func (h *hqx) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if h.run > 0 {
			h.run--
			p[n] = h.last
			n++
			continue
		}
		c, err := h.next()
		if err != nil {
			return n, err
		}
		if c == 0x90 {
			count, err := h.next()
			if err != nil {
				return n, err
			}
			if count > 0 {
				h.run = int(count) - 1
				continue
			}
		}
		h.last = c
		p[n] = c
		n++
	}
	return n, nil
}

func (h *hqx) next() (byte, error) {
	for h.have < 8 {
		c, err := h.br.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		if c == ':' {
			return 0, io.EOF
		}
		i := bytes.IndexByte([]byte(binhexAlphabet), c)
		if i < 0 {
			continue
		}
		h.bits = h.bits<<6 | uint32(i)
		h.have += 6
	}
	h.have -= 8
	return byte(h.bits >> h.have), nil
}
