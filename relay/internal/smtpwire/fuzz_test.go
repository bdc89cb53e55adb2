package smtpwire_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// strictReader is RFC 5321 section 4.5.2 to the letter, and slow: the message ends with the first
// CRLF.CRLF, and a dot at the beginning of any other line is removed.
func strictReader(in string) (content, rest string, ok bool) {
	var lines []string
	for {
		line, after, found := strings.Cut(in, "\r\n")
		switch {
		case !found:
			return "", "", false
		case line == ".":
			return strings.Join(lines, ""), after, true
		}
		lines = append(lines, strings.TrimPrefix(line, ".")+"\r\n")
		in = after
	}
}

// rejectingReader is strictReader, and says whether there is anything in the content that must not be.
func rejectingReader(in string) (content, rest string, bad, ok bool) {
	content, rest, ok = strictReader(in)
	if !ok {
		return "", "", false, false
	}
	for line := range strings.SplitAfterSeq(content, "\r\n") {
		text := strings.TrimSuffix(line, "\r\n")
		bad = bad || strings.ContainsAny(text, "\r\n\x00") || len(line) > lineBound
	}
	return content, rest, bad, true
}

// normalizingReader is strictReader with every bare CR and bare LF made CRLF, octet by octet.
func normalizingReader(in string) (content, rest string, bad, ok bool) {
	content, rest, ok = strictReader(in)
	if !ok {
		return "", "", false, false
	}
	var b strings.Builder
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case c == '\r':
			b.WriteString("\r\n")
			if i+1 < len(content) && content[i+1] == '\n' {
				i++
			}
		case c == '\n':
			b.WriteString("\r\n")
		default:
			b.WriteByte(c)
		}
	}
	content = b.String()
	for line := range strings.SplitAfterSeq(content, "\r\n") {
		bad = bad || strings.Contains(line, "\x00") || len(line) > lineBound
	}
	return content, rest, bad, true
}

// splitReader reads as many octets at a time as the octets of its plan say.
type splitReader struct {
	all, plan string
	in        string // what is left of all
	at        int
}

func newSplitReader(in, plan string) *splitReader { return &splitReader{all: in, plan: plan, in: in} }

func (s *splitReader) Read(p []byte) (int, error) {
	if s.in == "" {
		return 0, io.EOF
	}
	n := len(s.in)
	if s.plan != "" {
		n = 1 + int(s.plan[s.at%len(s.plan)])%16
		s.at++
	}
	n = min(n, len(s.in), len(p))
	copy(p, s.in[:n])
	s.in = s.in[n:]
	return n, nil
}

func FuzzData(f *testing.F) {
	for _, c := range dataCases {
		f.Add(c.in, "")
		f.Add(c.in, "\x00")
		f.Add(c.in, "\x01\x02\x00")
	}
	f.Fuzz(func(t *testing.T, in, plan string) {
		_, _, strict := strictReader(in)
		compare(t, in, plan, false, rejectingReader)
		compare(t, in, plan, true, normalizingReader)
		if got := readData(newSplitReader(in, plan), smtpwire.BodyLimits{Line: lineBound}, true); got.Cut == strict {
			t.Errorf("%q: cut is %v, and a strict reader says %v", in, got.Cut, !strict)
		}
	})
}

func compare(t *testing.T, in, plan string, normalize bool, ref func(string) (string, string, bool, bool)) {
	t.Helper()
	content, rest, bad, ok := ref(in)
	src := newSplitReader(in, plan)
	r := smtpwire.NewReader(src, 0)
	defer r.Release()
	body := r.Data(smtpwire.BodyLimits{Line: lineBound, Normalize: normalize})
	var buf bytes.Buffer
	_, err := body.WriteTo(&buf)
	drained := body.Drain() == nil
	if drained != ok {
		t.Fatalf("%q: the end was found: %v, want %v", in, drained, ok)
	}
	if !ok {
		return
	}
	if (body.Fault() != nil) != bad || (err != nil) != bad {
		t.Fatalf("%q: fault %v, error %v, want one: %v", in, body.Fault(), err, bad)
	}
	if !bad && buf.String() != content {
		t.Fatalf("%q: content %q, want %q", in, buf.String(), content)
	}
	if got := remaining(t, r, src); got != rest {
		t.Fatalf("%q: what follows is %q, want %q", in, got, rest)
	}
}

// remaining returns everything behind the message.
func remaining(t *testing.T, r *smtpwire.Reader, src *splitReader) string {
	t.Helper()
	n := r.Buffered() + len(src.in)
	if err := r.Discard(int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(1); err == nil {
		t.Fatal("there is more than was sent")
	}
	return src.all[len(src.all)-n:]
}

func FuzzChunks(f *testing.F) {
	f.Add("a\r\nb\r\n", "\x01")
	f.Add("a\rb\nc\x00\r\r\n", "\x00\x02")
	f.Fuzz(func(t *testing.T, in, plan string) {
		wantBad := strings.ContainsAny(strings.ReplaceAll(in, "\r\n", ""), "\r\n\x00")
		for line := range strings.SplitAfterSeq(in, "\r\n") {
			wantBad = wantBad || len(line) > lineBound
		}
		wantBad = wantBad || strings.HasSuffix(in, "\r")
		src := newSplitReader(in+"QUIT\r\n", plan)
		r := smtpwire.NewReader(src, 0)
		defer r.Release()
		left := len(in)
		chunk := func() int {
			n := left
			if plan != "" {
				n = min(left, int(plan[left%len(plan)])%8)
			}
			left -= n
			return n
		}
		first := chunk()
		tries := 0
		body := r.Chunks(smtpwire.BodyLimits{Line: lineBound}, int64(first), left == 0, func(b *smtpwire.Body) error {
			n := chunk()
			if tries++; tries > 2*len(in) {
				n, left = left+n, 0
			}
			b.Next(int64(n), left == 0)
			return nil
		})
		var buf bytes.Buffer
		_, err := body.WriteTo(&buf)
		if err := body.Drain(); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if (err != nil) != wantBad {
			t.Fatalf("%q: error %v, want one: %v", in, err, wantBad)
		}
		if err == nil && buf.String() != in {
			t.Fatalf("got %q, want %q", buf.String(), in)
		}
		if line, err := r.ReadLine(); string(line) != "QUIT" {
			t.Fatalf("after %q there is %q, %v", in, line, err)
		}
	})
}

// FuzzDotWriter sends content by the writer and reads it back.
func FuzzDotWriter(f *testing.F) {
	for _, c := range dataCases {
		f.Add(c.in, "\x03")
	}
	f.Fuzz(func(t *testing.T, in, plan string) {
		var wire bytes.Buffer
		d := smtpwire.NewDotWriter(&wire)
		_, err := io.Copy(d, iotest.DataErrReader(newSplitReader(in, plan)))
		if cerr := d.Close(); err == nil {
			err = cerr
		}
		bad := strings.ContainsAny(strings.ReplaceAll(in, "\r\n", ""), "\r\n\x00")
		if (err != nil) != bad {
			t.Fatalf("%q: error %v, want one: %v", in, err, bad)
		}
		if bad {
			if _, _, ended := strictReader(wire.String()); ended {
				t.Fatalf("%q was refused, and ended all the same: %q", in, wire.String())
			}
			return
		}
		want := in
		if in != "" && !strings.HasSuffix(in, "\r\n") {
			want += "\r\n"
		}
		content, rest, ok := strictReader(wire.String())
		if !ok || content != want || rest != "" {
			t.Fatalf("%q went over the wire as %q", in, wire.String())
		}
	})
}
