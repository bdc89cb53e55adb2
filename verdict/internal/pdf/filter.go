package pdf

import (
	"bufio"
	"compress/flate"
	"io"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// newInflate decompresses zlib data as readers of PDF do: a wrong header or sum is no matter, and what
// came before an error counts.
func newInflate(r io.Reader) io.Reader {
	br := bufio.NewReader(r)
	head, _ := br.Peek(4)
	skipped := 0
	for skipped < len(head) && (head[skipped] == '\r' || head[skipped] == '\n') {
		skipped++ // after the word stream there was more than an end of line
	}
	br.Discard(skipped)
	if head, _ := br.Peek(2); len(head) == 2 && head[0]&0xF == 8 {
		br.Discard(2)
	}
	return &lenient{r: flate.NewReader(br)}
}

// lenient ends without an error if it has given anything before.
type lenient struct {
	r   io.Reader
	any bool
}

func (l *lenient) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.any = l.any || n > 0
	if err != nil && err != io.EOF && l.any {
		err = io.EOF
	}
	return n, err
}

// hexReader decodes digits up to a ">".
type hexReader struct {
	r    *bufio.Reader
	done bool
}

func (h *hexReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !h.done {
		high, ok := h.digit()
		if !ok {
			break
		}
		low, _ := h.digit()
		p[n] = high<<4 | low
		n++
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (h *hexReader) digit() (byte, bool) {
	for !h.done {
		c, err := h.r.ReadByte()
		if err != nil || c == '>' {
			h.done = true
			break
		}
		if v, ok := inspect.Unhex(c); ok {
			return v, true
		}
	}
	return 0, false
}

// ascii85Source ends at the mark that the decoder of the library does not know, and leaves out the one
// that some put in front.
type ascii85Source struct {
	r     *bufio.Reader
	begun bool
	done  bool
}

func (a *ascii85Source) Read(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		if head, _ := a.r.Peek(2); string(head) == "<~" {
			a.r.Discard(2)
		}
	}
	n := 0
	for n < len(p) && !a.done {
		c, err := a.r.ReadByte()
		if err != nil || c == '~' {
			a.done = true
			break
		}
		p[n] = c
		n++
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// runReader decodes runs (section 7.4.5).
type runReader struct {
	r    *bufio.Reader
	left int // of the current run
	same bool
	c    byte
	done bool
}

func (r *runReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !r.done {
		if r.left == 0 {
			c, err := r.r.ReadByte()
			if err != nil || c == 128 {
				r.done = true
				break
			}
			if c < 128 {
				r.left, r.same = int(c)+1, false
			} else {
				r.left, r.same = 257-int(c), true
				if r.c, err = r.r.ReadByte(); err != nil {
					break
				}
			}
		}
		c := r.c
		if !r.same {
			var err error
			if c, err = r.r.ReadByte(); err != nil {
				break
			}
		}
		p[n] = c
		n++
		r.left--
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
