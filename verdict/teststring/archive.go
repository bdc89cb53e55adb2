package teststring

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

const tarBlock = 512

// unpack looks into content that is an archive, or several at once: readers differ in what they take
// a file for that begins as one and ends as another.
func (x *scan) unpack(part string, depth int, c *content) error {
	begins := func(sig string) bool { return hasPrefix(c.head, sig) }
	isZip := begins("PK\x03\x04") || begins(zipEnd) || begins("PK\x07\x08")
	var opened bool
	for _, kind := range []struct {
		is   bool
		open func(part string, depth int, c *content) error
	}{
		{begins("\x1f\x8b\x08"), x.gunzip},
		{isTar(c.head), x.untar},
		{isZip, x.unzip},
		{!isZip && c.endsLike(zipEnd), x.unzipTail},
	} {
		if !kind.is {
			continue
		}
		if !opened {
			if err := x.archive(depth); errors.Is(err, errLimit) {
				x.limit(part, err)
				return nil
			} else if err != nil {
				return err
			}
			opened = true
		}
		if err := kind.open(part, depth, c); err != nil {
			return err
		}
	}
	return nil
}

// limit reports that an archive was not looked into to its end.
func (x *scan) limit(part string, err error) {
	x.add(verdict.Finding{Code: verdict.CodeArchiveLimit, Detail: err.Error(), Part: part, Err: err})
}

// member looks into one member. What is wrong with it alone is a finding.
func (x *scan) member(part string, depth int, m *member) error {
	err := x.inspect(part, depth+1, m, nil)
	switch {
	case err == nil:
		if m.met != nil {
			x.broken(part, m.met, true)
		}
		return nil
	case errors.Is(err, errLimit), errors.Is(err, errSpool), x.ctx.Err() != nil:
		return err
	}
	x.broken(part, err, false)
	return nil
}

// gunzip looks into a gzip file (RFC 1952), all its members in a row.
func (x *scan) gunzip(part string, depth int, c *content) error {
	if err := x.entry(); err != nil {
		return err
	}
	r, err := c.open()
	if err != nil {
		return err
	}
	defer r.Close()
	zr, err := gzip.NewReader(x.watch(r))
	if err != nil {
		x.broken(part, err, false)
		return x.ctx.Err()
	}
	// Behind the last member other data may follow, which gunzip ignores.
	return x.member(inside(part, zr.Name), depth, &member{r: zr, x: x, soft: []error{gzip.ErrHeader}})
}

// untar looks into a tar file of any format that archive/tar reads.
func (x *scan) untar(part string, depth int, c *content) error {
	r, err := c.open()
	if err != nil {
		return err
	}
	defer r.Close()
	free := c.size // only what a sparse member makes of nothing counts
	tr := tar.NewReader(x.watch(r))
	for {
		h, err := tr.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			x.broken(part, err, false)
			return x.ctx.Err()
		}
		if err := x.entry(); err != nil {
			return err
		}
		if err := x.member(inside(part, h.Name), depth, &member{r: tr, x: x, free: &free}); err != nil {
			return err
		}
	}
}

// isTar says whether p begins with a header block whose sum is right (POSIX.1-2017, pax, "ustar
// Interchange Format"): the sum of all bytes, those of the sum itself counted as blanks.
func isTar(p []byte) bool {
	if len(p) < tarBlock || p[0] == 0 {
		return false
	}
	field := strings.Trim(string(p[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range p[:tarBlock] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c)) // as some old writers did
	}
	return want == unsigned || want == signed
}

// inside names a member of the archive at part.
func inside(part, name string) string { return clipTo(part+"!"+clip(name), 500) }
