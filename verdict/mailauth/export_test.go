package mailauth

import (
	"bytes"
	"context"
	"crypto"
	"hash"
)

// What the tests of parsers look at from outside.
var (
	ParseSPFRecord = func(txt string) error { _, err := parseSPF(txt); return err }
	IsSPFRecord    = isSPF
	JoinTXT        = joinTXT
	WalkTargets    = walkTargets
	LookAlike      = lookAlike
)

// Health is what is remembered of a name server.
type Health = server

// Usable says whether it may be asked.
func (s *server) Usable() bool { return s.usable() }

// Missed notes a question without an answer, and what the probe found after it.
func (s *server) Missed() bool { return s.heard(silence{context.DeadlineExceeded}) }

// Answered notes an answer.
func (s *server) Answered() bool { return s.heard(nil) }

// plainHash is a hash that keeps what is written to it.
type plainHash struct{ bytes.Buffer }

func (h *plainHash) Sum(b []byte) []byte { return append(b, h.Bytes()...) }
func (h *plainHash) Size() int           { return h.Len() }
func (h *plainHash) BlockSize() int      { return 1 }

var _ hash.Hash = (*plainHash)(nil)

// CanonicalBody returns a body in one of its forms, written in pieces of a size.
func CanonicalBody(body []byte, relaxed bool, piece int) []byte {
	b := newBodyHash(&plainHash{}, relaxed)
	for len(body) > piece {
		b.Write(body[:piece])
		body = body[piece:]
	}
	b.Write(body)
	return b.digest()
}

// CanonicalField returns a header field in one of its forms.
func CanonicalField(field []byte, relaxed bool) []byte {
	if relaxed {
		return appendRelaxed(nil, field)
	}
	return appendSimple(nil, field)
}

// AuthorOf reads the value of one From field.
func AuthorOf(value string) (domains []string, group bool, err error) {
	a := &author{fields: 1}
	err = a.parse(value)
	return a.domains, a.group, err
}

// DMARCRecord is a parsed policy record.
type DMARCRecord = dmarcRecord

// ParseDMARCRecord reads a policy record, and says what it asks for.
func ParseDMARCRecord(txt string) (policy, subdomain, absent string, suffix byte, testing, void, ok bool) {
	r, ok := parseDMARC(txt)
	if !ok {
		return
	}
	return r.policy, r.subdomain, r.absent, r.suffix, r.testing, r.void, true
}

// ParseChain reads the ARC fields of a header section.
func ParseChain(fields [][2]string) (sets int, err error) {
	c := new(content)
	for _, f := range fields {
		c.fields = append(c.fields, headerField{f[0], []byte(f[0] + ":" + f[1] + "\r\n")})
	}
	chain := c.parseARC()
	return len(chain.sets), chain.err
}

// SignDKIM signs a message, for tests.
func SignDKIM(domain, selector, head string, names []string, c string, key crypto.Signer, raw []byte, more string) ([]byte, error) {
	return signDKIM(domain, selector, head, names, c, key, raw, more)
}
