package attach

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// fileName is a name as Windows would see it, and the tricks that were found in it.
type fileName struct {
	base string // without path, invisible characters, stream, and trailing dots and blanks
	ext  string // of base, in lower case and without its dot
	prev string // the extension before it, if there is one
	bidi, hidden, padded, trailing,
	stream, device, long bool
}

// parseName takes a name apart. A path before it is cut off.
func parseName(name string) fileName {
	var n fileName
	if plain(name) {
		n.base = name
	} else {
		n.clean(name)
	}
	if i := strings.LastIndexAny(n.base, `/\`); i >= 0 {
		n.base = n.base[i+1:]
	}
	n.long = len(n.base) > 255
	if stem, ext, ok := cutLast(n.base); ok {
		n.ext = strings.ToLower(ext)
		if _, prev, ok := cutLast(strings.TrimRight(stem, " .")); ok {
			n.prev = strings.ToLower(strings.TrimSpace(prev))
		}
	}
	n.device = isDevice(n.base)
	return n
}

// plain says whether there is nothing to clean: nearly always.
func plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf || c < ' ' || c == ':' || c == ' ' && (i+1 == len(name) || name[i+1] == ' ') || c == '.' && i+1 == len(name) {
			return false
		}
	}
	return true
}

func cutLast(s string) (stem, ext string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// clean takes out what is not seen, and notes it.
func (n *fileName) clean(name string) {
	var b strings.Builder
	blanks := 0
	for _, r := range name {
		switch {
		case isOverride(r):
			n.bidi = true
			continue
		case isInvisible(r):
			n.hidden = true
			continue
		case r < ' ' || r == 0x7F:
			n.hidden = true
			continue
		}
		if unicode.IsSpace(r) || r == '\u2800' || r == '\u3164' {
			blanks++
			r = ' '
		} else {
			blanks = 0
		}
		// So many blanks put what follows out of sight.
		n.padded = n.padded || blanks >= 20
		b.WriteRune(r)
	}
	s := b.String()
	base := s
	if i := strings.LastIndexAny(base, `/\`); i >= 0 {
		base = base[i+1:]
	}
	// A stream of NTFS: "a.txt:b.exe" or "a.exe::$DATA". A colon elsewhere is a time of day, mostly.
	if i := strings.IndexByte(base, ':'); i > 1 {
		rest := strings.ToLower(base[i+1:])
		_, ext, _ := cutLast(rest)
		if strings.HasSuffix(rest, ":$data") || extRisks[ext] != harmless {
			n.stream = true
			if strings.HasSuffix(rest, ":$data") {
				s = s[:len(s)-len(base)+i]
			}
		}
	}
	if t := strings.TrimRight(s, " ."); t != s {
		// A single dot or blank is a slip; only before an extension that does something does it hide it.
		_, ext, _ := cutLast(t)
		n.trailing = extRisks[strings.ToLower(ext)] != harmless
		s = t
	}
	n.base = s
}

// isOverride says whether r turns the direction of writing by force. The marks that texts in Arabic or
// Hebrew need are not among them.
func isOverride(r rune) bool {
	return r == '\u202D' || r == '\u202E' || r == '\u2066' || r == '\u2067' || r == '\u2068'
}

// isInvisible says whether r is not to be seen in a name. The joiners that several scripts need to write
// are not among them, nor are variation selectors.
func isInvisible(r rune) bool {
	switch r {
	case '\u00AD', '\u034F', '\u061C', '\u115F', '\u1160', '\u17B4', '\u17B5', '\u180E', '\u200B', '\u200E', '\u200F', '\u202A', '\u202B', '\u202C', '\u2060', '\u2069', '\uFEFF':
		return true
	}
	return r >= '\u2061' && r <= '\u2064' || r >= 0xE0000 && r <= 0xE007F
}

// isDevice says whether Windows takes the name for a device.
func isDevice(base string) bool {
	stem, _, _ := strings.Cut(base, ".")
	stem = strings.ToUpper(strings.TrimSpace(stem))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	if len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) {
		return stem[3] >= '1' && stem[3] <= '9'
	}
	return false
}

// escapes says whether a path in an archive leads out of the folder that it is unpacked to.
func escapes(name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	if len(name) > 1 && name[1] == ':' && (len(name) == 2 || name[2] == '/') {
		return true
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// linkEscapes says whether a link in an archive leads out of it.
func linkEscapes(name, target string) bool {
	target = strings.ReplaceAll(target, `\`, "/")
	if strings.HasPrefix(target, "/") || len(target) > 1 && target[1] == ':' {
		return true
	}
	dir := strings.ReplaceAll(name, `\`, "/")
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		dir = dir[:i+1]
	} else {
		dir = ""
	}
	return escapes(dir + target)
}
