package htmldoc

import (
	"errors"

	"github.com/postreeve/postreeve/verdict"
)

// Document is what one HTML text says. It is made once and only read afterwards.
type Document struct {
	Title     string  // text of <title>
	Text      string  // what is shown: white space collapsed, blocks on lines of their own, invisible characters left out
	Hidden    string  // text that style keeps from being shown, in the same form
	Links     []Link  // in the order of the text
	Forms     []Form  // in the order of the text
	Images    []Image // in the order of the text
	Base      string  // target of <base>, to which relative targets belong; "" if there is none
	Scripts   int     // script elements, and attributes and targets that run scripts
	Styles    int     // style elements
	Invisible int     // characters without width that stood in the text, like U+200B and U+00AD
	Truncated bool    // a limit was met: this is not all
}

// Link is something that leads, loads or sends somewhere.
type Link struct {
	Target string // as written, with entities decoded and white space around it removed
	Text   string // what is shown inside; for images and the like ""
	Alt    string // alternative texts of the images inside
	Title  string // of the title attribute: what some programs show when the mouse is over it
	Kind   string // a Kind constant
	Images int    // images inside
	Hidden bool   // style keeps it from being seen
}

// Kinds of links, by the element.
const (
	KindAnchor   = "a"
	KindArea     = "area"
	KindForm     = "form"
	KindButton   = "button" // formaction of button and input
	KindImage    = "img"    // also backgrounds, inputs of type image, and pictures of SVG and VML
	KindMeta     = "meta"   // refresh
	KindFrame    = "iframe" // also frame, embed and object
	KindScript   = "script"
	KindResource = "resource" // style sheets, audio, video
	KindOffice   = "office"   // a link in a comment that only Outlook reads
)

// Clickable says whether a person who clicks goes to the target.
func (l Link) Clickable() bool {
	switch l.Kind {
	case KindAnchor, KindArea, KindForm, KindButton, KindMeta, KindOffice:
		return true
	}
	return false
}

// Form is a form that can be filled in.
type Form struct {
	Action   string
	Password bool // asks for a password, by the type of a field or by its name
	Inputs   int  // fields that people fill in
}

// Image is a picture that is shown.
type Image struct {
	Source, Alt   string
	Width, Height int // as written, in pixels; 0 if it does not say
}

// HiddenRatio returns which share of all text is hidden: 0 to 1.
func (d *Document) HiddenRatio() float64 {
	if len(d.Hidden) == 0 {
		return 0
	}
	return float64(len(d.Hidden)) / float64(len(d.Hidden)+len(d.Text))
}

// Limits bound the work of one Parse. A zero field means its default.
type Limits struct {
	Bytes  int // of the text; default 1 MiB
	Tokens int // tags and pieces of text; default 200 000
	Depth  int // open elements; deeper ones are read without their style; default 256
	Links  int // links, and as many images; default 2000
	Forms  int // default 100
	Rules  int // of style sheets; default 500
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		v   *int
		def int
	}{{&l.Bytes, 1 << 20}, {&l.Tokens, 200_000}, {&l.Depth, 256}, {&l.Links, 2000}, {&l.Forms, 100}, {&l.Rules, 500}} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	return l
}

// memoKey is the key of a part's document in verdict.Message.Memo.
type memoKey struct{ part *verdict.Part }

type memoValue struct {
	doc *Document
	err error
}

// Of returns the document of a part of m, read once for everybody. Text longer than Part.Text gives makes it Truncated.
// An error means that the part could not be read; it is that of the source.
func Of(m *verdict.Message, p *verdict.Part) (*Document, error) {
	v := m.Memo(memoKey{p}, func() any {
		text, err := p.Text()
		large := errors.Is(err, verdict.ErrTooLarge)
		if err != nil && !large {
			return memoValue{err: err}
		}
		doc := Parse(text, Limits{})
		doc.Truncated = doc.Truncated || large
		return memoValue{doc: doc}
	}).(memoValue)
	return v.doc, v.err
}

// plainKey is the key of a part's text in verdict.Message.Memo.
type plainKey struct{ part *verdict.Part }

type plainValue struct {
	text string
	err  error
}

// Plain is Part.Text, read once for everybody.
func Plain(m *verdict.Message, p *verdict.Part) (string, error) {
	v := m.Memo(plainKey{p}, func() any {
		text, err := p.Text()
		return plainValue{text, err}
	}).(plainValue)
	return v.text, v.err
}
