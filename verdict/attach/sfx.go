package attach

import (
	"errors"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// selfExtracting looks for an archive in a program.
func (x *scan) selfExtracting(it *item, c *content) error {
	for _, s := range []struct {
		magic  string
		format unpack.Format
	}{{"7z\xBC\xAF\x27\x1C", unpack.SevenZip}, {"Rar!\x1A\x07", unpack.Rar}, {"PK\x03\x04", unpack.Zip}, {"MSCF\x00\x00\x00\x00", unpack.Cab}} {
		at, err := find(gate{c.at, x}, c.size, s.magic)
		if err != nil {
			return x.overOrNil(it, err)
		}
		if at <= 0 {
			continue
		}
		if s.format == unpack.Zip && len(unpack.Detect(nil, c.tail(unpack.TailLen))) == 0 {
			continue
		}
		x.found(codeSelfExtract, it.label, "a program with a "+string(s.format)+" archive in it")
		if err := x.budget.container(x.ctx, it.depth); err != nil {
			return x.overOrNil(it, err)
		}
		if s.format == unpack.Zip { // offsets may count from the beginning of the program
			return x.walk(it, s.format, gate{c.at, x}, c.size)
		}
		return x.walk(it, s.format, io.NewSectionReader(gate{c.at, x}, at, c.size-at), c.size-at)
	}
	return nil
}

// overOrNil makes a finding of a limit, and nothing of the end of the context.
func (x *scan) overOrNil(it *item, err error) error {
	if x.ctx.Err() != nil {
		return x.ctx.Err()
	}
	if errors.Is(err, errLimit) {
		x.unread(verdict.CodeArchiveLimit, it.label, err)
		return nil
	}
	return err
}

// find returns the offset of what stands in r, or -1. Of large files the first megabytes are searched.
func find(r io.ReaderAt, size int64, magic string) (int64, error) {
	const most = 8 << 20
	buf := make([]byte, 64<<10)
	for at := int64(0); at < min(size, most); at += int64(len(buf) - len(magic)) {
		n, err := r.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return -1, err
		}
		if i := strings.Index(string(buf[:n]), magic); i >= 0 {
			return at + int64(i), nil
		}
		if n < len(buf) {
			break
		}
	}
	return -1, nil
}
