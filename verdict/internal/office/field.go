package office

import (
	"strconv"
	"strings"
)

const (
	maxField      = 16 << 10 // characters of the code of a field that are kept
	maxFieldDepth = 32
)

// fields follows the fields of a Word document, in whatever way they are stored: a code, which may have
// fields in it, and then a result.
type fields struct {
	in    *inspector
	stack []field
	lost  int // fields that are nested too deep to be kept
}

type field struct {
	code   []byte
	result bool // the code is over
}

// begin starts a field.
func (f *fields) begin() {
	if len(f.stack) >= maxFieldDepth {
		f.lost++
		return
	}
	f.stack = append(f.stack, field{})
}

// text adds to the code of the current field.
func (f *fields) text(s string) {
	if len(f.stack) == 0 || f.lost > 0 {
		return
	}
	if t := &f.stack[len(f.stack)-1]; !t.result && len(t.code) < maxField {
		t.code = append(t.code, s...)
	}
}

// separate ends the code: what follows is what was shown last.
func (f *fields) separate() error {
	if len(f.stack) == 0 || f.lost > 0 {
		return nil
	}
	t := &f.stack[len(f.stack)-1]
	if t.result {
		return nil
	}
	t.result = true
	return f.code(string(t.code), len(f.stack) > 1)
}

// end ends the field.
func (f *fields) end() error {
	if f.lost > 0 {
		f.lost--
		return nil
	}
	if len(f.stack) == 0 {
		return nil
	}
	err := f.separate()
	f.stack = f.stack[:len(f.stack)-1]
	return err
}

// code looks at a code that is complete. If it is within that of another field, what it makes of its
// arguments becomes a part of that one.
func (f *fields) code(code string, nested bool) error {
	words := fieldWords(code)
	if len(words) == 0 {
		return nil
	}
	switch strings.ToUpper(words[0]) {
	case "QUOTE":
		if nested {
			f.outer(quoted(words[1:]))
		}
		return nil
	}
	if nested {
		f.outer(" " + code + " ")
	}
	return f.in.fieldCode(words)
}

// outer adds text to the field around the current one.
func (f *fields) outer(s string) {
	if t := &f.stack[len(f.stack)-2]; !t.result && len(t.code) < maxField {
		t.code = append(t.code, s...)
	}
}

// fieldCode looks at a field for what it starts or fetches (ECMA-376 part 1 section 17.16.5).
func (in *inspector) fieldCode(words []string) error {
	name, args := strings.ToUpper(words[0]), words[1:]
	switch {
	case strings.HasPrefix(name, "DDEAUTO"), strings.HasPrefix(name, "DDE") && len(name) <= 4:
		return in.addText(&in.rep.DDE, strings.Join(plain(args), " "))
	}
	args = plain(args)
	if len(args) == 0 {
		return nil
	}
	switch name {
	case "HYPERLINK":
		return in.link("hyperlink", args[0], false)
	case "INCLUDEPICTURE", "IMPORT":
		return in.remote("image", args[0])
	case "INCLUDETEXT", "INCLUDE", "RD", "DATABASE":
		return in.remote("subdocument", args[0])
	case "LINK":
		if len(args) > 1 {
			return in.remote("object", args[1])
		}
	}
	return nil
}

// remote adds a link that is followed at once, if it leads to another machine.
func (in *inspector) remote(kind, target string) error {
	if strings.Contains(target, "://") || strings.HasPrefix(target, `\\`) || strings.HasPrefix(target, "//") {
		return in.link(kind, target, true)
	}
	return nil
}

// plain returns the words without the switches and what they mean.
func plain(words []string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		if w := words[i]; isSwitch(w) {
			switch w[1] {
			case '*', '@', '#', 'l', 't', 'o':
				i++ // takes an argument
			}
			continue
		}
		out = append(out, words[i])
	}
	return out
}

func isSwitch(w string) bool { return len(w) > 1 && w[0] == '\\' && w[1] != '\\' }

// fieldWords splits a code into words, of which some are in quotes. In quotes a backslash escapes.
func fieldWords(code string) []string {
	const most = 200
	var out []string
	for len(out) < most {
		code = strings.TrimLeft(code, " \t\r\n\x00\u00A0")
		if code == "" {
			break
		}
		open, size := quote(code)
		if !open {
			end := strings.IndexAny(code, " \t\r\n\"")
			if end <= 0 {
				end = len(code)
			}
			word := code[:end]
			if !isSwitch(word) {
				word = strings.ReplaceAll(word, `\\`, `\`)
			}
			out, code = append(out, word), code[end:]
			continue
		}
		var sb strings.Builder
		rest := code[size:]
		for rest != "" {
			if rest[0] == '\\' && len(rest) > 1 && (rest[1] == '\\' || rest[1] == '"') {
				sb.WriteByte(rest[1])
				rest = rest[2:]
				continue
			}
			if end, n := quote(rest); end {
				rest = rest[n:]
				break
			}
			sb.WriteByte(rest[0])
			rest = rest[1:]
		}
		out, code = append(out, sb.String()), rest
	}
	return out
}

// quote says whether s begins with a quotation mark, straight or not, and how many bytes it has.
func quote(s string) (bool, int) {
	if s[0] == '"' {
		return true, 1
	}
	if strings.HasPrefix(s, "\u201C") || strings.HasPrefix(s, "\u201D") {
		return true, 3
	}
	return false, 0
}

// quoted is the result of a QUOTE field: text as it is, numbers as the characters that they stand for.
func quoted(words []string) string {
	var sb strings.Builder
	for _, w := range words {
		if n, err := strconv.Atoi(w); err == nil && n > 0 && n < 0x10000 {
			sb.WriteRune(rune(n))
		} else if !strings.HasPrefix(w, `\`) {
			sb.WriteString(w)
		}
	}
	return sb.String()
}
