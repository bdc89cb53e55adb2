package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bodgit/sevenzip"
)

// sevenZip lists a 7z file. Its header is looked at before the library sees it, since the library takes
// whatever memory the header asks for.
func (w *walker) sevenZip() error {
	need, err := w.survey7z()
	if err != nil {
		return err
	}
	giveBack, err := w.lim.Memory.take(need.memory)
	if err != nil {
		return err
	}
	defer giveBack()
	if need.empty {
		return nil
	}
	if need.slow {
		w.facts.Locked = true
		return fmt.Errorf("%w: a 7z file that takes too long to try a password on", ErrLocked)
	}
	zr, err := w.open7z(need.locked)
	if err != nil {
		return err
	}
	if len(zr.File) > w.lim.Entries {
		return fmt.Errorf("%w: more than %d members", ErrLimit, w.lim.Entries)
	}
	for _, f := range zr.File {
		if err := w.see(w.member7z(f, need)); err != nil {
			return err
		}
	}
	return nil
}

// open7z opens the file with the first password that fits, or without one if that shows the names.
func (w *walker) open7z(locked bool) (*sevenzip.Reader, error) {
	zr, err := sevenzip.NewReader(w.r, w.size)
	if err != nil && !isLocked7z(err) {
		return nil, broken(err)
	}
	headLocked := err != nil
	if locked || headLocked {
		for _, pass := range w.lim.Passwords {
			if w.ctx.Err() != nil {
				break
			}
			if try, e := sevenzip.NewReaderWithPassword(w.r, w.size, pass); e == nil && fits7z(try) {
				w.facts.Password = pass
				return try, nil
			}
		}
	}
	if headLocked {
		w.facts.Locked = true
		return nil, fmt.Errorf("%w: a 7z file whose names are encrypted too", ErrLocked)
	}
	return zr, nil
}

func isLocked7z(err error) bool {
	var re *sevenzip.ReadError
	return errors.As(err, &re) && re.Encrypted
}

// fits7z says whether the first byte of content can be read, and what can be read of the first file has
// the sum that it should have; a wrong password gives noise, which decoders refuse soon.
func fits7z(zr *sevenzip.Reader) bool {
	for _, f := range zr.File {
		if f.UncompressedSize == 0 || f.FileInfo().IsDir() {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			return false
		}
		defer rc.Close()
		_, err = io.CopyN(io.Discard, rc, min(int64(f.UncompressedSize), 4<<10))
		return err == nil
	}
	return true
}

func (w *walker) member7z(f *sevenzip.File, need survey) *Member {
	m := &Member{Name: f.Name, Dir: f.FileInfo().IsDir(), Size: int64(f.UncompressedSize)}
	m.Locked = need.locked && w.facts.Password == "" && f.UncompressedSize > 0 && need.lockedFolder(f.Stream)
	m.Opened = need.locked && w.facts.Password != ""
	m.open = func() (io.ReadCloser, error) {
		if need.odd != "" {
			return nil, fmt.Errorf("%w: a 7z file with %s", ErrUnopened, need.odd)
		}
		rc, err := f.Open()
		if err != nil {
			if strings.Contains(err.Error(), "unsupported compression algorithm") {
				return nil, fmt.Errorf("%w: %w", ErrUnopened, err)
			}
			return nil, broken(err)
		}
		return &costly{rc, func() {}}, nil
	}
	return m
}

// survey is what a 7z file asks for.
type survey struct {
	memory  int64  // of the folder that needs most
	locked  bool   // some folder is encrypted
	folders []bool // which
	slow    bool   // trying a password takes more rounds than any program sets
	odd     string // a method that is not opened, since nobody can tell what it takes
	empty   bool
}

func (s *survey) lockedFolder(i int) bool { return i < 0 || i >= len(s.folders) || s.folders[i] }

// aes7z is the method of encryption.
const aes7z = "\x06\xF1\x07\x01"

// max7z is how much memory for dictionaries a 7z file may ask for.
const max7z = 32 << 20

// survey7z reads the headers of a 7z file as far as they tell what unpacking takes (7zFormat.txt).
func (w *walker) survey7z() (s survey, err error) {
	var head [32]byte
	if _, err := w.r.ReadAt(head[:], 0); err != nil {
		return s, broken(unexpected(err))
	}
	le := binary.LittleEndian
	off, size := le.Uint64(head[12:]), le.Uint64(head[20:])
	if size == 0 {
		s.empty = true
		return s, nil
	}
	if off > uint64(w.size) || size > uint64(w.size) || int64(32+off+size) > w.size {
		return s, fmt.Errorf("%w: a 7z file without its end", ErrFormat)
	}
	if int64(size) > w.lim.Directory {
		return s, fmt.Errorf("%w: a 7z header of %d bytes", ErrLimit, size)
	}
	p := make([]byte, size)
	if _, err := w.r.ReadAt(p, int64(32+off)); err != nil && err != io.EOF {
		return s, err
	}
	for range 4 { // a header may be packed, and its header again
		h := &header7z{p: p}
		kind := h.byte()
		switch kind {
		case 1:
			h.untilStreams()
		case 0x17:
			h.streams()
		default:
			h.bad = true
		}
		if h.bad {
			return s, fmt.Errorf("%w: a 7z header that is none", ErrFormat)
		}
		if err := s.add(h); err != nil || kind == 1 {
			return s, err
		}
		if s.locked || s.odd != "" {
			return s, nil // the header is encrypted: the library says so
		}
		if p, err = w.unpack7z(h); err != nil {
			return s, err
		}
		if p == nil { // a method that is not lzma takes little
			return s, nil
		}
		s.folders = nil
	}
	return s, fmt.Errorf("%w: headers in headers", ErrLimit)
}

// add takes over what the folders of a header ask for.
func (s *survey) add(h *header7z) error {
	for _, f := range h.folders {
		var mem int64
		locked := false
		for _, c := range f.coders {
			mem += c.memory()
			locked = locked || c.id == aes7z
			s.slow = s.slow || c.id == aes7z && len(c.props) > 0 && c.props[0]&0x3F > maxKDF7z && c.props[0]&0x3F != 0x3F
			if c.id == "\x04\xF7\x11\x01" {
				s.odd = "Zstandard"
			}
		}
		s.folders = append(s.folders, locked)
		s.locked = s.locked || locked
		if s.memory = max(s.memory, mem); mem > max7z {
			return fmt.Errorf("%w: unpacking it takes %d bytes of memory", ErrLimit, mem)
		}
	}
	return nil
}

// unpack7z unpacks a packed header of one LZMA coder.
func (w *walker) unpack7z(h *header7z) ([]byte, error) {
	if len(h.folders) != 1 || len(h.folders[0].coders) != 1 || len(h.packed) == 0 || len(h.unpacked) == 0 {
		return nil, nil
	}
	c, size := h.folders[0].coders[0], h.unpacked[0]
	if c.id != "\x03\x01\x01" || len(c.props) != 5 {
		return nil, nil
	}
	if int64(size) > w.lim.Directory {
		return nil, fmt.Errorf("%w: a 7z header of %d bytes", ErrLimit, size)
	}
	head := [13]byte{}
	copy(head[:], c.props)
	binary.LittleEndian.PutUint64(head[5:], size)
	r, err := newLzma(head, io.NewSectionReader(w.r, 32+int64(h.at), int64(h.packed[0])))
	if err != nil {
		return nil, broken(err)
	}
	p := make([]byte, size)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, broken(unexpected(err))
	}
	return p, nil
}
