package mailauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// author is what From says (RFC 9989 section 5.3.1, RFC 5322 section 3.6.2).
type author struct {
	fields    int      // From fields
	domains   []string // of the mailboxes, each once; as written if it is no domain name
	mailboxes int
	group     bool
	err       error // why there is not one author domain
}

var errFrom = errors.New("the From field names no single author domain")

// readAuthor reads the From fields of a message.
func readAuthor(h verdict.Header) *author {
	a := new(author)
	for _, v := range h.Values("From") {
		a.fields++
		if err := a.parse(v); err != nil && a.err == nil {
			a.err = err
		}
	}
	switch {
	case a.fields == 0:
		a.err = fmt.Errorf("%w: there is no From", errFrom)
	case a.fields > 1:
		a.err = fmt.Errorf("%w: %d From fields", errFrom, a.fields)
	case a.group:
		a.err = fmt.Errorf("%w: group syntax", errFrom)
	case a.err != nil:
	case len(a.domains) == 0:
		a.err = fmt.Errorf("%w: no address", errFrom)
	case len(a.domains) > 1:
		a.err = fmt.Errorf("%w: addresses of %d domains", errFrom, len(a.domains))
	case asciiDomain(a.domains[0]) == "" || a.domains[0][0] == '[':
		a.err = fmt.Errorf("%w: %.60q is no domain name", errFrom, a.domains[0])
	}
	return a
}

// domain returns the one author domain, or "".
func (a *author) domain() string {
	if a.err != nil {
		return ""
	}
	return a.domains[0]
}

// parse reads an address list as mail clients do: comments and quoted text put aside, an address in angle
// brackets if there is one.
func (a *author) parse(v string) error {
	p := addressParser{s: v}
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c < ' ' && c != '\t' || c == 0x7f:
			return fmt.Errorf("%w: a control character", errFrom)
		case p.quoted:
			p.inQuotes(c)
		case p.depth > 0:
			p.inComment(c)
		case c == '"':
			p.quoted = true
			p.take(c)
		case c == '(':
			p.depth++
			p.i++
		case p.angle && c == '>':
			p.angle, p.closed = false, true
			p.i++
		case p.angle:
			p.take(c)
		case c == '<':
			if p.closed {
				return fmt.Errorf("%w: two addresses in one mailbox", errFrom)
			}
			p.angle, p.text = true, p.text[:0]
			p.i++
		case c == ':' && !p.literal():
			a.group = true
			p.reset()
		case c == ',' || c == ';':
			if err := a.add(&p); err != nil {
				return err
			}
			p.reset()
		default:
			p.take(c)
		}
	}
	if p.quoted || p.depth > 0 || p.angle {
		return fmt.Errorf("%w: text that is not closed", errFrom)
	}
	return a.add(&p)
}

// maxDomains is how many domains of one message are told apart: two are too many for DMARC.
const maxDomains = 20

// add takes the mailbox that p has read.
func (a *author) add(p *addressParser) error {
	addr := strings.TrimSpace(string(p.text))
	if addr == "" && !p.closed {
		return nil // an empty place in the list
	}
	a.mailboxes++
	at := lastAt(addr)
	if at <= 0 {
		return fmt.Errorf("%w: %.60q is no address", errFrom, addr)
	}
	domain := strings.ToLower(strings.Join(strings.Fields(addr[at+1:]), ""))
	if ascii := asciiDomain(domain); ascii != "" {
		domain = ascii
	}
	if domain == "" {
		return fmt.Errorf("%w: %.60q has no domain", errFrom, addr)
	}
	if len(a.domains) < maxDomains && !slices.Contains(a.domains, domain) {
		a.domains = append(a.domains, domain)
	}
	return nil
}

// lastAt returns where the domain of an address begins: an at sign within quotes is of the local part.
func lastAt(addr string) int {
	quoted, at := false, -1
	for i := 0; i < len(addr); i++ {
		switch {
		case quoted && addr[i] == '\\':
			i++
		case addr[i] == '"':
			quoted = !quoted
		case addr[i] == '@' && !quoted:
			at = i
		}
	}
	return at
}

type addressParser struct {
	s      string
	i      int
	text   []byte // of the mailbox, or of its angle brackets
	quoted bool
	depth  int // of comments
	angle  bool
	closed bool // angle brackets were seen: what follows does not count
}

func (p *addressParser) reset() {
	p.text, p.closed = p.text[:0], false
	p.i++
}

func (p *addressParser) take(c byte) {
	if !p.closed {
		p.text = append(p.text, c)
	}
	p.i++
}

func (p *addressParser) inQuotes(c byte) {
	p.take(c)
	switch {
	case c == '"':
		p.quoted = false
	case c == '\\' && p.i < len(p.s):
		p.take(p.s[p.i])
	}
}

func (p *addressParser) inComment(c byte) {
	switch c {
	case '(':
		p.depth++
	case ')':
		p.depth--
	case '\\':
		p.i++
	}
	p.i++
}

// literal says whether the colon stands in an address literal: user@[IPv6:2001:db8::1].
func (p *addressParser) literal() bool {
	open := strings.LastIndexByte(string(p.text), '[')
	return open > 0 && p.text[open-1] == '@' && !strings.Contains(string(p.text[open:]), "]")
}
