package verdicttest

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// Clean returns a message with text, HTML and a small attachment that nothing is to be held against.
func Clean(tb testing.TB) *verdict.Message {
	tb.Helper()
	return Mail{
		Subject: "Lunch on Friday?",
		Text:    "Hello Bob,\n\nshall we meet at noon? The menu is attached.\n\nAnn\n",
		HTML:    "<p>Hello Bob,</p><p>shall we meet at noon? The menu is attached.</p><p>Ann</p>\n",
		Attach:  []Attachment{{Name: "menu.txt", Type: "text/plain", Data: []byte("Soup\r\nDumplings\r\n")}},
	}.Message(tb)
}

// Spam returns a message with GTUBE in its text.
func Spam(tb testing.TB) *verdict.Message {
	tb.Helper()
	return Mail{Subject: "Test spam mail (GTUBE)", Text: "This is the GTUBE.\n\n" + teststring.GTUBE + "\n"}.Message(tb)
}

// Malicious returns a message with the EICAR test file attached.
func Malicious(tb testing.TB) *verdict.Message {
	tb.Helper()
	return Mail{Subject: "Test virus (EICAR)", Attach: []Attachment{{Name: "eicar.com", Data: []byte(teststring.EICAR())}}}.Message(tb)
}

const line = "The quick brown fox jumps over the lazy dog, and nobody holds it back.\r\n"

// Text returns a clean plain text message of about size bytes, in lines of 72.
func Text(tb testing.TB, size int) *verdict.Message {
	tb.Helper()
	return Mail{Text: strings.Repeat(line, max(1, (size-300)/len(line)))}.Message(tb)
}

// Big returns a message with an attachment of size bytes that do not compress, the same every time.
func Big(tb testing.TB, size int) *verdict.Message {
	tb.Helper()
	return Mail{Attach: []Attachment{{Name: "measurements.bin", Data: noise(size)}}}.Message(tb)
}

// noise returns n bytes that are the same every time and look like nothing.
func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{'p', 'o', 's', 't'}).Read(p)
	return p
}

// lines is a Source: a message of so many bytes that is never in memory.
type lines int64

func (l lines) Size() int64 { return int64(l) }

func (l lines) Open() (io.ReadCloser, error) {
	const head = "Subject: large\r\n\r\n"
	return io.NopCloser(io.LimitReader(io.MultiReader(strings.NewReader(head), &repeat{text: strings.Repeat(line, 400)}), int64(l))), nil
}

// repeat is a text again and again.
type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
