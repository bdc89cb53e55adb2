package office

import (
	"io"
	"path"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// odf takes an ODF package apart.
func (p *opc) odf() error {
	in := p.in
	in.rep.Format = ODF
	for _, m := range p.parts {
		if err := in.note(m.name, p.odfPart(m)); err != nil {
			return err
		}
	}
	if in.rep.Encrypted {
		return nil
	}
	for _, m := range p.parts {
		if strings.HasPrefix(m.lower, "meta-inf/") || m.lower == "mimetype" {
			continue
		}
		err := in.note(m.name, p.look(m, 0))
		if err == nil && startsFile(m.head) && !p.scanned[m.lower] {
			err = p.asFile(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *opc) odfPart(m *part) error {
	base := path.Base(m.lower)
	switch {
	case m.lower == "mimetype":
		rc, err := p.open(m)
		if err != nil {
			return err
		}
		defer rc.Close()
		b, err := p.in.b.ReadAll(io.LimitReader(rc, 100), 0)
		p.in.rep.App = appOfODF(string(b))
		return err
	case m.lower == "meta-inf/manifest.xml":
		p.scanned[m.lower] = true
		return p.scan(m, func(s *xmlscan.Scanner) error {
			if s.Kind == xmlscan.Start && s.Name == "encryption-data" {
				p.in.rep.Encrypted, p.in.rep.Scheme = true, "odf"
			}
			return nil
		})
	case p.in.rep.Encrypted:
		return nil
	case strings.HasPrefix(m.lower, "scripts/"):
		return p.odfScript(m)
	case base == "script-lc.xml", base == "script-lb.xml", base == "dialog-lc.xml", base == "dialog-lb.xml":
		return nil
	case base == "content.xml", base == "styles.xml", strings.HasPrefix(m.lower, "basic/") && strings.HasSuffix(base, ".xml"):
		p.scanned[m.lower] = true
		x := odfXML{in: p.in, where: m.name}
		return p.scan(m, x.token)
	}
	return nil
}

func appOfODF(kind string) string {
	for _, k := range []struct{ word, app string }{{"text", "word"}, {"spreadsheet", "excel"}, {"presentation", "powerpoint"}} {
		if strings.HasPrefix(kind, "application/vnd.oasis.opendocument."+k.word) {
			return k.app
		}
	}
	return ""
}

// odfScript adds a macro in another language than Basic.
func (p *opc) odfScript(m *part) error {
	if m.UncompressedSize64 == 0 || path.Base(m.lower) == "parcel-descriptor.xml" {
		return nil
	}
	rc, err := p.open(m)
	if err != nil {
		return err
	}
	defer rc.Close()
	code, err := p.in.b.ReadAll(io.LimitReader(rc, maxCode), int64(min(m.UncompressedSize64, maxCode)))
	if err != nil {
		return err
	}
	macro := Macro{Lang: Other, Name: m.name, HasCode: true, Code: strings.ToValidUTF8(string(code), "\uFFFD")}
	if err := readCode(p.in.b, &macro, code); err != nil {
		return err
	}
	return add(p.in, &p.in.rep.Macros, macro)
}

// odfXML reads OpenDocument, in a package or in one file.
type odfXML struct {
	in    *inspector
	where string
	name  string // of the module whose source is being read
	code  []byte
	open  bool
}

func (x *odfXML) token(s *xmlscan.Scanner) error {
	switch s.Kind {
	case xmlscan.Text:
		if x.open {
			if err := x.in.b.Keep(int64(len(s.Text))); err != nil {
				return err
			}
			x.code = append(x.code, s.Text...)
		}
	case xmlscan.End:
		if x.open && s.Name == "module" {
			x.open = false
			err := x.in.source(Basic, x.name, x.code)
			x.in.b.Keep(-int64(len(x.code)))
			x.code = nil
			return err
		}
	case xmlscan.Start:
		return x.start(s)
	}
	return nil
}

func (x *odfXML) start(s *xmlscan.Scanner) error {
	in := x.in
	switch s.Name {
	case "module":
		x.open, x.name = !s.Empty, s.Attr("name")
	case "event-listener":
		event, target := s.Attr("event-name"), s.Attr("href")
		if strings.HasPrefix(target, "vnd.sun.star.script:") || s.Attr("macro-name") != "" {
			if strings.Contains(event, "load") || strings.Contains(event, "open") || strings.Contains(event, "unload") ||
				strings.Contains(event, "new") || strings.Contains(event, "focus") {
				return in.addText(&in.rep.OnLoad, target+s.Attr("macro-name"))
			}
		}
	case "dde-source", "dde-connection-decl":
		return in.addText(&in.rep.DDE, s.Attr("dde-application")+"|"+s.Attr("dde-topic"))
	case "table-cell":
		if f := s.Attr("formula"); strings.Contains(strings.ToUpper(f), "DDE(") {
			return in.addText(&in.rep.DDE, f)
		}
	case "a":
		return in.link("hyperlink", s.Attr("href"), false)
	case "object", "object-ole", "plugin", "applet", "floating-frame", "image", "section-source":
		return x.reference(s)
	}
	return nil
}

// reference takes a reference that leads out of the package.
func (x *odfXML) reference(s *xmlscan.Scanner) error {
	kind := map[string]string{"floating-frame": "frame", "image": "image", "section-source": "subdocument"}[s.Name]
	if kind == "" {
		kind = "object"
	}
	return x.in.remote(kind, s.Attr("href"))
}
