package verdict

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// partMemo is what has been found out about the content of a part, under Part.mu.
type partMemo struct {
	measured, hashed, typed bool
	size                    int64
	flags                   decodeFlags
	digest                  [sha256.Size]byte
	kind                    string
}

// Open returns the content after decoding; for a container its raw content. Readers are independent.
// Content that cannot be decoded is handled as mail clients do and is no error: see Anomaly.
//
// If the source of the message is no io.ReaderAt and its readers are no io.Seeker, everything before the
// part is read and thrown away.
func (p *Part) Open() (io.ReadCloser, error) {
	r, err := p.Raw()
	if err != nil {
		return nil, err
	}
	if d := newDecoder(p.Encoding); d != nil && !p.isMultipart() {
		return newDecodeReader(r, d), nil
	}
	return r, nil
}

// isMultipart says whether encodings do not count (RFC 2045 section 6.4).
func (p *Part) isMultipart() bool { return p.container && !isMessage(p.Declared) }

// Raw returns the content as it stands in the message, before decoding and without header.
func (p *Part) Raw() (io.ReadCloser, error) {
	r, err := p.stream.section(p.off, p.n)
	if err != nil {
		return nil, fmt.Errorf("verdict: opening part %q: %w", p.Path, err)
	}
	return r, nil
}

// Size returns the number of bytes that Open gives. Encoded content is decoded once to count them.
func (p *Part) Size() (int64, error) {
	m, err := p.measure(false)
	return m.size, err
}

// Digest returns the SHA-256 of what Open gives. It is computed once.
func (p *Part) Digest() ([sha256.Size]byte, error) {
	m, err := p.measure(true)
	return m.digest, err
}

// measure reads the content at most once for everything, or twice if the digest is wanted only later.
// The digest of text is made on demand: there is a lot of text and nobody asks.
func (p *Part) measure(digest bool) (partMemo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memo.hashed || p.memo.measured && !digest {
		return p.memo, nil
	}
	if !digest && (newDecoder(p.Encoding) == nil || p.isMultipart()) {
		p.memo.size, p.memo.measured = p.n, true
		return p.memo, nil
	}
	r, err := p.Open()
	if err != nil {
		return partMemo{}, err
	}
	var h hash.Hash
	w := io.Discard
	if digest || !strings.HasPrefix(p.Declared, "text/") {
		h = sha256.New()
		w = h
	}
	n, err := io.Copy(w, r)
	var flags decodeFlags
	if d, ok := r.(*decodeReader); ok {
		flags = d.dec.flags()
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return partMemo{}, fmt.Errorf("verdict: reading part %q: %w", p.Path, err)
	}
	p.memo.size, p.memo.flags, p.memo.measured = n, flags, true
	if h != nil {
		h.Sum(p.memo.digest[:0])
		p.memo.hashed = true
	}
	return p.memo, nil
}

// Type returns the type that the content has by its own bytes, whatever the part declares. For a
// container it is Declared. Content without a known signature is "text/plain" if it is text,
// "application/octet-stream" otherwise, and "application/x-empty" if there is none.
// It is empty if the content cannot be read; Open then says why.
func (p *Part) Type() string {
	if p.container {
		return p.Declared
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.memo.typed {
		buf := windows.Get().(*[windowSize]byte)
		defer windows.Put(buf)
		head, err := p.head(buf[:SniffLen])
		if err != nil {
			return ""
		}
		p.memo.kind, p.memo.typed = SniffType(head), true
	}
	return p.memo.kind
}

// head fills buf from the beginning of the content, as far as there is some.
func (p *Part) head(buf []byte) ([]byte, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	// Not io.ReadFull: its ErrUnexpectedEOF would hide that of a source that has shrunk.
	n := 0
	for n < len(buf) && err == nil {
		var m int
		m, err = readSome(r, buf[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("verdict: reading part %q: %w", p.Path, err)
	}
	return buf[:n], nil
}

// Text returns the content as UTF-8, decoded by the charset parameter, whatever the type of the part.
// A byte order mark goes before the parameter. What cannot be decoded is U+FFFD; of the charsets of East
// Asia only ASCII is read. If there is more than Limits.Text bytes, it returns what fits and ErrTooLarge.
func (p *Part) Text() (string, error) {
	// Decoding makes nothing longer, but for the last bytes.
	b, err := p.head(make([]byte, min(p.textLimit+1, p.n+decodeSlack)))
	if err != nil {
		return "", err
	}
	tooLarge := int64(len(b)) > p.textLimit
	if tooLarge {
		b = b[:p.textLimit]
	}
	charset := p.Params["charset"]
	switch {
	case hasPrefix(b, "\xEF\xBB\xBF"):
		charset, b = "utf-8", b[3:]
	case hasPrefix(b, "\xFE\xFF"), hasPrefix(b, "\xFF\xFE"):
		charset = "utf-16"
	}
	text, _ := decodeCharset(charset, b)
	if tooLarge {
		return text, fmt.Errorf("%w: text of part %q is longer than %d bytes", ErrTooLarge, p.Path, p.textLimit)
	}
	return text, nil
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
