package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// isoSector is the size of a sector; images with the raw sectors of a disc are not read.
const isoSector = 2048

// iso lists a disk image of ISO 9660 (ECMA-119), with the names of Joliet and with the plain ones: a file
// that stands in both trees is listed once, as Windows shows it.
func (w *walker) iso() error {
	roots, err := w.isoRoots()
	if err != nil {
		return err
	}
	t := &isoTree{w: w, seen: make(map[int64]bool), files: make(map[int64]bool)}
	for _, r := range roots {
		t.joliet = r.joliet
		clear(t.seen)
		if err := t.folder("", r.at, r.size, 0); err != nil {
			return err
		}
	}
	return nil
}

type isoRoot struct {
	at, size int64
	joliet   bool
}

// isoRoots reads the volume descriptors (ECMA-119 section 8), those of Joliet first.
func (w *walker) isoRoots() ([]isoRoot, error) {
	var joliet, plain []isoRoot
	for sector := int64(16); sector < 16+32; sector++ {
		var p [isoSector]byte
		if n, err := w.r.ReadAt(p[:], sector*isoSector); n < len(p) {
			if err != nil && err != io.EOF {
				return nil, err
			}
			break
		}
		if string(p[1:6]) != "CD001" || p[0] == 0xFF {
			break
		}
		le := binary.LittleEndian
		r := isoRoot{at: int64(le.Uint32(p[158:])) * isoSector, size: int64(le.Uint32(p[166:]))}
		switch esc := string(p[88:91]); {
		case p[0] == 1:
			plain = append(plain, r)
		case p[0] == 2 && (esc == "%/@" || esc == "%/C" || esc == "%/E"):
			r.joliet = true
			joliet = append(joliet, r)
		}
	}
	if len(plain)+len(joliet) == 0 {
		return nil, fmt.Errorf("%w: a disk image without a volume", ErrFormat)
	}
	return append(joliet, plain...), nil
}

type isoTree struct {
	w      *walker
	joliet bool
	seen   map[int64]bool // folders of this tree
	files  map[int64]bool // files of any tree, by where they lie
}

// folder lists what is in a folder.
func (t *isoTree) folder(path string, at, size int64, depth int) error {
	if t.seen[at] {
		return nil // a cycle
	}
	t.seen[at] = true
	if depth > 32 || size > t.w.lim.Directory || len(t.seen) > t.w.lim.Entries {
		return fmt.Errorf("%w: a disk image with folders that are too deep, too large or too many", ErrLimit)
	}
	p := make([]byte, max(0, min(size, t.w.size-at)))
	n, err := t.w.r.ReadAt(p, at)
	if err != nil && err != io.EOF {
		return err
	}
	p = p[:n]
	for off := 0; off < len(p); {
		length := int(p[off])
		if length == 0 { // records do not cross sectors
			off = (off/isoSector + 1) * isoSector
			continue
		}
		if length < 34 || off+length > len(p) {
			return fmt.Errorf("%w: a folder of a disk image with a wrong record", ErrFormat)
		}
		if err := t.record(path, p[off:off+length], depth); err != nil {
			return err
		}
		off += length
	}
	if int64(n) < size {
		return fmt.Errorf("%w: a disk image without its end", ErrFormat)
	}
	return nil
}

// record lists one directory record (ECMA-119 section 9.1).
func (t *isoTree) record(path string, p []byte, depth int) error {
	nameLen := int(p[32])
	if 33+nameLen > len(p) {
		return fmt.Errorf("%w: a folder of a disk image with a wrong record", ErrFormat)
	}
	raw := p[33 : 33+nameLen]
	if nameLen == 1 && raw[0] <= 1 { // the folder itself, and the one around it
		return nil
	}
	le := binary.LittleEndian
	at, size := (int64(le.Uint32(p[2:]))+int64(p[1]))*isoSector, int64(le.Uint32(p[10:]))
	name := path + t.name(raw)
	const folder = 2
	if p[25]&folder != 0 {
		if err := t.w.see(&Member{Name: name + "/", Dir: true}); err != nil {
			return err
		}
		return t.folder(name+"/", at, size, depth+1)
	}
	if size > 0 && t.files[at] {
		return nil
	}
	t.files[at] = true
	return t.w.stored(&Member{Name: name, Size: size}, at, size)
}

// name decodes a name and leaves its version out.
func (t *isoTree) name(raw []byte) string {
	s := dosName(raw)
	if t.joliet {
		u := make([]uint16, len(raw)/2)
		for i := range u {
			u[i] = binary.BigEndian.Uint16(raw[2*i:])
		}
		s = string(utf16.Decode(u))
	}
	if i := strings.LastIndexByte(s, ';'); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, ".")
}
