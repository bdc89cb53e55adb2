package verdict

import (
	"strings"
	"unicode/utf8"
)

// decodeWords decodes the encoded words of RFC 2047 in s, wherever they stand, as mail clients do. The
// result is valid UTF-8 without CR, LF and NUL. hidden says that an encoded word held one of these.
func decodeWords(s string) (text string, hidden bool) {
	if strings.Contains(s, "=?") {
		s, hidden = joinWords(s)
	} else {
		s = rawText(s)
	}
	if strings.ContainsAny(s, "\r\n\x00") {
		s = controls.Replace(s)
	}
	return s, hidden
}

var controls = strings.NewReplacer("\r", "\uFFFD", "\n", "\uFFFD", "\x00", "\uFFFD")

// rawText reads text outside of encoded words: UTF-8 (RFC 6532), or else windows-1252.
func rawText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	text, _ := decodeCharset("us-ascii", []byte(s))
	return text
}

func joinWords(s string) (text string, hidden bool) {
	var out strings.Builder
	// Bytes of neighbouring words are decoded together: senders cut characters in two.
	var charset string
	var pending []byte
	flush := func() {
		if len(pending) == 0 {
			return
		}
		word, _ := decodeCharset(charset, pending)
		hidden = hidden || strings.ContainsAny(word, "\r\n\x00")
		out.WriteString(word)
		pending = pending[:0]
	}
	after := false // an encoded word stands right before
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		word, n := encodedWord(s[i:])
		if n < 0 {
			break // no word ends any more
		}
		if n == 0 {
			flush()
			out.WriteString(rawText(s[:i+2]))
			s, after = s[i+2:], false
			continue
		}
		// Blanks between two encoded words are not shown (section 6.2).
		if gap := s[:i]; !after || strings.Trim(gap, " \t\r\n") != "" {
			flush()
			out.WriteString(rawText(gap))
		}
		if !strings.EqualFold(charset, word.charset) {
			flush()
			charset = word.charset
		}
		pending = append(pending, word.decode()...)
		s, after = s[i+n:], true
	}
	flush()
	out.WriteString(rawText(s))
	return out.String(), hidden
}

type mimeWord struct {
	charset string
	base64  bool
	text    string
}

// encodedWord parses the encoded word that s begins with. n is its length, 0 if it is none, and -1 if
// neither s nor what follows can be one, since nothing closes it.
func encodedWord(s string) (w mimeWord, n int) {
	const maxCharset = 64
	charset, rest, ok := strings.Cut(s[2:min(len(s), 2+maxCharset)], "?")
	if !ok || charset == "" || len(rest) < 2 || rest[1] != '?' {
		return w, 0
	}
	charset, _, _ = strings.Cut(charset, "*") // RFC 2231 section 5: a language
	switch rest[0] {
	case 'b', 'B':
		w.base64 = true
	case 'q', 'Q':
	default:
		return w, 0
	}
	start := strings.Index(s[2:], "?") + 2 + 3
	end := strings.Index(s[start:], "?=")
	if end < 0 {
		return w, -1
	}
	w.charset, w.text = charset, s[start:start+end]
	return w, start + end + 2
}

func (w mimeWord) decode() []byte {
	out := make([]byte, len(w.text)+decodeSlack)
	if w.base64 {
		n, _ := new(base64Decoder).decode(out, []byte(w.text), true)
		return out[:n]
	}
	text := []byte(w.text)
	for i, c := range text {
		if c == '_' {
			text[i] = ' ' // section 4.2
		}
	}
	return out[:new(qpDecoder).text(out, text)]
}
