package impostor

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Texts in scripts that are not folded to Latin letters are compared with terms as they are written: a second pass, which
// only texts with many such letters get.

// maxScript is how much of a text in another script is looked at, in bytes.
const maxScript = 32 << 10

// enoughAlien is how many letters of other scripts a message has that is looked at.
const enoughAlien = 6

// scriptTerm is a term of scriptTerms.
type scriptTerm struct {
	text   string
	topic  topic
	points int
	id     int
}

// scriptIndex has the terms by their first letter.
var scriptIndex = sync.OnceValue(func() map[rune][]scriptTerm {
	index, id := make(map[rune][]scriptTerm), 0
	for _, list := range scriptTerms {
		for _, text := range splitTerms(list.list) {
			text = strings.ToLower(text)
			first, _ := utf8.DecodeRuneInString(text)
			index[first] = append(index[first], scriptTerm{text, list.topic, int(list.points), id})
			id++
		}
	}
	return index
})

// scripts counts the terms of other scripts in texts. Each counts once.
func (r *reading) scripts(texts ...string) {
	index := scriptIndex()
	seen := make(map[int]bool)
	left := maxScript
	for _, text := range texts {
		text = text[:min(len(text), left)]
		left -= len(text)
		last := rune(' ')
		for i, c := range text {
			begins := c >= 0x370 && !(inWords(c) && (inWords(last) || unicode.IsLetter(last)))
			last = c
			if !begins {
				continue
			}
			for _, t := range index[unicode.ToLower(c)] {
				if !seen[t.id] && startsWith(text[i:], t.text) {
					seen[t.id] = true
					r.count(t.topic, t.points, []byte(t.text))
				}
			}
		}
	}
}

// startsWith says whether a text begins with a term, in small letters, with a capital, or in capitals. Those of these scripts are as
// long as the small letters.
func startsWith(text, term string) bool {
	_, n := utf8.DecodeRuneInString(term)
	if len(text) < len(term) {
		return false
	}
	if text[n:len(term)] == term[n:] {
		return true
	}
	second, _ := utf8.DecodeRuneInString(text[n:])
	return unicode.IsUpper(second) && strings.EqualFold(text[:len(term)], term)
}

// inWords says whether a letter is of a script in which terms begin words: Greek and Cyrillic. Others write articles or words
// without a gap.
func inWords(c rune) bool { return c >= 0x370 && c < 0x530 }
