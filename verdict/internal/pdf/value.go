package pdf

import "github.com/postreeve/postreeve/verdict/internal/inspect"

// The values of PDF (ISO 32000-2 section 7.3). Numbers are int64, real ones without their fraction;
// true and false are bool and null is nil.
type (
	name   string
	text   string // a string, of bytes
	array  []any
	dict   []pair // in the order of the file; of a key that is there twice the last counts
	ref    struct{ num, gen int32 }
	word   string // a keyword: not a value
	closer byte   // the end of an array or dict: not a value
)

type pair struct {
	key name
	val any
}

func (d dict) get(key name) any {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i].key == key {
			return d[i].val
		}
	}
	return nil
}

// array reads up to the closing bracket. References are put together from their two numbers and the R.
func (l *lexer) array(depth int) any {
	var out array
	for depth < maxNest {
		v := l.value(depth + 1)
		switch w := v.(type) {
		case closer:
			if w == ']' || depth == 0 {
				return out
			}
			continue
		case word:
			if w == "R" && len(out) > 1 {
				out = join(out)
				continue
			}
			if l.ends(w) {
				return out
			}
			continue
		}
		if l.nodes < maxNodes {
			out = append(out, v)
		}
	}
	l.tooDeep()
	return out
}

// ends says whether a word ends everything that is open, for which it stays where it is.
func (l *lexer) ends(w word) bool {
	switch w {
	case "":
		return true
	case "endobj", "stream", "obj":
		l.pos -= int64(len(w))
		return true
	}
	return false
}

func (l *lexer) tooDeep() {
	if l.err == nil {
		l.err = inspect.ErrLimit
	}
}

// join makes the last two numbers a reference.
func join(out array) array {
	n := len(out)
	num, okNum := out[n-2].(int64)
	gen, okGen := out[n-1].(int64)
	if !okNum || !okGen {
		return out
	}
	return append(out[:n-2], makeRef(num, gen))
}

func makeRef(num, gen int64) any {
	if num < 0 || num > 1<<30 || gen < 0 || gen > 1<<16 {
		return nil
	}
	return ref{int32(num), int32(gen)}
}

// dict reads up to the closing brackets.
func (l *lexer) dict(depth int) any {
	var out dict
	var flat array // what stands between the names
	key, has := name(""), false
	flush := func() {
		if !has {
			return
		}
		var v any
		if len(flat) > 0 {
			v = flat[0]
		}
		if l.nodes < maxNodes {
			out = append(out, pair{key, v})
		}
		flat = flat[:0]
		has = false
	}
	for depth < maxNest {
		v := l.value(depth + 1)
		switch w := v.(type) {
		case closer:
			if w == '>' || depth == 0 {
				flush()
				return out
			}
			continue
		case word:
			if w == "R" && len(flat) > 1 {
				flat = join(flat)
				continue
			}
			if l.ends(w) {
				flush()
				return out
			}
			continue
		case name:
			if has && len(flat) == 0 {
				flat = append(flat, w) // the value
				continue
			}
			flush()
			key, has = w, true
			continue
		}
		if has && len(flat) < 8 {
			flat = append(flat, v)
		}
	}
	l.tooDeep()
	return out
}
