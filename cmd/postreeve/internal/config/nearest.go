package config

import (
	"slices"
	"strings"
)

// Suggest says what could have been meant by word, or what there is to choose from.
func Suggest(word string, valid []string) string {
	if best := nearest(word, valid); best != "" {
		return "did you mean " + best + "?"
	}
	return "use one of: " + strings.Join(slices.Sorted(slices.Values(valid)), ", ")
}

// nearest returns the word that is most like the given one, or "" if none is.
func nearest(word string, valid []string) string {
	valid = slices.Sorted(slices.Values(valid))
	best, distance := "", max(2, len(word)/3)+1
	for _, v := range valid {
		if d := edits(strings.ToLower(word), v); d < distance {
			best, distance = v, d
		}
	}
	return best
}

// edits is the number of letters to add, drop, replace or swap with their neighbour to make b of a.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // no key is that long
		return 64
	}
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev2, prev, row = prev, row, prev2
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
