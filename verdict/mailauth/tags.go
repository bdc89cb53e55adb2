package mailauth

import (
	"errors"
	"fmt"
	"strings"
)

// tag is one name=value of a tag list (RFC 6376 section 3.2).
type tag struct {
	name  string
	value string // without white space around it
	start int    // of the value with its white space, in the text
	end   int
}

// tagList is a parsed list, in its order.
type tagList []tag

// maxTags bounds a list: the longest in use has about 15.
const maxTags = 100

var errTags = errors.New("malformed tag list")

// parseTags reads a tag list by the grammar. Every tag has a name, and no name comes twice.
func parseTags(s string) (tagList, error) {
	var out tagList
	for off := 0; off <= len(s); {
		end := len(s)
		if i := strings.IndexByte(s[off:], ';'); i >= 0 {
			end = off + i
		}
		piece := s[off:end]
		last := end == len(s)
		if trimFWS(piece) == "" {
			if last && len(out) > 0 {
				break // after the final semicolon
			}
			return nil, fmt.Errorf("%w: an empty tag", errTags)
		}
		eq := strings.IndexByte(piece, '=')
		if eq < 0 {
			return nil, fmt.Errorf("%w: no = in a tag", errTags)
		}
		t := tag{name: trimFWS(piece[:eq]), value: trimFWS(piece[eq+1:]), start: off + eq + 1, end: end}
		if !isTagName(t.name) {
			return nil, fmt.Errorf("%w: a bad name", errTags)
		}
		if _, twice := out.get(t.name); twice {
			return nil, fmt.Errorf("%w: %s= twice", errTags, t.name)
		}
		if out = append(out, t); len(out) > maxTags {
			return nil, fmt.Errorf("%w: more than %d tags", errTags, maxTags)
		}
		off = end + 1
	}
	return out, nil
}

func (l tagList) get(name string) (string, bool) {
	for i := range l {
		if l[i].name == name {
			return l[i].value, true
		}
	}
	return "", false
}

func isTagName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && (i == 0 || !isDigit(c) && c != '_') {
			return false
		}
	}
	return s != ""
}

const fws = " \t\r\n"

func trimFWS(s string) string { return strings.Trim(s, fws) }

// dropFWS removes white space everywhere: what base64 and colon-separated lists allow.
func dropFWS(s string) string {
	if !strings.ContainsAny(s, fws) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if strings.IndexByte(fws, s[i]) < 0 {
			out = append(out, s[i])
		}
	}
	return string(out)
}
