package verdict_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

// stream is a Source that has nothing but Open and Size, and reads in small pieces.
type stream struct{ verdict.Bytes }

func (s stream) ReadAt([]byte, int64) (int, error) { panic("hidden") }

func (s stream) Open() (io.ReadCloser, error) {
	return io.NopCloser(iotest.HalfReader(onlyReader{bytes.NewReader(s.Bytes)})), nil
}

// onlySource hides ReadAt of what it holds.
type onlySource struct{ src verdict.Source }

func (s onlySource) Open() (io.ReadCloser, error) { return s.src.Open() }
func (s onlySource) Size() int64                  { return s.src.Size() }

type onlyReader struct{ io.Reader }

// sources are the same bytes as every kind of Source.
func sources(tb testing.TB, b []byte) map[string]verdict.Source {
	tb.Helper()
	spool := &verdict.Spool{Dir: tb.TempDir()}
	buffer := spool.New()
	if _, err := buffer.Write(b); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { buffer.Close() })
	return map[string]verdict.Source{
		"memory": verdict.Bytes(b),
		"buffer": buffer,
		"stream": onlySource{stream{b}},
		"seeker": onlySource{buffer},
	}
}

type headerField struct{ Name, Value string }

type headerCase struct {
	name, in string
	want     []headerField
	body     string
	codes    []string // of anomalies
}

// headerCases are shared with the fuzzers.
var headerCases = []headerCase{
	{"empty", "", nil, "", nil},
	{"CRLF", "From: a@b\r\nTo: c\r\n\r\nbody\r\n", []headerField{{"From", "a@b"}, {"To", "c"}}, "body\r\n", nil},
	{"LF", "From: a@b\nTo: c\n\nbody\n", []headerField{{"From", "a@b"}, {"To", "c"}}, "body\n", nil},
	{"mixed", "From: a\nTo: c\r\n\nbody", []headerField{{"From", "a"}, {"To", "c"}}, "body", []string{"mime.lines"}},
	{"no fields", "\r\nbody", nil, "body", nil},
	{"header only", "From: a\r\nTo: b\r\n", []headerField{{"From", "a"}, {"To", "b"}}, "", nil},
	{"no line end", "From: a", []headerField{{"From", "a"}}, "", nil},
	{"empty body", "From: a\r\n\r\n", []headerField{{"From", "a"}}, "", nil},
	{"folded", "Subject: one\r\n two\r\n\tthree \r\nTo: x\r\n\r\n", []headerField{{"Subject", "one two\tthree"}, {"To", "x"}}, "", nil},
	{"folded at once", "Subject:\r\n one\r\n\r\n", []headerField{{"Subject", "one"}}, "", nil},
	{"folded, LF", "Subject: one\n two\n\n", []headerField{{"Subject", "one two"}}, "", nil},
	{"blank fold", "A: 1\r\n \r\nB: 2\r\n\r\nx", []headerField{{"A", "1"}, {"B", "2"}}, "x", []string{"header.blank-fold"}},
	{"blank before colon", "Subject \t: x\r\n\r\n", []headerField{{"Subject", "x"}}, "", []string{"header.space-colon"}},
	{"no blank after colon", "Subject:x\r\n\r\n", []headerField{{"Subject", "x"}}, "", nil},
	{"empty value", "Subject:\r\nTo: \r\n\r\n", []headerField{{"Subject", ""}, {"To", ""}}, "", nil},
	{"garbage", "A: 1\r\nno colon here\r\nB: 2\r\n\r\nx", []headerField{{"A", "1"}, {"", "no colon here"}, {"B", "2"}}, "x", []string{"header.no-colon"}},
	{"bad name", "A: 1\r\nfoo bar: 2\r\n\r\nx", []headerField{{"A", "1"}, {"", "foo bar: 2"}}, "x", []string{"header.bad-name"}},
	{"colon first", ": x\r\n\r\n", []headerField{{"", ": x"}}, "", []string{"header.bad-name"}},
	{"mbox", "From a@b Mon Jan 1 10:00:00 2024\nA: 1\n\nx", []headerField{{"", "From a@b Mon Jan 1 10:00:00 2024"}, {"A", "1"}}, "x", []string{"header.mbox"}},
	{"quoted mbox", ">From a@b Mon Jan 1\nA: 1\n\nx", []headerField{{"", ">From a@b Mon Jan 1"}, {"A", "1"}}, "x", []string{"header.mbox"}},
	{"a blank before the colon of From", "From : a@b\nA: 1\n\nx", []headerField{{"From", "a@b"}, {"A", "1"}}, "x", []string{"header.space-colon"}},
	{"mbox later", "A: 1\nFrom a@b 10:00\n\nx", []headerField{{"A", "1"}, {"", "From a@b 10:00"}}, "x", []string{"header.bad-name"}},
	{"missing empty line", "A: 1\r\nHello there\r\nB: 2\r\n", []headerField{{"A", "1"}}, "Hello there\r\nB: 2\r\n", []string{"header.no-colon", "header.no-end"}},
	{"begins with a blank", " x\r\nA: 1\r\n\r\n", []headerField{{"", "x"}, {"A", "1"}}, "", []string{"header.fold-first"}},
	{"NUL", "A: 1\x002\r\n\r\n", []headerField{{"A", "1\x002"}}, "", []string{"header.nul", "mime.nul"}},
	{"bare CR", "A: 1\rB: 2\r\n\r\n", []headerField{{"A", "1\rB: 2"}}, "", []string{"header.bare-cr", "mime.bare-cr"}},
	{"CR CR LF", "A: 1\r\r\n\r\nx", []headerField{{"A", "1"}}, "x", []string{"header.bare-cr", "mime.bare-cr"}},
	{"latin 1", "A: caf\xE9\r\n\r\n", []headerField{{"A", "caf\xE9"}}, "", []string{"header.8bit"}},
	{"utf-8", "A: café\r\n\r\n", []headerField{{"A", "café"}}, "", nil},
	{"duplicate", "From: a\r\nfrom: b\r\n\r\n", []headerField{{"From", "a"}, {"from", "b"}}, "", []string{"header.duplicate"}},
	{"repeated", "Subject: a\r\nSUBJECT: a\r\n\r\n", []headerField{{"Subject", "a"}, {"SUBJECT", "a"}}, "", []string{"header.repeated"}},
	{"many allowed", "Received: a\r\nReceived: b\r\n\r\n", []headerField{{"Received", "a"}, {"Received", "b"}}, "", nil},
	{"hidden control", "Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\n\r\n", []headerField{{"Subject", "=?utf-8?q?a=0D=0ABcc:_x?="}}, "", []string{"header.hidden-control"}},
}

func codesOf(m *verdict.Message) (codes []string) {
	for _, a := range m.Anomalies() {
		codes = append(codes, a.Code)
	}
	return codes
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, c := range headerCases {
		for kind, src := range sources(t, []byte(c.in)) {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				m := verdict.NewMessage(src)
				h := m.Header()
				if err := h.Err(); err != nil {
					t.Fatal(err)
				}
				var got []headerField
				for f := range h.All() {
					got = append(got, headerField{f.Name, f.Value()})
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("fields (-want +got):\n%s", diff)
				}
				if h.Len() != len(c.want) {
					t.Errorf("Len %d, want %d", h.Len(), len(c.want))
				}
				if body := c.in[h.BodyOffset():]; body != c.body {
					t.Errorf("body %q, want %q", body, c.body)
				}
				checkOffsets(t, []byte(c.in), h)
				if diff := cmp.Diff(c.codes, codesOf(m)); diff != "" {
					t.Errorf("anomalies (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// checkOffsets holds that the fields are the header section, byte by byte.
func checkOffsets(t testing.TB, raw []byte, h verdict.Header) {
	t.Helper()
	at := int64(0)
	for f := range h.All() {
		if f.Offset() != at {
			t.Fatalf("field %q at %d, want %d", f.Name, f.Offset(), at)
		}
		if at += f.Len(); at > int64(len(raw)) || !bytes.Equal(f.Raw(), raw[f.Offset():at]) {
			t.Fatalf("field %q is %q, which is not in the message at %d", f.Name, f.Raw(), f.Offset())
		}
	}
	switch string(raw[at:h.BodyOffset()]) {
	case "", "\n", "\r\n":
	default:
		t.Fatalf("between fields and body: %q", raw[at:h.BodyOffset()])
	}
}

func TestHeaderLookup(t *testing.T) {
	t.Parallel()
	h := verdict.NewMessage(verdict.Bytes("Subject: =?iso-8859-15?q?5_=A4?=\r\nX-A: 1\r\nx-a:  2 \r\nno name\r\n\r\n")).Header()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"Get", h.Get("x-A"), "1"},
		{"Get of none", h.Get("x-b"), ""},
		{"Get of the empty name", h.Get(""), ""},
		{"Values", h.Values("X-a"), []string{"1", "2"}},
		{"Values of none", h.Values("x-b"), []string(nil)},
		{"Text", h.Text("SUBJECT"), "5 €"},
		{"Text of none", h.Text("x"), ""},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestZeroHeader(t *testing.T) {
	t.Parallel()
	var h verdict.Header
	for range h.All() {
		t.Error("a field in the zero Header")
	}
	if h.Len() != 0 || h.Get("From") != "" || h.Values("From") != nil || h.Text("From") != "" || h.BodyOffset() != 0 || h.Err() != nil {
		t.Error("the zero Header is not empty")
	}
	var m verdict.Message
	if h = m.Header(); h.Len() != 0 || h.Err() != nil {
		t.Error("the zero Message has fields")
	}
	if n := walk(t, &m); n != 1 {
		t.Errorf("the zero Message has %d parts, want its root", n)
	}
}

// A source that fails must never look like a shorter message.
func TestHeaderSourceFails(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]verdict.Source{
		"open":  brokenSource{open: true},
		"read":  brokenSource{},
		"short": onlySource{lying{verdict.Bytes("Subject: x\r\n"), 100}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := verdict.NewMessage(src)
			if err := m.Header().Err(); err == nil {
				t.Error("Header has no error")
			}
			var last error
			for p, err := range m.Parts() {
				if last = err; err == nil {
					t.Errorf("part %q of a message that cannot be read", p.Path)
				}
			}
			if last == nil || errors.Is(last, verdict.ErrTooComplex) {
				t.Errorf("Parts ends with %v, want the error of the source", last)
			}
		})
	}
}

var errDisk = errors.New("disk on fire")

type brokenSource struct{ open bool }

func (f brokenSource) Size() int64 { return 100 }

func (f brokenSource) Open() (io.ReadCloser, error) {
	if f.open {
		return nil, errDisk
	}
	return io.NopCloser(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(errDisk))), nil
}

// lying is a source that has less than it says.
type lying struct {
	verdict.Source
	size int64
}

func (l lying) Size() int64 { return l.size }

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"=?utf-8?q?J=C3=B6rg?=", "Jörg"},
		{"=?UTF-8?B?SsO2cmc=?= <j@x>", "Jörg <j@x>"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=B6?=", "ö"},
		{"=?utf-8?b?ww==?= =?utf-8?b?tg==?=", "ö"},
		{"=?iso-8859-1?q?=F6?= =?utf-8?q?=C3=B6?=", "öö"},
		{"=?iso-8859-1*de?q?=F6?=", "ö"},
		{"=?windows-1252?q?=80?=", "€"},
		{"=?iso-8859-15?q?=A4?=", "€"},
		{"=?koi8-r?b?8NLJ18XU?=", "Привет"},
		{"=?utf-16be?b?AGEAYg==?=", "ab"},
		{"=?utf-16?b?//5hAGIA?=", "ab"},
		{"=?utf-8?q?a_b?=", "a b"},
		{"=?utf-8?q?a b?=", "a b"},
		{"x=?utf-8?q?a?=y", "xay"},
		{"=?utf-8?q?a=0Ab=00?=", "a\uFFFDb\uFFFD"},
		{"=?utf-8?q??=", ""},
		{"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?=?utf-8?q?a?=", "=?a"},
		{"=??q?a?=", "=??q?a?="},
		{"=?utf-8?q?=ZZ?=", "=ZZ"},
		{"=?x-unknown?q?=E9?=", "é"},
		{"=?utf-8?q?=E9?=", "\uFFFD"},
		{"caf\xE9", "café"},
		{"café", "café"},
		{"a\x00b\rc", "a\uFFFDb\uFFFDc"},
		{"=?iso-2022-jp?b?GyRCRnxLXBsoQiBhYmM=?=", "\uFFFD abc"},
	} {
		if got := verdict.NewMessage(verdict.Bytes("X: " + c.in + "\r\n\r\n")).Header().Text("x"); got != c.want {
			t.Errorf("Text of %q is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAllocations(t *testing.T) {
	header, parts := textMail(false), textMail(true)
	if n := testing.AllocsPerRun(20, func() { verdict.NewMessage(header).Header() }); n > 15 {
		t.Errorf("%v allocations for a header section", n)
	}
	if n := testing.AllocsPerRun(20, func() { walk(t, verdict.NewMessage(parts)) }); n > 60 {
		t.Errorf("%v allocations for three parts", n)
	}
}

func FuzzHeader(f *testing.F) {
	for _, c := range headerCases {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		memory := verdict.NewMessage(verdict.Bytes(raw)).Header()
		if memory.Err() != nil {
			return
		}
		checkOffsets(t, raw, memory)
		slow := verdict.NewMessage(onlySource{stream{raw}}).Header()
		checkOffsets(t, raw, slow)
		if memory.Len() != slow.Len() || memory.BodyOffset() != slow.BodyOffset() {
			t.Fatalf("%d fields and body at %d in memory, %d and %d from a stream",
				memory.Len(), memory.BodyOffset(), slow.Len(), slow.BodyOffset())
		}
		for f := range memory.All() {
			if strings.ContainsAny(f.Value(), "\n") {
				t.Fatalf("Value of %q has a line feed: %q", f.Name, f.Value())
			}
			if strings.ContainsAny(f.Text(), "\r\n\x00") {
				t.Fatalf("Text of %q has a control: %q", f.Name, f.Text())
			}
		}
	})
}
