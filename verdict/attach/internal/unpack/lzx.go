package unpack

import (
	"errors"
	"fmt"
)

// lzx decodes LZX as cabinets have it (MS-PATCH and MS-CAB; the format is that of the Microsoft LZX DELTA
// specification without its deltas). Each block of a cabinet gives up to 32 KB, and the state goes on.
type lzx struct {
	window []byte
	pos    int

	in   []byte // 16 bit words, the lowest byte first
	at   int
	bits uint32
	have uint

	began      bool // the header of the stream was read
	translate  uint32
	total      int64 // bytes that came out
	kind       uint
	left       int // of the block
	blockSize  int
	r0, r1, r2 int

	mainLens   [lzxMain]byte
	lengthLens [lzxLengths]byte
	main       huffman
	length     huffman
	aligned    huffman
	slots      int
}

const (
	lzxLengths = 249
	lzxMain    = 256 + 8*50
)

var errLZX = errors.New("LZX data that cannot be there")

// newLZX returns a decoder with a window of 2^bits bytes, 15 to 21.
func newLZX(bits uint) (*lzx, error) {
	if bits < 15 || bits > 21 {
		return nil, fmt.Errorf("%w: an LZX window of 2^%d bytes", ErrFormat, bits)
	}
	slots := map[uint]int{15: 30, 16: 32, 17: 34, 18: 36, 19: 38, 20: 42, 21: 50}[bits]
	return &lzx{window: make([]byte, 1<<bits), slots: slots, r0: 1, r1: 1, r2: 1}, nil
}

// block decodes one block of a cabinet, which gives size bytes.
func (z *lzx) block(in []byte, size int) (out []byte, err error) {
	z.in, z.at, z.bits, z.have = in, 0, 0, 0
	if !z.began {
		z.began = true
		if z.get(1) == 1 {
			z.translate = z.get(16)<<16 | z.get(16)
		}
	}
	out = make([]byte, 0, size)
	for len(out) < size {
		if z.left == 0 {
			if err := z.begin(); err != nil {
				return nil, err
			}
		}
		n := min(z.left, size-len(out))
		from := z.pos
		got, err := z.decode(n)
		if err != nil {
			return nil, err
		}
		for i := range got {
			out = append(out, z.window[(from+i)&(len(z.window)-1)])
		}
		z.left -= got
		if z.left < 0 || len(out) > size {
			return nil, errLZX
		}
	}
	if z.translate != 0 {
		z.calls(out)
	}
	z.total += int64(len(out))
	return out, nil
}

// get reads n bits, the highest first, up to 17. Behind the end there are zeros.
func (z *lzx) get(n uint) uint32 {
	z.fill()
	v := z.bits >> (32 - n)
	z.bits <<= n
	z.have -= min(n, z.have)
	return v
}

func (z *lzx) fill() {
	for z.have <= 16 {
		if z.at+1 < len(z.in) {
			z.bits |= (uint32(z.in[z.at]) | uint32(z.in[z.at+1])<<8) << (16 - z.have)
		}
		z.at += 2
		z.have += 16
	}
}

// starved says whether more was read than there is.
func (z *lzx) starved() bool { return z.at > len(z.in)+8 }

// begin reads the header of a block.
func (z *lzx) begin() error {
	if z.kind == 3 && z.blockSize&1 == 1 { // stored blocks are padded
		z.at++
	}
	z.kind = uint(z.get(3))
	z.left = int(z.get(16)<<8 | z.get(8))
	z.blockSize = z.left
	if z.left == 0 || z.starved() {
		return errLZX
	}
	switch z.kind {
	case 1, 2:
		if z.kind == 2 {
			var lens [8]byte
			for i := range lens {
				lens[i] = byte(z.get(3))
			}
			if err := z.aligned.init(lens[:]); err != nil {
				return err
			}
		}
		if err := z.lengths(z.mainLens[:256]); err != nil {
			return err
		}
		if err := z.lengths(z.mainLens[256 : 256+8*z.slots]); err != nil {
			return err
		}
		if err := z.main.init(z.mainLens[:256+8*z.slots]); err != nil {
			return err
		}
		if err := z.lengths(z.lengthLens[:]); err != nil {
			return err
		}
		// There may be no lengths, if no match needs them.
		return z.length.init(z.lengthLens[:])
	case 3:
		z.fill()
		if z.have > 16 { // back to the word that is not begun
			z.at -= 2
		}
		z.bits, z.have = 0, 0
		for _, r := range []*int{&z.r0, &z.r1, &z.r2} {
			if z.at+4 > len(z.in) {
				return errLZX
			}
			*r = int(z.in[z.at]) | int(z.in[z.at+1])<<8 | int(z.in[z.at+2])<<16 | int(z.in[z.at+3])<<24
			z.at += 4
		}
		return nil
	}
	return errLZX
}

// lengths reads code lengths as differences to those of the block before.
func (z *lzx) lengths(lens []byte) error {
	var pre [20]byte
	for i := range pre {
		pre[i] = byte(z.get(4))
	}
	var tree huffman
	if err := tree.init(pre[:]); err != nil {
		return err
	}
	for i := 0; i < len(lens); {
		s, err := z.symbol(&tree)
		if err != nil {
			return err
		}
		run, value := 1, 0
		switch s {
		case 17:
			run = int(z.get(4)) + 4
		case 18:
			run = int(z.get(5)) + 20
		case 19:
			run = int(z.get(1)) + 4
			if s, err = z.symbol(&tree); err != nil || s > 16 {
				return errLZX
			}
			value = (int(lens[i]) - s + 17) % 17
		default:
			value = (int(lens[i]) - s + 17) % 17
		}
		for range min(run, len(lens)-i) {
			lens[i] = byte(value)
			i++
		}
		if z.starved() {
			return errLZX
		}
	}
	return nil
}

func (z *lzx) symbol(h *huffman) (int, error) {
	z.fill()
	s, n := h.lookup(z.bits)
	if n == 0 {
		return 0, errLZX
	}
	z.bits <<= n
	z.have -= min(n, z.have)
	return s, nil
}

// decode puts at least n bytes into the window, and says how many: a match may go beyond.
func (z *lzx) decode(n int) (int, error) {
	mask := len(z.window) - 1
	if z.kind == 3 {
		if z.at+n > len(z.in) {
			return 0, errLZX
		}
		for i := range n {
			z.window[z.pos&mask] = z.in[z.at+i]
			z.pos = (z.pos + 1) & mask
		}
		z.at += n
		return n, nil
	}
	done := 0
	for done < n {
		s, err := z.symbol(&z.main)
		if err != nil || z.starved() {
			return 0, errLZX
		}
		if s < 256 {
			z.window[z.pos] = byte(s)
			z.pos = (z.pos + 1) & mask
			done++
			continue
		}
		s -= 256
		length := s & 7
		if length == 7 {
			more, err := z.symbol(&z.length)
			if err != nil {
				return 0, err
			}
			length += more
		}
		length += 2
		off, err := z.offset(s >> 3)
		if err != nil {
			return 0, err
		}
		if off <= 0 || off > len(z.window) {
			return 0, errLZX
		}
		for range length {
			z.window[z.pos] = z.window[(z.pos-off)&mask]
			z.pos = (z.pos + 1) & mask
		}
		done += length
	}
	return done, nil
}

// offset returns the distance that a slot stands for, and remembers it.
func (z *lzx) offset(slot int) (int, error) {
	switch slot {
	case 0:
		return z.r0, nil
	case 1:
		z.r0, z.r1 = z.r1, z.r0
		return z.r0, nil
	case 2:
		z.r0, z.r2 = z.r2, z.r0
		return z.r0, nil
	}
	extra := uint(max(0, min(17, slot/2-1)))
	base := 0
	switch {
	case slot < 4:
		base = slot
	case slot < 36:
		base = (2 + slot&1) << extra
	default:
		base = 1<<18 + (slot-36)<<17
	}
	v := base - 2
	if z.kind == 2 && extra >= 3 {
		if extra > 3 {
			v += int(z.get(extra-3)) << 3
		}
		a, err := z.symbol(&z.aligned)
		if err != nil {
			return 0, err
		}
		v += a
	} else if extra > 0 {
		v += int(z.get(extra))
	}
	z.r0, z.r1, z.r2 = v, z.r0, z.r1
	return v, nil
}

// calls undoes the translation of calls in programs.
func (z *lzx) calls(p []byte) {
	if z.total >= 1<<30 || len(p) <= 10 {
		return
	}
	for i := 0; i < len(p)-10; i++ {
		if p[i] != 0xE8 {
			continue
		}
		at := int32(z.total) + int32(i)
		abs := int32(uint32(p[i+1]) | uint32(p[i+2])<<8 | uint32(p[i+3])<<16 | uint32(p[i+4])<<24)
		if abs >= -at && abs < int32(z.translate) {
			rel := abs - at
			if abs < 0 {
				rel = abs + int32(z.translate)
			}
			p[i+1], p[i+2], p[i+3], p[i+4] = byte(rel), byte(rel>>8), byte(rel>>16), byte(rel>>24)
		}
		i += 4
	}
}

// huffman is a canonical code of up to 16 bits.
type huffman struct {
	count   [17]uint16
	symbols []uint16
}

// init makes the code. One without any symbol is no error until it is used.
func (h *huffman) init(lens []byte) error {
	h.count = [17]uint16{}
	for _, l := range lens {
		if l > 16 {
			return errLZX
		}
		h.count[l]++
	}
	h.count[0] = 0
	var first [18]int
	left := 1
	for l := 1; l <= 16; l++ {
		left = left<<1 - int(h.count[l])
		if left < 0 {
			return errLZX
		}
		first[l+1] = first[l] + int(h.count[l])
	}
	h.symbols = make([]uint16, first[17])
	for s, l := range lens {
		if l > 0 {
			h.symbols[first[l]] = uint16(s)
			first[l]++
		}
	}
	return nil
}

// lookup returns the symbol at the highest bits, and how many those are; 0 if there is none.
func (h *huffman) lookup(bits uint32) (symbol int, length uint) {
	code, first, index := 0, 0, 0
	for l := uint(1); l <= 16; l++ {
		code |= int(bits >> (32 - l) & 1)
		n := int(h.count[l])
		if code-first < n {
			return int(h.symbols[index+code-first]), l
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, 0
}
