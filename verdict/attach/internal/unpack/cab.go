package unpack

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// cab lists a cabinet file (MS-CAB). Folders that are stored or packed by MSZIP or LZX are opened, those
// packed by Quantum are not.
func (w *walker) cab() error {
	c := &cabinet{w: w}
	if err := c.header(); err != nil {
		return err
	}
	for i := range c.files {
		f := &c.files[i]
		m := &Member{Name: f.name, Size: f.size}
		m.open = func() (io.ReadCloser, error) { return c.open(f) }
		if err := w.see(m); err != nil {
			return err
		}
	}
	return nil
}

type cabinet struct {
	w       *walker
	folders []cabFolder
	files   []cabFile
	reserve int64 // bytes before the data of each block
}

type cabFolder struct {
	at     int64 // of the first block
	blocks int
	method uint16
}

type cabFile struct {
	name      string
	size, off int64
	folder    int
}

// header reads the header and the lists of folders and files.
func (c *cabinet) header() error {
	size := min(c.w.size, c.w.lim.Directory)
	p := make([]byte, size)
	n, err := c.w.r.ReadAt(p, 0)
	if err != nil && err != io.EOF {
		return err
	}
	p = p[:n]
	le := binary.LittleEndian
	short := fmt.Errorf("%w: a cabinet without its end", ErrFormat)
	if len(p) < 36 {
		return short
	}
	at, folders, files, flags := 36, int(le.Uint16(p[26:])), int(le.Uint16(p[28:])), le.Uint16(p[30:])
	if files > c.w.lim.Entries {
		return fmt.Errorf("%w: more than %d members", ErrLimit, c.w.lim.Entries)
	}
	folderReserve := 0
	if flags&4 != 0 {
		if len(p) < 40 {
			return short
		}
		folderReserve, c.reserve = int(p[38]), int64(p[39])
		at += 4 + int(le.Uint16(p[36:]))
	}
	for i := range 4 { // names of the previous and the next cabinet and their disks
		if flags&(1<<(i/2)) == 0 {
			continue
		}
		c.w.facts.Volume = true
		end := bytes.IndexByte(p[min(at, len(p)):], 0)
		if end < 0 {
			return short
		}
		at += end + 1
	}
	for range folders {
		if at+8 > len(p) {
			return short
		}
		c.folders = append(c.folders, cabFolder{int64(le.Uint32(p[at:])), int(le.Uint16(p[at+4:])), le.Uint16(p[at+6:])})
		at += 8 + folderReserve
	}
	at = int(le.Uint32(p[16:]))
	for range files {
		if at < 0 || at+16 > len(p) {
			return c.partly(short)
		}
		end := bytes.IndexByte(p[at+16:], 0)
		if end < 0 {
			return c.partly(short)
		}
		f := cabFile{size: int64(le.Uint32(p[at:])), off: int64(le.Uint32(p[at+4:])), folder: int(le.Uint16(p[at+8:]))}
		f.name = strings.ReplaceAll(dosName(p[at+16:at+16+end]), "\\", "/")
		c.files = append(c.files, f)
		at += 16 + end + 1
	}
	return nil
}

// partly lists the files that were found before the list broke.
func (c *cabinet) partly(err error) error {
	for i := range c.files {
		f := &c.files[i]
		if err := c.w.see(&Member{Name: f.name, Size: f.size, open: func() (io.ReadCloser, error) { return c.open(f) }}); err != nil {
			return err
		}
	}
	return err
}

// open returns the content of a file. The folder is unpacked from its beginning up to there.
func (c *cabinet) open(f *cabFile) (io.ReadCloser, error) {
	if f.folder >= len(c.folders) {
		return nil, fmt.Errorf("%w: the rest of the file is in another cabinet", ErrUnopened)
	}
	d := c.folders[f.folder]
	const quantum, packedLZX = 2, 3
	method := d.method & 0xF
	if method > packedLZX || method == quantum {
		return nil, fmt.Errorf("%w: a cabinet with method %d", ErrUnopened, method)
	}
	giveBack, err := c.w.lim.Memory.take(3 << 20)
	if err != nil {
		return nil, err
	}
	r := &cabReader{c: c, d: d}
	if method == packedLZX {
		if r.lzx, err = newLZX(uint(d.method >> 8 & 0x1F)); err != nil {
			giveBack()
			return nil, err
		}
	}
	if _, err := io.CopyN(io.Discard, r, f.off); err != nil {
		giveBack()
		return nil, broken(unexpected(err))
	}
	return &costly{io.NopCloser(io.LimitReader(r, f.size)), giveBack}, nil
}

// cabReader reads the blocks of a folder. Each has up to 32 KB when unpacked, and MSZIP goes on with the
// history of the one before.
type cabReader struct {
	c    *cabinet
	d    cabFolder
	lzx  *lzx
	out  []byte
	last []byte
}

func (r *cabReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if err := r.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *cabReader) block() error {
	if r.d.blocks <= 0 {
		return io.EOF
	}
	r.d.blocks--
	var head [8]byte
	if _, err := r.c.w.r.ReadAt(head[:], r.d.at); err != nil {
		return unexpected(err)
	}
	packed, size := int64(binary.LittleEndian.Uint16(head[4:])), int64(binary.LittleEndian.Uint16(head[6:]))
	p := make([]byte, packed)
	if _, err := r.c.w.r.ReadAt(p, r.d.at+8+r.c.reserve); err != nil {
		return unexpected(err)
	}
	r.d.at += 8 + r.c.reserve + packed
	if r.d.method&0xF == 0 {
		r.out = p
		return nil
	}
	if r.lzx != nil {
		out, err := r.lzx.block(p, int(size))
		r.out = out
		return err
	}
	if len(p) < 2 || string(p[:2]) != "CK" {
		return fmt.Errorf("%w: an MSZIP block that is none", ErrFormat)
	}
	fr := flate.NewReaderDict(bytes.NewReader(p[2:]), r.last)
	out := make([]byte, size)
	n, err := io.ReadFull(fr, out)
	if err != nil {
		return unexpected(err)
	}
	r.out = out[:n]
	r.last = r.out
	return nil
}
