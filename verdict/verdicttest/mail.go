package verdicttest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

// Mail builds a well-formed message. The zero value is a short text from Ann to Bob.
type Mail struct {
	From    string   // default "Ann <ann@example.org>"
	To      string   // default "Bob <bob@example.net>"
	Subject string   // default "Test"; encoded by RFC 2047 where it has to be
	Header  []string // more header lines, without line ends: "X-Spam: yes"
	Text    string   // default, if there is no HTML either: one line
	HTML    string   // beside Text it is an alternative
	Attach  []Attachment
}

// Attachment is a file in a Mail.
type Attachment struct {
	Name     string // empty: none
	Type     string // default "application/octet-stream"; "message/rfc822" for a message, by Mail.Bytes
	Encoding string // default "base64", "7bit" for messages; else "quoted-printable", "8bit", "binary"
	Inline   bool
	Data     []byte
}

// Message returns the message in the envelope that New gives.
func (m Mail) Message(tb testing.TB) *verdict.Message {
	tb.Helper()
	return of(verdict.Bytes(m.Bytes()))
}

// Bytes returns the message with CRLF line ends. It is the same every time.
func (m Mail) Bytes() []byte {
	body := m.body()
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", cmp.Or(m.From, "Ann <ann@example.org>"), cmp.Or(m.To, "Bob <bob@example.net>"),
		mime.QEncoding.Encode("utf-8", cmp.Or(m.Subject, "Test")))
	b.WriteString("Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <test@example.org>\r\nMIME-Version: 1.0\r\n")
	for _, line := range m.Header {
		b.WriteString(line + "\r\n")
	}
	b.Write(body)
	return b.Bytes()
}

// body returns the fields of the outermost part, an empty line and its content.
func (m Mail) body() []byte {
	var parts [][]byte
	if m.Text != "" || m.HTML == "" {
		parts = append(parts, text("plain", cmp.Or(m.Text, "This is a test.\n")))
	}
	if m.HTML != "" {
		parts = append(parts, text("html", m.HTML))
	}
	body := parts[0]
	if len(parts) > 1 {
		body = multipart("alternative", parts)
	}
	if len(m.Attach) == 0 {
		return body
	}
	parts = [][]byte{body}
	for _, a := range m.Attach {
		parts = append(parts, a.part())
	}
	return multipart("mixed", parts)
}

func text(subtype, s string) []byte {
	encoding := "7bit"
	if strings.ContainsFunc(s, func(r rune) bool { return r > 126 }) {
		encoding = "8bit"
	}
	return fmt.Appendf(nil, "Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s", subtype, encoding, crlf(s))
}

func (a Attachment) part() []byte {
	kind, encoding := cmp.Or(a.Type, "application/octet-stream"), cmp.Or(a.Encoding, "base64")
	if strings.HasPrefix(kind, "message/") {
		encoding = cmp.Or(a.Encoding, "7bit")
	}
	disposition := "attachment"
	if a.Inline {
		disposition = "inline"
	}
	if a.Name != "" {
		disposition = mime.FormatMediaType(disposition, map[string]string{"filename": a.Name})
	}
	b := fmt.Appendf(nil, "Content-Type: %s\r\nContent-Disposition: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", kind, disposition, encoding)
	switch encoding {
	case "base64":
		return wrap(b, a.Data)
	case "quoted-printable":
		out := bytes.NewBuffer(b)
		w := quotedprintable.NewWriter(out)
		w.Binary = !strings.HasPrefix(kind, "text/")
		w.Write(a.Data) // into memory: cannot fail
		w.Close()
		return out.Bytes()
	}
	return append(b, a.Data...)
}

// wrap appends data to b in base64, 76 characters a line (RFC 2045 section 6.8).
func wrap(b, data []byte) []byte {
	const line = 57
	for len(data) > 0 {
		n := min(line, len(data))
		b = base64.StdEncoding.AppendEncode(b, data[:n])
		b = append(b, "\r\n"...)
		data = data[n:]
	}
	return b
}

// multipart joins parts by the first boundary that none of them has.
func multipart(subtype string, parts [][]byte) []byte {
	boundary := ""
	for i := 0; ; i++ {
		boundary = fmt.Sprintf("=_part_%d", i)
		if !bytes.Contains(bytes.Join(parts, nil), []byte(boundary)) {
			break
		}
	}
	b := fmt.Appendf(nil, "Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n", subtype, boundary)
	for _, p := range parts {
		b = fmt.Appendf(b, "--%s\r\n", boundary)
		b = append(b, p...)
		b = append(b, "\r\n"...)
	}
	return fmt.Appendf(b, "--%s--\r\n", boundary)
}
