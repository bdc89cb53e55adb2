package verdict

import (
	"bytes"
	"slices"
	"strings"
)

// maxBoundaries is how many readings of one part's boundary are followed.
const maxBoundaries = 8

// boundaries returns every boundary that some reader could cut the part at: those of all multipart
// Content-Type fields, in all readings. It is nil if the part is no multipart or has none.
func boundaries(h Header) (out []string, multipart bool, err error) {
	add := func(b string) {
		if b = strings.TrimRight(b, " \t\r\n"); !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	for f := range h.named("Content-Type") {
		v := parseValue(f.Value())
		if t, _, _ := strings.Cut(v.kind, "/"); t != "multipart" {
			continue
		}
		multipart = true
		for _, p := range v.all("boundary") {
			add(p.value)
			add(p.token)
			if len(out) > maxBoundaries {
				return nil, true, tooComplex("more than %d boundaries for one part", maxBoundaries)
			}
		}
		if b, ok := v.extended("boundary"); ok {
			add(b)
		}
	}
	for _, b := range out {
		if len(b) > maxBoundary {
			return nil, true, tooComplex("a boundary of more than %d bytes", maxBoundary)
		}
	}
	return out, multipart, nil
}

// goodBoundary says whether b is a boundary by RFC 2046 section 5.1.1.
func goodBoundary(b string) bool {
	if b == "" || len(b) > 70 {
		return false
	}
	for i := range len(b) {
		c := b[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("'()+_,-./:=? ", c) < 0:
			return false
		}
	}
	return true
}

// openPart is a part whose end has not been seen yet.
type openPart struct {
	part     *Part
	bounds   []string // nil if it is no multipart
	children int
	closed   bool // its final delimiter has been seen
	looked   bool // something like a part has been seen outside of its parts
}

// delimiter is a line that cuts: it belongs to the open part at index, and may be the final one.
type delimiter struct {
	index  int
	final  bool
	prefix bool // the line only begins like a delimiter
}

// findDelimiter says which open part the line cuts (RFC 2046 section 5.1.1). The innermost one wins, a
// multipart that has ended only if no other one fits, and a line that only begins with a delimiter
// (which section 5.1.1 allows, and few readers do) only if there is nothing better.
func findDelimiter(open []openPart, line []byte) (d delimiter, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("--"))
	if !ok {
		return d, false
	}
	rest = bytes.TrimRight(rest, " \t\r")
	rank, longest := 0, -1
	for i := len(open) - 1; i >= 0; i-- {
		for _, b := range open[i].bounds {
			if !hasPrefix(rest, b) {
				continue
			}
			tail := rest[len(b):]
			final := hasPrefix(tail, "--")
			r := 3
			switch {
			case len(tail) > 0 && (!final || len(tail) > 2):
				r = 1
				if b == "" || open[i].closed {
					continue
				}
			case open[i].closed:
				r = 2
			}
			if r > rank || r == rank && r == 1 && len(b) > longest {
				d = delimiter{i, final, r == 1}
				rank, longest = r, len(b)
			}
		}
	}
	return d, rank > 0
}
