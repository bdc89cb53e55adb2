package links

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// skeleton maps a text to what it looks like, in the sense of UTS 39 section 4, for names of hosts: small letters without
// accents, letters of other scripts and digits as the Latin ones that they look like, and groups that look like one letter as
// that letter. Two names with one skeleton are easily confused. It is no name that anybody has.
func skeleton(s string) string {
	s = lookalikeGroups.Replace(latin(s))
	b := []byte(s)
	for i, c := range b {
		switch c {
		case '0':
			b[i] = 'o'
		case '1', 'i', '|', '!':
			b[i] = 'l'
		case '5', '$':
			b[i] = 's'
		}
	}
	return string(b)
}

var lookalikeGroups = strings.NewReplacer("rn", "m", "vv", "w")

// latin maps a text to small Latin letters: what looks like one becomes one. Everything else stays.
func latin(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFKD.String(s) { // styled letters become plain ones, accents stand alone
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(unicode.ToLower(r))
		case unicode.Is(unicode.Mn, r):
		default:
			if l, ok := confusables[unicode.ToLower(r)]; ok {
				b.WriteString(l)
				continue
			}
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// confusables are letters, small, that are drawn like Latin ones: the part of the Unicode confusables that can stand in names of
// hosts, and what is written in mail for the same end.
var confusables = confusableTable(map[string]string{
	"a": "аɑαᴀ", "b": "ьƅвʙ", "c": "сϲᴄ", "d": "ԁɗđᴅ", "e": "еҽєεɛᴇ", "f": "ғƒꜰ", "g": "ɡցԍɢ", "h": "һհнʜ", "i": "іıɩιɪ", "j": "јϳᴊ",
	"k": "кκĸᴋ", "l": "ӏłʟⅼ", "m": "мʍᴍ", "n": "пողηиɴ", "o": "оοօσøᴏ", "p": "рρᴘ", "q": "ԛզ", "r": "гᴦʀ", "s": "ѕꜱ", "t": "тτŧᴛ", "u": "υսцᴜ",
	"v": "ѵνᴠ", "w": "ԝшωᴡ", "x": "хχ", "y": "уүγʏ", "z": "ᴢʐ", "ae": "æ", "oe": "œ", "ss": "ß",
})

func confusableTable(letters map[string]string) map[rune]string {
	out := make(map[rune]string)
	for to, from := range letters {
		for _, r := range from {
			out[r] = to
		}
	}
	return out
}

// mixedScript says whether a label has Latin letters beside Cyrillic, Greek or Armenian ones, or nothing but such as nobody can
// tell from Latin ones.
func mixedScript(label string) bool {
	isLatin, other, alike := false, false, true
	for _, r := range label {
		switch {
		case r < utf8.RuneSelf:
			isLatin = isLatin || unicode.IsLetter(r)
		case unicode.Is(unicode.Latin, r):
			isLatin = true
		case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee):
			other = true
			alike = alike && strings.ContainsRune(twins, r)
		}
	}
	return other && (isLatin || alike)
}

// twins are small letters of other scripts that are drawn exactly like Latin ones.
const twins = "асеіјорԁѕхуԛԝһӏᴦ" + "ονρυικατ" + "օսոհ"

// styled counts letters of a text that only look like Latin ones: mathematical, circled, small capitals, and those of
// other scripts in words that are Latin otherwise.
func styled(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r < 0x1D00:
		case r >= 0x1D400 && r <= 0x1D7FF, // mathematical alphanumeric symbols
			r >= 0x24B6 && r <= 0x24E9, // circled letters
			r >= 0x1F130 && r <= 0x1F189 && r != 0x1F17E && r != 0x1F170 && r != 0x1F171 && r != 0x1F17F, // squared and negative circled ones, but for signs
			r >= 0x1D00 && r <= 0x1D22: // small capitals
			n++
		}
	}
	return n
}

// distance returns how many letters have to be changed, added, left out or exchanged with their neighbour to make b of a
// (optimal string alignment), as far as it is at most most; else more than that.
func distance(a, b string, most int) int {
	if d := len(a) - len(b); d > most || -d > most {
		return most + 1
	}
	if len(b) > 62 {
		return most + 1
	}
	var rows [3][64]int
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		best := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, prev2[j-2]+1)
			}
			cur[j] = d
			best = min(best, d)
		}
		if best > most {
			return most + 1
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
