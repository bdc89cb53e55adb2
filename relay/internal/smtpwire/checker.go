package smtpwire

import "io"

// Checker reads a message whose framing somebody else has taken off, and refuses in it what Body
// refuses: its errors are those of Body, and an error is returned again by every later Read.
type Checker struct {
	r         io.Reader
	normalize bool
	lines     lines
	mend      mender
	base      []byte // what r is read into; only when mending
	buf       []byte // read and not looked at yet; only when mending
	out       []byte // mended and not handed out yet; only when mending
	rerr      error  // of r; only when mending
	err       error
}

// NewChecker returns a Checker that allows lines of the given length with their CRLF. With normalize it
// turns bare CR and bare LF into CRLF instead of refusing them.
func NewChecker(r io.Reader, line int, normalize bool) *Checker {
	return &Checker{r: r, normalize: normalize, lines: lines{max: line}}
}

// Read implements io.Reader.
func (c *Checker) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := 0, error(nil)
	if c.normalize {
		n, err = c.mended(p)
	} else {
		n, err = c.r.Read(p)
	}
	if fault := c.lines.check(p[:n]); fault != nil {
		c.err = fault
		return 0, fault
	}
	if err == io.EOF {
		if fault := c.lines.finish(); fault != nil {
			c.err = fault
			return 0, fault
		}
	}
	c.err = err
	return n, err
}

// mended reads with line ends mended.
func (c *Checker) mended(p []byte) (int, error) {
	for len(c.out) == 0 {
		switch {
		case len(c.buf) > 0:
			c.out, c.buf = c.mend.cut(c.buf)
		case c.rerr == io.EOF && c.mend.cr:
			c.mend.cr = false
			c.out = crlf
		case c.rerr != nil:
			return 0, c.rerr
		default:
			if c.base == nil {
				c.base = make([]byte, 32<<10)
			}
			n, err := c.r.Read(c.base)
			c.buf, c.rerr = c.base[:n], err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}
