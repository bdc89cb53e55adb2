package impostor

import (
	"slices"
	"strings"
)

// people looks for the name of a protected person beside an address from outside.
func (x *scan) people() {
	if len(x.People) == 0 {
		return
	}
	for _, own := range x.own {
		if x.author.org == own.org {
			return // see ownDomain
		}
	}
	name, _, _ := strings.Cut(foldString(x.mail.name()), " via ")
	shown := strings.Fields(name) // of folded text
	from := x.from.first().address
	for _, p := range x.People {
		if slices.ContainsFunc(p.Addresses, func(a string) bool { return strings.EqualFold(a, from) }) {
			continue
		}
		if sameName(shown, words(p.Name)) {
			x.add("impostor.person", "the name of %s beside %s", p.Name, from)
			return
		}
	}
}

// sameName says whether shown is the name in any order, with initials in place of all but one of its words, or
// with up to two words more, like a title.
func sameName(shown, name []string) bool {
	if len(name) < 2 || len(shown) < 2 || len(shown) > len(name)+2 {
		return false
	}
	left := slices.Clone(shown)
	whole, initials := 0, 0
	for _, w := range name {
		if i := slices.Index(left, w); i >= 0 {
			left = slices.Delete(left, i, i+1)
			whole++
		}
	}
	if whole == len(name) {
		return true
	}
	for _, w := range name {
		if slices.Contains(shown, w) {
			continue
		}
		if len(w) == 1 { // a middle initial that the sender leaves out
			initials++
			continue
		}
		i := slices.IndexFunc(left, func(s string) bool { return len(s) == 1 && s[0] == w[0] })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
		initials++
	}
	return whole > 0 && whole+initials == len(name) && len(left) == 0
}

// words returns the folded words of a name.
func words(name string) []string { return strings.Fields(foldString(name)) }
