package smtpwire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

func TestReadLine(t *testing.T) {
	t.Parallel()
	const cut = "unexpected EOF"
	for _, c := range []struct {
		name, in string
		want     []string // lines, or errors
	}{
		{"lines", "EHLO x\r\n\r\nQUIT\r\n", []string{"EHLO x", "", "QUIT", "EOF"}},
		{"cut", "EHLO", []string{cut}},
		{"cut between CR and LF", "EHLO\r", []string{cut}},
		{"at the bound", strings.Repeat("x", 18) + "\r\nQUIT\r\n", []string{strings.Repeat("x", 18), "QUIT", "EOF"}},
		{"over the bound", strings.Repeat("x", 19) + "\r\nQUIT\r\n", []string{"line too long", "QUIT", "EOF"}},
		{"far over the bound", strings.Repeat("x", 100_000) + "\r\nQUIT\r\n", []string{"line too long", "QUIT", "EOF"}},
		{"over the bound and cut", strings.Repeat("x", 19), []string{cut}},
		{"over the bound with everything", strings.Repeat("x\n\r\x00", 30) + "\r\nQUIT\r\n", []string{"bare LF", "QUIT", "EOF"}},
		{"bare LF", "RSET\nMAIL\r\nQUIT\r\n", []string{"bare LF", "QUIT", "EOF"}},
		{"bare CR", "RSET\rMAIL\r\nQUIT\r\n", []string{"bare CR", "QUIT", "EOF"}},
		{"CR CRLF", "RSET\r\r\nQUIT\r\n", []string{"bare CR", "QUIT", "EOF"}},
		{"LF CRLF", "RSET\n\r\nQUIT\r\n", []string{"bare LF", "QUIT", "EOF"}},
		{"NUL", "RS\x00ET\r\nQUIT\r\n", []string{"NUL", "QUIT", "EOF"}},
		{"LF only", "RSET\nQUIT\n", []string{"bare LF", cut}},
		{"8 bit", "\xff\x80\r\n", []string{"\xff\x80", "EOF"}},
		{"endless", strings.Repeat("x", 2<<20), []string{"line without end", "line without end"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, src := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				r := smtpwire.NewReader(src, 20)
				var got []string
				for range c.want {
					line, err := r.ReadLine()
					if err != nil {
						line = []byte(err.Error())
					}
					got = append(got, string(line))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				r.Release()
			}
		})
	}
}

// TestBareLFAtOnce: a client that knows no CR is told, and does not wait for ever.
func TestBareLFAtOnce(t *testing.T) {
	t.Parallel()
	stalled := errors.New("nothing more comes")
	r := smtpwire.NewReader(io.MultiReader(strings.NewReader("EHLO x\n"), iotest.ErrReader(stalled)), 0)
	defer r.Release()
	if _, err := r.ReadLine(); err != smtpwire.ErrBareLF {
		t.Errorf("got %v, want %v", err, smtpwire.ErrBareLF)
	}
	if _, err := r.ReadLine(); err != stalled {
		t.Errorf("got %v, want %v", err, stalled)
	}
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want smtpwire.Reply
		err  string
	}{
		{"250 OK\r\n", smtpwire.Reply{Code: 250, Lines: []string{"OK"}}, ""},
		{"250\r\n", smtpwire.Reply{Code: 250, Lines: []string{""}}, ""},
		{"250 2.1.5 OK\n", smtpwire.Reply{Code: 250, Enhanced: [3]int{2, 1, 5}, Lines: []string{"OK"}}, ""},
		{"550-5.7.100 one\r\n550-two\r\n550 5.7.100 three\r\n", smtpwire.Reply{Code: 550, Enhanced: [3]int{5, 7, 100}, Lines: []string{"one", "two", "three"}}, ""},
		{"550-5.7.1 one\r\n550 5.7.2 three\r\n", smtpwire.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Lines: []string{"one", "5.7.2 three"}}, ""},
		{"250-mx\r\n250-SIZE 5\r\n250 DSN\r\n", smtpwire.Reply{Code: 250, Lines: []string{"mx", "SIZE 5", "DSN"}}, ""},
		{"250 4.1.1 odd\r\n", smtpwire.Reply{Code: 250, Lines: []string{"4.1.1 odd"}}, ""},
		{"250 2.1 x\r\n", smtpwire.Reply{Code: 250, Lines: []string{"2.1 x"}}, ""},
		{"354 3.0.0 x\r\n", smtpwire.Reply{Code: 354, Lines: []string{"3.0.0 x"}}, ""},
		{"554 a\x1b[31m\x00\tb\xff\u2028\r\n", smtpwire.Reply{Code: 554, Lines: []string{"a?[31m? b??"}}, ""},
		{"554 " + strings.Repeat("x", 5000) + "\r\n", smtpwire.Reply{Code: 554, Lines: []string{strings.Repeat("x", 5000)}}, ""},
		{"", smtpwire.Reply{}, "EOF"},
		{"250-one\r\n", smtpwire.Reply{}, "unexpected EOF"},
		{"250", smtpwire.Reply{}, "unexpected EOF"},
		{"hello\r\n", smtpwire.Reply{}, `malformed SMTP reply: "hello"`},
		{"25\r\n", smtpwire.Reply{}, `malformed SMTP reply: "25"`},
		{"150 x\r\n", smtpwire.Reply{}, `malformed SMTP reply: "150 x"`},
		{"600 x\r\n", smtpwire.Reply{}, `malformed SMTP reply: "600 x"`},
		{"2500 x\r\n", smtpwire.Reply{}, `malformed SMTP reply: "2500 x"`},
		{"250-x\r\n550 y\r\n", smtpwire.Reply{}, "malformed SMTP reply: code 550 after 250"},
		{strings.Repeat("250-x\r\n", 100), smtpwire.Reply{}, "malformed SMTP reply: more than 100 lines"},
		{"250 " + strings.Repeat("x", 70_000), smtpwire.Reply{}, "malformed SMTP reply: too many octets"},
	} {
		got, err := smtpwire.ReadReply(bufio.NewReaderSize(strings.NewReader(c.in), 64), smtpwire.ReplyLimits{})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", c.in, diff)
		}
		if text := fmt.Sprint(err); c.err != "" && text != c.err || c.err == "" && err != nil {
			t.Errorf("%.40q: error %v, want %s", c.in, err, c.err)
		}
	}
}

func TestReadReplyStaysInStep(t *testing.T) {
	t.Parallel()
	br := bufio.NewReader(strings.NewReader("250-a\r\n250 b\r\n354 go\r\n"))
	for _, want := range []int{250, 354} {
		if r, err := smtpwire.ReadReply(br, smtpwire.ReplyLimits{}); err != nil || r.Code != want {
			t.Errorf("got %+v, %v; want %d", r, err, want)
		}
	}
}

func TestAppendReply(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat("x\n", 200), "\n")
	for _, c := range []struct {
		code     int
		enhanced [3]int
		text     string
		want     string
	}{
		{250, [3]int{2, 0, 0}, "OK", "250 2.0.0 OK\r\n"},
		{354, [3]int{}, "Go", "354 Go\r\n"},
		{250, [3]int{}, "", "250 \r\n"},
		{250, [3]int{}, "a\nb\nc", "250-a\r\n250-b\r\n250 c\r\n"},
		{550, [3]int{5, 7, 1}, "a\r\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
		{550, [3]int{5, 7, 1}, "a\r250 b\x00\x1b\u00e9\tc", "550 5.7.1 a?250 b???? c\r\n"},
		{550, [3]int{5, 7, 1}, strings.Repeat("x", 1000), "550 5.7.1 " + strings.Repeat("x", 500) + "\r\n"},
		{250, [3]int{}, many, strings.Repeat("250-x\r\n", 99) + "250 x\r\n"},
	} {
		if diff := cmp.Diff(c.want, string(smtpwire.AppendReply(nil, c.code, c.enhanced, c.text))); diff != "" {
			t.Errorf("%.20q (-want +got):\n%s", c.text, diff)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(250, "OK")
	f.Add(550, "a\r\n250 b\x00\n\xff")
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 599 {
			return
		}
		wire := smtpwire.AppendReply(nil, code, [3]int{code / 100, 1, 1}, text)
		br := bufio.NewReader(bytes.NewReader(wire))
		r, err := smtpwire.ReadReply(br, smtpwire.ReplyLimits{})
		if err != nil || r.Code != code {
			t.Fatalf("%q: %+v, %v", wire, r, err)
		}
		if br.Buffered() > 0 {
			t.Fatalf("%q is more than one reply", wire)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	f.Add("250-2.0.0 x\r\n250 2.0.0 y\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := smtpwire.ReadReply(bufio.NewReaderSize(strings.NewReader(in), 16), smtpwire.ReplyLimits{Lines: 4, Bytes: 100})
		if err != nil {
			return
		}
		if len(r.Lines) == 0 || len(r.Lines) > 4 || strings.ContainsAny(r.Text(), "\r\x00\x1b") {
			t.Errorf("%q: %+v", in, r)
		}
	})
}

func TestDotWriter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ".\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{".\r\n.\r\n..\r\n", "..\r\n..\r\n...\r\n.\r\n"},
		{"a.\r\nb.c", "a.\r\nb.c\r\n.\r\n"},
	} {
		for split := range len(c.in) + 1 {
			var wire bytes.Buffer
			d := smtpwire.NewDotWriter(&wire)
			for _, p := range []string{c.in[:split], c.in[split:]} {
				if n, err := io.WriteString(d, p); n != len(p) || err != nil {
					t.Fatalf("%q split at %d: %d, %v", c.in, split, n, err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if wire.String() != c.want {
				t.Errorf("%q split at %d: %q, want %q", c.in, split, wire.String(), c.want)
			}
			if _, err := d.Write([]byte("x")); err == nil {
				t.Error("Write after Close succeeded")
			}
		}
	}
}

func TestDotWriterErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	d := smtpwire.NewDotWriter(failing{full})
	if n, err := io.WriteString(d, "a"); n != 0 || err != full {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := d.Close(); err != full {
		t.Errorf("Close: %v", err)
	}
	var wire bytes.Buffer
	d.Reset(&wire)
	_, err := io.WriteString(d, "a\n.\r\n")
	var ce *smtpwire.ContentError
	if !errors.As(err, &ce) || ce.Kind != smtpwire.ErrBareLF || ce.Offset != 1 || !errors.Is(err, smtpwire.ErrBareLF) {
		t.Errorf("Write: %v", err)
	}
	if err := d.Close(); err == nil || wire.Len() > 0 {
		t.Errorf("Close: %v, sent %q", err, wire.String())
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func ExampleDotWriter() {
	var wire strings.Builder
	d := smtpwire.NewDotWriter(&wire)
	fmt.Fprint(d, "Subject: dots\r\n\r\n.\r\nend")
	fmt.Println(d.Close())
	fmt.Printf("%q\n", wire.String())
	// Output:
	// <nil>
	// "Subject: dots\r\n\r\n..\r\nend\r\n.\r\n"
}

func ExampleReadReply() {
	br := bufio.NewReader(strings.NewReader("550-5.7.1 Not\r\n550 5.7.1 here\r\n"))
	r, err := smtpwire.ReadReply(br, smtpwire.ReplyLimits{})
	fmt.Println(r.Code, r.Enhanced, r.Lines, err)
	// Output: 550 [5 7 1] [Not here] <nil>
}

func TestXtext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plain, xtext string }{
		{"", ""}, {"a@b.test", "a@b.test"}, {"a+b=c d", "a+2Bb+3Dc+20d"}, {"\x00\x7f\xff", "+00+7F+FF"},
	} {
		if got := smtpwire.EncodeXtext(c.plain); got != c.xtext {
			t.Errorf("EncodeXtext(%q) = %q, want %q", c.plain, got, c.xtext)
		}
		if got, ok := smtpwire.DecodeXtext(c.xtext); got != c.plain || !ok {
			t.Errorf("DecodeXtext(%q) = %q, %v; want %q", c.xtext, got, ok, c.plain)
		}
	}
	for _, bad := range []string{"+", "+4", "+4g", "+2b", "a b", "a=b", "\x7f", "\xc3\xa9"} {
		if got, ok := smtpwire.DecodeXtext(bad); ok {
			t.Errorf("DecodeXtext(%q) = %q, want a refusal", bad, got)
		}
	}
}
