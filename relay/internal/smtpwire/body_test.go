package smtpwire_test

import (
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

// outcome is what a reader made of a stream.
type outcome struct {
	Content string // empty if refused
	Fault   string // "", or what the reader held against it
	Rest    string // what follows the message
	Cut     bool   // the stream ended before the message did
}

func readData(src io.Reader, limits smtpwire.BodyLimits, viaWriter bool) outcome {
	r := smtpwire.NewReader(src, 0)
	defer r.Release()
	body := r.Data(limits)
	var buf bytes.Buffer
	var err error
	if viaWriter {
		_, err = body.WriteTo(&buf)
	} else {
		// A small buffer, so that one block takes several calls.
		_, err = io.CopyBuffer(struct{ io.Writer }{&buf}, struct{ io.Reader }{body}, make([]byte, 7))
	}
	return finish(r, body, buf.String(), err)
}

func finish(r *smtpwire.Reader, body *smtpwire.Body, content string, err error) outcome {
	if derr := body.Drain(); derr != nil {
		return outcome{Cut: true}
	}
	var o outcome
	if fault := body.Fault(); fault != nil {
		o.Fault = fault.Error()
		if err == nil {
			o.Fault = "read on without an error in spite of: " + o.Fault
		}
	} else {
		o.Content = content
		if err != nil {
			o.Fault = "unexpected: " + err.Error()
		}
	}
	rest := make([]byte, r.Buffered())
	for i := range rest {
		rest[i] = '?'
	}
	o.Rest = string(rest)
	return o
}

var dataCases = []struct {
	name, in string
	want     outcome
}{
	{"empty", ".\r\n", outcome{}},
	{"one line", "a\r\n.\r\n", outcome{Content: "a\r\n"}},
	{"empty line", "\r\n.\r\n", outcome{Content: "\r\n"}},
	{"doubled dot", "..\r\n.\r\n", outcome{Content: ".\r\n"}},
	{"only dots", "..\r\n...\r\n....x\r\n.\r\n", outcome{Content: ".\r\n..\r\n...x\r\n"}},
	{"dot not doubled", ".a\r\n.\r\n", outcome{Content: "a\r\n"}},
	{"dot inside", "a.\r\nb.c\r\n.\r\n", outcome{Content: "a.\r\nb.c\r\n"}},
	{"what follows", "a\r\n.\r\nQUIT\r\n", outcome{Content: "a\r\n", Rest: "??????"}},
	{"8 bit", "\xff\x80\x01\r\n.\r\n", outcome{Content: "\xff\x80\x01\r\n"}},
	{"cut", "a\r\n", outcome{Cut: true}},
	{"cut before the end", "a\r\n.\r", outcome{Cut: true}},
	{"nothing", "", outcome{Cut: true}},
	{"LF . LF", "a\n.\nb\r\n.\r\n", outcome{Fault: "bare LF in line 1 of the message (offset 1)"}},
	{"LF . CRLF", "a\n.\r\nb\r\n.\r\n", outcome{Fault: "bare LF in line 1 of the message (offset 1)"}},
	{"CRLF . LF", "a\r\n.\nb\r\n.\r\n", outcome{Fault: "bare LF in line 2 of the message (offset 3)"}},
	{"CR . CR", "a\r.\rb\r\n.\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 1)"}},
	{"CR . LF", "a\r.\nb\r\n.\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 1)"}},
	{"LF . CR", "a\n.\rb\r\n.\r\n", outcome{Fault: "bare LF in line 1 of the message (offset 1)"}},
	{"CR . CRLF", "a\r.\r\nb\r\n.\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 1)"}},
	{"CRLF . CR", "a\r\n.\rb\r\n.\r\n", outcome{Fault: "bare CR in line 2 of the message (offset 3)"}},
	{"CRLF NUL . CRLF", "a\r\n\x00.\r\nb\r\n.\r\n", outcome{Fault: "NUL in line 2 of the message (offset 3)"}},
	{"CR CRLF . CRLF ends", "a\r\r\n.\r\nQUIT\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 1)", Rest: "??????"}},
	{"LF between CR CRLF and the end", "\r\r\n\n\r\n.\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 0)"}},
	{"CRLF . CR CRLF", "a\r\n.\r\r\nb\r\n.\r\n", outcome{Fault: "bare CR in line 2 of the message (offset 3)"}},
	{"CRLF .. CRLF", "a\r\n..\r\nb\r\n.\r\n", outcome{Content: "a\r\n.\r\nb\r\n"}},
	{"LF at the beginning", "\n.\r\n\r\n.\r\n", outcome{Fault: "bare LF in line 1 of the message (offset 0)"}},
	{"dot LF at the beginning", ".\n.\r\nx\r\n.\r\n", outcome{Fault: "bare LF in line 1 of the message (offset 0)"}},
	{"dot CR at the beginning", ".\rx\r\n.\r\n", outcome{Fault: "bare CR in line 1 of the message (offset 0)"}},
	{"line at the bound", "0123456789ABCD\r\n.\r\n", outcome{Content: "0123456789ABCD\r\n"}},
	{"line over the bound", "0123456789ABCDE\r\n.\r\n", outcome{Fault: "line too long in line 1 of the message (offset 16)"}},
	{"doubled dot does not count", "..123456789ABCD\r\n.\r\n", outcome{Content: ".123456789ABCD\r\n"}},
}

// lineBound is small, so that short cases pass it.
const lineBound = 16

func TestData(t *testing.T) {
	t.Parallel()
	for _, c := range dataCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, src := range map[string]io.Reader{
				"at once":      strings.NewReader(c.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
				"data and EOF": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				got := readData(src, smtpwire.BodyLimits{Line: lineBound}, name == "at once")
				want := c.want
				if name == "byte by byte" {
					want.Rest = "" // still in the connection
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestDataSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		limit int64
		want  outcome
	}{
		{"abcd\r\n.\r\nX", 6, outcome{Content: "abcd\r\n", Rest: "?"}},
		{"abcde\r\n.\r\nX", 6, outcome{Fault: "message too large", Rest: "?"}},
		{"..cd\r\n.\r\nX", 6, outcome{Content: ".cd\r\n", Rest: "?"}},
		{"..cde\r\n.\r\nX", 6, outcome{Fault: "message too large", Rest: "?"}}, // counted with the doubled dot
		{strings.Repeat("abc\r\n", 50_000) + ".\r\nX", 1000, outcome{Fault: "message too large", Rest: "?"}},
	} {
		got := readData(strings.NewReader(c.in), smtpwire.BodyLimits{Bytes: c.limit}, true)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%.20q with limit %d (-want +got):\n%s", c.in, c.limit, diff)
		}
	}
}

func TestDataSplitEverywhere(t *testing.T) {
	t.Parallel()
	for _, c := range dataCases {
		for i := range len(c.in) + 1 {
			src := io.MultiReader(strings.NewReader(c.in[:i]), strings.NewReader(c.in[i:]))
			got := readData(src, smtpwire.BodyLimits{Line: lineBound}, true)
			if got.Fault != c.want.Fault || got.Content != c.want.Content || got.Cut != c.want.Cut {
				t.Errorf("%s split at %d: got %+v, want %+v", c.name, i, got, c.want)
			}
		}
	}
}

func TestDataLong(t *testing.T) {
	t.Parallel()
	// Longer than the buffer, so that lines, dots and the end lie across its border at every position.
	for pad := range 24 {
		content := strings.Repeat("x", pad) + "\r\n" + strings.Repeat(".line of text\r\n..\r\n\r\n", 7000)
		var wire bytes.Buffer
		d := smtpwire.NewDotWriter(&wire)
		if _, err := io.WriteString(d, content); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		got := readData(&wire, smtpwire.BodyLimits{}, pad%2 == 0)
		if got.Content != content || got.Fault != "" {
			t.Fatalf("pad %d: %d octets, fault %q", pad, len(got.Content), got.Fault)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want outcome
	}{
		{"a\nb\rc\r\n.\r\n", outcome{Content: "a\r\nb\r\nc\r\n"}},
		{"a\r\r\nb\n\r\n.\r\n", outcome{Content: "a\r\n\r\nb\r\n\r\n"}},
		{"a\n.\nb\r\n.\r\n", outcome{Content: "a\r\n.\r\nb\r\n"}},    // no end, and no doubled dot
		{"a\n..\nb\r\n.\r\n", outcome{Content: "a\r\n..\r\nb\r\n"}},  // behind a bare LF nothing is removed
		{"a\r\n..\nb\r\n.\r\n", outcome{Content: "a\r\n.\r\nb\r\n"}}, // behind CRLF it is
		{"a\r\n.\rb\r\n.\r\n", outcome{Content: "a\r\n\r\nb\r\n"}},   // the dot is removed, the CR mended
		{"a\r\r\n.\r\nX", outcome{Content: "a\r\n\r\n", Rest: "?"}},  // CRLF.CRLF is the end
		{"a\x00b\n\r\n.\r\nX", outcome{Fault: "NUL in line 1 of the message (offset 1)", Rest: "?"}},
		{strings.Repeat("y", 15) + "\n.\r\n\r\n.\r\n", outcome{Fault: "line too long in line 1 of the message (offset 16)"}},
	} {
		for i := range len(c.in) + 1 {
			src := io.MultiReader(strings.NewReader(c.in[:i]), strings.NewReader(c.in[i:]))
			got := readData(src, smtpwire.BodyLimits{Line: lineBound, Normalize: true}, true)
			got.Rest = c.want.Rest
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q split at %d (-want +got):\n%s", c.in, i, diff)
			}
		}
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		chunks []string
		want   outcome
	}{
		{"one", []string{"a\r\n"}, outcome{Content: "a\r\n"}},
		{"empty", []string{""}, outcome{}},
		{"empty last", []string{"a\r\n", ""}, outcome{Content: "a\r\n"}},
		{"no final CRLF", []string{"a"}, outcome{Content: "a"}},
		{"dots are content", []string{".\r\n..\r\n.\r\n"}, outcome{Content: ".\r\n..\r\n.\r\n"}},
		{"CR and LF apart", []string{"a\r", "\nb\r\n"}, outcome{Content: "a\r\nb\r\n"}},
		{"CR at the end of all", []string{"a\r", ""}, outcome{Fault: "bare CR in line 1 of the message (offset 1)"}},
		{"CR at the border", []string{"a\r", "b\r\n"}, outcome{Fault: "bare CR in line 1 of the message (offset 1)"}},
		{"LF at the border", []string{"a", "\nb\r\n"}, outcome{Fault: "bare LF in line 1 of the message (offset 1)"}},
		{"NUL", []string{"a\r\n", "\x00"}, outcome{Fault: "NUL in line 2 of the message (offset 3)"}},
		{"long line over the border", []string{"0123456789", "ABCDE\r\n"}, outcome{Fault: "line too long in line 1 of the message (offset 16)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wire := strings.Join(c.chunks, "") + "X"
			r := smtpwire.NewReader(iotest.HalfReader(strings.NewReader(wire)), 0)
			defer r.Release()
			n := 0
			body := r.Chunks(smtpwire.BodyLimits{Line: lineBound}, int64(len(c.chunks[0])), len(c.chunks) == 1, func(b *smtpwire.Body) error {
				n++
				b.Next(int64(len(c.chunks[n])), n == len(c.chunks)-1)
				return nil
			})
			var buf bytes.Buffer
			_, err := body.WriteTo(&buf)
			got := finish(r, body, buf.String(), err)
			got.Rest = ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rest, err := io.ReadAll(restOf{r}); string(rest) != "X" {
				t.Errorf("after the message there is %q (%v), want X", rest, err)
			}
		})
	}
}

// restOf reads what is left, as one line without end.
type restOf struct{ r *smtpwire.Reader }

func (o restOf) Read(p []byte) (int, error) {
	if err := o.r.Discard(1); err != nil {
		return 0, io.EOF
	}
	p[0] = 'X'
	return 1, nil
}

func TestChunksAborted(t *testing.T) {
	t.Parallel()
	abort := errors.New("aborted")
	r := smtpwire.NewReader(strings.NewReader("abc"), 0)
	defer r.Release()
	body := r.Chunks(smtpwire.BodyLimits{}, 3, false, func(*smtpwire.Body) error { return abort })
	content, err := io.ReadAll(body)
	if string(content) != "abc" || err != abort {
		t.Errorf("read %q, %v; want abc, %v", content, err, abort)
	}
	if err := body.Drain(); err != abort {
		t.Errorf("Drain: %v, want %v", err, abort)
	}
}

func TestConnectionErrorIsKept(t *testing.T) {
	t.Parallel()
	r := smtpwire.NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("a\r\nQUIT\r\n.\r\n"))), 0)
	defer r.Release()
	body := r.Data(smtpwire.BodyLimits{})
	if _, err := io.ReadAll(body); err != iotest.ErrTimeout {
		t.Errorf("ReadAll: %v, want %v", err, iotest.ErrTimeout)
	}
	if line, err := r.ReadLine(); err == nil {
		t.Errorf("after a timeout %q was read as a command", line)
	}
}

func ExampleReader_Data() {
	r := smtpwire.NewReader(strings.NewReader("Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"), 0)
	defer r.Release()
	content, err := io.ReadAll(r.Data(smtpwire.BodyLimits{Bytes: 1000}))
	fmt.Printf("%q %v\n", content, err)
	line, err := r.ReadLine()
	fmt.Printf("%q %v\n", line, err)
	// Output:
	// "Subject: x\r\n\r\n.\r\n" <nil>
	// "QUIT" <nil>
}
