package mailauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// content is a message as signatures see it: its fields as bytes, and digests of its body.
type content struct {
	fields  []headerField
	rest    int64           // octets of the body
	digests map[bool][]byte // of the body; the key says relaxed
}

type headerField struct {
	name string
	raw  []byte // with its line end
}

// readHeader reads the header section of r, which m.Open returned.
func readHeader(m *verdict.Message, r io.Reader) (*content, error) {
	h := m.Header()
	if err := h.Err(); err != nil {
		return nil, err
	}
	head := make([]byte, h.BodyOffset())
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	c := &content{fields: make([]headerField, 0, h.Len()), rest: m.Size() - int64(len(head))}
	for f := range h.All() {
		if end := f.Offset() + f.Len(); f.Name != "" && end <= int64(len(head)) {
			c.fields = append(c.fields, headerField{f.Name, head[f.Offset():end]})
		}
	}
	return c, nil
}

// readBody hashes the rest of r in each of the forms that is called for, in one pass.
func (c *content) readBody(ctx context.Context, r io.Reader, simple, relaxed bool) error {
	c.digests = make(map[bool][]byte, 2)
	var sums []*bodyHash
	if simple {
		sums = append(sums, newBodyHash(sha256.New(), false))
	}
	if relaxed {
		sums = append(sums, newBodyHash(sha256.New(), true))
	}
	if len(sums) == 0 {
		return nil
	}
	buf := make([]byte, max(1, min(c.rest, 32<<10)))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		for _, s := range sums {
			s.Write(buf[:n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, s := range sums {
		c.digests[s.relaxed] = s.digest()
	}
	return nil
}

// pick calls yield with the fields that a list of names stands for: each name takes the lowest field that
// none before it has taken, or nothing (RFC 6376 section 5.4.2).
func (c *content) pick(names []string, yield func(raw []byte)) {
	taken := make([]bool, len(c.fields))
	for _, name := range names {
		for i := len(c.fields) - 1; i >= 0; i-- {
			if !taken[i] && len(c.fields[i].name) == len(name) && strings.EqualFold(c.fields[i].name, name) {
				taken[i] = true
				yield(c.fields[i].raw)
				break
			}
		}
	}
}

// signedHeader returns what a signature over the message is made of, the field of the signature last.
func (c *content) signedHeader(names []string, field []byte, relaxed bool) []byte {
	add := appendSimple
	if relaxed {
		add = appendRelaxed
	}
	out := make([]byte, 0, 2048)
	c.pick(names, func(raw []byte) { out = add(out, raw) })
	return bytes.TrimSuffix(add(out, field), crlf)
}

var (
	errBodyHash  = errors.New("the body is not the one that was signed")
	errSignedBy  = errors.New("the signature is not of this header and this key")
	errKeyOfKind = errors.New("the key is of another type than the signature")
)

// verify checks a parsed signature over the message.
func (c *content) verify(s *signature, k *publicKey) error {
	if k.kind != s.algorithm {
		return fmt.Errorf("%w: %s for %s", errKeyOfKind, k.kind, s.algorithm)
	}
	if subtle.ConstantTimeCompare(c.digests[s.form.bodyRelaxed], s.body) != 1 {
		return errBodyHash
	}
	sum := sha256.Sum256(c.signedHeader(s.headers, s.unsigned(), s.form.headerRelaxed))
	if !k.verify(sum[:], s.sig) {
		return errSignedBy
	}
	return nil
}
