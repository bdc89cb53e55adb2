package store

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/postreeve/postreeve/verdict"
)

// maxPreview bounds what is shown of one message.
const maxPreview = 64 << 10

// Preview writes what is in a message so that it is safe to look at: the important fields of the header, text
// and the names of attachments. Nothing of it can be clicked, run, or control a terminal: links are written
// hxxp://example[.]org, and control characters and those that change the direction of text as escapes.
func Preview(w io.Writer, m *verdict.Message) error {
	var b strings.Builder
	h := m.Header()
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Date", "Subject", "Message-ID"} {
		for _, v := range h.Values(name) {
			if name == "From" || name == "Subject" || name == "To" || name == "Cc" || name == "Reply-To" {
				v = h.Text(name)
			}
			b.WriteString(name + ": " + harmless(v, false) + "\n")
			break
		}
	}
	for p, err := range m.Parts() {
		if err != nil {
			fmt.Fprintf(&b, "\n[the rest of the message could not be read: %s]\n", harmless(err.Error(), false))
			break
		}
		if p.IsContainer() {
			continue
		}
		kind := p.Type()
		if kind != "text/plain" || p.Disposition == "attachment" {
			fmt.Fprintf(&b, "\n[part %s: %s %s]\n", p.Path, harmless(kind, false), harmless(p.Filename, false))
			continue
		}
		s, err := p.Text()
		if err != nil {
			fmt.Fprintf(&b, "\n[part %s could not be read: %s]\n", p.Path, harmless(err.Error(), false))
			continue
		}
		b.WriteString("\n" + harmless(s, true))
		if b.Len() > maxPreview {
			break
		}
	}
	out := b.String()
	if len(out) > maxPreview {
		out = strings.ToValidUTF8(out[:maxPreview], "") + "\n[cut]\n"
	}
	_, err := io.WriteString(w, out)
	return err
}

// harmless takes the life out of links and control characters.
func harmless(s string, lines bool) string {
	if len(s) > maxPreview {
		s = s[:maxPreview]
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' && lines, r == '\t' && lines:
			b.WriteRune(r)
		case r == '\r' && lines:
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar, unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return deaden(b.String())
}

// deaden rewrites what a reader could make a link of.
func deaden(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			break
		}
		start := i
		for start > 0 && (isLetter(s[start-1])) {
			start--
		}
		b.WriteString(s[:start])
		scheme := s[start:i]
		if strings.HasPrefix(strings.ToLower(scheme), "http") {
			scheme = "hxxp" + scheme[4:]
		} else {
			scheme += "[x]"
		}
		rest := s[i+3:]
		end := strings.IndexAny(rest, "/?# \t\n<>\"'")
		if end < 0 {
			end = len(rest)
		}
		b.WriteString(scheme + "://" + strings.ReplaceAll(rest[:end], ".", "[.]"))
		s = rest[end:]
	}
	b.WriteString(s)
	out := b.String()
	for _, bare := range []string{"www.", "WWW.", "Www."} {
		out = strings.ReplaceAll(out, bare, bare[:3]+"[.]")
	}
	return strings.ReplaceAll(strings.ReplaceAll(out, "mailto:", "mailto[:]"), "javascript:", "javascript[:]")
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
