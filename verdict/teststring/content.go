package teststring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postreeve/postreeve/verdict"
)

// half is more than what may stand in a zip file from its end record on: 22 bytes and a comment of 65,535.
const half = 68 << 10

// work is the memory for one level of archives.
type work struct {
	search search
	head   [tarBlock]byte
	bufs   [2][half]byte
}

var works = sync.Pool{New: func() any { return new(work) }}

// errSpool is in the chain of errors that are ours and not the archive's.
var errSpool = errors.New("no place to unpack")

// opener opens content from its beginning.
type opener func() (io.ReadCloser, error)

// content is what was searched, for a second look if it is an archive.
type content struct {
	head       []byte // the first bytes
	prev, last []byte // the end, at least 65,557 bytes of it if there are as many
	size       int64

	small bool // last is everything
	again opener
	spool *verdict.Buffer
}

// inspect searches what r gives, and then opens it if it is an archive. again opens the same content
// once more; if it is nil, what does not fit into memory is spooled. depth is the number of archives
// around it. The error is that of r, of a limit or of the context; what is wrong further inside is a
// finding.
func (x *scan) inspect(part string, depth int, r io.Reader, again opener) error {
	w := works.Get().(*work)
	defer works.Put(w)
	c := content{again: again}
	defer c.close()
	if err := x.read(w, &c, r); err != nil {
		x.report(w.search.found, part)
		return err
	}
	if depth == 0 {
		x.budget.size = c.size
	}
	err := x.unpack(part, depth, &c)
	x.report(w.search.all(), part) // now, since a member is the better place to name
	return err
}

// read reads r to its end.
func (x *scan) read(w *work, c *content, r io.Reader) error {
	w.search.reset()
	for i := 0; ; i++ {
		p := w.bufs[i%2][:]
		n, err := fill(r, p)
		p = p[:n]
		w.search.Write(p)
		c.size += int64(n)
		c.prev, c.last = c.last, p
		if i == 0 {
			c.head = w.head[:copy(w.head[:], p)]
		}
		if err == io.EOF && i == 0 {
			c.small = true
			return nil
		}
		if i > 0 && c.again == nil {
			if err := c.keep(x, i == 1); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until p is full. Other than io.ReadFull it keeps an end and a failure apart.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var c int
		c, err = r.Read(p[n:])
		n += c
	}
	return n, err
}

// keep spools the last piece, and the one before it when it is the first time.
func (c *content) keep(x *scan, first bool) error {
	if first {
		c.spool = x.spool().New()
		if _, err := c.spool.Write(c.prev); err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
	}
	if _, err := c.spool.Write(c.last); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	return nil
}

func (c *content) close() {
	if c.spool != nil {
		c.spool.Close()
	}
}

// open returns the content from its beginning.
func (c *content) open() (io.ReadCloser, error) {
	switch {
	case c.small:
		return io.NopCloser(bytes.NewReader(c.last)), nil
	case c.spool != nil:
		return c.spool.Open()
	}
	return c.again()
}

// at returns the content for reading out of order.
func (c *content) at(x *scan) (io.ReaderAt, error) {
	switch {
	case c.small:
		return bytes.NewReader(c.last), nil
	case c.spool != nil:
		return c.spool, nil
	}
	r, err := c.again()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c.spool = x.spool().New()
	if _, err := io.Copy(c.spool, x.watch(r)); err != nil {
		return nil, fmt.Errorf("%w: %w", errSpool, err)
	}
	return c.spool, nil
}

// endsLike says whether sig stands in the last 65,557 bytes or a little before.
func (c *content) endsLike(sig string) bool {
	s := []byte(sig)
	if bytes.Contains(c.last, s) || bytes.Contains(c.prev, s) {
		return true
	}
	edge := len(s) - 1
	var border [16]byte
	n := copy(border[:], c.prev[max(0, len(c.prev)-edge):])
	n += copy(border[n:], c.last[:min(edge, len(c.last))])
	return bytes.Contains(border[:n], s)
}
