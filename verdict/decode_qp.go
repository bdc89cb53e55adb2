package verdict

import "bytes"

// qpDecoder decodes RFC 2045 section 6.7. A bad escape stays as it is. It keeps no state between lines;
// of a line that is longer than a buffer only the blanks in the middle are not known to be in the middle.
type qpDecoder struct{ odd decodeFlags }

func (d *qpDecoder) flags() decodeFlags { return d.odd }

func (d *qpDecoder) clone() decoder {
	c := *d
	return &c
}

func (d *qpDecoder) decode(dst, src []byte, last bool) (written, read int) {
	o, i := 0, 0
	for i < len(src) {
		j := bytes.IndexByte(src[i:], '\n')
		if j < 0 {
			break
		}
		o += d.line(dst[o:], src[i:i+j+1])
		i += j + 1
	}
	rest := src[i:]
	switch {
	case last:
		o += d.line(dst[o:], rest)
		i = len(src)
	case i == 0 && len(rest) == decodeSize:
		// A very long line: everything but a tail that could be the beginning of something else.
		n := len(bytes.TrimRight(rest, " \t\r"))
		if n > 0 && rest[n-1] == '=' {
			n--
		} else if n > 1 && rest[n-2] == '=' {
			n -= 2
		}
		if n == 0 {
			n = len(rest) - 4 // all blanks, or behind an equals sign
		}
		o += d.text(dst[o:], rest[:n])
		i = n
	}
	return o, i
}

// line decodes one line with its end, if it has one.
func (d *qpDecoder) line(dst, line []byte) int {
	eol := len(line)
	if bytes.HasSuffix(line, []byte("\r\n")) {
		eol -= 2
	} else if bytes.HasSuffix(line, []byte("\n")) {
		eol--
	}
	// Blanks at the end of a line were added on the way (section 6.7, rule 3).
	text := bytes.TrimRight(line[:eol], blanks)
	if n := len(text); n > 0 && text[n-1] == '=' {
		return d.text(dst, text[:n-1])
	}
	n := d.text(dst, text)
	return n + copy(dst[n:], line[eol:])
}

// text decodes escapes.
func (d *qpDecoder) text(dst, src []byte) int {
	o := 0
	for {
		i := bytes.IndexByte(src, '=')
		if i < 0 {
			return o + copy(dst[o:], src)
		}
		o += copy(dst[o:], src[:i])
		src = src[i:]
		hi, lo := -1, -1
		if len(src) > 2 {
			hi, lo = hexValue(src[1]), hexValue(src[2])
		}
		if hi < 0 || lo < 0 {
			d.odd |= qpEscape
			dst[o] = '='
			o++
			src = src[1:]
			continue
		}
		dst[o] = byte(hi<<4 | lo)
		o++
		src = src[3:]
	}
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
