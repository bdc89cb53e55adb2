package mailauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// signature is one signature field, parsed: a DKIM-Signature, ARC-Message-Signature or ARC-Seal.
type signature struct {
	raw       []byte // the field
	value     int    // offset of what stands behind the colon
	tags      tagList
	algorithm string // key type of a=: "rsa", "ed25519"
	domain    string // d=, A-labels, lower case
	selector  string // s=
	form      form
	headers   []string // h=
	body      []byte   // bh=
	sig       []byte   // b=
	bAt, bEnd int      // where the value of b= stands in raw
	made      time.Time
	expires   time.Time // zero: never
}

// maxSigned bounds h=: nobody signs more fields, and each is looked for in the whole header.
const maxSigned = 300

var errSignature = errors.New("malformed signature")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSignature, fmt.Sprintf(format, args...))
}

// newSignature parses the tags of a field. What it could read is in the result even if there is an error.
func newSignature(raw []byte) (*signature, error) {
	s := &signature{raw: raw}
	for i, c := range raw {
		if c == ':' {
			s.value = i + 1
			break
		}
	}
	var err error
	if s.tags, err = parseTags(string(raw[s.value:])); err != nil {
		return s, malformed("%v", err)
	}
	d, _ := s.tags.get("d")
	s.domain = asciiDomain(dropFWS(d))
	sel, _ := s.tags.get("s")
	s.selector = asciiDomain(dropFWS(sel))
	return s, nil
}

// parseBase reads the tags that every signature has.
func (s *signature) parseBase() error {
	a, _ := s.tags.get("a")
	algorithm, sum, _ := strings.Cut(a, "-")
	switch {
	case (algorithm != "rsa" && algorithm != "ed25519") || sum != "sha256": // RFC 8301 section 3.1 bars sha1
		return malformed("a=%.30q is not supported", a)
	case s.domain == "":
		return malformed("d= is no domain")
	case s.selector == "":
		return malformed("s= is no selector")
	}
	s.algorithm = algorithm
	for _, t := range s.tags {
		if t.name == "b" {
			s.bAt, s.bEnd = s.value+t.start, s.value+t.end
		}
	}
	var err error
	if s.sig, err = s.base64("b"); err != nil {
		return err
	}
	return s.parseTimes()
}

// parseMessage reads the tags of a signature over the message: h=, bh=, c=, which is as usual if it is not
// given.
func (s *signature) parseMessage(usual string) error {
	var err error
	if s.body, err = s.base64("bh"); err != nil {
		return err
	}
	h, ok := s.tags.get("h")
	if !ok {
		return malformed("no h=")
	}
	if strings.Count(h, ":") >= maxSigned {
		return malformed("more than %d fields in h=", maxSigned)
	}
	for name := range strings.SplitSeq(h, ":") {
		s.headers = append(s.headers, trimFWS(name))
	}
	c, given := s.tags.get("c")
	if !given {
		c = usual
	}
	if s.form, ok = parseForm(c); !ok {
		return malformed("c=%.30q is not supported", c)
	}
	if _, ok := s.tags.get("l"); ok {
		return malformed("l= leaves the end of the body unsigned, and is refused")
	}
	return nil
}

func (s *signature) signs(name string) bool {
	for _, h := range s.headers {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

func (s *signature) base64(name string) ([]byte, error) {
	text, ok := s.tags.get(name)
	if !ok || text == "" {
		return nil, malformed("no %s=", name)
	}
	out, err := base64.StdEncoding.DecodeString(dropFWS(text))
	if err != nil {
		return nil, malformed("%s= is not base64", name)
	}
	return out, nil
}

func (s *signature) parseTimes() error {
	var err error
	if s.made, err = s.time("t"); err != nil {
		return err
	}
	if s.expires, err = s.time("x"); err != nil {
		return err
	}
	if !s.made.IsZero() && !s.expires.IsZero() && !s.expires.After(s.made) {
		return malformed("x= is not after t=")
	}
	return nil
}

// time reads a tag that counts seconds. It is zero without the tag.
func (s *signature) time(name string) (time.Time, error) {
	text, ok := s.tags.get(name)
	if !ok {
		return time.Time{}, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > 12 {
		return time.Time{}, malformed("%s= is no time", name)
	}
	return time.Unix(int64(n), 0), nil
}

// keyName is where the key is published (RFC 6376 section 3.6.2.1).
func (s *signature) keyName() string { return s.selector + "._domainkey." + s.domain }

// unsigned returns the field without the value of b= and its white space (RFC 6376 section 3.7).
func (s *signature) unsigned() []byte {
	out := make([]byte, 0, len(s.raw))
	out = append(out, s.raw[:s.bAt]...)
	return append(out, s.raw[s.bEnd:]...)
}
