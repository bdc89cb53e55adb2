package smtpwire

import "strings"

const upperHex = "0123456789ABCDEF"

// EncodeXtext returns s as xtext (RFC 3461 section 4).
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'+', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// DecodeXtext returns what the xtext s stands for. It is false for anything that is not xtext. The result
// may hold any octets, control characters too: look at it before using it.
func DecodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == '=':
			return "", false
		case c != '+':
			b.WriteByte(c)
		default:
			if len(s)-i < 3 {
				return "", false
			}
			hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		}
	}
	return b.String(), true
}
