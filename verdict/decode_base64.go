package verdict

import (
	"bytes"
	"encoding/base64"
)

// base64Decoder decodes RFC 2045 section 6.8. Other bytes than the alphabet are left out. Padding ends a
// group of four and not the content: what stands behind it is decoded too, since some readers do.
type base64Decoder struct {
	acc    uint32
	n      uint8 // characters in acc
	padded bool  // the last thing was padding
	odd    decodeFlags
}

func (d *base64Decoder) flags() decodeFlags { return d.odd }

func (d *base64Decoder) clone() decoder {
	c := *d
	return &c
}

func (d *base64Decoder) decode(dst, src []byte, last bool) (written, read int) {
	o, i := 0, 0
	for d.n > 0 && i < len(src) && src[i] != '\n' { // up to where a group begins
		o += d.slow(dst[o:], src[i:i+1])
		i++
	}
	for i < len(src) {
		line := src[i:]
		if j := bytes.IndexByte(line, '\n'); j >= 0 {
			line = line[:j+1]
		}
		i += len(line)
		if d.n == 0 && !d.padded {
			w, r := fastBase64(dst[o:], line)
			o += w
			line = line[r:]
		}
		o += d.slow(dst[o:], line)
	}
	if last {
		o += d.flush(dst[o:], false)
	}
	return o, i
}

// fastBase64 decodes the whole groups at the beginning of a line, if they are clean.
func fastBase64(dst, src []byte) (written, read int) {
	n := len(src)
	for n > 0 && (src[n-1] == '\n' || src[n-1] == '\r') {
		n--
	}
	n &^= 3
	if n == 0 || src[n-1] == '=' {
		return 0, 0
	}
	written, err := base64.StdEncoding.Decode(dst, src[:n])
	if err != nil {
		return 0, 0
	}
	return written, n
}

// slow decodes a line byte by byte.
func (d *base64Decoder) slow(dst, line []byte) int {
	o := 0
	for _, c := range line {
		v := base64Values[c]
		switch {
		case v < 64:
			if d.padded {
				d.odd |= base64Padding
				d.padded = false
			}
			d.acc = d.acc<<6 | uint32(v)
			d.n++
			if d.n == 4 {
				dst[o], dst[o+1], dst[o+2] = byte(d.acc>>16), byte(d.acc>>8), byte(d.acc)
				o += 3
				d.acc, d.n = 0, 0
			}
		case c == '=':
			o += d.flush(dst[o:], true)
		case v == base64Other:
			d.odd |= base64Junk
		}
	}
	return o
}

// flush ends a group, at padding or at the end of the content.
func (d *base64Decoder) flush(dst []byte, padding bool) int {
	n := 0
	switch d.n {
	case 0:
		if padding && !d.padded {
			d.odd |= base64Padding
		}
	case 1:
		d.odd |= base64Length
	case 2:
		dst[0] = byte(d.acc >> 4)
		n = 1
	case 3:
		dst[0], dst[1] = byte(d.acc>>10), byte(d.acc>>2)
		n = 2
	}
	if d.n > 1 && !padding {
		d.odd |= base64Length
	}
	d.acc, d.n, d.padded = 0, 0, padding
	return n
}

const (
	base64Blank = 64
	base64Other = 65
)

// base64Values maps a byte to its six bits, to base64Blank or to base64Other.
var base64Values = func() (t [256]uint8) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = base64Other
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = uint8(i)
	}
	for _, c := range " \t\r\n" {
		t[c] = base64Blank
	}
	return t
}()
