package remote

import (
	"strings"
	"unicode/utf8"
)

// Line makes text of a peer or an engine fit for one line of a protocol or a report: control characters
// and what is no UTF-8 become question marks, and it is cut behind max bytes.
func Line(s string, max int) string {
	if len(s) > max {
		for max > 0 && !utf8.RuneStart(s[max]) {
			max--
		}
		s = s[:max]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, s)
}

// Excerpt is Line for what people read: line ends and tabs become blanks, and runs of them one.
func Excerpt(s string, max int) string {
	return Line(strings.Join(strings.Fields(s[:min(len(s), 4*max)]), " "), max)
}
