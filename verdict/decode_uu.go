package verdict

import "bytes"

// uuDecoder decodes what stands between "begin" and "end" in the way of uuencode (POSIX.1 uuencode,
// "historical algorithm"). A group whose last blanks were lost on the way is filled up.
type uuDecoder struct {
	state uuState
	skip  bool // within a line that is longer than a buffer
	odd   decodeFlags
}

type uuState uint8

const (
	uuBefore uuState = iota
	uuInside
	uuBehind
)

func (d *uuDecoder) flags() decodeFlags { return d.odd }

func (d *uuDecoder) clone() decoder {
	c := *d
	return &c
}

func (d *uuDecoder) decode(dst, src []byte, last bool) (written, read int) {
	o, i := 0, 0
	for i < len(src) {
		j := bytes.IndexByte(src[i:], '\n')
		if j < 0 {
			break
		}
		if d.skip {
			d.skip = false
		} else {
			o += d.line(dst[o:], src[i:i+j])
		}
		i += j + 1
	}
	switch {
	case last:
		if !d.skip {
			o += d.line(dst[o:], src[i:])
		}
		i = len(src)
	case i == 0 && len(src) == decodeSize:
		if d.state == uuInside {
			d.odd |= uuLine
		}
		d.skip = true
		i = len(src)
	}
	return o, i
}

func (d *uuDecoder) line(dst, line []byte) int {
	line = bytes.TrimRight(line, "\r")
	text := bytes.TrimRight(line, blanks)
	switch {
	case d.state == uuBehind:
		return 0
	case d.state == uuBefore:
		if _, ok := uuBegin(text); ok {
			d.state = uuInside
		}
		return 0
	case string(text) == "end":
		d.state = uuBehind
		return 0
	case !isUULine(text):
		if len(text) > 0 {
			d.odd |= uuLine
		}
		return 0
	}
	n := int(line[0]-' ') & 63
	o := 0
	for i := 1; o < n && i < len(line); i += 4 {
		var v [4]byte
		for k := range v {
			if i+k < len(line) {
				v[k] = (line[i+k] - ' ') & 63
			}
		}
		group := [3]byte{v[0]<<2 | v[1]>>4, v[1]<<4 | v[2]>>2, v[2]<<6 | v[3]}
		o += copy(dst[o:], group[:min(3, n-o)])
	}
	return o
}

// isUULine says whether line, without blanks at its end, can be a line of data: its length is the one
// that its first byte says, or less because of the blanks, or a checksum more.
func isUULine(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	for _, c := range line {
		if c < ' ' || c > '`' {
			return false
		}
	}
	n := int(line[0]-' ') & 63
	full := 1 + (n+2)/3*4
	return len(line) <= full+1 && (n > 0 || len(line) == 1)
}

// uuBegin returns the file name of a line "begin MODE NAME".
func uuBegin(line []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("begin "))
	if !ok {
		return "", false
	}
	mode, name, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(mode) < 3 || len(mode) > 4 {
		return "", false
	}
	for _, c := range mode {
		if c < '0' || c > '7' {
			return "", false
		}
	}
	name = bytes.Trim(name, " \t\r\n")
	return string(name), len(name) > 0
}
