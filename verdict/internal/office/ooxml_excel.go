package office

import (
	"path"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/xmlscan"
)

// workbookSheet is a sheet as the workbook lists it.
type workbookSheet struct {
	name, id, part string
	state          string // "", "hidden", "veryHidden"
}

// workbookPart reads the list of sheets and the names.
func (p *opc) workbookPart(m *part) error {
	return p.elements(m, func(s *xmlscan.Scanner) error {
		switch s.Name {
		case "sheet":
			sheet := workbookSheet{name: cut(s.Attr("name")), state: s.Attr("state"), id: s.Attr("id")}
			return p.sheet(m, sheet)
		case "definedName":
			if name := s.Attr("name"); isAutoName(name) {
				p.auto = addOnce(p.auto, cut(strings.TrimPrefix(name, "_xlnm.")))
			}
		case "ddeLink":
			return p.in.addText(&p.in.rep.DDE, s.Attr("ddeService")+"|"+s.Attr("ddeTopic"))
		}
		return nil
	})
}

func (p *opc) sheet(m *part, s workbookSheet) error {
	target := p.target(m, s.id, "")
	if strings.HasPrefix(target, "/") {
		s.part = partName(target)
	} else if target != "" {
		s.part = partName(path.Join(path.Dir(m.lower), target))
	}
	return add(p.in, &p.sheets, s)
}

// externalPart reads a reference to another program.
func (p *opc) externalPart(m *part) error {
	return p.elements(m, func(s *xmlscan.Scanner) error {
		switch s.Name {
		case "ddeLink":
			return p.in.addText(&p.in.rep.DDE, s.Attr("ddeService")+"|"+s.Attr("ddeTopic"))
		case "oleLink":
			return p.in.object(Object{Class: cut(s.Attr("progId")), Where: m.name, Linked: true})
		}
		return nil
	})
}

// macroSheets adds the macro sheets that content types and relationships have named.
func (p *opc) macroSheets() error {
	slices.Sort(p.macros)
	for _, name := range slices.Compact(p.macros) {
		macro := Macro{Lang: XLM, Name: path.Base(name), AutoExec: p.auto}
		for _, s := range p.sheets {
			if s.part == name {
				macro.Name = s.name
				macro.VeryHidden = strings.EqualFold(s.state, "veryHidden")
				macro.Hidden = macro.VeryHidden || strings.EqualFold(s.state, "hidden")
			}
		}
		m := p.byName[name]
		if m == nil {
			continue
		}
		read := p.macroSheet
		if strings.HasSuffix(name, ".bin") {
			read = p.binaryMacroSheet
		}
		if err := p.in.note(name, read(m, &macro)); err != nil {
			return err
		}
		if err := add(p.in, &p.in.rep.Macros, macro); err != nil {
			return err
		}
	}
	return nil
}

// macroSheet looks at the formulas of a macro sheet.
func (p *opc) macroSheet(m *part, macro *Macro) error {
	formula := false
	return p.scan(m, func(s *xmlscan.Scanner) error {
		switch {
		case s.Kind == xmlscan.Start && s.Name == "f":
			formula, macro.HasCode = !s.Empty, true
		case s.Kind == xmlscan.End && s.Name == "f":
			formula = false
		case s.Kind == xmlscan.Text && formula:
			for _, w := range strings.FieldsFunc(strings.ToLower(string(s.Text)), notInName) {
				if macroWords[w] {
					macro.Suspicious = addOnce(macro.Suspicious, strings.ToUpper(w))
				}
			}
		}
		return nil
	})
}

func notInName(r rune) bool { return r != '.' && r != '_' && (r > 0x7F || !isWord(byte(r))) }
