package xmlscan

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Kind says what a token is.
type Kind uint8

// The kinds of tokens.
const (
	Start   Kind = iota + 1 // of an element
	End                     // of an element; none for one that is empty
	Text                    // a piece of it; long text comes in several
	Doctype                 // a document type declaration
)

const (
	maxTag   = 1 << 20 // bytes of one tag
	maxNames = 1000    // names that are kept to be used again
	bufSize  = 16 << 10
)

// Token is a piece of a document. It is valid until the next call of Next.
type Token struct {
	Kind  Kind
	Name  string // local name of the element, without a prefix
	Space string // prefix of the name, which may stand for anything
	Empty bool   // the element ends with its start
	Text  []byte // Text: with entities in it resolved

	// Doctype only.
	Entities int  // declarations of entities
	External bool // refers to something outside

	tag []byte // what follows the name
}

// Scanner reads tokens.
type Scanner struct {
	Token
	r     *bufio.Reader
	b     *inspect.Budget
	err   error
	buf   []byte
	attrs []Attr
	names map[string]string
	cdata bool   // within a CDATA section
	held  []byte // the end of the last piece of it
}

// New returns a scanner of what r gives. What r reads is spent by the caller: see Budget.Reader.
func New(b *inspect.Budget, r io.Reader) *Scanner {
	s := &Scanner{r: bufio.NewReaderSize(r, bufSize), b: b, names: map[string]string{}}
	if wide := sniffUTF16(s.r); wide != nil {
		s.r = bufio.NewReaderSize(wide, bufSize)
	}
	if head, _ := s.r.Peek(3); string(head) == "\xEF\xBB\xBF" {
		s.r.Discard(3)
	}
	return s
}

// Err returns what ended the scan; nil for the end of the document.
func (s *Scanner) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// Next goes to the next token. It returns false at the end and on an error.
func (s *Scanner) Next() bool {
	for s.err == nil {
		if s.err = s.b.Step(); s.err != nil {
			break
		}
		if s.cdata {
			return s.readCDATA()
		}
		c, err := s.r.Peek(1)
		switch {
		case err != nil:
			s.err = err
		case c[0] != '<':
			s.readText()
			return true
		default:
			s.r.Discard(1)
			if s.readMarkup() {
				return true
			}
		}
	}
	return false
}

// readText reads text up to the next tag or as much as the buffer holds.
func (s *Scanner) readText() {
	s.Token = Token{Kind: Text}
	part, _ := s.r.Peek(s.r.Buffered())
	if end := bytes.IndexByte(part, '<'); end >= 0 {
		part = part[:end]
	} else if i := bytes.LastIndexByte(part, '&'); i >= 0 && len(part)-i < maxEntity {
		// An entity must not be cut in two.
		if i == 0 {
			part, _ = s.r.Peek(maxEntity)
			if end := bytes.IndexAny(part, "<;"); end > 0 && part[end] == '<' {
				part = part[:end]
			} else if end > 0 {
				part = part[:end+1]
			}
		} else {
			part = part[:i]
		}
	}
	s.buf = append(s.buf[:0], part...)
	s.r.Discard(len(part))
	s.Text = unescape(s.buf)
}

// readMarkup reads what follows "<". It returns false if there is no token in it.
func (s *Scanner) readMarkup() bool {
	c, err := s.r.ReadByte()
	if err != nil {
		s.err = err
		return false
	}
	switch c {
	case '?':
		s.skipTo("?>")
		return false
	case '!':
		return s.readDeclaration()
	case '/':
		tag, ok := s.readTag(nil)
		if !ok {
			return false
		}
		s.Token = Token{Kind: End}
		s.Space, s.Name, _ = s.splitName(tag)
		return true
	}
	tag, ok := s.readTag([]byte{c})
	if !ok {
		return false
	}
	s.Token = Token{Kind: Start}
	if n := len(tag); n > 0 && tag[n-1] == '/' {
		s.Empty, tag = true, tag[:n-1]
	}
	s.Space, s.Name, s.tag = s.splitName(tag)
	return true
}

// readTag reads up to the ">" that is not in quotes.
func (s *Scanner) readTag(head []byte) ([]byte, bool) {
	s.buf = append(s.buf[:0], head...)
	quote := byte(0)
	seen := 0
	for {
		part, err := s.r.ReadSlice('>')
		s.buf = append(s.buf, part...)
		if err != nil && err != bufio.ErrBufferFull {
			s.err = err
			return nil, false
		}
		if len(s.buf) > maxTag {
			s.err = fmt.Errorf("%w: XML tag of more than %d bytes", inspect.ErrLimit, maxTag)
			return nil, false
		}
		for _, c := range s.buf[seen:] {
			switch {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case c == quote:
				quote = 0
			}
		}
		seen = len(s.buf)
		if err == nil && quote == 0 {
			return s.buf[:len(s.buf)-1], true
		}
	}
}

// skipTo discards up to the mark.
func (s *Scanner) skipTo(mark string) {
	last := mark[len(mark)-1]
	var tail []byte
	for s.err == nil {
		part, err := s.r.ReadSlice(last)
		if err != nil && err != bufio.ErrBufferFull {
			s.err = err
			return
		}
		tail = append(tail, part[max(0, len(part)-len(mark)):]...)
		tail = tail[max(0, len(tail)-len(mark)):]
		if string(tail) == mark {
			return
		}
		s.err = s.b.Step()
	}
}

// readDeclaration reads what follows "<!".
func (s *Scanner) readDeclaration() bool {
	head, err := s.r.Peek(7)
	switch {
	case bytes.HasPrefix(head, []byte("--")):
		s.r.Discard(2)
		s.skipTo("-->")
		return false
	case string(head) == "[CDATA[":
		s.r.Discard(7)
		return s.readCDATA()
	case strings.EqualFold(string(head), "DOCTYPE"):
		s.r.Discard(7)
		s.readDoctype()
		return true
	case err != nil && err != io.EOF:
		s.err = err
		return false
	}
	s.skipTo(">")
	return false
}

// readCDATA reads a section, or as much of it as is given at once. It returns false if there is none.
func (s *Scanner) readCDATA() bool {
	s.Token = Token{Kind: Text}
	s.buf = append(s.buf[:0], s.held...)
	s.held, s.cdata = s.held[:0], true
	for len(s.buf) < bufSize {
		if s.err = s.b.Step(); s.err != nil {
			return false
		}
		part, err := s.r.ReadSlice('>')
		s.buf = append(s.buf, part...)
		if bytes.HasSuffix(s.buf, []byte("]]>")) {
			s.Text, s.cdata = s.buf[:len(s.buf)-3], false
			return true
		}
		if err != nil && err != bufio.ErrBufferFull {
			s.Text, s.cdata, s.err = s.buf, false, err
			return len(s.buf) > 0
		}
	}
	// The mark of the end may be cut in two.
	n := len(s.buf) - 2
	s.held = append(s.held, s.buf[n:]...)
	s.Text = s.buf[:n]
	return true
}

// readDoctype reads a declaration with its internal subset, of which it keeps no more than a word.
func (s *Scanner) readDoctype() {
	s.Token = Token{Kind: Doctype}
	depth, quote := 1, byte(0)
	var word []byte
	for depth > 0 {
		c, err := s.r.ReadByte()
		if err == nil {
			err = s.b.Step()
		}
		if err != nil {
			s.err = err
			return
		}
		if c|0x20 >= 'a' && c|0x20 <= 'z' && len(word) < 16 {
			word = append(word, c)
			continue
		}
		if quote == 0 {
			s.doctypeWord(string(word))
		}
		word = word[:0]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<':
			if head, _ := s.r.Peek(3); string(head) == "!--" {
				s.skipTo("-->")
				if s.err != nil {
					return
				}
				continue
			}
			depth++
		case c == '[':
			depth++
		case c == '>' || c == ']':
			depth--
		}
	}
}

func (s *Scanner) doctypeWord(w string) {
	switch w {
	case "ENTITY":
		s.Entities++
	case "SYSTEM", "PUBLIC":
		s.External = true
	}
}

// Prolog reads up to the first element and returns the document type declaration, if there is one.
func Prolog(b *inspect.Budget, r io.Reader) (doctype Token, found bool, err error) {
	s := New(b, r)
	for s.Next() {
		switch s.Kind {
		case Doctype:
			return s.Token, true, s.Err()
		case Start:
			return Token{}, false, nil
		}
	}
	return Token{}, false, s.Err()
}
