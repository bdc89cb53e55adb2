package htmldoc

import (
	"strings"
	"unicode/utf8"
)

// prose is text in the making: white space collapsed, line breaks where blocks begin and end.
type prose struct {
	b       strings.Builder
	pending byte // ' ' or '\n' before the next character; 0: none
}

// String returns what was added.
func (t *prose) String() string { return t.b.String() }

func (t *prose) space() {
	if t.pending == 0 {
		t.pending = ' '
	}
}

func (t *prose) lineBreak() { t.pending = '\n' }

// add appends text. pre: line ends in it count. It returns how many invisible characters it left out.
func (t *prose) add(s string, pre bool) (invisible int) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n' && pre:
			t.lineBreak()
			i++
			continue
		case c <= ' ':
			t.space()
			i++
			continue
		case c < utf8.RuneSelf:
			j := i + 1
			for j < len(s) && s[j] > ' ' && s[j] < utf8.RuneSelf {
				j++
			}
			t.put(s[i:j])
			i = j
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case IsInvisible(r):
			invisible++
		case isSpace(r):
			t.space()
		default:
			t.put(s[i : i+n])
		}
		i += n
	}
	return invisible
}

func (t *prose) put(s string) {
	if t.pending != 0 && t.b.Len() > 0 {
		t.b.WriteByte(t.pending)
	}
	t.pending = 0
	t.b.WriteString(s)
}

// IsInvisible says whether a character takes no room and shows nothing, so that words which differ only in
// such characters look the same: joiners, soft hyphens, marks of direction, variation selectors, tags.
func IsInvisible(r rune) bool {
	switch {
	case r < 0xAD:
		return false
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x180E, r == 0x3164, r == 0xFEFF, r == 0xFFA0,
		r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x206F,
		r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE01EF:
		return true
	}
	return false
}

func isSpace(r rune) bool {
	return r == 0xA0 || r == 0x85 || r == 0x1680 || r >= 0x2000 && r <= 0x200A || r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000
}

// collapse returns s in the form of prose.
func collapse(s string) string {
	var t prose
	t.add(s, false)
	return t.String()
}
