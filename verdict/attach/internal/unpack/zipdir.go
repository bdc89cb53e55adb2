package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	zipEnd   = "PK\x05\x06" // begins the end of central directory record, APPNOTE 4.3.16
	zipEntry = "PK\x01\x02" // begins an entry of the central directory, APPNOTE 4.3.12
)

// zipDir is a central directory.
type zipDir struct {
	entries  []zipEntryInfo
	at, base int64 // where it begins, and where the zip file does
	volume   bool
}

// zipEntryInfo is an entry of a central directory, and where its content is.
type zipEntryInfo struct {
	name, alias       string
	method            uint16
	flags, localFlags uint16
	time              uint16
	creator           byte
	attrs, crc        uint32
	packed, size      int64
	offset, body      int64
	extra             []byte
	lost              error
}

// zipDirectory reads the central directory. archive/zip would not say where the headers before the
// members are, and those are what others may read.
func (w *walker) zipDirectory() (*zipDir, error) {
	end, at, err := w.endRecord()
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	n := int64(le.Uint16(end[10:]))
	size, off := int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	volume := le.Uint16(end[4:]) != 0 && le.Uint16(end[4:]) != 0xFFFF
	if n == 0xFFFF || size == 1<<32-1 || off == 1<<32-1 {
		if p, ok := w.zip64(at); ok {
			n, size, off = int64(le.Uint64(p[32:])), int64(le.Uint64(p[40:])), int64(le.Uint64(p[48:]))
			at -= 20 + int64(len(p))
		}
	}
	if size < 0 || off < 0 || size > at {
		return nil, fmt.Errorf("%w: a zip directory with impossible sizes", ErrFormat)
	}
	if size > w.lim.Directory || n > int64(w.lim.Entries) && n*46 <= size {
		return nil, fmt.Errorf("%w: a zip directory of %d bytes and %d members", ErrLimit, size, n)
	}
	d := &zipDir{at: at - size, volume: volume}
	d.base = d.at - off
	p := make([]byte, size)
	if k, err := w.r.ReadAt(p, d.at); err != nil && (err != io.EOF || k < len(p)) {
		return nil, broken(err)
	}
	if d.base < 0 || d.base > 0 && w.signed(off, zipEntry) && !w.signed(d.base, "PK\x03\x04") {
		// What stands behind the directory, or a wrong size: then the offset counts.
		d.base, d.at = 0, off
		if k, err := w.r.ReadAt(p, d.at); err != nil && err != io.EOF {
			return nil, err
		} else {
			p = p[:k]
		}
	}
	d.parse(p)
	if len(d.entries) == 0 && n > 0 {
		return nil, fmt.Errorf("%w: a zip directory without entries", ErrFormat)
	}
	return d, nil
}

// signed says whether sig stands at an offset.
func (w *walker) signed(at int64, sig string) bool {
	var p [4]byte
	_, err := w.r.ReadAt(p[:], at)
	return err == nil && string(p[:]) == sig
}

// endRecord returns the end of central directory record: the last that a comment of fitting length
// follows, or else the last.
func (w *walker) endRecord() ([]byte, int64, error) {
	from := max(0, w.size-TailLen)
	p := make([]byte, w.size-from)
	n, err := w.r.ReadAt(p, from)
	if err != nil && err != io.EOF {
		return nil, 0, err
	}
	p = p[:n]
	last := -1
	for end := len(p); ; {
		i := bytes.LastIndex(p[:end], []byte(zipEnd))
		if i < 0 {
			break
		}
		if i+22 <= len(p) {
			if last < 0 {
				last = i
			}
			if i+22+int(binary.LittleEndian.Uint16(p[i+20:])) <= len(p) {
				last = i
				break
			}
		}
		end = i
	}
	if last < 0 {
		return nil, 0, fmt.Errorf("%w: a zip file without its end", ErrFormat)
	}
	return p[last:], from + int64(last), nil
}

// zip64 returns the end record of zip64 (APPNOTE 4.3.14) for the plain one at an offset.
func (w *walker) zip64(at int64) ([]byte, bool) {
	var loc [20]byte
	if _, err := w.r.ReadAt(loc[:], at-20); err != nil || at < 20 || string(loc[:4]) != "PK\x06\x07" {
		return nil, false
	}
	p := make([]byte, 56)
	if _, err := w.r.ReadAt(p, at-20-56); err != nil || at < 76 || string(p[:4]) != "PK\x06\x06" {
		return nil, false
	}
	return p, true
}

// parse reads entries as long as there are any.
func (d *zipDir) parse(p []byte) {
	le := binary.LittleEndian
	for len(p) >= 46 && string(p[:4]) == zipEntry {
		name, extra, comment := int(le.Uint16(p[28:])), int(le.Uint16(p[30:])), int(le.Uint16(p[32:]))
		if 46+name+extra+comment > len(p) {
			return
		}
		e := zipEntryInfo{
			creator: p[5], flags: le.Uint16(p[8:]), method: le.Uint16(p[10:]), time: le.Uint16(p[12:]), crc: le.Uint32(p[16:]),
			packed: int64(le.Uint32(p[20:])), size: int64(le.Uint32(p[24:])), attrs: le.Uint32(p[38:]), offset: int64(le.Uint32(p[42:])),
			extra: p[46+name : 46+name+extra],
		}
		e.name = zipName(p[46:46+name], e.flags, e.extra)
		e.zip64()
		e.offset += d.base
		d.entries = append(d.entries, e)
		p = p[46+name+extra+comment:]
	}
}

// zip64 takes sizes and offset that do not fit from the extra field 0x0001 (APPNOTE 4.5.3).
func (e *zipEntryInfo) zip64() {
	p := extraField(e.extra, 1)
	for _, v := range []*int64{&e.size, &e.packed, &e.offset} {
		if *v == 1<<32-1 && len(p) >= 8 {
			*v = int64(binary.LittleEndian.Uint64(p))
			p = p[8:]
		}
	}
	if e.packed < 0 || e.offset < 0 {
		e.packed, e.offset = 0, 1<<62
	}
}

// extraField returns the data of an extra field, or nil.
func extraField(p []byte, id uint16) []byte {
	for len(p) >= 4 {
		n := int(binary.LittleEndian.Uint16(p[2:]))
		if 4+n > len(p) {
			return nil
		}
		if binary.LittleEndian.Uint16(p) == id {
			return p[4 : 4+n]
		}
		p = p[4+n:]
	}
	return nil
}

// zipName decodes a name: UTF-8 if it says so or is valid, else the code page of DOS. The Unicode path of
// Info-ZIP (APPNOTE 4.6.9) goes before both.
func zipName(raw []byte, flags uint16, extra []byte) string {
	if p := extraField(extra, 0x7075); len(p) > 5 && p[0] == 1 && utf8.Valid(p[5:]) {
		return string(p[5:])
	}
	if flags&(1<<11) != 0 || utf8.Valid(raw) {
		return strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	s, err := charmap.CodePage437.NewDecoder().Bytes(raw)
	if err != nil {
		return strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	return string(s)
}

// localHeader is the header before a member (APPNOTE 4.3.7).
type localHeader struct {
	name                string
	method, flags, time uint16
	packed, size, body  int64
}

func (w *walker) localHeader(at int64) (l localHeader, err error) {
	var p [30]byte
	if at < 0 || at+30 > w.size {
		return l, fmt.Errorf("%w: a zip member outside of the file", ErrFormat)
	}
	if _, err := w.r.ReadAt(p[:], at); err != nil {
		return l, broken(err)
	}
	le := binary.LittleEndian
	name, extra := int64(le.Uint16(p[26:])), int64(le.Uint16(p[28:]))
	if string(p[:4]) != "PK\x03\x04" || at+30+name+extra > w.size {
		return l, fmt.Errorf("%w: a zip member without its header", ErrFormat)
	}
	q := make([]byte, name+extra)
	if _, err := w.r.ReadAt(q, at+30); err != nil && err != io.EOF {
		return l, broken(err)
	}
	l = localHeader{
		flags: le.Uint16(p[6:]), method: le.Uint16(p[8:]), time: le.Uint16(p[10:]),
		packed: int64(le.Uint32(p[18:])), size: int64(le.Uint32(p[22:])), body: at + 30 + name + extra,
	}
	l.name = zipName(q[:name], l.flags, q[name:])
	return l, nil
}

// span is a range of bytes.
type span struct{ from, to int64 }

// arrange says whether spans share bytes, by which a small file can be made to give any amount, and
// returns the gaps between them from base to end that are large enough for a member.
func arrange(spans []span, base, end int64) (gaps []span, overlap bool) {
	spans = slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.to <= s.from })
	slices.SortFunc(spans, func(a, b span) int { return int(min(1, max(-1, a.from-b.from))) })
	const header = 31
	at := base
	for _, s := range spans {
		if s.from < at && at > base {
			return nil, true
		}
		if s.from-at >= header {
			gaps = append(gaps, span{at, s.from})
		}
		at = max(at, s.to)
	}
	if end-at >= header {
		gaps = append(gaps, span{at, end})
	}
	return gaps, false
}
