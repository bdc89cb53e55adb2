package unpack

import (
	"archive/tar"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// tar lists what is in a tar file of any format that archive/tar reads.
func (w *walker) tar() error {
	tr := tar.NewReader(w.section())
	for {
		h, err := tr.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return broken(err)
		}
		m := &Member{Name: h.Name, Link: h.Linkname, Dir: h.Typeflag == tar.TypeDir, Size: h.Size}
		if h.Typeflag != tar.TypeSymlink && h.Typeflag != tar.TypeLink {
			m.Link = ""
		}
		if !sparse(h) {
			m.Stored = h.Size
		}
		m.open = func() (io.ReadCloser, error) { return io.NopCloser(tr), nil }
		if err := w.see(m); err != nil {
			return err
		}
	}
}

// sparse says whether the content may be mostly made of nothing.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// cpio lists what is in a cpio file: the old binary form of either byte order, odc, newc and crc (cpio(5)).
func (w *walker) cpio() error {
	for at := int64(0); ; {
		h, err := w.cpioHeader(at)
		if err != nil {
			return err
		}
		if h.name == "TRAILER!!!" {
			return nil
		}
		const kind, dir, link = 0o170000, 0o040000, 0o120000
		m := &Member{Name: h.name, Dir: h.mode&kind == dir, Size: h.size, Stored: h.size}
		body := io.NewSectionReader(w.r, h.body, h.size)
		if h.mode&kind == link {
			p := make([]byte, min(h.size, 4096))
			n, _ := body.ReadAt(p, 0)
			m.Link = string(p[:n])
		}
		m.open = func() (io.ReadCloser, error) { return io.NopCloser(body), nil }
		if err := w.see(m); err != nil {
			return err
		}
		at = h.next
	}
}

type cpioHeader struct {
	name       string
	mode, size int64
	body, next int64
}

// cpioHeader reads the header at an offset.
func (w *walker) cpioHeader(at int64) (h cpioHeader, err error) {
	var p [110]byte
	n, err := w.r.ReadAt(p[:], at)
	if err != nil && err != io.EOF {
		return h, err
	}
	if n < 26 {
		return h, fmt.Errorf("%w: a cpio file without its end", ErrFormat)
	}
	var head, nameLen, align int64
	number := func(from, to, base int) int64 {
		v, e := strconv.ParseInt(string(p[from:to]), base, 64)
		if e != nil {
			err = fmt.Errorf("%w: a cpio header that is none", ErrFormat)
		}
		return v
	}
	err = nil
	switch m := string(p[:6]); {
	case m == "070701" || m == "070702":
		head, align = 110, 4
		h.mode, h.size, nameLen = number(14, 22, 16), number(54, 62, 16), number(94, 102, 16)
	case m == "070707":
		head, align = 76, 1
		h.mode, nameLen, h.size = number(18, 24, 8), number(59, 65, 8), number(65, 76, 8)
	default:
		head, align = 26, 2
		var order binary.ByteOrder = binary.LittleEndian
		if p[0] == 0x71 {
			order = binary.BigEndian
		}
		if order.Uint16(p[:]) != 0o070707 {
			return h, fmt.Errorf("%w: a cpio header that is none", ErrFormat)
		}
		h.mode, nameLen = int64(order.Uint16(p[6:])), int64(order.Uint16(p[20:]))
		h.size = int64(order.Uint16(p[22:]))<<16 | int64(order.Uint16(p[24:]))
	}
	if err != nil {
		return h, err
	}
	if nameLen < 1 || nameLen > 4096 || h.size < 0 || h.size > w.size {
		return h, fmt.Errorf("%w: a cpio header with impossible lengths", ErrFormat)
	}
	name := make([]byte, nameLen)
	if _, err := w.r.ReadAt(name, at+head); err != nil {
		return h, broken(err)
	}
	h.name = strings.TrimRight(string(name), "\x00")
	h.body = up(at+head+nameLen, at, align)
	h.next = up(h.body+h.size, at, align)
	return h, nil
}

// up rounds v up to a multiple of align, counted from base.
func up(v, base, align int64) int64 { return base + (v-base+align-1)/align*align }

// ar lists what is in an ar file, as Debian packages are: the common, the GNU and the BSD form (ar(5)).
func (w *walker) ar() error {
	const head = 60
	var long []byte
	for at := int64(8); at < w.size; {
		var p [head]byte
		if _, err := w.r.ReadAt(p[:], at); err != nil {
			return broken(err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(p[48:58])), 10, 64)
		if err != nil || size < 0 || string(p[58:]) != "`\n" {
			return fmt.Errorf("%w: an ar header that is none", ErrFormat)
		}
		body := io.NewSectionReader(w.r, at+head, size)
		name := strings.TrimRight(string(p[:16]), " ")
		at = up(at+head+size, 0, 2)
		switch {
		case name == "//":
			long = make([]byte, min(size, 64<<10))
			n, _ := body.ReadAt(long, 0)
			long = long[:n]
			continue
		case name == "/" || name == "/SYM64/" || name == "__.SYMDEF":
			continue
		}
		name, body = arName(name, long, body)
		m := &Member{Name: name, Size: body.Size(), Stored: body.Size()}
		m.open = func() (io.ReadCloser, error) { return io.NopCloser(bufio.NewReader(body)), nil }
		if err := w.see(m); err != nil {
			return err
		}
	}
	return nil
}

// arName resolves a long name, which lies in a member of its own (GNU) or before the content (BSD).
func arName(name string, long []byte, body *io.SectionReader) (string, *io.SectionReader) {
	if n, ok := strings.CutPrefix(name, "#1/"); ok {
		if n, err := strconv.ParseInt(n, 10, 16); err == nil && n > 0 && n <= body.Size() {
			p := make([]byte, n)
			k, _ := body.ReadAt(p, 0)
			return strings.TrimRight(string(p[:k]), "\x00"), io.NewSectionReader(body, n, body.Size()-n)
		}
	}
	if off, ok := strings.CutPrefix(name, "/"); ok {
		if off, err := strconv.Atoi(off); err == nil && off >= 0 && off < len(long) {
			s, _, _ := strings.Cut(string(long[off:]), "\n")
			return strings.TrimSuffix(s, "/"), body
		}
	}
	return strings.TrimSuffix(name, "/"), body
}
