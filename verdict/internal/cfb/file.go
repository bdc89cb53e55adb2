package cfb

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Magic is what a compound file begins with.
const Magic = "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"

const (
	headerSize = 512
	entrySize  = 128
	miniSector = 64
	miniCutoff = 4096 // streams below this size are in the mini stream (MS-CFB section 2.2)
	inHeader   = 109  // sectors of the table that the header itself names

	lastSector = 0xFFFFFFFA // numbers above are marks: end of chain, free, …
)

// Entry is a stream or storage.
type Entry struct {
	Name    string   // without the path
	Path    string   // names of the storages above it and its own, with slashes between
	Storage bool     // or a stream
	Class   [16]byte // of a storage: what program it belongs to
	Size    int64    // of a stream, as far as the file has that much
	Orphan  bool     // no storage refers to it

	start uint32
}

// File is a compound file.
type File struct {
	Entries []Entry // the root first, then each storage before what is in it, orphans last

	r      io.ReaderAt
	size   int64
	sector int64
	fat    []uint32
	mini   []uint32 // table of the mini stream
	place  []uint32 // sectors of the mini stream
}

// Open reads the tables of the compound file of size bytes in r.
func Open(b *inspect.Budget, r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, headerSize)
	if n, err := r.ReadAt(head, 0); n < headerSize {
		return nil, formatErr("header is cut off", err)
	}
	if string(head[:8]) != Magic {
		return nil, formatErr("no compound file", nil)
	}
	f := &File{r: r, size: size, sector: 512}
	switch shift := binary.LittleEndian.Uint16(head[30:]); shift {
	case 9:
	case 12:
		f.sector = 4096
	default:
		return nil, formatErr(fmt.Sprintf("sectors of 2^%d bytes", shift), nil)
	}
	if err := f.readTables(b, head); err != nil {
		return nil, err
	}
	raw, err := f.readDirectory(b, binary.LittleEndian.Uint32(head[48:]))
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, formatErr("no directory", nil)
	}
	if f.place, err = f.chain(b, raw[0].start, f.sectors()); err != nil {
		return nil, err
	}
	return f, f.arrange(b, raw)
}

func formatErr(what string, err error) error {
	if err != nil && err != io.EOF {
		return fmt.Errorf("%w: compound file: %s: %w", inspect.ErrFormat, what, err)
	}
	return fmt.Errorf("%w: compound file: %s", inspect.ErrFormat, what)
}

// sectors is the number of sectors that the file has, the last of which may be cut off.
func (f *File) sectors() int { return int((f.size - 1) / f.sector) }

// readSector reads as much of a sector as there is.
func (f *File) readSector(n uint32, buf []byte) []byte {
	m, _ := f.r.ReadAt(buf[:f.sector], (int64(n)+1)*f.sector)
	return buf[:m]
}

// readTables reads the allocation table (MS-CFB section 2.3) and that of the mini stream.
func (f *File) readTables(b *inspect.Budget, head []byte) error {
	perSector := int(f.sector / 4)
	want := (f.sectors() + perSector - 1) / perSector // sectors of a table for the whole file
	buf := make([]byte, f.sector)
	f.fat = make([]uint32, 0, f.sectors())
	add := func(n uint32) {
		if n >= lastSector || want <= 0 {
			return
		}
		want--
		f.fat = appendUint32(f.fat, f.readSector(n, buf), perSector)
	}
	for i := range inHeader {
		add(binary.LittleEndian.Uint32(head[76+4*i:]))
	}
	more := make([]byte, f.sector)
	next := binary.LittleEndian.Uint32(head[68:])
	for n := 0; next < lastSector && want > 0 && n < f.sectors(); n++ {
		if err := b.Step(); err != nil {
			return err
		}
		list := f.readSector(next, more)
		if len(list) < int(f.sector) {
			break
		}
		for i := range perSector - 1 {
			add(binary.LittleEndian.Uint32(list[4*i:]))
		}
		next = binary.LittleEndian.Uint32(list[len(list)-4:])
	}
	at, err := f.chain(b, binary.LittleEndian.Uint32(head[60:]), f.sectors())
	if err != nil {
		return err
	}
	for _, n := range at {
		f.mini = appendUint32(f.mini, f.readSector(n, buf), perSector)
	}
	return nil
}

// appendUint32 appends n numbers, those that b is too short for as free sectors.
func appendUint32(to []uint32, b []byte, n int) []uint32 {
	for i := range n {
		v := uint32(math.MaxUint32)
		if 4*i+4 <= len(b) {
			v = binary.LittleEndian.Uint32(b[4*i:])
		}
		to = append(to, v)
	}
	return to
}

// chain returns the sectors from start on, at most n of them.
func (f *File) chain(b *inspect.Budget, start uint32, n int) ([]uint32, error) {
	var out []uint32
	for s := start; s < lastSector && len(out) < n; {
		if err := b.Step(); err != nil {
			return nil, err
		}
		if int64(s) >= int64(f.sectors()) {
			break
		}
		out = append(out, s)
		if int64(s) >= int64(len(f.fat)) {
			break
		}
		s = f.fat[s]
	}
	return out, nil
}

// rawEntry is an entry of the directory (MS-CFB section 2.6).
type rawEntry struct {
	Entry
	kind               byte
	left, right, child uint32
}

const (
	kindStorage = 1
	kindStream  = 2
	kindRoot    = 5
)

func (f *File) readDirectory(b *inspect.Budget, start uint32) ([]rawEntry, error) {
	at, err := f.chain(b, start, f.sectors())
	if err != nil {
		return nil, err
	}
	var out []rawEntry
	buf := make([]byte, f.sector)
	for _, n := range at {
		sec := f.readSector(n, buf)
		for len(sec) >= entrySize {
			if err := b.Object(); err != nil {
				return nil, err
			}
			if err := b.Keep(2 * entrySize); err != nil {
				return nil, err
			}
			out = append(out, f.parseEntry(sec[:entrySize]))
			sec = sec[entrySize:]
		}
	}
	return out, nil
}

func (f *File) parseEntry(p []byte) rawEntry {
	var e rawEntry
	n := min(int(binary.LittleEndian.Uint16(p[64:])), 64)
	e.Name = inspect.Wide(p[:n])
	e.kind = p[66]
	e.Storage = e.kind == kindStorage || e.kind == kindRoot
	e.left = binary.LittleEndian.Uint32(p[68:])
	e.right = binary.LittleEndian.Uint32(p[72:])
	e.child = binary.LittleEndian.Uint32(p[76:])
	copy(e.Class[:], p[80:96])
	e.start = binary.LittleEndian.Uint32(p[116:])
	size := binary.LittleEndian.Uint64(p[120:])
	if f.sector == 512 {
		size &= math.MaxUint32 // the upper half may be anything in version 3
	}
	e.Size = int64(min(size, uint64(f.size)))
	return e
}

// arrange puts the entries of the directory in the order of Entries, each of them once, whatever circles
// they refer to each other in.
func (f *File) arrange(b *inspect.Budget, raw []rawEntry) error {
	type visit struct {
		id     uint32
		parent string
		depth  int
	}
	seen := make([]bool, len(raw))
	seen[0] = true
	root := raw[0].Entry
	root.Path, root.Storage = "", true
	f.Entries = append(f.Entries, root)
	stack := []visit{{raw[0].child, "", 1}}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if int64(v.id) >= int64(len(raw)) || seen[v.id] {
			continue
		}
		seen[v.id] = true
		e := &raw[v.id]
		stack = append(stack, visit{e.right, v.parent, v.depth}, visit{e.left, v.parent, v.depth})
		if e.kind != kindStorage && e.kind != kindStream {
			continue
		}
		e.Path = e.Name
		if v.parent != "" {
			e.Path = v.parent + "/" + e.Name
		}
		if err := b.Keep(int64(len(e.Path))); err != nil {
			return err
		}
		f.Entries = append(f.Entries, e.Entry)
		if !e.Storage {
			continue
		}
		if v.depth >= b.Limits.Depth {
			return fmt.Errorf("%w: storages nested more than %d deep", inspect.ErrLimit, b.Limits.Depth)
		}
		stack = append(stack, visit{e.child, e.Path, v.depth + 1})
	}
	for i := range raw {
		if e := &raw[i]; !seen[i] && (e.kind == kindStorage || e.kind == kindStream) && e.Name != "" {
			e.Path, e.Orphan = e.Name, true
			f.Entries = append(f.Entries, e.Entry)
		}
	}
	return nil
}
