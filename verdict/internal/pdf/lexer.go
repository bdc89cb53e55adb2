package pdf

import "github.com/postreeve/postreeve/verdict/internal/inspect"

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
			if h, okH := inspect.Unhex(a); okA && okB && okH {
				if g, ok := inspect.Unhex(b); ok {
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
		v, ok := inspect.Unhex(c)
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
