package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// dosName decodes a name that is UTF-8 or of the code page of DOS.
func dosName(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	s, err := charmap.CodePage437.NewDecoder().Bytes(raw)
	if err != nil {
		return strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	return string(s)
}

// closed lists a member whose content nobody here can read.
func (w *walker) closed(m *Member, why string) error {
	m.open = func() (io.ReadCloser, error) { return nil, fmt.Errorf("%w: %s", ErrUnopened, why) }
	return w.see(m)
}

// stored lists a member that stands in the archive as it is.
func (w *walker) stored(m *Member, at, size int64) error {
	m.Stored = size
	body := io.NewSectionReader(w.r, at, size)
	m.open = func() (io.ReadCloser, error) { return io.NopCloser(body), nil }
	return w.see(m)
}

// arj lists an ARJ archive (ARJ TECHNICAL INFORMATION, unarj): a header for the archive, and one before
// each file. Compressed content is not opened.
func (w *walker) arj() error {
	at, first := int64(0), true
	for {
		var p [4]byte
		if _, err := w.r.ReadAt(p[:], at); err != nil {
			return broken(err)
		}
		n := int64(binary.LittleEndian.Uint16(p[2:]))
		if p[0] != 0x60 || p[1] != 0xEA || n > 2600 {
			return fmt.Errorf("%w: an ARJ header that is none", ErrFormat)
		}
		if n == 0 {
			return nil
		}
		h := make([]byte, n)
		if _, err := w.r.ReadAt(h, at+4); err != nil {
			return broken(err)
		}
		if n < 30 || int(h[0]) >= len(h) {
			return fmt.Errorf("%w: an ARJ header that is too short", ErrFormat)
		}
		at += 4 + n + 4
		for { // extended headers
			if _, err := w.r.ReadAt(p[:2], at); err != nil {
				return broken(err)
			}
			at += 2
			ext := int64(binary.LittleEndian.Uint16(p[:]))
			if ext == 0 {
				break
			}
			at += ext + 4
		}
		if first {
			first = false
			continue
		}
		raw, _, _ := bytes.Cut(h[h[0]:], []byte{0})
		packed := int64(binary.LittleEndian.Uint32(h[12:]))
		m := &Member{Name: dosName(raw), Size: int64(binary.LittleEndian.Uint32(h[16:])), Dir: h[6] == 3, Locked: h[4]&1 != 0}
		var err error
		if h[5] == 0 && !m.Locked {
			err = w.stored(m, at, packed)
		} else {
			err = w.closed(m, "a compressed file in an ARJ archive")
		}
		if err != nil {
			return err
		}
		at += packed
	}
}

// lha lists an LHA archive with headers of level 0, 1 or 2. Compressed content is not opened.
func (w *walker) lha() error {
	for at := int64(0); at < w.size; {
		var p [26]byte
		n, err := w.r.ReadAt(p[:], at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 || p[0] == 0 {
			return nil
		}
		if n < 22 || p[2] != '-' || p[6] != '-' || p[20] > 2 {
			return fmt.Errorf("%w: an LHA header that is none", ErrFormat)
		}
		le := binary.LittleEndian
		packed := int64(le.Uint32(p[7:]))
		m := &Member{Size: int64(le.Uint32(p[11:])), Dir: string(p[2:7]) == "-lhd-"}
		var body int64
		switch p[20] {
		case 2:
			body = at + int64(le.Uint16(p[:]))
			m.Name = w.lhaNames(at+24, body, int64(le.Uint16(p[24:])), "")
		default:
			body = at + 2 + int64(p[0])
			q := make([]byte, min(int(p[21]), 255))
			k, _ := w.r.ReadAt(q, at+22)
			m.Name = dosName(q[:k])
			if p[20] == 1 && body >= 2 {
				var s [2]byte
				if _, err := w.r.ReadAt(s[:], body-2); err != nil {
					return broken(err)
				}
				m.Name = w.lhaNames(body-2, min(body+packed, w.size), int64(le.Uint16(s[:])), m.Name)
			}
		}
		if name, target, ok := strings.Cut(m.Name, "|"); ok && m.Dir { // a symbolic link, as Unix versions write them
			m.Name, m.Link, m.Dir = name, target, false
		}
		if body <= at || packed < 0 {
			return fmt.Errorf("%w: an LHA header with impossible sizes", ErrFormat)
		}
		if string(p[2:7]) == "-lh0-" && p[20] != 1 {
			err = w.stored(m, body, packed)
		} else {
			err = w.closed(m, "a compressed file in an LHA archive")
		}
		if err != nil {
			return err
		}
		at = body + packed
	}
	return nil
}

// lhaNames reads the name and the directory from extended headers: each is led by the size of the whole.
func (w *walker) lhaNames(at, end, next int64, name string) string {
	dir := ""
	at += 2
	for range 16 {
		if next < 3 || next > 4096 || at+next > end {
			break
		}
		p := make([]byte, next)
		if n, _ := w.r.ReadAt(p, at); n < len(p) {
			break
		}
		switch text := p[1 : len(p)-2]; p[0] {
		case 1:
			name = dosName(text)
		case 2:
			dir = dosName(bytes.ReplaceAll(text, []byte{0xFF}, []byte{'/'}))
		}
		at += next
		next = int64(binary.LittleEndian.Uint16(p[len(p)-2:]))
	}
	return dir + name
}
