package verdicttest

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Hostile yields messages that are malformed or far too much, with names, in a fixed order. The large
// ones have up to 4 MB. They are seeds for fuzzers, too.
func Hostile() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(hostile)) {
			if !yield(name, []byte(hostile[name]())) {
				return
			}
		}
	}
}

func fixed(s string) func() string { return func() string { return s } }

const mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

var hostile = map[string]func() string{
	"nothing":              fixed(""),
	"an empty line":        fixed("\r\n"),
	"NULs":                 fixed("\x00\x00\x00\x00"),
	"no header":            fixed("\r\nbody without a header\r\n"),
	"no empty line":        fixed("From: a@example.org\r\nSubject: no body"),
	"no line end":          fixed("Subject"),
	"continuation first":   fixed(" folded\r\nSubject: x\r\n\r\nbody"),
	"only colons":          fixed(":\r\n::\r\n: :\r\n\r\n"),
	"bare CR and LF":       fixed("From: a@example.org\rSubject: x\n\r\n\rbody\n.\r\n"),
	"8 bit header":         fixed("Subject: \xff\xfe\x80\xc3\r\nFr\xf6m: x\r\n\r\n\xff\xfe"),
	"endless encoded word": func() string { return "Subject: =?utf-8?b?" + strings.Repeat("4oSi", 20000) + "\r\n\r\n" },
	"encoded line ends":    fixed("Subject: =?utf-8?q?a=0D=0ABcc:_x=00?=\r\n\r\n"),
	"two content types":    fixed("Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"),
	"unknown charset":      fixed("Content-Type: text/plain; charset=x-none-such\r\n\r\n\xc0\xc1"),
	"unknown encoding":     fixed("Content-Transfer-Encoding: rot13\r\n\r\nuryyb\r\n"),
	"broken base64":        fixed("Content-Transfer-Encoding: base64\r\n\r\nQQ==QUJD=!!\r\n====\r\nQ"),
	"broken quoted":        fixed("Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=G1=4\r\n=="),
	"no boundary":          fixed("Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nx\r\n----\r\n"),
	"empty boundary":       fixed("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n----\r\n"),
	"unclosed multipart":   fixed(mixed + "--b\r\nContent-Type: text/html\r\n\r\n<p>x"),
	"boundary only":        fixed(mixed + strings.Repeat("--b\r\n", 500)),
	"multipart in itself":  fixed(mixed + "--b\r\n" + mixed + "--b\r\n\r\nx\r\n--b--\r\n--b--\r\n"),
	"endless parameter": func() string {
		return "Content-Type: text/plain; " + strings.Repeat("a=\"\\\\\"; ", 20000) + "\r\n\r\n"
	},
	"file name of a path":    fixed("Content-Disposition: attachment; filename=\"../../../../etc/passwd\x00.txt\"\r\n\r\nx"),
	"zip cut short":          fixed("Content-Type: application/zip\r\n\r\nPK\x03\x04\x14\x00\x00\x00\x08\x00"),
	"gzip cut short":         fixed("Content-Type: application/gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00"),
	"HTML of nothing but <":  func() string { return "Content-Type: text/html\r\n\r\n" + strings.Repeat("<", 1<<18) },
	"10,000 fields":          func() string { return strings.Repeat("X-Field: value\r\n", 10000) + "\r\n" },
	"line of 1 MB in header": func() string { return "Subject: " + strings.Repeat("x", 1<<20) + "\r\n\r\n" },
	"line of 4 MB":           func() string { return "Subject: x\r\n\r\n" + strings.Repeat("x", 4<<20) },
	"header of 4 MB":         func() string { return "Subject: x" + strings.Repeat("\r\n x", 1<<20) },
	"10,000 addresses":       func() string { return "To: " + strings.Repeat("\"a\" <a@example.org>, ", 10000) + "\r\n\r\n" },
	"10,000 links":           func() string { return "Subject: x\r\n\r\n" + strings.Repeat("http://example.org/?a=b ", 10000) },
	"100,000 parts":          func() string { return mixed + strings.Repeat("--b\r\n\r\n\r\n", 100000) + "--b--\r\n" },
	"1,000 nested": func() string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		return b.String()
	},
	"1,000 nested messages": func() string {
		return strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 1000) + "Subject: x\r\n\r\n"
	},
}
