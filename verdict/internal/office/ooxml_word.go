package office

import (
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// wordPart follows the fields of a part with text, and takes the objects in it.
func (p *opc) wordPart(m *part) error {
	p.scanned[m.lower] = true
	w := wordXML{in: p.in, fields: fields{in: p.in}, where: m.name}
	return p.scan(m, w.token)
}

// wordXML reads WordprocessingML, in a package or in one file (ECMA-376 part 1 section 17.16).
type wordXML struct {
	in     *inspector
	fields fields
	where  string
	code   bool // within an instrText element
	simple int  // fldSimple elements that are open
}

func (w *wordXML) token(s *xmlscan.Scanner) error {
	switch s.Kind {
	case xmlscan.Text:
		if w.code {
			w.fields.text(string(s.Text))
		}
	case xmlscan.End:
		switch s.Name {
		case "instrText", "delInstrText":
			w.code = false
		case "fldSimple":
			if w.simple > 0 {
				w.simple--
				return w.fields.end()
			}
		case "p":
			// A field may go over paragraphs, but not its code.
			w.code = false
		}
	case xmlscan.Start:
		return w.start(s)
	}
	return nil
}

func (w *wordXML) start(s *xmlscan.Scanner) error {
	switch s.Name {
	case "instrText", "delInstrText":
		w.code = !s.Empty
	case "fldChar":
		switch s.Attr("fldCharType") {
		case "begin":
			w.fields.begin()
		case "separate":
			return w.fields.separate()
		case "end":
			return w.fields.end()
		}
	case "fldSimple":
		w.fields.begin()
		w.fields.text(s.Attr("instr"))
		if err := w.fields.separate(); err != nil || !s.Empty {
			w.simple++
			return err
		}
		return w.fields.end()
	case "OLEObject":
		o := Object{Class: cut(s.Attr("ProgID")), Where: w.where}
		o.Linked = strings.EqualFold(s.Attr("Type"), "Link")
		o.Update = o.Linked && strings.EqualFold(s.Attr("UpdateMode"), "Always")
		return w.in.object(o)
	case "control":
		if name := s.Attr("name"); name != "" && s.Space == "w" {
			return w.in.addText(&w.in.rep.Controls, name)
		}
	}
	return nil
}
