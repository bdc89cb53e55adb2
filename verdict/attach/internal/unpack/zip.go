package unpack

import (
	"bufio"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Methods of compression (APPNOTE 4.4.5).
const (
	zipStored    = 0
	zipDeflate   = 8
	zipBzip2     = 12
	zipLzma      = 14
	zipZstd      = 93
	zipXz        = 95
	zipAES       = 99
	zipEncrypted = 1 // general purpose bit 0, APPNOTE 4.4.4
)

// zip lists a zip file: first what its directory says, and then what only the headers in the file know.
func (w *walker) zip() error {
	dir, err := w.zipDirectory()
	if err != nil {
		// What can be found without a directory is listed all the same: some readers do no other.
		if err := w.strays(0, w.size, nil); err != nil {
			return err
		}
		return err
	}
	w.facts.Prefix = dir.base
	w.facts.Volume = dir.volume
	if len(dir.entries) > w.lim.Entries {
		return fmt.Errorf("%w: more than %d members", ErrLimit, w.lim.Entries)
	}
	spans := make([]span, 0, len(dir.entries))
	for i := range dir.entries {
		e := &dir.entries[i]
		spans = append(spans, w.place(e))
	}
	gaps, overlap := arrange(spans, dir.base, dir.at)
	if w.facts.Overlap = overlap; overlap {
		return fmt.Errorf("%w: members lie on top of each other", ErrLimit)
	}
	for i := range dir.entries {
		if err := w.zipMember(&dir.entries[i]); err != nil {
			return err
		}
	}
	for _, g := range gaps {
		if err := w.strays(g.from, g.to, w.facts); err != nil {
			return err
		}
	}
	return nil
}

// place finds the content of an entry by the header before it, and compares the two.
func (w *walker) place(e *zipEntryInfo) span {
	l, err := w.localHeader(e.offset)
	if err != nil {
		e.lost = err
		return span{}
	}
	e.body = l.body
	switch {
	case l.name != e.name && e.flags&(1<<13) == 0 && !sameName(l.name, e.name):
		w.facts.differs("the directory calls it %q, the file %q", e.name, l.name)
		e.alias = l.name
	case l.method != e.method:
		w.facts.differs("%q is compressed by method %d, or by %d", e.name, e.method, l.method)
	case l.flags&zipEncrypted != e.flags&zipEncrypted:
		w.facts.differs("%q is encrypted, or is not", e.name)
	case l.flags&8 == 0 && l.packed != 0 && l.packed != 1<<32-1 && l.packed != e.packed:
		w.facts.differs("%q has %d bytes, or %d", e.name, e.packed, l.packed)
	}
	e.localFlags = l.flags
	e.time = l.time
	return span{e.offset, l.body + e.packed}
}

// sameName says whether names differ only in what writers of zip files are careless about.
func sameName(a, b string) bool {
	norm := func(s string) string { return strings.Trim(strings.ReplaceAll(s, "\\", "/"), "/") }
	return norm(a) == norm(b)
}

// zipMember lists one entry, and once more under the name that only the file knows.
func (w *walker) zipMember(e *zipEntryInfo) error {
	m := &Member{Name: e.name, Dir: strings.HasSuffix(e.name, "/") && e.size == 0, Size: e.size, Locked: e.flags&(zipEncrypted|1<<6) != 0 || e.method == zipAES}
	if e.method == zipStored {
		m.Stored = e.packed
	}
	m.open = func() (io.ReadCloser, error) {
		if e.lost != nil {
			return nil, e.lost
		}
		return w.unzip(e, io.NewSectionReader(w.r, e.body, e.packed))
	}
	if m.Locked {
		w.unlockZip(e, m)
	}
	const unix, kind, link = 3, 0o170000, 0o120000
	if e.creator == unix && e.attrs>>16&kind == link {
		m.Link = "?"
		if rc, err := m.Open(); err == nil {
			p := make([]byte, 4096)
			n, _ := io.ReadFull(rc, p)
			rc.Close()
			m.Link = string(p[:n])
		}
	}
	if err := w.see(m); err != nil {
		return err
	}
	if e.alias == "" {
		return nil
	}
	return w.see(&Member{Name: e.alias, Size: e.size, Locked: m.Locked, Hidden: true, open: m.open})
}

// unzip opens the content of a member by its method.
func (w *walker) unzip(e *zipEntryInfo, r io.Reader) (io.ReadCloser, error) {
	switch e.method {
	case zipStored:
		return io.NopCloser(r), nil
	case zipDeflate:
		return w.costing(64<<10, func() (io.ReadCloser, error) { return newInflater(r), nil })
	case zipBzip2:
		return w.costing(6<<20, func() (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil })
	case zipZstd:
		return w.costing(2*zstdWindow, func() (io.ReadCloser, error) { return newZstd(r) })
	case zipXz:
		return w.costing(1<<20, func() (io.ReadCloser, error) {
			x := &xzReader{mem: w.lim.Memory, br: bufio.NewReader(r)}
			return x, x.stream()
		})
	case zipLzma:
		// APPNOTE 5.8: a version, the length of the properties, and those.
		var p [9]byte
		if _, err := io.ReadFull(r, p[:]); err != nil {
			return nil, broken(err)
		}
		if binary.LittleEndian.Uint16(p[2:]) != 5 {
			return nil, fmt.Errorf("%w: a wrong LZMA header", ErrFormat)
		}
		head := [13]byte{0: p[4]}
		dict := min(binary.LittleEndian.Uint32(p[5:]), maxDictionary)
		binary.LittleEndian.PutUint32(head[1:], dict)
		binary.LittleEndian.PutUint64(head[5:], uint64(e.size))
		if e.flags&2 != 0 { // an end mark follows
			binary.LittleEndian.PutUint64(head[5:], 1<<64-1)
		}
		return w.costing(int64(dict)+1<<20, func() (io.ReadCloser, error) { return newLzma(head, r) })
	}
	return nil, fmt.Errorf("%w: a zip file with method %d", ErrUnopened, e.method)
}

// inflater is a reader of Deflate that is used again: making one takes longer than most members.
type inflater struct {
	br *bufio.Reader
	fr io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	br := bufio.NewReader(nil)
	return &inflater{br, flate.NewReader(br)}
}}

func newInflater(r io.Reader) io.ReadCloser {
	f := inflaters.Get().(*inflater)
	f.br.Reset(r)
	if err := f.fr.(flate.Resetter).Reset(f.br, nil); err != nil {
		return flate.NewReader(r)
	}
	return &borrowed{f}
}

// borrowed gives its inflater back when it is closed.
type borrowed struct{ f *inflater }

func (b *borrowed) Read(p []byte) (int, error) {
	if b.f == nil {
		return 0, io.ErrClosedPipe
	}
	return b.f.fr.Read(p)
}

func (b *borrowed) Close() error {
	if b.f != nil {
		b.f.br.Reset(nil)
		inflaters.Put(b.f)
		b.f = nil
	}
	return nil
}

// strays lists members that stand between from and to and that the directory does not name.
func (w *walker) strays(from, to int64, facts *Facts) error {
	for from < to {
		at, err := w.find("PK\x03\x04", from, to)
		if err != nil || at < 0 {
			return err
		}
		l, err := w.localHeader(at)
		if err != nil {
			from = at + 4
			continue
		}
		packed := l.packed
		if l.flags&8 != 0 && packed == 0 || packed > to-l.body || packed < 0 {
			packed = to - l.body
		}
		if facts != nil {
			facts.differs("the directory does not name %q", l.name)
		}
		e := &zipEntryInfo{name: l.name, method: l.method, flags: l.flags, localFlags: l.flags, packed: packed, size: l.size, body: l.body, time: l.time}
		m := &Member{Name: e.name, Dir: strings.HasSuffix(e.name, "/"), Size: -1, Locked: e.flags&zipEncrypted != 0, Hidden: true}
		m.open = func() (io.ReadCloser, error) { return w.unzip(e, io.NewSectionReader(w.r, e.body, e.packed)) }
		if err := w.see(m); err != nil {
			return err
		}
		from = l.body
		if l.flags&8 == 0 && l.packed > 0 && l.packed <= to-l.body {
			from += l.packed
		}
	}
	return nil
}

// find returns the offset of sig between from and to, or -1.
func (w *walker) find(sig string, from, to int64) (int64, error) {
	buf := make([]byte, 32<<10)
	for from < to {
		n, err := w.r.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if i := strings.Index(string(buf[:n]), sig); i >= 0 {
			return from + int64(i), nil
		}
		if err == io.EOF || n < len(sig) {
			return -1, nil
		}
		if err != nil {
			return -1, err
		}
		from += int64(n - len(sig) + 1)
		if n == len(sig)-1 {
			return -1, nil
		}
	}
	return -1, nil
}
