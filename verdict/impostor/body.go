package impostor

import (
	"errors"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
)

// maxText is how much text of a message is read, in bytes.
const maxText = 128 << 10

// body is what is there to read in a message.
type body struct {
	plain, html []string // texts shown; of HTML as a person sees it
	plainParts  int
	htmlParts   int
	others      int  // parts that are neither: attachments
	alone       bool // HTML is the only alternative
	asciiBase64 bool // text of nothing but ASCII in base64
	left        int  // bytes that may still be read
}

// readBody reads the texts of a message that are shown with it: not those of attached messages, which the author
// only hands on, and not those of files.
func readBody(m *verdict.Message) (*body, error) {
	b := &body{left: maxText}
	for p, err := range m.Parts() {
		if err != nil {
			return b, err
		}
		if p.IsContainer() || attached(p) {
			continue
		}
		switch {
		case p.Disposition == "attachment":
			b.others++
		case p.Declared == "text/html":
			err = b.addHTML(m, p)
		case p.Declared == "text/plain", p.Declared == "text/calendar":
			err = b.addPlain(m, p)
		default:
			b.others++
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// attached says whether a part is of an attached message, or of what a report quotes (RFC 3462).
func attached(p *verdict.Part) bool {
	for q := p.Parent; q != nil; q = q.Parent {
		if !strings.HasPrefix(q.Declared, "multipart/") || q.Declared == "multipart/report" {
			return true
		}
	}
	return false
}

func (b *body) addHTML(m *verdict.Message, p *verdict.Part) error {
	b.htmlParts++
	b.alone = b.htmlParts == 1 && b.plainParts == 0 && p.Parent != nil && p.Parent.Declared == "multipart/alternative"
	if b.left <= 0 {
		return nil
	}
	doc, err := htmldoc.Of(m, p)
	if err != nil {
		return err
	}
	b.html = append(b.html, b.take(doc.Text))
	b.base64(p, doc.Text)
	return nil
}

func (b *body) addPlain(m *verdict.Message, p *verdict.Part) error {
	b.plainParts++
	b.alone = false
	if b.left <= 0 {
		return nil
	}
	text, err := htmldoc.Plain(m, p)
	if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
		return err
	}
	text = b.take(text)
	b.plain = append(b.plain, text)
	b.base64(p, text)
	return nil
}

// take returns what may still be read of a text.
func (b *body) take(text string) string {
	if len(text) > b.left {
		text = text[:b.left]
	}
	b.left -= len(text)
	return text
}

// base64 takes note of ASCII in base64: encoded so that filters that do not decode see nothing.
func (b *body) base64(p *verdict.Part, text string) {
	if p.Encoding != "base64" || len(text) < 200 {
		return
	}
	for i := range len(text) {
		if text[i] >= 0x80 {
			return
		}
	}
	b.asciiBase64 = true
}

// unquoted yields the pieces of a plain text that its author wrote: without quoted lines, and without what stands
// behind the dashes that begin a signature or a patch.
func unquoted(text string, yield func(string)) {
	if !strings.Contains(text, "\n>") && !strings.HasPrefix(text, ">") {
		yield(text)
		return
	}
	start := 0
	for i := 0; i < len(text); {
		end := strings.IndexByte(text[i:], '\n')
		if end < 0 {
			end = len(text)
		} else {
			end += i + 1
		}
		if text[i] == '>' {
			if start < i {
				yield(text[start:i])
			}
			start = end
		}
		i = end
	}
	if start < len(text) {
		yield(text[start:])
	}
}

// quotes says whether a plain text quotes another.
func quotes(texts []string) bool {
	for _, t := range texts {
		if strings.HasPrefix(t, ">") || strings.Contains(t, "\n>") {
			return true
		}
	}
	return false
}
