// Package lnk reads shortcuts of Windows (MS-SHLLINK): what they start, with which arguments, and what
// they pretend to be by their icon.
package lnk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Limits bound one inspection; the zero value has defaults.
type Limits = inspect.Limits

// File is what stands behind the shortcut in its file.
type File = inspect.File

// The errors that Inspect wraps.
var (
	ErrLimit  = inspect.ErrLimit
	ErrFormat = inspect.ErrFormat
)

// Report is what a shortcut says.
type Report struct {
	Target    string // the first that is known of: local path, network path, with variables, list of items
	Relative  string // path from the shortcut to the target
	Arguments string
	WorkDir   string
	Icon      string // file and, in a shortcut without a file for it, nothing
	Name      string // description
	Machine   string // on which it was made
	Minimized bool   // the window is not to be seen
	Files     []File // content behind the end
}

const (
	headerSize = 76
	magic      = "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"
	maxRead    = 1 << 20 // bytes of a shortcut that are looked at
	maxText    = 64 << 10

	hasItems   = 1 << 0
	hasInfo    = 1 << 1
	hasName    = 1 << 2
	hasRelPath = 1 << 3
	hasWorkDir = 1 << 4
	hasArgs    = 1 << 5
	hasIcon    = 1 << 6
	isUnicode  = 1 << 7
	noInfo     = 1 << 8

	showMinimized = 7

	blockVariables = 0xA0000001
	blockTracker   = 0xA0000003
	blockIcon      = 0xA0000007
)

// Inspect reads the shortcut of size bytes that r gives.
//
// The report is never nil: with an error it has what was found up to there.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	b := inspect.NewBudget(ctx, lim)
	p, err := b.ReadAll(io.NewSectionReader(r, 0, min(size, maxRead)), min(size, maxRead))
	if err == nil {
		s := &shortcut{p: p, rep: rep}
		err = s.read()
		if err == nil {
			s.overlay(r, size, b.Limits.Bytes)
		}
	}
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rep, err
}

// shortcut is a file under inspection.
type shortcut struct {
	p   []byte
	pos int
	rep *Report
}

var errCut = fmt.Errorf("%w: shortcut is cut off", ErrFormat)

// take returns the next n bytes.
func (s *shortcut) take(n int) ([]byte, error) {
	if n < 0 || n > len(s.p)-s.pos {
		return nil, errCut
	}
	out := s.p[s.pos : s.pos+n]
	s.pos += n
	return out, nil
}

func (s *shortcut) read() error {
	head, err := s.take(headerSize)
	if err != nil || !bytes.HasPrefix(head, []byte(magic)) {
		return fmt.Errorf("%w: no shortcut", ErrFormat)
	}
	flags := binary.LittleEndian.Uint32(head[20:])
	s.rep.Minimized = binary.LittleEndian.Uint32(head[60:]) == showMinimized
	items := ""
	if flags&hasItems != 0 {
		size, err := s.u16()
		if err != nil {
			return err
		}
		list, err := s.take(size)
		if err != nil {
			return err
		}
		items = itemPath(list)
	}
	if flags&hasInfo != 0 && flags&noInfo == 0 {
		if err := s.info(); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		flag uint32
		to   *string
	}{{hasName, &s.rep.Name}, {hasRelPath, &s.rep.Relative}, {hasWorkDir, &s.rep.WorkDir}, {hasArgs, &s.rep.Arguments}, {hasIcon, &s.rep.Icon}} {
		if flags&f.flag == 0 {
			continue
		}
		if *f.to, err = s.text(flags&isUnicode != 0); err != nil {
			return err
		}
	}
	err = s.blocks()
	for _, t := range []string{items, s.rep.Relative} {
		if s.rep.Target == "" {
			s.rep.Target = t
		}
	}
	return err
}

func (s *shortcut) u16() (int, error) {
	b, err := s.take(2)
	if err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint16(b)), nil
}

func (s *shortcut) u32() (uint32, error) {
	b, err := s.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// text reads a string with its number of characters before it (section 2.4).
func (s *shortcut) text(unicode bool) (string, error) {
	n, err := s.u16()
	if err != nil {
		return "", err
	}
	if unicode {
		n *= 2
	}
	b, err := s.take(n)
	if err != nil {
		return "", err
	}
	if unicode {
		return wide(b), nil
	}
	return narrow(b), nil
}

func wide(b []byte) string { return inspect.Wide(b[:min(len(b), 2*maxText)]) }

func narrow(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	var sb strings.Builder
	for _, c := range b[:min(len(b), maxText)] {
		sb.WriteRune(rune(c))
	}
	return sb.String()
}

// info reads where the target was when the shortcut was made (section 2.3).
func (s *shortcut) info() error {
	size, err := s.u32()
	if err != nil {
		return err
	}
	if size < 4 || size > maxRead {
		return errCut
	}
	b, err := s.take(int(size) - 4)
	if err != nil {
		return err
	}
	at := func(off int) int { // offsets count from the size
		if off-4+4 > len(b) {
			return 0
		}
		return int(binary.LittleEndian.Uint32(b[off-4:]))
	}
	str := func(off int) string {
		if off < 4 || off-4 >= len(b) {
			return ""
		}
		return narrow(b[off-4:])
	}
	flags := at(8)
	if flags&1 != 0 {
		s.rep.Target = str(at(16)) + str(at(24))
		if head := at(4); head >= 0x24 && at(28) >= 4 && at(28)-4 < len(b) {
			if t := wide(b[at(28)-4:]); t != "" {
				s.rep.Target = t
			}
		}
	}
	if flags&2 != 0 && s.rep.Target == "" {
		if link := at(20); link > 4 && link+20-4 <= len(b) {
			name := int(binary.LittleEndian.Uint32(b[link-4+8:]))
			if name > 0 && name < len(b) {
				s.rep.Target = strings.TrimRight(str(link+name)+`\`+str(at(24)), `\`)
			}
		}
	}
	return nil
}

// blocks reads the blocks behind the strings (section 2.5).
func (s *shortcut) blocks() error {
	for s.pos+4 <= len(s.p) {
		size, err := s.u32()
		if err != nil || size < 4 {
			return err
		}
		b, err := s.take(int(min(size, maxRead+8)) - 4)
		if err != nil {
			return nil // nothing that counts is missing
		}
		if len(b) < 4 {
			continue
		}
		kind, b := binary.LittleEndian.Uint32(b), b[4:]
		switch kind {
		case blockVariables:
			if t := variables(b); t != "" && s.rep.Target == "" {
				s.rep.Target = t
			}
		case blockIcon:
			if t := variables(b); t != "" && s.rep.Icon == "" {
				s.rep.Icon = t
			}
		case blockTracker:
			if len(b) >= 24 {
				s.rep.Machine = narrow(b[8:24])
			}
		}
	}
	return nil
}

// variables reads a path with names of variables in it: once in bytes, once in UTF-16.
func variables(b []byte) string {
	const short = 260
	if len(b) >= short+2 {
		if t := wide(b[short:]); t != "" {
			return t
		}
	}
	return narrow(b[:min(len(b), short)])
}

// itemPath puts a path together from a list of items, as far as they are of files (undocumented, but the
// same since Windows 95).
func itemPath(list []byte) string {
	var parts []string
	for len(list) >= 3 && len(parts) < 64 {
		n := int(binary.LittleEndian.Uint16(list))
		if n < 3 || n > len(list) {
			break
		}
		item := list[:n]
		list = list[n:]
		switch kind := item[2]; {
		case kind&0x70 == 0x20 && n > 4: // drive
			parts = append(parts, strings.TrimRight(narrow(item[3:]), `\`))
		case kind&0x70 == 0x30 && n > 14: // file or folder
			if kind&4 != 0 {
				parts = append(parts, wide(item[14:]))
			} else {
				parts = append(parts, narrow(item[14:]))
			}
		case kind&0x70 == 0x40 && n > 5: // network
			parts = append(parts, narrow(item[5:]))
		case kind == 0x61 && n > 8: // address
			parts = append(parts, narrow(item[8:]))
		}
	}
	return strings.Join(parts, `\`)
}

// overlay adds what stands behind the end, if it is more than padding.
func (s *shortcut) overlay(r io.ReaderAt, size, limit int64) {
	start := int64(s.pos)
	if size-start < 16 {
		return
	}
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(inspect.Limited(io.NewSectionReader(r, start, size-start), limit)), nil
	}
	s.rep.Files = append(s.rep.Files, inspect.NewFile("", fmt.Sprintf("offset %d", start), size-start, open))
}
