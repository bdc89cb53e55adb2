package office

import (
	"path"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// relation is a relationship of a part (ECMA-376 part 2 section 6.5).
type relation struct {
	id, kind, target string // kind: the last word of the type
	external         bool
}

// ooxml takes an OOXML package apart. What a part is, its content type, the relationship to it and its
// own content say; its name says nothing, because any name will do for Office.
func (p *opc) ooxml() error {
	steps := []func(*part) error{p.contentTypes, p.relations}
	for _, step := range steps {
		for _, m := range p.parts {
			if err := p.in.note(m.name, step(m)); err != nil {
				return err
			}
		}
	}
	for _, m := range p.parts {
		if err := p.in.note(m.name, p.known(m)); err != nil {
			return err
		}
	}
	for _, m := range p.parts {
		err := p.in.note(m.name, p.look(m, 0))
		if err == nil {
			err = p.embedded(m)
		}
		if err != nil {
			return err
		}
	}
	return p.macroSheets()
}

func (p *opc) contentTypes(m *part) error {
	if m.lower != "[content_types].xml" {
		return nil
	}
	return p.elements(m, func(s *xmlscan.Scanner) error {
		kind := strings.ToLower(s.Attr("ContentType"))
		switch s.Name {
		case "Override":
			p.types[partName(s.Attr("PartName"))] = kind
		case "Default":
			p.defExt[strings.ToLower(s.Attr("Extension"))] = kind
		}
		if p.in.rep.App == "" {
			p.in.rep.App = appOfType(kind)
		}
		return nil
	})
}

func appOfType(kind string) string {
	if !strings.Contains(kind, "main") {
		return ""
	}
	for _, t := range []struct{ word, app string }{
		{"wordprocessingml", "word"}, {"ms-word", "word"}, {"spreadsheetml", "excel"}, {"ms-excel", "excel"},
		{"presentationml", "powerpoint"}, {"ms-powerpoint", "powerpoint"}, {"visio", "visio"},
	} {
		if strings.Contains(kind, t.word) {
			return t.app
		}
	}
	return ""
}

// partName makes a reference to a part the key of byName.
func partName(s string) string {
	s = strings.ReplaceAll(s, `\`, "/")
	if i := strings.IndexAny(s, "#?"); i >= 0 {
		s = s[:i]
	}
	return strings.ToLower(strings.TrimLeft(path.Clean(s), "/"))
}

func (p *opc) typeOf(m *part) string {
	if t, ok := p.types[m.lower]; ok {
		return t
	}
	return p.defExt[strings.TrimPrefix(path.Ext(m.lower), ".")]
}

// relations reads the relationships of a part and takes those that lead out of the package.
func (p *opc) relations(m *part) error {
	dir, file := path.Split(m.lower)
	if !strings.HasSuffix(file, ".rels") || path.Base(dir) != "_rels" {
		return nil
	}
	source := path.Join(path.Dir(path.Clean(dir)), strings.TrimSuffix(file, ".rels"))
	return p.elements(m, func(s *xmlscan.Scanner) error {
		if s.Name != "Relationship" {
			return nil
		}
		return p.relation(source, s)
	})
}

func (p *opc) relation(source string, s *xmlscan.Scanner) error {
	kind := s.Attr("Type")
	r := relation{id: s.Attr("Id"), kind: kind[strings.LastIndexByte(kind, '/')+1:], target: cut(s.Attr("Target"))}
	r.external = strings.EqualFold(s.Attr("TargetMode"), "External")
	if err := p.in.b.Keep(int64(len(r.id) + len(r.kind) + len(r.target) + 64)); err != nil {
		return err
	}
	if p.rels[source] == nil {
		p.rels[source] = map[string]relation{}
	}
	p.rels[source][r.id] = r
	if r.external {
		use, auto := relationUse(r.kind)
		return p.in.link(use, r.target, auto)
	}
	target := path.Join(path.Dir(source), r.target)
	if strings.HasPrefix(r.target, "/") {
		target = r.target
	}
	target = partName(target)
	switch strings.ToLower(r.kind) {
	case "afchunk":
		p.chunks[target] = true
	case "xlmacrosheet", "xlintlmacrosheet":
		p.macros = append(p.macros, target)
	case "xmlmaps":
		p.maps = target
	case "vbaproject":
		p.in.rep.Project = true
	}
	return nil
}

// relationUse says what the target of a relationship is used as, and if that happens without a click.
func relationUse(kind string) (string, bool) {
	switch strings.ToLower(kind) {
	case "hyperlink":
		return "hyperlink", false
	case "attachedtemplate":
		return "template", true
	case "oleobject", "package":
		return "object", true
	case "frame":
		return "frame", true
	case "subdocument", "afchunk":
		return "subdocument", true
	case "image", "video", "audio", "media":
		return "image", true
	case "control", "activexcontrolbinary":
		return "control", true
	case "externallinkpath", "xlexternallinkpath", "externallink", "mailmergesource", "mailmergeheadersource", "xlpathmissing",
		"xlalternatestartup", "xllibrary", "querytable", "connections":
		return "data", false
	}
	return "other", true
}

// known reads the parts that have something of interest besides relationships.
func (p *opc) known(m *part) error {
	kind := p.typeOf(m)
	switch {
	case strings.Contains(kind, "macrosheet"):
		p.macros = append(p.macros, m.lower)
		return nil
	case strings.Contains(kind, "vbaproject"):
		p.in.rep.Project = true
		return nil
	}
	isXML := strings.HasSuffix(kind, "xml")
	switch {
	case m.lower == p.maps:
		return p.schemas(m)
	case strings.Contains(kind, "wordprocessingml") && isXML && !strings.Contains(kind, "styles") && !strings.Contains(kind, "theme"),
		strings.Contains(kind, "ms-word") && isXML, strings.HasPrefix(m.lower, "word/document"):
		return p.wordPart(m)
	case isXML && appOfType(kind) == "excel":
		return p.workbookPart(m)
	case strings.Contains(kind, "sheet.binary.macroenabled.main"), strings.HasSuffix(m.lower, "xl/workbook.bin"):
		return p.binaryWorkbook(m)
	case strings.Contains(kind, "externallink+xml"):
		return p.externalPart(m)
	case strings.Contains(kind, "externallink") && strings.HasSuffix(m.lower, ".bin"):
		return p.binaryExternal(m)
	case strings.Contains(kind, "presentationml") && strings.Contains(kind, "slide") && isXML:
		return p.slidePart(m)
	case strings.Contains(kind, "activex+xml"):
		return p.controlPart(m)
	case strings.Contains(m.lower, "customui") && isXML:
		return p.customUI(m)
	}
	return nil
}

// embedded adds the parts that are files of their own.
func (p *opc) embedded(m *part) error {
	if strings.HasPrefix(string(m.head), "\xD0\xCF\x11\xE0") {
		if strings.HasPrefix(path.Base(m.lower), "vbaproject") || strings.Contains(p.typeOf(m), "vbaproject") {
			return nil
		}
		if strings.Contains(m.lower, "activex") || path.Ext(m.lower) == ".bin" {
			return nil // what is in it has been taken out
		}
		return p.asFile(m)
	}
	if p.chunks[m.lower] || strings.Contains(m.lower, "/embeddings/") && !strings.HasSuffix(m.lower, ".rels") || startsFile(m.head) {
		return p.asFile(m)
	}
	return nil
}

// elements calls f at the beginning of every element of a part.
func (p *opc) elements(m *part, f func(*xmlscan.Scanner) error) error {
	p.scanned[m.lower] = true
	return p.scan(m, func(s *xmlscan.Scanner) error {
		if s.Kind != xmlscan.Start {
			return nil
		}
		return f(s)
	})
}

// eachAttr calls f with every attribute of every element of a part that has any.
func (p *opc) eachAttr(m *part, f func(element string, a xmlscan.Attr) error) error {
	return p.elements(m, func(s *xmlscan.Scanner) error {
		for _, a := range s.Attrs() {
			if err := f(s.Name, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// schemas looks for schemas that are to be fetched: as good for an attack as an external entity.
func (p *opc) schemas(m *part) error {
	return p.elements(m, func(s *xmlscan.Scanner) error {
		switch s.Name {
		case "redefine", "import", "include", "override":
			if at := s.Attr("schemaLocation"); strings.Contains(at, "://") || strings.HasPrefix(at, `\\`) {
				return p.in.doctype(m.name, xmlscan.Token{External: true})
			}
		}
		return nil
	})
}

func (p *opc) controlPart(m *part) error {
	return p.eachAttr(m, func(_ string, a xmlscan.Attr) error {
		if a.Name == "classid" {
			class := strings.ToUpper(strings.Trim(a.Value, "{}"))
			if name := classNames[class]; name != "" {
				class = name
			}
			return p.in.addText(&p.in.rep.Controls, class)
		}
		return nil
	})
}

func (p *opc) customUI(m *part) error {
	return p.eachAttr(m, func(_ string, a xmlscan.Attr) error {
		if strings.EqualFold(a.Name, "onLoad") {
			return p.in.addText(&p.in.rep.OnLoad, a.Value)
		}
		return nil
	})
}

// slidePart looks for clicks that start programs.
func (p *opc) slidePart(m *part) error {
	return p.elements(m, func(s *xmlscan.Scanner) error {
		switch s.Name {
		case "hlinkClick", "hlinkHover", "hlinkMouseOver":
			action := s.Attr("action")
			if strings.HasPrefix(action, "ppaction://program") {
				return p.in.link("program", p.target(m, s.Attr("id"), action), s.Name != "hlinkClick")
			}
		case "oleObj":
			linked := p.isExternal(m, s.Attr("id"))
			return p.in.object(Object{Class: cut(s.Attr("progId")), Where: m.name, Linked: linked})
		}
		return nil
	})
}

// target returns the target of the relationship with the id, or def.
func (p *opc) target(m *part, id, def string) string {
	if r, ok := p.rels[m.lower][id]; ok {
		return r.target
	}
	return def
}

func (p *opc) isExternal(m *part, id string) bool { return p.rels[m.lower][id].external }
