package verdict_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

type mimeCase struct {
	name, in string
	tree     []string // a line for each part: path, declared type, content or "…" for a container, file name
	codes    []string
}

// multi makes a multipart with the boundary and the parts, each of which begins with its header.
func multi(boundary string, parts ...string) string {
	var s strings.Builder
	s.WriteString("Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n")
	for _, p := range parts {
		s.WriteString("--" + boundary + "\r\n" + p + "\r\n")
	}
	return s.String() + "--" + boundary + "--\r\n"
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const (
	text = "\r\nhello"
	exe  = "Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBA=="
)

// mimeCases are shared with the fuzzers.
var mimeCases = []mimeCase{
	{"text", "Subject: x\r\n\r\nhello\r\n", []string{"1 text/plain hello\r\n"}, nil},
	{"no body", "Subject: x\r\n\r\n", []string{"1 text/plain "}, nil},
	{"two parts", multi("b", text, exe), []string{" multipart/mixed …", "1 text/plain hello", "2 application/zip PK\x03\x04 a.zip"}, nil},
	{"LF", strings.ReplaceAll(multi("b", text, exe), "\r\n", "\n"), []string{" multipart/mixed …", "1 text/plain hello", "2 application/zip PK\x03\x04 a.zip"}, nil},
	{"preamble and epilogue", "Content-Type: multipart/mixed; boundary=b\r\n\r\nThis is MIME.\r\n--b\r\n\r\nx\r\n--b--\r\nthe end\r\n",
		[]string{" multipart/mixed …", "1 text/plain x"}, nil},
	{"nested", multi("a", multi("b", text, text), text),
		[]string{" multipart/mixed …", "1 multipart/mixed …", "1.1 text/plain hello", "1.2 text/plain hello", "2 text/plain hello"}, nil},
	{"message", multi("a", "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner", text),
		[]string{" multipart/mixed …", "1 message/rfc822 …", "1.1 text/plain inner", "2 text/plain hello"}, nil},
	{"message with parts", multi("a", "Content-Type: message/rfc822\r\n\r\n"+multi("b", text, exe)),
		[]string{" multipart/mixed …", "1 message/rfc822 …", "1.TEXT multipart/mixed …", "1.1 text/plain hello", "1.2 application/zip PK\x03\x04 a.zip"}, nil},
	{"message is the root", "Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\n<p>",
		[]string{"1 message/rfc822 …", "1.1 text/html <p>"}, nil},
	{"message in a message", "Content-Type: message/global\r\n\r\nContent-Type: message/rfc822\r\n\r\n\r\nx",
		[]string{"1 message/global …", "1.1 message/rfc822 …", "1.1.1 text/plain x"}, nil},
	{"empty message", multi("a", "Content-Type: message/rfc822\r\n", text),
		[]string{" multipart/mixed …", "1 message/rfc822 ", "2 text/plain hello"}, nil},
	{"digest", strings.Replace(multi("b", "\r\nSubject: x\r\n\r\nbody"), "mixed", "digest", 1),
		[]string{" multipart/digest …", "1 message/rfc822 …", "1.1 text/plain body"}, nil},
	{"encoded message", multi("a", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"+b64(multi("b", text, exe)), text),
		[]string{" multipart/mixed …", "1 message/rfc822 …", "1.TEXT multipart/mixed …", "1.1 text/plain hello", "1.2 application/zip PK\x03\x04 a.zip", "2 text/plain hello"},
		[]string{"mime.message-encoding"}},
	{"encoded in encoded", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		b64("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nA: 1=\r\n\r\nContent-Type: text/html\r\n\r\n=3Cp>"),
		[]string{"1 message/rfc822 …", "1.1 message/rfc822 …", "1.1.1 text/html <p>"},
		[]string{"mime.message-encoding", "mime.message-encoding"}},
	{"encoded multipart", strings.Replace("Content-Transfer-Encoding: base64\r\n"+multi("b"), "--b--\r\n", b64("--b\r\n\r\nhello\r\n--b--\r\n"), 1),
		[]string{" multipart/mixed …", "1 text/plain hello"}, []string{"mime.multipart-encoding"}},
	{"multipart that says it is encoded", "Content-Transfer-Encoding: base64\r\n" + multi("b", text),
		[]string{" multipart/mixed …", "1 text/plain hello"}, []string{"mime.multipart-encoding"}},

	{"no end", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n",
		[]string{" multipart/mixed …", "1 text/plain x", "2 text/plain y\r\n"}, []string{"mime.no-end"}},
	{"inner without end", multi("a", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", text),
		[]string{" multipart/mixed …", "1 multipart/mixed …", "1.1 text/plain x", "2 text/plain hello"}, []string{"mime.no-end"}},
	{"delimiter is the end", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", []string{" multipart/mixed …", "1 text/plain "}, []string{"mime.no-end"}},
	{"comment behind a semicolon", "Content-Type: text/html; (x)\r\n\r\nx", []string{"1 text/html x"}, nil},
	{"end without line end", strings.TrimSuffix(multi("b", text), "\r\n"), []string{" multipart/mixed …", "1 text/plain hello"}, nil},
	{"blanks behind the boundary", strings.ReplaceAll(multi("b", text), "--b\r\n", "--b \t\r\n"), []string{" multipart/mixed …", "1 text/plain hello"}, nil},
	{"after the end", multi("b", text) + "--b\r\n" + exe + "\r\n--b--\r\n",
		[]string{" multipart/mixed …", "1 text/plain hello", "2 application/zip PK\x03\x04 a.zip"}, []string{"mime.after-end"}},
	{"epilogue that looks like a part", multi("b", text) + "Content-Type: text/html\r\n\r\n<p>\r\n",
		[]string{" multipart/mixed …", "1 text/plain hello"}, []string{"mime.hidden-part"}},
	{"no boundary", "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
		[]string{"1 multipart/mixed --b\r\n\r\nx\r\n--b--\r\n"}, []string{"mime.no-boundary"}},
	{"no parts", "Content-Type: multipart/mixed; boundary=c\r\n\r\n--b\r\n\r\nx\r\n",
		[]string{" multipart/mixed --b\r\n\r\nx\r\n"}, []string{"mime.no-parts"}},
	{"empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n----\r\n",
		[]string{" multipart/mixed …", "1 text/plain x"}, []string{"mime.boundary-form"}},
	{"long boundary", multi(strings.Repeat("b", 71), text), []string{" multipart/mixed …", "1 text/plain hello"}, []string{"mime.boundary-form"}},
	{"boundary of 70", multi(strings.Repeat("b", 70), text), []string{" multipart/mixed …", "1 text/plain hello"}, nil},
	{"two boundaries", strings.Replace(multi("a", text)+"--b\r\n\r\nx\r\n", "boundary=\"a\"", "boundary=a; boundary=b", 1),
		[]string{" multipart/mixed …", "1 text/plain hello", "2 text/plain x\r\n"}, []string{"mime.boundary", "mime.after-end", "mime.no-end"}},
	{"two types", "Content-Type: multipart/mixed; boundary=a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--a\r\n\r\nx\r\n--b\r\n\r\ny\r\n--a--\r\n",
		[]string{" multipart/mixed …", "1 text/plain x", "2 text/plain y"}, []string{"header.duplicate", "mime.boundary"}},
	{"text or multipart", "Content-Type: text/html\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n",
		[]string{" text/html …", "1 text/plain x"}, []string{"header.duplicate"}},
	{"boundary with a blank", "Content-Type: multipart/mixed; boundary=a b\r\n\r\n--a b\r\n\r\nx\r\n--a b--\r\n",
		[]string{" multipart/mixed …", "1 text/plain x"}, []string{"mime.params", "mime.boundary"}},
	{"boundary of RFC 2231", "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\nx\r\n--ab--\r\n",
		[]string{" multipart/mixed …", "1 text/plain x"}, nil},
	{"same boundary inside", multi("a", multi("a", text), text),
		[]string{" multipart/mixed …", "1 multipart/mixed …", "1.1 text/plain hello", "2 text/plain hello"}, []string{"mime.boundary-reused"}},
	{"prefix boundary", multi("a", multi("ab", text), text),
		[]string{" multipart/mixed …", "1 multipart/mixed …", "1.1 text/plain hello", "2 text/plain hello"}, []string{"mime.boundary-prefix"}},
	{"line that begins with a delimiter", multi("a", text+"\r\n--axe\r\n\r\nx"),
		[]string{" multipart/mixed …", "1 text/plain hello", "2 text/plain x"}, []string{"mime.delimiter"}},
	{"final delimiter with a tail", multi("a", text) + "--a--x\r\n",
		[]string{" multipart/mixed …", "1 text/plain hello"}, nil},
	{"dashes in text", multi("a", "\r\n-- \r\n--\r\n---\r\n-\r\nx"), []string{" multipart/mixed …", "1 text/plain -- \r\n--\r\n---\r\n-\r\nx"}, nil},
	{"header only part", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/html\r\n--a--\r\n",
		[]string{" multipart/mixed …", "1 text/html "}, nil},
	{"part without header", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nhello\r\nworld\r\n--a--\r\n",
		[]string{" multipart/mixed …", "1 text/plain hello\r\nworld"}, []string{"header.no-colon", "header.no-end"}},
	{"multipart without empty line", "Content-Type: multipart/mixed; boundary=a\r\n--a\r\nhello\r\n--a--\r\n",
		[]string{" multipart/mixed …", "1 text/plain hello"}, []string{"header.no-colon", "header.no-end", "header.no-colon", "header.no-end"}},

	{"encoding in upper case", "Content-Transfer-Encoding: BASE64\r\n\r\naGVsbG8=", []string{"1 text/plain hello"}, nil},
	{"encoding with comment", "Content-Transfer-Encoding: base64 (x)\r\n\r\naGVsbG8=", []string{"1 text/plain hello"}, []string{"mime.encoding-form"}},
	{"comment first", "Content-Transfer-Encoding: (x) base64\r\n\r\naGVsbG8=", []string{"1 text/plain hello"}, []string{"mime.encoding-form"}},
	{"encoding with semicolon", "Content-Transfer-Encoding: base64;\r\n\r\naGVsbG8=", []string{"1 text/plain hello"}, []string{"mime.encoding-form"}},
	{"unknown encoding", "Content-Transfer-Encoding: rot13\r\n\r\nuryyb", []string{"1 text/plain uryyb"}, []string{"mime.encoding"}},
	{"two encodings", "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\naGVsbG8=", []string{"1 text/plain hello"}, []string{"header.duplicate"}},
	{"junk in base64", "Content-Transfer-Encoding: base64\r\n\r\naGVs!bG8=", []string{"1 text/plain hello"}, []string{"mime.base64-junk"}},
	{"padding in base64", "Content-Transfer-Encoding: base64\r\n\r\naGVsbA==bw==", []string{"1 text/plain hello"}, []string{"mime.base64-padding"}},
	{"cut base64", "Content-Transfer-Encoding: base64\r\n\r\naGVsbG8", []string{"1 text/plain hello"}, []string{"mime.base64-length"}},
	{"bad escape", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=", []string{"1 text/plain "}, nil},
	{"bad escape inside", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=xy", []string{"1 text/plain =xy"}, []string{"mime.qp-escape"}},

	{"uuencode", "Subject: x\r\n\r\nsee:\r\nbegin 644 a.exe\r\n#86)C\r\n`\r\nend\r\nbye\r\n",
		[]string{"1 text/plain see:\r\nbegin 644 a.exe\r\n#86)C\r\n`\r\nend\r\nbye\r\n", "1.uu1 application/octet-stream abc a.exe"}, []string{"mime.uuencode"}},
	{"uuencode without end", multi("b", "\r\nbegin 644 a.exe\r\n#86)C", text),
		[]string{" multipart/mixed …", "1 text/plain begin 644 a.exe\r\n#86)C", "1.uu1 application/octet-stream abc a.exe", "2 text/plain hello"}, []string{"mime.uuencode"}},
	{"begin is a word", "Subject: x\r\n\r\nbegin 644 times again\r\nand so on\r\nbegin\r\nbegin 1\r\n",
		[]string{"1 text/plain begin 644 times again\r\nand so on\r\nbegin\r\nbegin 1\r\n"}, nil},
	{"uuencode is the encoding", "Content-Type: image/gif\r\nContent-Transfer-Encoding: x-uue\r\n\r\nbegin 644 a.exe\n#86)C\nend\n",
		[]string{"1 image/gif abc"}, []string{"mime.lines"}},

	{"odd line in uuencode", "\r\nbegin 644 a\r\n#86)C\r\nhello\r\nend\r\n",
		[]string{"1 text/plain begin 644 a\r\n#86)C\r\nhello\r\nend\r\n", "1.uu1 application/octet-stream abc a"}, []string{"mime.uuencode", "mime.uu-line"}},

	{"type and name differ", "Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\n",
		[]string{"1 image/png  a.exe"}, []string{"mime.filename-type"}},
	{"names differ", "Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=b.PNG\r\n\r\n",
		[]string{"1 image/png  b.PNG"}, []string{"mime.filename"}},
	{"type without subtype", "Content-Type: text\r\n\r\nx", []string{"1 text/plain x"}, []string{"mime.type"}},
	{"charset twice", "Content-Type: text/plain; charset=utf-8; charset=utf-7\r\n\r\nx", []string{"1 text/plain x"}, []string{"mime.param-duplicate"}},
	{"unknown charset", "Content-Type: text/plain; charset=utf-7\r\n\r\nx", []string{"1 text/plain x"}, []string{"mime.charset"}},
	{"partial", "Content-Type: message/partial; number=1; total=2; id=x\r\n\r\nx", []string{"1 message/partial x"}, []string{"mime.partial"}},
	{"external body", "Content-Type: message/external-body; access-type=URL\r\n\r\nx", []string{"1 message/external-body x"}, []string{"mime.external-body"}},
	{"NUL", "A: 1\r\n\r\na\x00b", []string{"1 text/plain a\x00b"}, []string{"mime.nul"}},
	{"bare CR", "A: 1\r\n\r\na\rb\r\n\r\r\n", []string{"1 text/plain a\rb\r\n\r\r\n"}, []string{"mime.bare-cr"}},
	{"mixed line ends", "A: 1\r\n\r\na\nb\r\n", []string{"1 text/plain a\nb\r\n"}, []string{"mime.lines"}},
	{"long line", "A: 1\r\n\r\n" + strings.Repeat("x", 999) + "\r\n", []string{"1 text/plain " + strings.Repeat("x", 999) + "\r\n"}, []string{"mime.long-line"}},
	{"line of 998", "A: 1\r\n\r\n" + strings.Repeat("x", 998) + "\r\n", []string{"1 text/plain " + strings.Repeat("x", 998) + "\r\n"}, nil},
}

// treeOf lists the parts of m as mimeCase.tree does.
func treeOf(t testing.TB, m *verdict.Message) []string {
	t.Helper()
	var out []string
	for p, err := range m.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		content := "…"
		if !p.IsContainer() {
			content = string(contentOf(t, p))
		}
		line := p.Path + " " + p.Declared + " " + content
		if p.Filename != "" {
			line += " " + p.Filename
		}
		out = append(out, line)
	}
	return out
}

func contentOf(t testing.TB, p *verdict.Part) []byte {
	t.Helper()
	return readAll(t, p.Open)
}

func readAll(t testing.TB, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParts(t *testing.T) {
	t.Parallel()
	for _, c := range mimeCases {
		for kind, src := range sources(t, []byte(c.in)) {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				m := verdict.NewMessage(src)
				if diff := cmp.Diff(c.tree, treeOf(t, m)); diff != "" {
					t.Errorf("parts (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.codes, codesOf(m)); diff != "" {
					t.Errorf("anomalies (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Every anomaly that is listed can be met, and none is met that is not listed.
func TestAnomalyCodes(t *testing.T) {
	t.Parallel()
	met := map[string]bool{
		"mime.more":       true, // TestLimitOfAnomalies
		"mime.unreadable": true, // TestUnreadable
	}
	for _, c := range mimeCases {
		for _, code := range c.codes {
			met[code] = true
		}
	}
	for _, c := range headerCases {
		for _, code := range c.codes {
			met[code] = true
		}
	}
	for _, c := range verdict.Codes() {
		if noun, _, _ := strings.Cut(c.Code, "."); noun != "header" && noun != "mime" {
			continue
		}
		if !met[c.Code] {
			t.Errorf("%s is in no case", c.Code)
		}
		delete(met, c.Code)
		if c.Meaning == "" || c.Reason == "" || c.Score < 0 || c.Score > 2 {
			t.Errorf("%+v is not complete", c)
		}
	}
	for code := range met {
		t.Errorf("%s is not listed", code)
	}
}

// windowMail has the delimiters, header sections and line ends at every place around the end of a window.
func windowMail(before, after int) string {
	return multi("bound", "\r\n"+strings.Repeat("x", before), "X-Long: "+strings.Repeat("y", after)+"\r\n"+exe, text)
}

func TestPartsAroundWindows(t *testing.T) {
	t.Parallel()
	const window = 64 << 10
	for d := range 140 {
		in := windowMail(window-200+d, 10+d%7)
		want := treeOf(t, verdict.NewMessage(verdict.Bytes(in)))
		if len(want) != 4 || !strings.HasPrefix(want[2], "2 application/zip PK") {
			t.Fatalf("distance %d: %.100q", d, want)
		}
		m := verdict.NewMessage(onlySource{stream{verdict.Bytes(in)}})
		if diff := cmp.Diff(want, treeOf(t, m)); diff != "" {
			t.Fatalf("distance %d (-memory +stream):\n%s", d, diff)
		}
	}
	for _, n := range []int{window, 3*window + 1} { // header lines longer than a window
		in := windowMail(3, n)
		m := verdict.NewMessage(onlySource{stream{verdict.Bytes(in)}})
		if got := treeOf(t, m); len(got) != 4 || got[2] != "2 application/zip PK\x03\x04 a.zip" {
			t.Errorf("header line of %d bytes: %.200q", n, got)
		}
	}
}

func TestPartMethods(t *testing.T) {
	t.Parallel()
	in := multi("b", "Content-Type: TEXT/Plain; Charset=ISO-8859-1\r\nContent-ID: <1@x>\r\nContent-Disposition: Inline\r\n\r\ncaf\xE9", exe)
	m := verdict.NewMessage(verdict.Bytes(in))
	var parts []*verdict.Part
	for p, err := range m.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	root, note, zip := parts[0], parts[1], parts[2]
	if root.Parent != nil || note.Parent != root || note.Depth != 1 {
		t.Error("the parts do not hang together")
	}
	if got := root.Header.Get("content-type"); got != `multipart/mixed; boundary="b"` {
		t.Errorf("header of the root: %q", got)
	}
	s, err := note.Text()
	if diff := cmp.Diff([]any{"café", "inline", "1@x", "text/plain", "ISO-8859-1"}, []any{s, note.Disposition, note.ContentID, note.Declared, note.Params["charset"]}); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for range 2 {
		if n, err := zip.Size(); n != 4 || err != nil {
			t.Errorf("Size: %d, %v", n, err)
		}
		if d, err := zip.Digest(); d != sha256.Sum256([]byte("PK\x03\x04")) || err != nil {
			t.Errorf("Digest: %x, %v", d, err)
		}
		if d, err := note.Digest(); d != sha256.Sum256([]byte("caf\xE9")) || err != nil {
			t.Errorf("Digest of text: %x, %v", d, err)
		}
		if got := zip.Type(); got != "application/zip" {
			t.Errorf("Type: %s", got)
		}
	}
	if got := string(readAll(t, zip.Raw)); got != "UEsDBA==" {
		t.Errorf("Raw: %q", got)
	}
	// Parts can be left at any time.
	for range m.Parts() {
		break
	}
}

// A message belongs to all its scanners at once.
func TestPartsTogether(t *testing.T) {
	t.Parallel()
	m := verdict.NewMessage(onlySource{stream{verdict.Bytes(multi("b", text, encodedMessages(2, multi("c", exe)), exe))}})
	results := make([][]string, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i], _ = summarize(t, m) })
	}
	wg.Wait()
	for _, r := range results[1:] {
		if diff := cmp.Diff(results[0], r); diff != "" {
			t.Errorf("one scanner sees what another does not:\n%s", diff)
		}
	}
}

// Opening a part deep within encodings must give that part, and not decode everything around it.
func TestOpenDeep(t *testing.T) {
	t.Parallel()
	const parts = 900
	contents := make([]string, parts)
	for i := range contents {
		contents[i] = fmt.Sprintf("\r\n%0500d", i)
	}
	inner := multi("b", contents...)
	var qp strings.Builder
	w := quotedprintable.NewWriter(&qp)
	if _, err := io.WriteString(w, inner); err != nil || w.Close() != nil {
		t.Fatal("quoted-printable cannot be made")
	}
	for name, in := range map[string]string{
		"base64":           encodedMessages(8, inner),
		"quoted-printable": "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp.String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := &counting{src: verdict.Bytes(in)}
			m := verdict.NewMessage(onlySource{src})
			m.Limits.Time = time.Minute // the machine may be slow
			walk(t, m)
			before := src.read.Load()
			n := 0
			for p := range m.Parts() {
				if p.Declared != "text/plain" {
					continue
				}
				if got := string(contentOf(t, p)); got != contents[n][2:] {
					t.Fatalf("part %q is %.20q…%q", p.Path, got, got[max(len(got)-10, 0):])
				}
				n++
			}
			if n != parts {
				t.Errorf("%d parts", n)
			}
			if read := (src.read.Load() - before) / parts; read > 400<<10 || read > src.Size()/2 {
				t.Errorf("%d bytes read for one part, in a message of %d", read, src.Size())
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	// The source is there while the parts are found and gone when their content is wanted.
	src := &vanishing{Bytes: verdict.Bytes(multi("b", exe))}
	m := verdict.NewMessage(onlySource{src})
	if n := walk(t, m); n != 2 {
		t.Fatalf("%d parts", n)
	}
	src.gone = true
	for p := range m.Parts() {
		if p.IsContainer() {
			continue
		}
		_, err := p.Open()
		_, sizeErr := p.Size()
		_, digestErr := p.Digest()
		_, textErr := p.Text()
		for _, err := range []error{err, sizeErr, digestErr, textErr} {
			if !errors.Is(err, errDisk) {
				t.Errorf("got %v, want the error of the source", err)
			}
		}
		if got := p.Type(); got != "" {
			t.Errorf("Type %q of what cannot be read", got)
		}
	}
	if got := codesOf(m); !slices.Contains(got, "mime.unreadable") {
		t.Errorf("anomalies %q", got)
	}
	if _, err := (verdict.Structure{}).Scan(t.Context(), m); err == nil {
		t.Error("Structure is satisfied")
	}
}

type vanishing struct {
	verdict.Bytes
	gone bool
}

func (v *vanishing) Open() (io.ReadCloser, error) {
	if v.gone {
		return nil, errDisk
	}
	return v.Bytes.Open()
}

func TestStructure(t *testing.T) {
	t.Parallel()
	in := "From: a\r\nFrom: b\r\nFrom: c\r\n" + multi("b", exe+"\r\n--b\r\nContent-Type: image/png; name=a.png\r\nContent-Type: image/gif\r\n\r\n")
	found, err := verdict.Structure{}.Scan(t.Context(), verdict.NewMessage(verdict.Bytes(in)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		if f.Class != verdict.Unknown || f.Detail == "" || f.Err != nil {
			t.Errorf("finding %+v", f)
		}
		got = append(got, fmt.Sprint(f.Code, " ", f.Score, " ", f.Part))
	}
	if diff := cmp.Diff([]string{"header.duplicate 1 ", "header.duplicate 0 2 a.png"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	m := verdict.NewMessage(verdict.Bytes(in))
	m.Limits.Parts = 1
	if _, err := (verdict.Structure{}).Scan(t.Context(), m); !errors.Is(err, verdict.ErrTooComplex) {
		t.Errorf("got %v, want ErrTooComplex", err)
	}
}

// FuzzMIME holds what is true for every message, whatever it is.
func FuzzMIME(f *testing.F) {
	for _, c := range mimeCases {
		f.Add([]byte(c.in))
	}
	for _, c := range headerCases {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := verdict.NewMessage(verdict.Bytes(raw))
		summary, failed := summarize(t, m)
		slow, slowFailed := summarize(t, verdict.NewMessage(onlySource{stream{raw}}))
		if diff := cmp.Diff(summary, slow); diff != "" || failed != slowFailed {
			t.Fatalf("memory %v, stream %v (-memory +stream):\n%s", failed, slowFailed, diff)
		}
		if len(summary) > 1000 {
			t.Fatalf("%d parts", len(summary))
		}
		if n := len(m.Anomalies()); n > 101 {
			t.Fatalf("%d anomalies", n)
		}
	})
}

// summarize reads everything that m has to say, and holds that it does not say it differently twice.
func summarize(t testing.TB, m *verdict.Message) (lines []string, tooComplex bool) {
	t.Helper()
	size := make(map[*verdict.Part]int)
	for p, err := range m.Parts() {
		if err != nil {
			if !errors.Is(err, verdict.ErrTooComplex) {
				t.Fatal(err)
			}
			return lines, true
		}
		content := contentOf(t, p)
		if again := contentOf(t, p); !bytes.Equal(content, again) {
			t.Fatalf("part %q: two contents", p.Path)
		}
		raw := readAll(t, p.Raw)
		size[p] = len(raw)
		if p.Parent != nil {
			outer := contentOf(t, p.Parent)
			if len(raw) > len(outer) && len(raw) > size[p.Parent] {
				t.Fatalf("part %q has %d bytes, in a part of %d", p.Path, len(raw), len(outer))
			}
			if !bytes.Contains(outer, raw) && !bytes.Contains(readAll(t, p.Parent.Raw), raw) && p.Parent.Encoding == "" {
				t.Fatalf("part %q is not in its parent", p.Path)
			}
		}
		if n, err := p.Size(); err != nil || n != int64(len(content)) {
			t.Fatalf("part %q: size %d, %v; it has %d bytes", p.Path, n, err, len(content))
		}
		if d, err := p.Digest(); err != nil || d != sha256.Sum256(content) {
			t.Fatalf("part %q: digest %x, %v", p.Path, d, err)
		}
		text, err := p.Text()
		if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
			t.Fatal(err)
		}
		for _, name := range p.Names() {
			if strings.ContainsAny(name, "\r\n\x00") {
				t.Fatalf("part %q: name %q", p.Path, name)
			}
		}
		lines = append(lines, fmt.Sprintf("%q %d %q %v %q %q %q %q %x %q", p.Path, p.Depth, p.Declared, p.Params,
			p.Names(), p.Disposition, p.Encoding, p.Type(), sha256.Sum256(content), text))
	}
	for _, a := range m.Anomalies() {
		lines = append(lines, fmt.Sprint(a))
	}
	return lines, false
}
