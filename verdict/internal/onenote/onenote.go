// Package onenote finds the files that are embedded in a OneNote section (MS-ONESTORE).
//
// It does not follow the structure of the section, which others can damage without OneNote minding much:
// every embedded file has a mark of 16 bytes in front of it, and its name and extension stand elsewhere
// in forms that are as easy to find.
package onenote

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is an embedded file. Its name may be a guess: see Report.Names.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit  = inspect.ErrLimit
	ErrFormat = inspect.ErrFormat
)

// Report is what is in a section.
type Report struct {
	Files []File
	// Names are the names of attached files that stand in the section. Images and recordings have none.
	// Which belongs to which file is told by the extension only.
	Names []string
}

const (
	magicSection = "\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3"
	magicNotes   = "\xA1\x2F\xFF\x43\xD9\xEF\x76\x4C\x9E\xE2\x10\xEA\x57\x22\x76\x5F"

	// guidFile begins a FileDataStoreObject (MS-ONESTORE section 2.6.13).
	guidFile   = "\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC"
	fileHeader = 36 // bytes in front of the data

	// reference is how an object refers to its file: "<ifndf>{" in UTF-16.
	reference = "<\x00i\x00f\x00n\x00d\x00f\x00>\x00{\x00"

	// propName is the property with the name of an attached file (MS-ONE section 2.1.12), as it stands
	// in the list of properties of an object.
	propName = "\x9C\x1D\x00\x1C"
)

// section is a file under inspection.
type section struct {
	b      *inspect.Budget
	r      io.ReaderAt
	size   int64
	rep    *Report
	places []int64           // of the embedded files
	exts   map[string]string // by the identifier of the file
}

// Inspect finds the files in the section of size bytes that r gives.
//
// The report is never nil: with an error it has what was found up to there. Files of the report need r
// until they are no longer wanted.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	s := &section{b: inspect.NewBudget(ctx, lim), r: r, size: size, rep: rep, exts: map[string]string{}}
	err = s.read()
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rep, err
}

func (s *section) read() error {
	head := s.at(0, 16)
	if string(head) != magicSection && string(head) != magicNotes {
		return fmt.Errorf("%w: no OneNote section", ErrFormat)
	}
	if s.isPacked() {
		err := s.objects()
		if e := s.names(); err == nil {
			err = e
		}
		return err
	}
	err := s.b.Find(s.r, s.size, []string{guidFile, reference}, func(pos int64, word int) error {
		if err := s.b.Object(); err != nil {
			return err
		}
		if word == 0 {
			return s.place(pos)
		}
		s.extension(pos)
		return nil
	})
	if err == nil {
		err = s.names()
	}
	if err == nil {
		err = s.assign()
	}
	return err
}

// at reads n bytes, or as many as there are.
func (s *section) at(pos, n int64) []byte {
	if pos < 0 || pos >= s.size {
		return nil
	}
	b := make([]byte, min(n, s.size-pos))
	m, _ := s.r.ReadAt(b, pos)
	return b[:m]
}

func (s *section) place(pos int64) error {
	head := s.at(pos, fileHeader)
	if len(head) < fileHeader {
		return nil
	}
	n := binary.LittleEndian.Uint64(head[16:])
	if n == 0 || pos+fileHeader >= s.size {
		return nil
	}
	s.places = append(s.places, pos)
	return s.add(pos+fileHeader, int64(min(n, uint64(s.size-pos-fileHeader))))
}

// add adds the embedded file of size bytes at pos.
func (s *section) add(pos, size int64) error {
	if len(s.rep.Files) >= s.b.Limits.Files {
		return fmt.Errorf("%w: more than %d embedded files", ErrLimit, s.b.Limits.Files)
	}
	content := io.NewSectionReader(s.r, pos, size)
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(content, 0, size)), nil
	}
	s.rep.Files = append(s.rep.Files, inspect.NewFile("", fmt.Sprintf("offset %d", pos), size, open))
	return nil
}

// extension reads a reference: the identifier, a brace, and the extension with its length.
func (s *section) extension(pos int64) {
	const idLen = 36
	b := s.at(pos+int64(len(reference)), 2*idLen+2+4+2*16)
	if len(b) < 2*idLen+6 || len(s.exts) >= s.b.Limits.Files {
		return
	}
	id := guid(inspect.Wide(b[:2*idLen]))
	rest := b[2*idLen+2:]
	n := binary.LittleEndian.Uint32(rest)
	if rest = rest[4:]; id == "" || n > 16 || int(2*n) > len(rest) {
		return
	}
	s.exts[id] = strings.ToLower(inspect.Wide(rest[:2*n]))
}

// guid turns the text of an identifier into its bytes.
func guid(text string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return ""
	}
	for _, p := range [][]byte{b[:4], b[4:6], b[6:8]} {
		for i, j := 0, len(p)-1; i < j; i, j = i+1, j-1 {
			p[i], p[j] = p[j], p[i]
		}
	}
	return string(b)
}

// names collects the names of attached files. They stand behind the list of properties in which their
// property is, with their length in front.
func (s *section) names() error {
	seen := map[string]bool{}
	return s.b.Find(s.r, s.size, []string{propName}, func(pos int64, _ int) error {
		if err := s.b.Object(); err != nil {
			return err
		}
		const within = 1024
		name := findName(s.at(pos, within))
		if name == "" || seen[name] {
			return nil
		}
		if len(s.rep.Names) >= s.b.Limits.Files {
			return fmt.Errorf("%w: more than %d names", ErrLimit, s.b.Limits.Files)
		}
		seen[name] = true
		s.rep.Names = append(s.rep.Names, name)
		return nil
	})
}

// findName looks for text with its length in bytes before it that has a point in it.
func findName(b []byte) string {
	for i := 4; i+8 <= len(b); i++ {
		n := binary.LittleEndian.Uint32(b[i:])
		if n < 8 || n > 520 || n%2 != 0 || i+4+int(n) > len(b) {
			continue
		}
		text := b[i+4 : i+4+int(n)]
		name := inspect.Wide(text)
		units := len(utf16.Encode([]rune(name)))
		if units < int(n)/2-1 || !bytes.Contains(text, []byte(".\x00")) || strings.ContainsFunc(name, notInName) {
			continue
		}
		return name
	}
	return ""
}

func notInName(r rune) bool {
	return r < ' ' || r == 0xFFFD || strings.ContainsRune(`<>:"/\|?*`, r) || r >= 0xE000 && r < 0xF900
}

// assign gives the files their names: the extension by the place of the file, which stands beside its
// identifier, and then a name with that extension.
func (s *section) assign() error {
	ext, err := s.extensions()
	if err != nil {
		return err
	}
	used := make([]bool, len(s.rep.Names))
	for i, e := range ext {
		name := e
		for k, n := range s.rep.Names {
			if e != "" && !used[k] && strings.HasSuffix(strings.ToLower(n), e) {
				name, used[k] = n, true
				break
			}
		}
		s.rep.Files[i].Name = name
	}
	return nil
}

// extensions finds the identifiers of the files in one pass, and the place of the file in front of each
// (MS-ONESTORE section 2.2.4.2): as it is in 4 or 8 bytes, or divided by 8.
func (s *section) extensions() ([]string, error) {
	ext := make([]string, len(s.places))
	byPlace := map[uint32]int{}
	for i, p := range s.places {
		byPlace[uint32(p)] = i
		if p%8 == 0 {
			if _, taken := byPlace[uint32(p/8)]; !taken {
				byPlace[uint32(p/8)] = i
			}
		}
	}
	var first [1 << 16]bool
	for id := range s.exts {
		first[uint16(id[0])|uint16(id[1])<<8] = true
	}
	const window, before, idLen = 64 << 10, 24, 16
	for off := int64(0); len(s.exts) > 0 && off < s.size; off += window - before - idLen {
		if err := s.b.Err(); err != nil {
			return nil, err
		}
		b := s.at(off, window)
		for i := before; i+idLen <= len(b); i++ {
			if !first[uint16(b[i])|uint16(b[i+1])<<8] {
				continue
			}
			e, ok := s.exts[string(b[i:i+idLen])]
			if !ok {
				continue
			}
			if err := s.b.Object(); err != nil {
				return nil, err
			}
			for k := i - before; k+4 <= i; k++ {
				if n, ok := byPlace[binary.LittleEndian.Uint32(b[k:])]; ok {
					ext[n] = e
				}
			}
		}
	}
	return ext, nil
}
