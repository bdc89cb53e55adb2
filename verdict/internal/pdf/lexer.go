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

const (
	maxString = 256 << 10 // bytes of a string that are kept
	maxName   = 512
	maxNodes  = 100_000 // values of one object that are kept
	maxNest   = 64
)

// lexer reads values.
type lexer struct {
	src   *source
	pos   int64
	nodes int
	bytes int64 // of strings and names
	seal  *seal // opens strings; nil if they are not encrypted
	key   []byte
	err   error
}

func (l *lexer) peek() (byte, bool) { return l.src.at(l.pos) }

// skipSpace skips white space and comments.
func (l *lexer) skipSpace() {
	for {
		c, ok := l.peek()
		switch {
		case !ok:
			return
		case isSpace(c):
			l.pos++
		case c == '%':
			for ok && c != '\r' && c != '\n' {
				l.pos++
				c, ok = l.peek()
			}
		default:
			return
		}
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == 0 || c == '\f'
}

func isDelimiter(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

// value reads a value, a word or a closer. At the end it returns an empty word.
func (l *lexer) value(depth int) any {
	l.skipSpace()
	if l.err == nil {
		l.err = l.src.b.Step()
	}
	c, ok := l.peek()
	if !ok || l.err != nil {
		return word("")
	}
	l.nodes++
	switch c {
	case '/':
		l.pos++
		return l.name()
	case '(':
		l.pos++
		return l.literal()
	case '[':
		l.pos++
		return l.array(depth)
	case '<':
		l.pos++
		if c, _ := l.peek(); c == '<' {
			l.pos++
			return l.dict(depth)
		}
		return l.hex()
	case '>':
		l.pos++
		if c, _ := l.peek(); c == '>' {
			l.pos++
		}
		return closer('>')
	case ']':
		l.pos++
		return closer(']')
	case ')', '{', '}':
		l.pos++
		return word(string(c))
	}
	return l.regular()
}

// name reads what follows the slash. Any character may be written as two digits after a number sign.
func (l *lexer) name() name {
	var buf [32]byte
	out := buf[:0]
	for {
		c, ok := l.peek()
		if !ok || isSpace(c) || isDelimiter(c) {
			break
		}
		l.pos++
		if c == '#' {
			a, okA := l.src.at(l.pos)
			b, okB := l.src.at(l.pos + 1)
			if h, okH := unhex(a); okA && okB && okH {
				if g, ok := unhex(b); ok {
					c = h<<4 | g
					l.pos += 2
				}
			}
		}
		if len(out) < maxName {
			out = append(out, c)
		}
	}
	l.bytes += int64(len(out))
	return name(out)
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// literal reads a string in parentheses (section 7.3.4.2).
func (l *lexer) literal() text {
	var out []byte
	for depth := 1; ; {
		c, ok := l.peek()
		if !ok {
			break
		}
		l.pos++
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return l.string(out)
			}
		case '\\':
			if c, ok = l.escape(); !ok {
				continue
			}
		case '\r':
			if n, _ := l.peek(); n == '\n' {
				l.pos++
			}
			c = '\n'
		}
		if len(out) < maxString {
			out = append(out, c)
		} else if l.err = l.src.b.Step(); l.err != nil {
			break
		}
	}
	return l.string(out)
}

// escape reads what follows a backslash; ok is false if it stands for nothing.
func (l *lexer) escape() (c byte, ok bool) {
	c, ok = l.peek()
	if !ok {
		return 0, false
	}
	l.pos++
	switch c {
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case '\r':
		if n, _ := l.peek(); n == '\n' {
			l.pos++
		}
		return 0, false
	case '\n':
		return 0, false
	}
	if c < '0' || c > '7' {
		return c, true
	}
	v := c - '0'
	for range 2 {
		d, ok := l.peek()
		if !ok || d < '0' || d > '7' {
			break
		}
		l.pos++
		v = v<<3 | (d - '0')
	}
	return v, true
}

// hex reads a string of hexadecimal digits.
func (l *lexer) hex() text {
	var out []byte
	high, half := byte(0), false
	for {
		c, ok := l.peek()
		if !ok || c == '>' {
			l.pos++
			break
		}
		l.pos++
		v, ok := unhex(c)
		switch {
		case !ok:
		case !half:
			high, half = v, true
		default:
			half = false
			if len(out) < maxString {
				out = append(out, high<<4|v)
			}
		}
		if l.pos&0xFFFF == 0 {
			if l.err = l.src.b.Err(); l.err != nil {
				break
			}
		}
	}
	if half {
		out = append(out, high<<4)
	}
	return l.string(out)
}

func (l *lexer) string(b []byte) text {
	if l.seal != nil {
		b = l.seal.openString(l.key, b)
	}
	l.bytes += int64(len(b))
	return text(b)
}

// regular reads a number or a word.
func (l *lexer) regular() any {
	var buf [40]byte
	out := buf[:0]
	for {
		c, ok := l.peek()
		if !ok || isSpace(c) || isDelimiter(c) {
			break
		}
		l.pos++
		if len(out) < cap(buf) {
			out = append(out, c)
		}
		// What stands behind a value without a space is a word of its own.
		if c != 'j' && c != 'm' {
			continue
		}
		if w := string(out); w == "endobj" || w == "endstream" || w == "obj" || w == "stream" && !l.wordGoesOn() {
			break
		}
	}
	if n, ok := number(out); ok {
		return n
	}
	switch string(out) {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	return word(out)
}

func (l *lexer) wordGoesOn() bool {
	c, ok := l.peek()
	return ok && c|0x20 >= 'a' && c|0x20 <= 'z'
}

// number reads a number as lenient readers do: signs in a row, and whatever follows a point is gone.
func number(p []byte) (int64, bool) {
	neg, digits := false, false
	var v int64
	for i, c := range p {
		switch {
		case c >= '0' && c <= '9':
			digits = true
			if v < 1<<50 {
				v = v*10 + int64(c-'0')
			}
			continue
		case (c == '-' || c == '+') && !digits:
			neg = neg || c == '-'
			continue
		case c == '.' && onlyDigits(p[i+1:]) && (digits || i+1 < len(p)):
			digits = true
		default:
			return 0, false
		}
		break
	}
	if neg {
		v = -v
	}
	return v, digits
}

func onlyDigits(p []byte) bool {
	for _, c := range p {
		if (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
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
