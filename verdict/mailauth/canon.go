package mailauth

import (
	"bytes"
	"hash"
	"strings"
)

// appendSimple appends a header field as it is, with CRLF at its line ends (RFC 6376 section 3.4.1).
func appendSimple(dst, field []byte) []byte {
	if !bytes.Contains(field, []byte("\n")) || bytes.Count(field, []byte("\n")) == bytes.Count(field, []byte("\r\n")) {
		dst = append(dst, field...)
	} else {
		for i, c := range field {
			if c == '\n' && (i == 0 || field[i-1] != '\r') {
				dst = append(dst, '\r')
			}
			dst = append(dst, c)
		}
	}
	if !bytes.HasSuffix(field, []byte("\n")) {
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendRelaxed appends a header field by RFC 6376 section 3.4.2.
func appendRelaxed(dst, field []byte) []byte {
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return dst
	}
	for _, c := range bytes.TrimRight(field[:colon], fws) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	gap := false
	for _, c := range bytes.Trim(field[colon+1:], fws) {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			gap = true
			continue
		}
		if gap {
			dst = append(dst, ' ')
			gap = false
		}
		dst = append(dst, c)
	}
	return append(dst, '\r', '\n')
}

// bodyHash hashes a body in one of the two forms of RFC 6376 section 3.4 while it streams by. Lines may end in
// LF alone: they count as if they ended in CRLF, as they would have on the wire.
type bodyHash struct {
	sum     hash.Hash
	relaxed bool

	buf   []byte // written to sum when full
	ends  int64  // line ends held back: they count only if something follows
	gap   bool   // relaxed: white space held back
	cr    bool   // a CR held back
	begun bool   // something but line ends was seen
}

const bodyChunk = 4 << 10

func newBodyHash(sum hash.Hash, relaxed bool) *bodyHash {
	return &bodyHash{sum: sum, relaxed: relaxed, buf: make([]byte, 0, bodyChunk)}
}

// Write implements io.Writer. It never fails.
func (b *bodyHash) Write(p []byte) (int, error) {
	n := len(p)
	if b.cr && n > 0 && p[0] != '\n' {
		b.cr = false
		b.text([]byte{'\r'})
	}
	for len(p) > 0 {
		for !b.cr && len(p) > 1 && p[0] == '\r' && p[1] == '\n' { // the end of a line, or an empty one
			b.gap = false
			b.ends++
			p = p[2:]
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if len(p) == 0 {
				break
			}
			if p[len(p)-1] == '\r' {
				b.cr, p = true, p[:len(p)-1]
			}
			b.text(p)
			break
		}
		b.text(bytes.TrimSuffix(p[:i], []byte("\r")))
		b.cr, b.gap = false, false
		b.ends++
		p = p[i+1:]
	}
	return n, nil
}

// text takes a piece of a line without its end.
func (b *bodyHash) text(p []byte) {
	if !b.relaxed {
		if len(p) > 0 {
			b.release()
			b.emit(p)
		}
		return
	}
	for len(p) > 0 {
		n := gapAt(p)
		if n > 0 {
			b.release()
			b.emit(p[:n])
			p = p[n:]
			continue
		}
		b.gap = true
		for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
			p = p[1:]
		}
	}
}

// gapAt returns where the first blank stands in p, or len(p).
func gapAt(p []byte) int {
	for i, c := range p {
		if c == ' ' || c == '\t' {
			return i
		}
	}
	return len(p)
}

// release writes what was held back, now that something follows it.
func (b *bodyHash) release() {
	b.begun = true
	for b.ends > 0 {
		n := min(b.ends, int64(len(ends)/len(crlf)))
		b.emit(ends[:n*int64(len(crlf))])
		b.ends -= n
	}
	if b.gap {
		b.gap = false
		b.emit(blank)
	}
}

var (
	crlf  = []byte("\r\n")
	blank = []byte(" ")
	ends  = bytes.Repeat(crlf, 16)
)

func (b *bodyHash) emit(p []byte) {
	if len(b.buf)+len(p) > cap(b.buf) {
		b.sum.Write(b.buf)
		b.buf = b.buf[:0]
		if len(p) > cap(b.buf) {
			b.sum.Write(p)
			return
		}
	}
	b.buf = append(b.buf, p...)
}

// digest ends the body and returns its hash. An empty body is one line end in the simple form and nothing
// at all in the relaxed one.
func (b *bodyHash) digest() []byte {
	if b.cr {
		b.cr = false
		b.text([]byte{'\r'})
	}
	if b.begun || !b.relaxed {
		b.emit(crlf)
	}
	b.sum.Write(b.buf)
	b.buf = b.buf[:0]
	return b.sum.Sum(nil)
}

// form is a canonicalisation.
type form struct{ headerRelaxed, bodyRelaxed bool }

// parseForm reads c=. One word leaves the body simple.
func parseForm(s string) (form, bool) {
	head, body, two := strings.Cut(s, "/")
	if !two {
		body = "simple"
	}
	f := form{head == "relaxed", body == "relaxed"}
	return f, (f.headerRelaxed || head == "simple") && (f.bodyRelaxed || body == "simple")
}
