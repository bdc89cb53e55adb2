package unpack

import (
	"fmt"
	"io"
)

// Object identifiers of RFC 5652, as they are encoded.
const (
	oidSigned    = "\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02"
	oidEnveloped = "\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03"
	oidAuthEnv   = "\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17"
)

// cms lists what is in a signed message of S/MIME (RFC 8551 section 3.5.2): the content that was signed. It
// stands there as it is, in one piece or in several. Encrypted messages are ErrLocked.
func (w *walker) cms() error {
	c := &der{w: w}
	info, err := c.into(tlv{body: 0, end: w.size}, tagSequence)
	if err != nil {
		return err
	}
	kind, err := c.element(info.body, info.end)
	if err != nil {
		return err
	}
	switch oid := c.bytes(kind); {
	case kind.tag == tagOID && (oid == oidEnveloped || oid == oidAuthEnv):
		w.facts.Locked = true
		return fmt.Errorf("%w: an encrypted message", ErrLocked)
	case kind.tag != tagOID || oid != oidSigned:
		return nil // a certificate, a key, or something else of that family
	}
	pieces, size, err := c.signed(kind.next, info.end)
	if err != nil || len(pieces) == 0 {
		return err // a signature that stands beside what it signs
	}
	return w.see(&Member{Name: "", Size: size, Stored: size, open: func() (io.ReadCloser, error) { return io.NopCloser(io.MultiReader(pieces...)), nil }})
}

// signed finds the content of SignedData (RFC 5652 section 5.1).
func (c *der) signed(at, end int64) ([]io.Reader, int64, error) {
	data, err := c.into(tlv{body: at, end: end}, tagContext0)
	if err != nil {
		return nil, 0, err
	}
	data, err = c.into(data, tagSequence)
	if err != nil {
		return nil, 0, err
	}
	at = data.body
	for range 2 { // the version and the digests
		e, err := c.element(at, data.end)
		if err != nil {
			return nil, 0, err
		}
		at = e.next
	}
	content, err := c.into(tlv{body: at, end: data.end}, tagSequence)
	if err != nil {
		return nil, 0, err
	}
	kind, err := c.element(content.body, content.end)
	if err != nil {
		return nil, 0, err
	}
	explicit, err := c.element(kind.next, content.end)
	if err != nil || explicit.tag != tagContext0 {
		return nil, 0, nil
	}
	octets, err := c.element(explicit.body, explicit.end)
	if err != nil {
		return nil, 0, err
	}
	var pieces []io.Reader
	var size int64
	err = c.octets(octets, 0, &pieces, &size)
	return pieces, size, err
}

const (
	tagOID       = 0x06
	tagOctets    = 0x04
	tagSequence  = 0x30
	tagContext0  = 0xA0
	constructed  = 0x20
	maxDERPieces = 200_000
)

// der reads elements of DER and of BER, whose lengths may be left open (X.690).
type der struct {
	w     *walker
	steps int
	open  int // elements of open length around the one that is read
}

// tlv is an element: its tag, where its content is, and where the next one begins.
type tlv struct {
	tag             byte
	body, end, next int64
}

// into returns the first element of a container, which must have a tag.
func (c *der) into(in tlv, tag byte) (tlv, error) {
	e, err := c.element(in.body, in.end)
	if err == nil && e.tag != tag {
		err = fmt.Errorf("%w: no signed message", ErrFormat)
	}
	return e, err
}

// element reads the head of an element. One whose length is open ends where the one around it does; its
// own end has to be found by reading what is in it.
func (c *der) element(at, end int64) (tlv, error) {
	if c.steps++; c.steps > maxDERPieces {
		return tlv{}, fmt.Errorf("%w: more than %d elements", ErrLimit, maxDERPieces)
	}
	var p [6]byte
	n, err := c.w.r.ReadAt(p[:], at)
	if err != nil && err != io.EOF {
		return tlv{}, err
	}
	if at+2 > end || n < 2 {
		return tlv{}, fmt.Errorf("%w: a message without its end", ErrFormat)
	}
	e := tlv{tag: p[0], body: at + 2}
	length := int64(p[1])
	switch {
	case p[1] == 0x80:
		e.end = end
		e.next, err = c.openEnd(e)
		if err != nil {
			return tlv{}, err
		}
		e.end = e.next - 2
		return e, nil
	case p[1] > 0x84:
		return tlv{}, fmt.Errorf("%w: an element that is too long", ErrFormat)
	case p[1] > 0x80:
		k := int(p[1] & 0x7F)
		if n < 2+k {
			return tlv{}, fmt.Errorf("%w: a message without its end", ErrFormat)
		}
		length = 0
		for _, b := range p[2 : 2+k] {
			length = length<<8 | int64(b)
		}
		e.body += int64(k)
	}
	e.end = min(e.body+length, end)
	e.next = e.end
	return e, nil
}

// openEnd returns where the element behind one of open length begins: behind two zeros.
func (c *der) openEnd(e tlv) (int64, error) {
	const deepest = 32
	if c.open++; c.open > deepest {
		return 0, fmt.Errorf("%w: elements that are nested too deep", ErrLimit)
	}
	defer func() { c.open-- }()
	for at := e.body; ; {
		var p [2]byte
		if n, err := c.w.r.ReadAt(p[:], at); n < 2 || at+2 > e.end {
			if err != nil && err != io.EOF {
				return 0, err
			}
			return e.end + 2, nil
		}
		if p[0] == 0 && p[1] == 0 {
			return at + 2, nil
		}
		inner, err := c.element(at, e.end)
		if err != nil {
			return 0, err
		}
		at = inner.next
	}
}

// bytes returns the content of a short element.
func (c *der) bytes(e tlv) string {
	p := make([]byte, min(64, max(0, e.end-e.body)))
	n, _ := c.w.r.ReadAt(p, e.body)
	return string(p[:n])
}

// octets gathers the pieces of an octet string.
func (c *der) octets(e tlv, depth int, pieces *[]io.Reader, size *int64) error {
	if e.tag&^constructed != tagOctets {
		return fmt.Errorf("%w: no signed content", ErrFormat)
	}
	if e.tag&constructed == 0 {
		*pieces = append(*pieces, io.NewSectionReader(c.w.r, e.body, e.end-e.body))
		*size += e.end - e.body
		return nil
	}
	if depth > 8 {
		return fmt.Errorf("%w: pieces in pieces", ErrLimit)
	}
	for at := e.body; at < e.end; {
		inner, err := c.element(at, e.end)
		if err != nil {
			return err
		}
		if err := c.octets(inner, depth+1, pieces, size); err != nil {
			return err
		}
		at = inner.next
	}
	return nil
}
