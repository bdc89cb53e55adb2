package links

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
)

// origin is where in a message a link stands.
type origin uint8

const (
	inHTML origin = iota
	inText
	inPDF
	inQR
	inCalendar
)

func (o origin) String() string {
	return [...]string{"HTML", "text", "PDF", "QR code", "invitation"}[o]
}

// link is one way out of a message.
type link struct {
	at     address   // where it leads in the end, as far as it can be told
	passes []address // what it goes through, the address in the message first, without at
	kinds  []wrapping
	deep   bool   // goes through more services than were looked at
	target string // as written
	text   string // what is shown
	alt    string
	title  string
	kind   string // of htmldoc, "" outside of HTML
	from   origin
	bare   bool // a name in plain text
	hidden bool
	image  bool // shown is a picture
	nested bool // in an attached message
	file   bool // in an attached file, not in what is shown
	part   string
}

// opens says whether a person gets there by a click, or by a camera.
func (l *link) opens() bool {
	return l.from != inHTML || (htmldoc.Link{Kind: l.kind}).Clickable()
}

// reading is what was collected of a message.
type reading struct {
	links  []*link
	docs   []page // HTML of the message itself, in order
	text   int    // letters of text that a person sees, of the message itself
	prose  string // that text, shortened
	images int    // shown or attached pictures, of the message itself
	files  int    // attachments that are no pictures
	codes  int    // QR codes
	notes  []note
	cut    bool // more links than Limits.Links
	seen   map[string]bool
}

// page is one HTML part.
type page struct {
	doc  *htmldoc.Document
	part string
	file bool // attached: shown only to who opens it
}

// note is something that collecting stumbled over.
type note struct{ code, detail, part string }

// collector is the work on one message.
type collector struct {
	*reading
	ctx    context.Context
	m      *verdict.Message
	lim    Limits
	budget pictureBudget
}

// collect finds the links of a message. An error is that of the source, of ctx or of the parser.
func collect(ctx context.Context, m *verdict.Message, lim Limits) (*reading, error) {
	c := &collector{reading: &reading{}, ctx: ctx, m: m, lim: lim, budget: newPictureBudget(lim)}
	for p, err := range m.Parts() {
		if err != nil {
			return c.reading, err
		}
		if err := ctx.Err(); err != nil {
			return c.reading, err
		}
		if p.IsContainer() {
			continue
		}
		if err := c.part(p); err != nil {
			return c.reading, err
		}
	}
	return c.reading, nil
}

// part looks into one part.
func (c *collector) part(p *verdict.Part) error {
	at := place{part: strings.TrimSpace(p.Path + " " + clip(p.Filename, 80)), nested: nested(p)}
	at.file = p.Disposition == "attachment" || p.Filename != "" && !strings.HasPrefix(p.Declared, "text/")
	kind := p.Declared
	if !strings.HasPrefix(kind, "text/") && kind != "application/pdf" && !strings.HasPrefix(kind, "image/") {
		kind = p.Type() // what it is, when the sender does not say
	}
	switch {
	case kind == "text/html", kind == "application/xhtml+xml":
		return c.html(p, at)
	case kind == "text/calendar":
		return c.calendar(p, at)
	case kind == "text/rfc822-headers", kind == "text/x-patch", kind == "text/x-diff", kind == "text/css", kind == "text/x-amp-html":
		return nil
	case strings.HasPrefix(kind, "text/"):
		return c.plain(p, at)
	case kind == "application/pdf":
		c.files++
		return c.pdf(p, at)
	case strings.HasPrefix(kind, "image/"):
		if !at.nested {
			c.images++
		}
		return c.picture(p, at)
	case !at.nested && p.Declared != "application/pgp-signature" && p.Declared != "application/pkcs7-signature":
		c.files++
	}
	return nil
}

// nested says whether a part belongs to a message that is attached.
func nested(p *verdict.Part) bool {
	for q := p.Parent; q != nil; q = q.Parent {
		if q.Declared == "message/rfc822" || q.Declared == "message/global" {
			return true
		}
	}
	return false
}

// place is where links are found.
type place struct {
	part         string
	nested, file bool
}

// html takes the links of an HTML part.
func (c *collector) html(p *verdict.Part, at place) error {
	doc, err := htmldoc.Of(c.m, p)
	if err != nil {
		return fmt.Errorf("links: %w", err)
	}
	c.document(doc, at)
	if doc.Truncated {
		c.note(codeTooMany, "HTML that was not read to its end", at.part)
	}
	if at.nested {
		return nil
	}
	c.docs = append(c.docs, page{doc, at.part, at.file})
	if !at.file {
		c.see(doc.Text)
		c.images += len(doc.Images)
	}
	return nil
}

func (c *collector) document(doc *htmldoc.Document, at place) {
	for i := range doc.Links {
		l := &doc.Links[i]
		if !c.add(l.Target, doc.Base, &link{text: l.Text, alt: l.Alt, title: l.Title, kind: l.Kind, hidden: l.Hidden, image: l.Images > 0}, at) {
			return
		}
	}
	// Addresses that are written out are links too where programs make them so.
	var inside map[string]bool // what stands in the text of links already
	for i := range doc.Links {
		findPlain(doc.Links[i].Text, func(f plainLink) bool {
			if inside == nil {
				inside = make(map[string]bool)
			}
			inside[f.target] = true
			return true
		})
	}
	findPlain(doc.Text, func(f plainLink) bool {
		return f.bare || inside[f.target] || c.add(f.target, "", &link{kind: htmldoc.KindAnchor}, at)
	})
}

// see notes text that a person sees.
func (c *collector) see(text string) {
	c.text += len(text)
	if c.prose == "" && len(text) <= maxProse {
		c.prose = text
		return
	}
	if room := maxProse - len(c.prose); room > 0 {
		c.prose += "\n" + clip(text, room)
	}
}

// maxProse is how much of the text is looked at for what it says.
const maxProse = 64 << 10

// plain takes the links of a text part.
func (c *collector) plain(p *verdict.Part, at place) error {
	text, err := htmldoc.Plain(c.m, p)
	if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
		return fmt.Errorf("links: %w", err)
	}
	if !at.file && !at.nested && len(c.docs) == 0 {
		c.see(text)
	}
	c.scanText(text, inText, at)
	return nil
}

// scanText takes what is a link in plain text.
func (c *collector) scanText(text string, from origin, at place) {
	text = dropInvisible(text)
	findPlain(text, func(f plainLink) bool {
		return c.add(f.target, "", &link{from: from, bare: f.bare}, at)
	})
}

// dropInvisible removes characters without width, which mail programs do not show inside of a link.
func dropInvisible(s string) string {
	start := 0
	for start+8 <= len(s) && (s[start]|s[start+1]|s[start+2]|s[start+3]|s[start+4]|s[start+5]|s[start+6]|s[start+7]) < utf8.RuneSelf {
		start += 8
	}
	for i := start; i < len(s); i++ {
		if c := s[i]; c >= 0xC2 && (c == 0xC2 || c == 0xCD || c == 0xD8 || c >= 0xE1) {
			return strings.Map(func(r rune) rune {
				if htmldoc.IsInvisible(r) {
					return -1
				}
				return r
			}, s)
		}
	}
	return s
}

// add keeps a link; false if there are too many.
func (c *collector) add(target, base string, l *link, at place) bool {
	if c.cut {
		return false
	}
	key := l.kind + "\x00" + l.text + "\x00" + target
	if c.seen[key] {
		return true
	}
	a, ok := parseAddress(target, base)
	if !ok {
		return true
	}
	if len(c.links) >= c.lim.Links {
		c.cut = true
		c.note(codeTooMany, fmt.Sprintf("more than %d links", c.lim.Links), at.part)
		return false
	}
	if c.seen == nil {
		c.seen = make(map[string]bool)
	}
	c.seen[key] = true
	l.target, l.at, l.part, l.nested, l.file = target, a, at.part, at.nested, at.file
	l.follow()
	c.links = append(c.links, l)
	return true
}

// follow takes the services away that a link goes through.
func (l *link) follow() {
	for range maxWraps {
		next, kind := unwrap(l.at)
		if kind == wrapNone {
			return
		}
		b, ok := parseAddress(next, "")
		if kind == wrapOpaque || !ok || !b.web() {
			l.kinds = append(l.kinds, wrapOpaque)
			return
		}
		l.passes = append(l.passes, l.at)
		l.kinds = append(l.kinds, kind)
		l.at = b
	}
	l.deep = true
}

// opaque says whether a link ends at a service that does not say where it leads.
func (l *link) opaque() bool {
	return len(l.kinds) > 0 && l.kinds[len(l.kinds)-1] == wrapOpaque
}

func (c *collector) note(code, detail, part string) {
	if len(c.notes) < 20 {
		c.notes = append(c.notes, note{code, detail, part})
	}
}

// clip shortens a text.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
