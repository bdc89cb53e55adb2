package unpack

import "encoding/binary"

// header7z reads the part of a 7z header that says how streams are packed (7zFormat.txt, "Structure of
// archive database").
type header7z struct {
	p   []byte
	bad bool

	at       uint64   // of the packed streams
	packed   []uint64 // their sizes
	folders  []folder7z
	unpacked []uint64 // sizes of what the coders give, of all folders
}

type folder7z struct{ coders []coder7z }

type coder7z struct {
	id, props string
}

// memory is what the coder takes, about.
func (c coder7z) memory() int64 {
	const small = 1 << 20
	switch c.id {
	case "\x03\x01\x01": // LZMA
		if len(c.props) == 5 {
			return small + int64(binary.LittleEndian.Uint32([]byte(c.props[1:])))
		}
	case "\x21": // LZMA2
		if len(c.props) == 1 {
			if dict, err := lzma2Dictionary(c.props[0]); err == nil {
				return small + dict
			}
		}
	case "\x03\x04\x01": // PPMd
		if len(c.props) == 5 {
			return small + int64(binary.LittleEndian.Uint32([]byte(c.props[1:])))
		}
	case "\x04\xF7\x11\x02": // Brotli
		return 20 << 20
	case "\x04\xF7\x11\x04": // LZ4
		return 9 << 20
	case "\x04\x02\x02": // bzip2
		return 6 << 20
	}
	return small
}

const max7zCount = 100_000 // of anything: more is not there in a header of a megabyte

func (h *header7z) byte() byte {
	if len(h.p) == 0 {
		h.bad = true
		return 0
	}
	c := h.p[0]
	h.p = h.p[1:]
	return c
}

// number reads a number of one to nine bytes.
func (h *header7z) number() uint64 {
	first := h.byte()
	var v uint64
	for i := range 8 {
		if first&(0x80>>i) == 0 {
			return v | uint64(first&(0x80>>i-1))<<(8*i)
		}
		v |= uint64(h.byte()) << (8 * i)
	}
	return v
}

func (h *header7z) count() int {
	n := h.number()
	if n > max7zCount {
		h.bad = true
		return 0
	}
	return int(n)
}

func (h *header7z) skip(n uint64) string {
	if n > uint64(len(h.p)) {
		h.bad = true
		return ""
	}
	s := string(h.p[:n])
	h.p = h.p[n:]
	return s
}

// untilStreams reads a plain header up to its streams.
func (h *header7z) untilStreams() {
	for !h.bad {
		switch h.byte() {
		case 0, 5: // the end, or files without streams
			return
		case 2: // archive properties
			for !h.bad && h.byte() != 0 {
				h.skip(h.number())
			}
		case 3: // additional streams
			h.streams()
		case 4: // main streams
			h.streams()
			return
		default:
			h.bad = true
		}
	}
}

// streams reads the information on streams, without that on what is in them.
func (h *header7z) streams() {
	for !h.bad {
		switch h.byte() {
		case 6:
			h.packInfo()
		case 7:
			h.unpackInfo()
			return
		case 0:
			return
		default:
			h.bad = true
		}
	}
}

func (h *header7z) packInfo() {
	h.at = h.number()
	n := h.count()
	for !h.bad {
		switch h.byte() {
		case 0:
			return
		case 9:
			h.packed = nil
			for range n {
				h.packed = append(h.packed, h.number())
				if h.bad {
					return
				}
			}
		case 10:
			h.digests(n)
		default:
			h.bad = true
		}
	}
}

// digests skips n sums, of which some may be left out.
func (h *header7z) digests(n int) {
	defined := n
	if h.byte() == 0 {
		defined = 0
		for i := 0; i < n; i += 8 {
			for c := h.byte(); c != 0; c &= c - 1 {
				defined++
			}
		}
	}
	h.skip(uint64(defined) * 4)
}

func (h *header7z) unpackInfo() {
	if h.byte() != 11 {
		h.bad = true
		return
	}
	n := h.count()
	if h.byte() != 0 { // the folders are elsewhere
		h.bad = true
		return
	}
	outs := 0
	for range n {
		if outs += h.folder(); h.bad {
			return
		}
	}
	if h.byte() != 12 {
		h.bad = true
		return
	}
	for range outs {
		h.unpacked = append(h.unpacked, h.number())
		if h.bad {
			return
		}
	}
}

// folder reads one folder, and returns how many streams its coders give.
func (h *header7z) folder() (outs int) {
	var f folder7z
	ins := 0
	for range h.count() {
		flags := h.byte()
		c := coder7z{id: h.skip(uint64(flags & 0xF))}
		in, out := 1, 1
		if flags&0x10 != 0 {
			in, out = h.count(), h.count()
		}
		if flags&0x20 != 0 {
			c.props = h.skip(h.number())
		}
		ins, outs = ins+in, outs+out
		f.coders = append(f.coders, c)
		if h.bad || ins > max7zCount || outs > max7zCount || len(f.coders) > 32 {
			h.bad = true
			return 0
		}
	}
	bound := outs - 1
	for range max(bound, 0) {
		h.number()
		h.number()
	}
	if packed := ins - bound; packed > 1 {
		for range packed {
			h.number()
		}
	}
	h.folders = append(h.folders, f)
	return outs
}
