package store

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postreeve/postreeve/verdict"
)

// maxPreview bounds what is shown of one message.
const maxPreview = 64 << 10

// Preview writes what is in a message so that it is safe to look at: the important fields of the header, text,
// the text of HTML where there is no other, and the names of attachments. Nothing of it can be clicked, run, or
// control a terminal: links are written hxxp://example[.]org, and control characters and those that change the
// direction of text as escapes.
func Preview(w io.Writer, m *verdict.Message) error {
	var b strings.Builder
	h := m.Header()
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Date", "Subject", "Message-ID"} {
		if len(h.Values(name)) > 0 {
			b.WriteString(name + ": " + harmless(h.Text(name), false) + "\n")
		}
	}
	plain := hasPlain(m)
	for p, err := range m.Parts() {
		if err != nil {
			fmt.Fprintf(&b, "\n[the rest of the message could not be read: %s]\n", harmless(err.Error(), false))
			break
		}
		if p.IsContainer() {
			continue
		}
		b.WriteString("\n" + previewPart(p, plain))
		if b.Len() > maxPreview {
			break
		}
	}
	_, err := io.WriteString(w, cut(b.String()))
	return err
}

// hasPlain says whether there is text to be read as it is.
func hasPlain(m *verdict.Message) bool {
	for p, err := range m.Parts() {
		if err != nil {
			return false
		}
		if isPlain(p) {
			if s, err := p.Text(); err == nil && strings.TrimSpace(s) != "" {
				return true
			}
		}
	}
	return false
}

func isPlain(p *verdict.Part) bool {
	return !p.IsContainer() && p.Disposition != "attachment" && (p.Declared == "text/plain" || p.Declared != "text/html" && p.Type() == "text/plain")
}

func previewPart(p *verdict.Part, plain bool) string {
	kind := p.Type()
	label := fmt.Sprintf("[part %s: %s %s]\n", harmless(p.Path, false), harmless(kind, false), harmless(p.Filename, false))
	html := p.Disposition != "attachment" && (p.Declared == "text/html" || kind == "text/html")
	if !isPlain(p) && (!html || plain) {
		return label
	}
	s, err := p.Text()
	note := ""
	if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
		return fmt.Sprintf("[part %s could not be read: %s]\n", harmless(p.Path, false), harmless(err.Error(), false))
	} else if err != nil {
		note = "\n[cut]\n"
	}
	if html {
		return label + harmless(htmlText(s), true) + note
	}
	if !legible(s) {
		return label
	}
	return harmless(s, true) + note
}

// legible says whether s is text with at most a few bytes that are not: a program may call itself text.
func legible(s string) bool {
	s = s[:min(len(s), 4096)]
	odd := 0
	for _, r := range s {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && !unicode.IsSpace(r) {
			odd++
		}
	}
	return odd <= len(s)/5
}

// cut shortens what is too long.
func cut(s string) string {
	if len(s) <= maxPreview {
		return s
	}
	s = s[:maxPreview]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-4):]) {
		s = s[:len(s)-1]
	}
	return s + "\n[cut]\n"
}

// harmless takes the life out of links and control characters.
func harmless(s string, lines bool) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if b.Len() > maxPreview {
			break
		}
		switch {
		case r == '\n' && lines, r == '\t' && lines:
			b.WriteRune(r)
		case r == '\r' && lines:
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return deaden(b.String())
}

// deaden rewrites what a reader could make a link of.
func deaden(s string) string {
	parts := strings.Split(s, "://")
	for i, p := range parts {
		if i > 0 { // it begins with a host
			end := strings.IndexAny(p, "/?# \t\n<>\"'")
			if end < 0 {
				end = len(p)
			}
			p = strings.ReplaceAll(p[:end], ".", "[.]") + p[end:]
		}
		if i < len(parts)-1 { // it ends with a scheme
			p = deadScheme(p)
		}
		parts[i] = p
	}
	return replaceFold(strings.Join(parts, "://"), [][2]string{{"www.", "www[.]"}, {"mailto:", "mailto[:]"}, {"javascript:", "javascript[:]"}, {"data:", "data[:]"}})
}

// deadScheme breaks the scheme that s ends with, any that the reader's system may know.
func deadScheme(s string) string {
	for _, live := range []string{"http", "https"} {
		if at := len(s) - len(live); at >= 0 && strings.EqualFold(s[at:], live) {
			return s[:at] + "hxxp" + s[at+4:]
		}
	}
	if s == "" || !isLetter(s[len(s)-1]) {
		return s
	}
	return s + "[x]"
}

// replaceFold replaces words of ASCII in lower, upper or mixed case. Schemes and host names are ASCII, and nothing else
// is folded: other letters may change their length with their case.
func replaceFold(s string, pairs [][2]string) string {
	for _, p := range pairs {
		low := lowerASCII(s)
		if !strings.Contains(low, p[0]) {
			continue
		}
		var b strings.Builder
		for {
			i := strings.Index(low, p[0])
			if i < 0 {
				break
			}
			b.WriteString(s[:i] + p[1])
			s, low = s[i+len(p[0]):], low[i+len(p[0]):]
		}
		b.WriteString(s)
		s = b.String()
	}
	return s
}

// lowerASCII is as long as s.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
