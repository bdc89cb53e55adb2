package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// maxDictionary is how much of a dictionary is taken, however large the file says that it is: programs
// write the size of their setting there, not what the content needs. Content that does need more breaks.
const maxDictionary = 16 << 20

// one lists the only member of a compressed file.
func (w *walker) one(name string, memory int64, open func() (io.ReadCloser, error)) error {
	return w.see(&Member{Name: name, Size: -1, open: func() (io.ReadCloser, error) { return w.costing(memory, open) }})
}

// costing opens what needs so much memory until it is closed.
func (w *walker) costing(memory int64, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	giveBack, err := w.lim.Memory.take(memory)
	if err != nil {
		return nil, err
	}
	rc, err := open()
	if err != nil {
		giveBack()
		return nil, broken(err)
	}
	return &costly{rc, giveBack}, nil
}

// costly gives memory back when it is closed.
type costly struct {
	rc       io.ReadCloser
	giveBack func()
}

func (c *costly) Read(p []byte) (int, error) { return c.rc.Read(p) }

func (c *costly) Close() error {
	if c.giveBack != nil {
		c.giveBack()
		c.giveBack = nil
	}
	return c.rc.Close()
}

// gzip lists what is in a gzip file (RFC 1952), all its members as one.
func (w *walker) gzip() error {
	br := bufio.NewReader(w.section())
	zr, err := gzip.NewReader(br)
	if err != nil {
		return broken(err)
	}
	zr.Multistream(false)
	return w.one(zr.Name, 64<<10, func() (io.ReadCloser, error) { return &gunzip{zr, br}, nil })
}

// gunzip reads member after member. Other data may follow the last, which programs pass over.
type gunzip struct {
	*gzip.Reader
	br *bufio.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if err != io.EOF {
		return n, err
	}
	if magic, _ := g.br.Peek(2); string(magic) != "\x1F\x8B" || g.Reset(g.br) != nil {
		return n, io.EOF
	}
	g.Multistream(false)
	return n, nil
}

// trailing ends at an error that means that other data follows the last member.
type trailing struct {
	r   io.Reader
	end error
	any bool
}

func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.any = t.any || n > 0
	if t.any && err == t.end {
		err = io.EOF
	}
	return n, err
}

func (t *trailing) Close() error { return nil }

func (w *walker) bzip2() error {
	const behind = bzip2.StructuralError("bad magic value in continuation file")
	return w.one("", 6<<20, func() (io.ReadCloser, error) {
		return &trailing{r: bzip2.NewReader(w.section()), end: behind}, nil
	})
}

func (w *walker) zlib() error {
	return w.one("", 64<<10, func() (io.ReadCloser, error) { return zlib.NewReader(w.section()) })
}

// lzma lists what is in a file of the old format of LZMA Utils, ".lzma".
func (w *walker) lzma() error {
	var head [13]byte
	if _, err := w.r.ReadAt(head[:], 0); err != nil {
		return broken(err)
	}
	return w.oldLzma(head, int64(len(head)))
}

// lzip lists what is in an lzip file: an LZMA stream with a header and a trailer of its own (lzip manual,
// "File format"). Only the first member is read; more than one is an error at its end.
func (w *walker) lzip() error {
	var p [6]byte
	if _, err := w.r.ReadAt(p[:], 0); err != nil {
		return broken(err)
	}
	base := int64(1) << (p[5] & 0x1F)
	dict := base - base/16*int64(p[5]>>5)
	if dict < 4<<10 || dict > 512<<20 {
		return fmt.Errorf("%w: a wrong dictionary size", ErrFormat)
	}
	head := [13]byte{0: 0x5D} // lc=3 lp=0 pb=2
	binary.LittleEndian.PutUint32(head[1:], uint32(dict))
	binary.LittleEndian.PutUint64(head[5:], 1<<64-1)
	return w.oldLzma(head, int64(len(p)))
}

// oldLzma lists an LZMA stream at an offset, with the header that it would have in a file of its own.
func (w *walker) oldLzma(head [13]byte, at int64) error {
	dict := min(binary.LittleEndian.Uint32(head[1:]), maxDictionary)
	binary.LittleEndian.PutUint32(head[1:], dict)
	return w.one("", int64(dict)+1<<20, func() (io.ReadCloser, error) {
		body := io.NewSectionReader(w.r, at, w.size-at)
		return newLzma(head, body)
	})
}

func newLzma(head [13]byte, body io.Reader) (io.ReadCloser, error) {
	r, err := lzma.ReaderConfig{DictCap: maxDictionary}.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(head[:]), body)))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(r), nil
}

const zstdWindow = 8 << 20

// zstd reads without goroutines of its own: nothing may run on when the message is given back.
func (w *walker) zstd() error {
	return w.one("", 2*zstdWindow, func() (io.ReadCloser, error) { return newZstd(w.section()) })
}

func newZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, err
	}
	return zstdReader{d}, nil
}

type zstdReader struct{ d *zstd.Decoder }

func (z zstdReader) Read(p []byte) (int, error) {
	n, err := z.d.Read(p)
	if err == zstd.ErrWindowSizeExceeded || err == zstd.ErrDecoderSizeExceeded {
		err = fmt.Errorf("%w: unpacking it takes more than %d bytes of memory", ErrLimit, zstdWindow)
	}
	return n, err
}

func (z zstdReader) Close() error {
	z.d.Close()
	return nil
}

func (w *walker) lz4() error {
	return w.one("", 9<<20, func() (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(w.section())), nil })
}
