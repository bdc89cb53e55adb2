package unpack

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
)

// IsBase64 says whether head begins a text that is nothing but base64: lines of one length, of which the
// first has at least 40 letters of both cases. It is for files that are sent in that form.
func IsBase64(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF"))
	line, rest, more := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimRight(line, "\r =")
	if len(line) < 40 || !allBase64(line) || !bytes.ContainsAny(line, "abcdefghijklmnopqrstuvwxyz") || !bytes.ContainsAny(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return false
	}
	for range 20 {
		if !more {
			break
		}
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		if !allBase64(bytes.TrimRight(line, "\r =")) {
			return false
		}
	}
	return true
}

func allBase64(b []byte) bool {
	for _, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/') {
			return false
		}
	}
	return true
}

// base64 reads a text of nothing but base64 (RFC 4648 section 4). Blanks are passed over, padding may lack.
func (w *walker) base64() error {
	return w.one("", 0, func() (io.ReadCloser, error) {
		return io.NopCloser(base64.NewDecoder(base64.RawStdEncoding, &letters{r: bufio.NewReader(w.section())})), nil
	})
}

// letters leaves everything out that is not of the alphabet.
type letters struct{ r *bufio.Reader }

func (l *letters) Read(p []byte) (int, error) {
	for {
		n, err := l.r.Read(p)
		keep := p[:0]
		for _, c := range p[:n] {
			if allBase64([]byte{c}) {
				keep = append(keep, c)
			}
		}
		if len(keep) > 0 || err != nil {
			return len(keep), err
		}
	}
}

// IsUU returns the offset of the "begin" line of a uuencoded file in head, or -1.
func IsUU(head []byte) int {
	for at := 0; at < len(head) && at < 16<<10; {
		line, _, _ := bytes.Cut(head[at:], []byte("\n"))
		if _, ok := uuBegin(line); ok && uuLine(head[at+min(len(line)+1, len(head)-at):]) {
			return at
		}
		at += len(line) + 1
	}
	return -1
}

// uuBegin parses "begin MODE NAME" (POSIX.1-2017, uuencode).
func uuBegin(line []byte) (name string, ok bool) {
	line = bytes.TrimRight(line, "\r")
	f := bytes.SplitN(line, []byte(" "), 3)
	if len(f) != 3 || string(f[0]) != "begin" || len(f[1]) < 3 || len(f[1]) > 4 {
		return "", false
	}
	for _, c := range f[1] {
		if c < '0' || c > '7' {
			return "", false
		}
	}
	return string(f[2]), true
}

// uuLine says whether b begins with a line whose length fits what it says.
func uuLine(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if len(line) == 0 {
		return false
	}
	n := int(line[0]-' ') & 63
	want := (n + 2) / 3 * 4
	return n > 0 && line[0] > ' ' && line[0] <= '`' && len(line)-1 >= want-3 && len(line)-1 <= want+3
}

func (w *walker) uu() error {
	br := bufio.NewReaderSize(w.section(), 8<<10)
	for {
		line, err := br.ReadSlice('\n')
		if name, ok := uuBegin(bytes.TrimRight(line, "\n")); ok {
			return w.one(name, 0, func() (io.ReadCloser, error) { return io.NopCloser(&uuReader{br: br}), nil })
		}
		if err != nil && err != bufio.ErrBufferFull {
			return fmt.Errorf("%w: no uuencoded file", ErrFormat)
		}
	}
}

// uuReader decodes lines up to "end" or the first that is none.
type uuReader struct {
	br   *bufio.Reader
	left []byte
	buf  [64]byte
	end  bool
}

func (u *uuReader) Read(p []byte) (int, error) {
	for len(u.left) == 0 {
		if u.end {
			return 0, io.EOF
		}
		line, err := u.br.ReadSlice('\n')
		u.end = err != nil
		line = bytes.TrimRight(line, "\r\n")
		if !uuLine(line) {
			u.end = true
			continue
		}
		u.left = u.decode(line)
	}
	n := copy(p, u.left)
	u.left = u.left[n:]
	return n, nil
}

func (u *uuReader) decode(line []byte) []byte {
	n := int(line[0]-' ') & 63
	line = line[1:]
	at := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 63
		}
		return 0
	}
	out := u.buf[:0]
	for i := 0; len(out) < n; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	return out[:n]
}
