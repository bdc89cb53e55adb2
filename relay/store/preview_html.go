package store

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxHTML bounds what is read of HTML for a preview.
const maxHTML = 1 << 20

// htmlText returns the text of HTML, in lines, with the targets of links behind them: where a link leads is what
// one wants to know of a held message. It is not harmless yet. The tokenizer builds no tree, so that depth costs
// nothing.
func htmlText(s string) string {
	z := html.NewTokenizer(strings.NewReader(s[:min(len(s), maxHTML)]))
	z.SetMaxBuf(maxHTML)
	w := &htmlWriter{}
	for w.b.Len() <= maxPreview {
		switch z.Next() {
		case html.ErrorToken:
			return w.String()
		case html.TextToken:
			w.text(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			w.start(z.Token())
		case html.EndTagToken:
			w.end(z.Token().DataAtom)
		}
	}
	return w.String()
}

// htmlWriter collects text: white space is one space, and blocks begin new lines.
type htmlWriter struct {
	b     strings.Builder
	lines int  // ends of line that b ends with
	space bool // one is due
	skip  atom.Atom
	links []string // that are open, the newest last
}

// hidden are elements whose content is not text.
func hidden(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Head, atom.Template, atom.Iframe, atom.Object, atom.Svg, atom.Math, atom.Noscript, atom.Title:
		return true
	}
	return false
}

func block(a atom.Atom) bool {
	switch a {
	case atom.P, atom.Div, atom.Br, atom.Tr, atom.Table, atom.Li, atom.Ul, atom.Ol, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6,
		atom.Blockquote, atom.Pre, atom.Hr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Form, atom.Center, atom.Dd, atom.Dt:
		return true
	}
	return false
}

func (w *htmlWriter) start(t html.Token) {
	if w.skip != 0 {
		if t.DataAtom == atom.Body { // a head that nobody closed
			w.skip = 0
		}
		return
	}
	if hidden(t.DataAtom) {
		if t.Type == html.StartTagToken {
			w.skip = t.DataAtom
		}
		return
	}
	if block(t.DataAtom) {
		w.line()
	}
	switch t.DataAtom {
	case atom.A:
		if len(w.links) < 16 {
			w.links = append(w.links, attr(t, "href"))
		}
	case atom.Img:
		if alt := attr(t, "alt"); alt != "" {
			w.text(" [image: " + alt + "] ")
		}
	case atom.Form:
		if to := attr(t, "action"); to != "" {
			w.text("[form to " + to + "]")
			w.line()
		}
	case atom.Td, atom.Th:
		w.space = true
	}
}

func (w *htmlWriter) end(a atom.Atom) {
	if w.skip != 0 {
		if a == w.skip {
			w.skip = 0
		}
		return
	}
	if a == atom.A && len(w.links) > 0 {
		to := w.links[len(w.links)-1]
		w.links = w.links[:len(w.links)-1]
		if to != "" && !strings.HasPrefix(to, "#") {
			w.text(" <" + to + ">")
		}
	}
	if block(a) {
		w.line()
	}
}

func attr(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return strings.Join(strings.Fields(a.Val[:min(len(a.Val), 2048)]), " ")
		}
	}
	return ""
}

func (w *htmlWriter) text(s string) {
	if w.skip != 0 {
		return
	}
	if strings.TrimLeftFunc(s, unicode.IsSpace) != s {
		w.space = true
	}
	empty := true
	for word := range strings.FieldsSeq(s) {
		if w.b.Len() > maxPreview {
			return
		}
		if w.space && w.b.Len() > 0 && w.lines == 0 {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(word)
		w.lines, w.space, empty = 0, true, false
	}
	if !empty { // between "a" and "b" in a<i>b</i> there is no space
		w.space = strings.TrimRightFunc(s, unicode.IsSpace) != s
	}
}

func (w *htmlWriter) line() {
	if w.lines < 2 && w.b.Len() > 0 {
		w.b.WriteByte('\n')
		w.lines++
	}
	w.space = false
}

func (w *htmlWriter) String() string { return strings.TrimRight(w.b.String(), " \n") + "\n" }
