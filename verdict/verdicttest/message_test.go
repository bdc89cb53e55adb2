package verdicttest_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func raw(t testing.TB, m *verdict.Message) string {
	t.Helper()
	r, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNew(t *testing.T) {
	t.Parallel()
	m := verdicttest.New(t, "Subject: a\nX: b\r\n\nbo\rdy\n")
	if got, want := raw(t, m), "Subject: a\r\nX: b\r\n\r\nbo\rdy\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if m.Envelope.From == "" || len(m.Envelope.To) != 1 || m.ID == "" || !m.Peer.Addr.IsValid() {
		t.Errorf("no envelope: %+v", m.Envelope)
	}
	if r := record(t, func(tb testing.TB) { verdicttest.New(tb, " \n") }); !r.failed {
		t.Error("an empty text does not fail the test")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.eml")
	want := "Subject: a\n\nbody\n"
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := raw(t, verdicttest.Load(t, path)); got != want {
		t.Errorf("%q, want the bytes of the file", got)
	}
	if r := record(t, func(tb testing.TB) { verdicttest.Load(tb, path+".none") }); !r.failed {
		t.Error("a missing file does not fail the test")
	}
}

// What is built comes out again, and there is nothing odd about its form.
func TestMail(t *testing.T) {
	t.Parallel()
	binary := []byte("\x00\xff\r\n.\r\n--=_part_0\r\n=\n")
	inner := verdicttest.Mail{Subject: "inner", Attach: []verdicttest.Attachment{{Name: "a"}}}.Bytes()
	for _, tt := range []struct {
		name  string
		mail  verdicttest.Mail
		parts []string // type, name and content of the leaves
	}{
		{"nothing said", verdicttest.Mail{}, []string{"text/plain||This is a test.\r\n"}},
		{"HTML only", verdicttest.Mail{HTML: "<p>"}, []string{"text/html||<p>"}},
		{"alternative", verdicttest.Mail{Text: "grüß\n", HTML: "<p>"}, []string{"text/plain||grüß\r\n", "text/html||<p>"}},
		{"files", verdicttest.Mail{Text: "=_part_0\n", Attach: []verdicttest.Attachment{
			{Name: "a b.bin", Data: binary},
			{Name: "grüß.txt", Type: "text/plain", Encoding: "quoted-printable", Data: []byte("a=b\r\nü ")},
			{Name: "q.bin", Encoding: "quoted-printable", Data: binary, Inline: true},
			{Type: "application/x-8", Encoding: "8bit", Data: []byte("\xff")},
		}}, []string{"text/plain||=_part_0\r\n", "application/octet-stream|a b.bin|" + string(binary), "text/plain|grüß.txt|a=b\r\nü ",
			"application/octet-stream|q.bin|" + string(binary), "application/x-8||\xff"}},
		{"a message", verdicttest.Mail{Text: "x", Attach: []verdicttest.Attachment{{Type: "message/rfc822", Data: inner}}},
			[]string{"text/plain||x", "text/plain||This is a test.\r\n", "application/octet-stream|a|"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tt.mail.Message(t)
			var got []string
			for p, err := range m.Parts() {
				if err != nil {
					t.Fatal(err)
				}
				if p.IsContainer() {
					continue
				}
				r, err := p.Open()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				got = append(got, p.Declared+"|"+p.Filename+"|"+string(b))
			}
			if d := cmp.Diff(tt.parts, got); d != "" {
				t.Error(d)
			}
			for _, a := range m.Anomalies() {
				t.Errorf("%s in part %q: %s", a.Code, a.Part, a.Detail)
			}
			if !bytes.Equal(tt.mail.Bytes(), tt.mail.Bytes()) {
				t.Error("not the same twice")
			}
		})
	}
}

func TestMailHeader(t *testing.T) {
	t.Parallel()
	m := verdicttest.Mail{From: "x@example.com", To: "y@example.com", Subject: "grüß", Header: []string{"X-A: b", "X-A: c"}}.Message(t)
	h := m.Header()
	if h.Text("Subject") != "grüß" || h.Get("From") != "x@example.com" || h.Get("To") != "y@example.com" || strings.Join(h.Values("X-A"), "") != "bc" {
		t.Errorf("%q", raw(t, m))
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*verdict.Message{
		"clean": verdicttest.Clean(t), "spam": verdicttest.Spam(t), "malicious": verdicttest.Malicious(t),
		"text": verdicttest.Text(t, 10<<10), "big": verdicttest.Big(t, 1<<20),
	} {
		for _, a := range m.Anomalies() {
			t.Errorf("%s: %s in part %q: %s", name, a.Code, a.Part, a.Detail)
		}
		switch n := m.Size(); {
		case name == "text" && (n < 9<<10 || n > 11<<10), name == "big" && n < 1<<20:
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	var first, second []string
	for name := range verdicttest.Hostile() {
		first = append(first, name)
	}
	for name, b := range verdicttest.Hostile() {
		if len(b) > 5<<20 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		second = append(second, name)
	}
	if d := cmp.Diff(first, second); d != "" || len(first) < 30 {
		t.Errorf("%d, then (-first +second):\n%s", len(first), d)
	}
}

func TestLend(t *testing.T) {
	t.Parallel()
	src := verdict.Bytes("Subject: x\r\n\r\nbody\r\n")
	for _, tt := range []struct {
		name string
		use  func(m *verdict.Message, takeBack func())
		bad  bool
	}{
		{"read in time", func(m *verdict.Message, takeBack func()) { raw(t, m); takeBack() }, false},
		{"only the header, twice", func(m *verdict.Message, takeBack func()) {
			m.Header()
			takeBack()
			m.Header()
		}, false},
		{"opened too late", func(m *verdict.Message, takeBack func()) { takeBack(); m.Open() }, true},
		{"parsed too late", func(m *verdict.Message, takeBack func()) { takeBack(); m.Header() }, true},
		{"not closed", func(m *verdict.Message, takeBack func()) { m.Open(); takeBack() }, true},
		{"read too late", func(m *verdict.Message, takeBack func()) {
			r, err := m.Open()
			if err != nil {
				t.Error(err)
			}
			takeBack()
			if _, err := r.Read(make([]byte, 1)); err == nil {
				t.Error("it was read")
			}
		}, true},
	} {
		if r := record(t, func(tb testing.TB) { tt.use(verdicttest.Lend(tb, src)) }); r.failed != tt.bad {
			t.Errorf("%s: failed %v, want %v", tt.name, r.failed, tt.bad)
		}
	}
}
