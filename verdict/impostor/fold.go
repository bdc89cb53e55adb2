package impostor

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A folded text has one byte for each letter: a to z; other for a letter of another script; 0 for a number,
// whatever its length; $ for a currency sign and % for a percent sign, which are words of their own. Words are
// separated by one blank. It begins and ends with a blank, if it is not empty.
const (
	blank = ' '
	digit = '0'
	other = '~'
)

// oddity is a set of the ways in which a word is written so that it is read, but not found.
type oddity uint8

const (
	oddMixed  oddity = 1 << iota // letters of different scripts that look alike
	oddHidden                    // characters between its letters that are not seen
	oddStyled                    // mathematical or framed letters
	oddLeet                      // digits or signs in place of letters
	oddSpaced                    // a blank between all its letters
)

// oddWord is a word of a folded text with an oddity.
type oddWord struct {
	start, end int // in the folded text
	how        oddity
}

// folded is a text made comparable.
type folded struct {
	text   []byte
	starts []int32 // of the words in text
	odd    []oddWord
	caps   int // words of at least four letters in capitals
	long   int // words of at least four letters
	alien  int // letters of other scripts

	singles int // words of one letter since the last longer one
	word    wordState
}

// lowerCase maps ASCII letters to small ones, and everything else to 0.
var lowerCase = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-32] = c, c
	}
	return t
}()

// wordState is the word that is being read.
type wordState struct {
	start          int
	letters, upper int
	digits         int
	latin, foreign int    // letters, the latter drawn like Latin ones
	alien          int    // letters of another script that are not
	how            oddity // seen so far
	unseen         bool   // a character without width stands behind the last letter
}

const maxOdd = 256

// reset empties f and keeps its memory.
func (f *folded) reset() {
	f.text, f.starts, f.odd = f.text[:0], f.starts[:0], f.odd[:0]
	f.caps, f.long, f.alien, f.singles = 0, 0, 0, 0
	f.word = wordState{}
}

// gap begins a part of the text that belongs to nothing before it.
func (f *folded) gap() {
	f.endWord()
	if f.singles > 0 {
		f.joinSpaced(len(f.text))
	}
	if len(f.text) == 0 || f.text[len(f.text)-1] != blank {
		f.text = append(f.text, blank)
	}
	f.word.start = len(f.text)
}

// classes of bytes of ASCII
const (
	asciiGap = iota
	asciiLower
	asciiUpper
	asciiDigit
	asciiMoney
	asciiPercent
	asciiBang
	asciiLeet // a sign that stands for a letter, between letters
)

var asciiClass = func() (t [128]uint8) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-32] = asciiLower, asciiUpper
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = asciiDigit
	}
	t['$'], t['%'], t['!'], t['@'] = asciiMoney, asciiPercent, asciiBang, asciiLeet
	return t
}()

// isGap says which bytes stand between words.
var isGap = func() (t [256]bool) {
	for c, class := range asciiClass {
		t[c] = class == asciiGap
	}
	return t
}()

// add folds s behind what is there.
func (f *folded) add(s string) {
	if len(f.text) == 0 {
		f.gap()
	}
	f.text = slices.Grow(f.text, len(s)+2)
	for i := 0; i < len(s); {
		if f.word.start == len(f.text) {
			if i += f.plain(s[i:]); i == len(s) {
				return
			}
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			f.addRune(r)
			i += n
			continue
		}
		i++
		switch asciiClass[c] {
		case asciiLower:
			f.letter(c)
		case asciiUpper:
			f.word.upper++
			f.letter(c + 32)
		case asciiGap:
			if (c == '.' || c == ',') && f.word.digits > 0 && f.word.letters == 0 && i < len(s) && isDigit(s[i]) {
				continue // 1,000.50 is one number
			}
			f.endWord()
		default:
			f.sign(c, i < len(s) && isASCIILetter(s[i]))
		}
	}
}

// plain folds the words at the beginning of s that are of ASCII letters only, and what stands between them. It
// returns how much of s that is: most of most texts.
func (f *folded) plain(s string) int {
	text, end := f.text[:cap(f.text)], len(f.text) // there is room for s, add has seen to that
	done := 0                                      // of s
	for i := 0; i < len(s) && end+len(s)-i < len(text); {
		in, out := s[i:], text[end:]
		n := 0
		for n < len(in) && n < len(out) {
			c := lowerCase[in[n]]
			if c == 0 {
				break
			}
			out[n] = c
			n++
		}
		if n == len(in) || !isGap[in[n]] {
			break // the word goes on, or is of another kind
		}
		start := i
		i += n
		end += n
		i++
		done = i
		if n == 0 {
			continue
		}
		f.starts = append(f.starts, int32(end-n))
		text[end] = blank
		end++
		if n >= 4 {
			f.long++
			if isUpper(s[start]) && isUpper(s[start+1]) && s[start:start+n] == strings.ToUpper(s[start:start+n]) {
				f.caps++
			}
		}
		if n == 1 {
			f.singles++
		} else if f.singles > 0 {
			f.text = text[:end]
			f.joinSpaced(end - 1 - n)
			text, end = f.text[:cap(f.text)], len(f.text)
		}
	}
	f.text = text[:end]
	f.word.start = end
	return done
}

// letter adds a plain Latin letter.
func (f *folded) letter(c byte) {
	f.text = append(f.text, c)
	w := &f.word
	w.letters++
	w.latin++
	if w.unseen {
		w.how |= oddHidden
		w.unseen = false
	}
}

// sign adds a byte of ASCII that is neither letter nor gap.
func (f *folded) sign(c byte, letterFollows bool) {
	switch asciiClass[c] {
	case asciiDigit:
		f.text = append(f.text, c)
		f.word.digits++
	case asciiMoney, asciiPercent:
		if c == '$' && f.word.letters > 0 && letterFollows {
			f.leetSign('s')
			return
		}
		f.endWord()
		f.currency(c)
	case asciiLeet:
		f.endWord()
	case asciiBang:
		if f.word.letters > 0 && letterFollows {
			f.leetSign('i')
			return
		}
		f.endWord()
	}
}

// currency adds a sign that is a word of its own.
func (f *folded) currency(c byte) {
	f.starts = append(f.starts, int32(len(f.text)))
	f.text = append(f.text, c, blank)
	f.word.start = len(f.text)
}

// leetSign adds a letter that was written as a sign.
func (f *folded) leetSign(c byte) {
	f.letter(c)
	f.word.how |= oddLeet
}

// addRune adds a character that is not ASCII.
func (f *folded) addRune(r rune) {
	w := &f.word
	switch {
	case isUnseen(r):
		if w.letters > 0 {
			w.unseen = true
		}
		return
	case unicode.Is(unicode.Mn, r): // an accent of its own
		return
	}
	if c := foldLetter(r); c.base != 0 {
		if w.unseen {
			w.how |= oddHidden
			w.unseen = false
		}
		w.letters++
		switch {
		case c.kind == kindStyled:
			w.how |= oddStyled
			w.latin++
		case c.kind == kindForeign:
			w.foreign++
			f.alien++
		default:
			w.latin++
		}
		f.text = append(f.text, c.base)
		if c.second != 0 {
			f.text = append(f.text, c.second)
		}
		return
	}
	switch {
	case unicode.IsLetter(r):
		w.letters++
		w.alien++
		f.alien++
		w.unseen = false // joiners belong to such scripts
		f.text = append(f.text, other)
	case unicode.IsDigit(r):
		f.text = append(f.text, digit)
		w.digits++
	case unicode.Is(unicode.Sc, r):
		f.endWord()
		f.currency('$')
	default:
		f.endWord()
	}
}

func isDigit(c byte) bool       { return c >= '0' && c <= '9' }
func isLetter(c byte) bool      { return c >= 'a' && c <= 'z' }
func isASCIILetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }

// isUnseen says whether a character has no width and no meaning between Latin letters.
func isUnseen(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5,
		r >= 0x180B && r <= 0x180E, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E,
		r >= 0x2060 && r <= 0x206F, r == 0x3164, r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF, r == 0xFFA0,
		r >= 0xE0000 && r <= 0xE01EF:
		return true
	}
	return false
}

// foldString returns the folded text of s, without the blanks around it.
func foldString(s string) string {
	var f folded
	f.add(s)
	f.gap()
	t := f.text
	for len(t) > 0 && t[0] == blank {
		t = t[1:]
	}
	for len(t) > 0 && t[len(t)-1] == blank {
		t = t[:len(t)-1]
	}
	return string(t)
}
