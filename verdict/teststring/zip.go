package teststring

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postreeve/postreeve/verdict"
)

// zipEnd begins the end of central directory record (APPNOTE 4.3.16).
const zipEnd = "PK\x05\x06"

// zipEntry begins an entry of the central directory (APPNOTE 4.3.12).
const zipEntry = "PK\x01\x02"

// maxDirectory bounds what archive/zip reads of a directory before it hands anything out: a directory
// of a thousand long names, and what it searches for the end record.
const maxDirectory = 1<<20 + 2*half

// unzip looks into a file that begins like a zip file.
func (x *scan) unzip(part string, depth int, c *content) error { return x.zip(part, depth, c, true) }

// unzipTail looks into a file that ends like a zip file. If it cannot be read, and no entry of a
// directory is there either, four bytes have looked like an end record by chance.
func (x *scan) unzipTail(part string, depth int, c *content) error {
	return x.zip(part, depth, c, c.endsLike(zipEntry))
}

func (x *scan) zip(part string, depth int, c *content, claims bool) error {
	at, err := c.at(x)
	if err != nil {
		return err
	}
	dir := &directory{r: at, left: maxDirectory}
	zr, err := zip.NewReader(dir, c.size)
	dir.left = -1
	switch {
	case errors.Is(err, errLimit):
		return err
	case errors.Is(err, zip.ErrFormat) && !claims:
		return nil
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		x.broken(part, err, false)
		return nil
	}
	if n := len(zr.File); n > x.Entries {
		return fmt.Errorf("%w: more than %d members", errLimit, x.Entries)
	}
	if err := overlap(zr.File); err != nil {
		return err
	}
	for _, f := range zr.File {
		if err := x.zipped(inside(part, f.Name), depth, f); err != nil {
			return err
		}
	}
	return nil
}

// zipped looks into one member of a zip file.
func (x *scan) zipped(part string, depth int, f *zip.File) error {
	const encrypted = 1 // general purpose bit 0, APPNOTE 4.4.4
	if err := x.entry(); err != nil {
		return err
	}
	if f.Flags&encrypted != 0 {
		x.add(verdict.Finding{Code: verdict.CodeArchiveLocked, Detail: "an encrypted member", Part: part})
		return nil
	}
	r, err := f.Open()
	if err != nil {
		x.broken(part, err, false)
		return nil
	}
	defer r.Close()
	return x.member(part, depth, &member{r: r, x: x, soft: []error{zip.ErrChecksum}})
}

// overlap says whether members share bytes, by which a small file can be made to give any amount.
func overlap(files []*zip.File) error {
	type span struct{ from, to int64 }
	spans := make([]span, 0, len(files))
	for _, f := range files {
		from, err := f.DataOffset()
		n := int64(f.CompressedSize64)
		if err != nil || n <= 0 || from+n < from {
			continue // nothing there, or not to be opened either
		}
		spans = append(spans, span{from, from + n})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(min(1, max(-1, a.from-b.from))) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from < spans[i-1].to {
			return fmt.Errorf("%w: members lie on top of each other", errLimit)
		}
	}
	return nil
}

// directory lets only so many bytes be read, as long as left is not negative.
type directory struct {
	r    io.ReaderAt
	left int64
}

func (d *directory) ReadAt(p []byte, off int64) (int, error) {
	if d.left >= 0 {
		if d.left -= int64(len(p)); d.left < 0 {
			d.left = 0
			return 0, fmt.Errorf("%w: a directory of more than %d bytes", errLimit, maxDirectory)
		}
	}
	return d.r.ReadAt(p, off)
}
