package verdict_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// counting counts the bytes that are read from a source.
type counting struct {
	src  verdict.Bytes
	read atomic.Int64
}

func (c *counting) Size() int64 { return c.src.Size() }

func (c *counting) Open() (io.ReadCloser, error) {
	r, err := c.src.Open()
	return countingReader{r, c}, err
}

type countingReader struct {
	io.ReadCloser
	c *counting
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.read.Add(int64(n))
	return n, err
}

func (r countingReader) Seek(off int64, whence int) (int64, error) {
	return r.ReadCloser.(io.Seeker).Seek(off, whence)
}

func lastError(m *verdict.Message) (parts int, err error) {
	for p, e := range m.Parts() {
		if p != nil {
			parts++
		}
		err = e
	}
	return parts, err
}

// nestedMultiparts are depth multiparts in each other, none of them ended, and a text.
func nestedMultiparts(depth int) string {
	var s strings.Builder
	for i := range depth {
		fmt.Fprintf(&s, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return s.String() + "\r\nx\r\n"
}

func encodedMessages(depth int, inner string) string {
	for range depth {
		inner = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(inner)
	}
	return inner
}

// Each limit is met exactly by one message and passed by the other.
func TestLimits(t *testing.T) {
	t.Parallel()
	lines := func(n int) string { return strings.Repeat("X: 1\r\n", n) + "\r\n" }
	for _, c := range []struct {
		name     string
		limits   verdict.Limits
		at, past string
	}{
		{"default depth", verdict.Limits{}, nestedMultiparts(20), nestedMultiparts(21)},
		{"depth", verdict.Limits{Depth: 3}, nestedMultiparts(3), nestedMultiparts(4)},
		{"depth of messages", verdict.Limits{Depth: 3}, strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3) + "A: 1\r\n\r\nx",
			strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 4) + "A: 1\r\n\r\nx"},
		{"depth of encoded messages", verdict.Limits{Depth: 3}, encodedMessages(3, "\r\nx"), encodedMessages(4, "\r\nx")},
		{"depth of uuencoded files", verdict.Limits{Depth: 1}, "\r\nbegin 644 x\r\nend\r\n", multi("b", "\r\nbegin 644 x\r\nend")},
		{"default parts", verdict.Limits{}, multi("b", slices.Repeat([]string{text}, 999)...), multi("b", slices.Repeat([]string{text}, 1000)...)},
		{"parts", verdict.Limits{Parts: 3}, multi("b", text, text), multi("b", text, text, text)},
		{"uuencoded files", verdict.Limits{Parts: 3}, "\r\n" + strings.Repeat("begin 644 x\nend\n", 2), "\r\n" + strings.Repeat("begin 644 x\nend\n", 3)},
		{"default fields", verdict.Limits{}, lines(2000), lines(2001)},
		{"fields", verdict.Limits{Fields: 3}, lines(3), lines(4)},
		{"fields without colon", verdict.Limits{Fields: 3}, "A\nB\nC\n\n", "A\nB\nC\nD\n\n"},
		{"default header bytes", verdict.Limits{}, "X: " + strings.Repeat("x", 1<<20-5) + "\r\n\r\n", "X: " + strings.Repeat("x", 1<<20-4) + "\r\n\r\n"},
		{"header bytes", verdict.Limits{HeaderBytes: 12}, lines(2), lines(3)},
		{"header bytes of a part", verdict.Limits{HeaderBytes: 60}, multi("b", strings.Repeat("X", 57)+":\r\n"), multi("b", strings.Repeat("X", 58)+":\r\n")},
		{"bytes of all header sections", verdict.Limits{Headers: 100}, multi("b", strings.Repeat("X", 100-45-3)+":\r\n"), multi("b", strings.Repeat("X", 100-45-2)+":\r\n")},
		{"decoded bytes", verdict.Limits{Decoded: 7}, encodedMessages(1, "\r\nhello"), encodedMessages(1, "\r\nhello!")},
		{"decoded bytes of several", verdict.Limits{Decoded: 6}, multi("b", encodedMessages(1, "\r\nx"), encodedMessages(1, "\r\nx")),
			multi("b", encodedMessages(1, "\r\nx"), encodedMessages(1, "\r\nxy"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for kind, past := range map[string]verdict.Source{"memory": verdict.Bytes(c.past), "stream": onlySource{stream{verdict.Bytes(c.past)}}} {
				m := verdict.NewMessage(past)
				m.Limits = c.limits
				_, err := lastError(m)
				if !errors.Is(err, verdict.ErrTooComplex) {
					t.Errorf("%s, past the limit: %v, want ErrTooComplex", kind, err)
				} else if len(err.Error()) < len(verdict.ErrTooComplex.Error())+10 {
					t.Errorf("%v does not say which limit", err)
				}
			}
			m := verdict.NewMessage(verdict.Bytes(c.at))
			m.Limits = c.limits
			if n, err := lastError(m); err != nil || n == 0 {
				t.Errorf("at the limit: %d parts, %v", n, err)
			}
		})
	}
}

func TestLimitOfHeader(t *testing.T) {
	t.Parallel()
	m := verdict.NewMessage(verdict.Bytes("A: 1\r\nB: 2\r\nC: 3\r\n\r\n"))
	m.Limits.Fields = 2
	h := m.Header()
	if !errors.Is(h.Err(), verdict.ErrTooComplex) || h.Len() != 2 {
		t.Errorf("%d fields, %v; want 2 and ErrTooComplex", h.Len(), h.Err())
	}
}

func TestLimitOfText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{"12345": nil, "123456": verdict.ErrTooLarge} {
		m := verdict.NewMessage(verdict.Bytes("\r\n" + in))
		m.Limits.Text = 5
		for p, err := range m.Parts() {
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Text(); got != "12345" || !errors.Is(err, want) {
				t.Errorf("Text of %s: %q, %v", in, got, err)
			}
		}
	}
}

func TestLimitOfAnomalies(t *testing.T) {
	t.Parallel()
	m := verdict.NewMessage(verdict.Bytes(multi("b", slices.Repeat([]string{"A B: 1\r\n\r\n"}, 5)...)))
	m.Limits.Anomalies = 3
	if got := codesOf(m); len(got) != 4 || got[2] != "header.bad-name" || got[3] != "mime.more" {
		t.Errorf("anomalies %q", got)
	}
	m = verdict.NewMessage(verdict.Bytes(multi("b", slices.Repeat([]string{"A B: 1\r\n\r\n"}, 500)...)))
	if got := codesOf(m); len(got) != 101 || got[100] != "mime.more" {
		t.Errorf("%d anomalies", len(got))
	}
}

// slowSource takes a second for each read.
type slowSource struct{ verdict.Bytes }

func (s slowSource) Open() (io.ReadCloser, error) {
	r, err := s.Bytes.Open()
	return slowReader{r}, err
}

type slowReader struct{ io.ReadCloser }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return r.ReadCloser.Read(p[:min(len(p), 4<<10)])
}

func TestLimitOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := verdict.NewMessage(onlySource{slowSource{verdict.Bytes("A: 1\r\n\r\n" + strings.Repeat("x", 1<<20))}})
		m.Limits.Time = 5 * time.Second
		m.Header()
		start := time.Now()
		_, err := lastError(m)
		if !errors.Is(err, verdict.ErrTooComplex) {
			t.Errorf("got %v, want ErrTooComplex", err)
		}
		if took := time.Since(start); took > 7*time.Second {
			t.Errorf("stopped after %v", took)
		}
	})
}

// hostileInputs are what other parsers have died of.
func hostileInputs() map[string]string {
	const many = 10 << 20
	repeat := func(s string) string { return strings.Repeat(s, many/len(s)) }
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	field := func(s string) string { return s[:1<<20-100] + "\r\n\r\nx" }
	uu := "begin 644 x\n#86)C\n"
	return map[string]string{
		"25 nested":             nestedMultiparts(25),
		"3000 nested":           nestedMultiparts(3000),
		"3000 nested messages":  strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3000),
		"40k tiny parts":        mixed + strings.Repeat("--b\r\n\r\nx\r\n", 40_000),
		"200k parts":            mixed + strings.Repeat("--b\r\n\r\n", 200_000),
		"1M header lines":       strings.Repeat("X: 1\r\n", 1_000_000),
		"10 MB header":          "X: " + repeat("y"),
		"10 MB folded header":   "X: " + repeat("y\r\n "),
		"10 MB blank folds":     "X: " + repeat("\r\n "),
		"10 MB without colon":   repeat("hello\r\n"),
		"no line feed":          "A: 1\r\n\r\n" + repeat("x"),
		"lines of dashes":       mixed + repeat("--\r\n"),
		"dashes":                mixed + repeat("-"),
		"nearly delimiters":     mixed + repeat("--a\r\n"),
		"begin lines":           "\r\n" + repeat("begin 644 x\r\n"),
		"uu without end":        "\r\n" + repeat(uu),
		"e lines in uu":         "\r\n" + uu + repeat("e\n"),
		"content-type epilogue": mixed + repeat("Content-Type: x\r\n"),
		"short lines":           "\r\n" + repeat("\n"),
		"CRs":                   "\r\n" + repeat("\r"),
		"comments":              field("Content-Type: text/plain; " + repeat("(;")),
		"params":                field("Content-Type: text/plain; " + repeat("a=b;")),
		"extended params":       field("Content-Type: text/plain; " + repeat("name*1*=b;")),
		"many extended":         field("Content-Type: text/plain; " + repeat("a*=b;b*=c;d*=e;")),
		"quotes":                field("Content-Disposition: a; " + repeat("filename=\";")),
		"words":                 field("Subject: " + repeat("=?u?q?")),
		"more words":            field("Subject: " + repeat("=?u?q?a?= ")),
		"long boundary":         field("Content-Type: multipart/mixed; boundary=" + repeat("a")),
		"many boundaries":       "Content-Type: multipart/mixed" + strings.Repeat("; boundary=a", 1) + strings.Repeat("; boundary=b", 999) + "\r\n\r\n" + repeat("--a\r\n"),
		"encoded 25 deep":       encodedMessages(25, "\r\nx"),
		"encoded bulk":          encodedMessages(3, "\r\n"+strings.Repeat("x", 3<<20)),
		"base64 of junk":        "Content-Transfer-Encoding: base64\r\n\r\n" + repeat("*"),
		"base64 of padding":     "Content-Transfer-Encoding: base64\r\n\r\n" + repeat("="),
		"qp of equals signs":    "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + repeat("="),
		"qp of blanks":          "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + repeat(" "),
		"parts in encoded": encodedMessages(1, mixed+strings.Repeat("--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
			base64.StdEncoding.EncodeToString(make([]byte, 9000))+"\r\n", 900)),
	}
}

// Whatever it is, it is read a small number of times, and takes less than 64 MB, all counted. This test
// measures memory: it must not run beside others.
func TestHostileInputs(t *testing.T) {
	for name, in := range hostileInputs() {
		t.Run(name, func(t *testing.T) {
			src := &counting{src: verdict.Bytes(in)}
			m := verdict.NewMessage(onlySource{src})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := lastError(m)
			walked := src.read.Load()
			m.Anomalies()
			runtime.ReadMemStats(&after)
			if err != nil && !errors.Is(err, verdict.ErrTooComplex) {
				t.Error(err)
			}
			if n > 1000 {
				t.Errorf("%d parts", n)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d bytes allocated", used)
			}
			// Finding the parts reads everything once, what is before the body twice, and an encoded
			// message twice more for each level.
			most := src.Size() + 1<<20
			if strings.Contains(name, "encoded") {
				most += 2 * 20 * src.Size()
			}
			if walked > most {
				t.Errorf("%d bytes read of %d to find the parts", walked, src.Size())
			}
			// Each part in an encoded message may have 32 KiB decoded in front of it.
			if read := src.read.Load() - walked; read > 20*src.Size()+64<<20 {
				t.Errorf("%d bytes read of %d to look at them", read, src.Size())
			}
		})
	}
}

// With the limits out of the way the work must still be linear.
func TestHostileInputsWithoutLimits(t *testing.T) {
	for name, in := range map[string]string{
		"nested":   nestedMultiparts(3000),
		"messages": strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3000),
		"parts":    multi("b", slices.Repeat([]string{text}, 40_000)...),
		"encoded":  encodedMessages(25, "\r\nx"),
	} {
		t.Run(name, func(t *testing.T) {
			src := &counting{src: verdict.Bytes(in)}
			m := verdict.NewMessage(onlySource{src})
			m.Limits = verdict.Limits{Depth: 1 << 20, Parts: 1 << 20, Headers: 1 << 30, Time: time.Minute}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := lastError(m)
			runtime.ReadMemStats(&after)
			if err != nil || n < 25 {
				t.Errorf("%d parts, %v", n, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d bytes allocated", used)
			}
			if most := 60*src.Size() + 1<<20; src.read.Load() > most {
				t.Errorf("%d bytes read of %d", src.read.Load(), src.Size())
			}
		})
	}
}
