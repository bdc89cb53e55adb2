package office

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// values looks for formulas that start programs in separated values. Which separator it is depends on the
// settings of who opens it, so each of them begins a cell.
func (in *inspector) values(text []byte) error {
	for line := range bytes.Lines(text) {
		if err := in.b.Step(); err != nil {
			return err
		}
		if err := in.valueLine(line); err != nil {
			return err
		}
	}
	return nil
}

// valueLine looks at a line once: at the beginning of each cell for a sign that makes it a formula, then
// for what only formulas have.
func (in *inspector) valueLine(line []byte) error {
	start, bar := -1, -1 // of the formula, and of the bar after the name of a program
	fresh := true
	for i, c := range line {
		switch {
		case c == ',' || c == ';' || c == '\t':
			fresh = true
			continue
		case fresh && (c == ' ' || c == '"'):
			continue
		case fresh && (c == '=' || c == '+' || c == '-' || c == '@'):
			start, bar, fresh = i, -1, false
			if err := in.formulaLink(line[i:]); err != nil {
				return err
			}
			continue
		case c == '|' && start >= 0 && bar < 0:
			if isProgram(line[start:i]) && i+1 < len(line) && line[i+1] > ' ' {
				bar = i
			} else {
				start = -1
			}
		case c == '!' && bar > 0:
			if err := in.addText(&in.rep.DDE, strings.Trim(latin1(line[start+1:min(i, start+maxText)]), "\"' ")); err != nil {
				return err
			}
			start, bar = -1, -1
		}
		fresh = false
	}
	return nil
}

// isProgram says whether what is between the sign of a formula and a bar may be the name of a program.
func isProgram(p []byte) bool {
	if len(p) > 260 {
		return false
	}
	letter := false
	for _, c := range p {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			letter = true
		case c >= '0' && c <= '9', strings.IndexByte("_.:\\/'\" ()+=@*-", c) >= 0:
		default:
			return false
		}
	}
	last := p[len(p)-1]
	return letter && last != ' '
}

// formulaLink takes the target of functions that fetch or open something.
func (in *inspector) formulaLink(p []byte) error {
	p = bytes.TrimLeft(p[:min(len(p), 512)], "=+-@ ")
	end := bytes.IndexByte(p, '(')
	if end < 0 || end > 16 {
		return nil
	}
	kind, auto := "", true
	switch strings.ToUpper(string(p[:end])) {
	case "HYPERLINK":
		kind, auto = "hyperlink", false
	case "WEBSERVICE", "IMPORTXML", "IMPORTDATA", "IMPORTHTML", "IMPORTFEED", "IMAGE":
		kind = "data"
	case "DDE":
		return in.addText(&in.rep.DDE, string(bytes.TrimSpace(p)))
	default:
		return nil
	}
	arg := bytes.TrimLeft(p[end+1:], "\"' ")
	if i := bytes.IndexAny(arg, "\"',;)\r\n"); i >= 0 {
		arg = arg[:i]
	}
	return in.link(kind, string(arg), auto)
}

// sylk reads a SYLK file, which Excel opens without the caution that it has for others.
func (in *inspector) sylk(r io.Reader) error {
	br := bufio.NewReaderSize(in.b.Reader(r), 64<<10)
	macro := Macro{Lang: XLM, Name: "SYLK"}
	sheet := false
	for {
		line, err := br.ReadSlice('\n')
		if err := in.b.Object(); err != nil {
			return err
		}
		kind, rest, _ := strings.Cut(string(bytes.TrimSpace(line)), ";")
		for field := range sylkFields(rest) {
			switch {
			case kind == "O" && field == "E":
				sheet = true
			case kind == "NN" && len(field) > 1 && field[0] == 'N' && isAutoName(field[1:]):
				macro.AutoExec = addOnce(macro.AutoExec, cut(field[1:]))
			case kind == "C" && len(field) > 1 && field[0] == 'E', kind == "C" && strings.HasPrefix(field, `K"=`):
				macro.HasCode = macro.HasCode || field[0] == 'E'
				if err := in.sylkFormula(&macro, field[1:]); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
	}
	if !sheet {
		return nil
	}
	return add(in, &in.rep.Macros, macro)
}

func (in *inspector) sylkFormula(m *Macro, formula string) error {
	for _, w := range strings.FieldsFunc(strings.ToLower(cut(formula)), notInName) {
		if macroWords[w] {
			m.Suspicious = addOnce(m.Suspicious, strings.ToUpper(w))
		}
	}
	return in.valueLine([]byte("=" + strings.TrimLeft(formula, "\"=")))
}

// sylkFields gives the fields of a record. A semicolon that belongs to a field is doubled.
func sylkFields(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s != "" {
			end := 0
			for end < len(s) && (s[end] != ';' || strings.HasPrefix(s[end:], ";;")) {
				if s[end] == ';' {
					end++
				}
				end++
			}
			end = min(end, len(s))
			if !yield(s[:end]) || end == len(s) {
				return
			}
			s = s[end+1:]
		}
	}
}
