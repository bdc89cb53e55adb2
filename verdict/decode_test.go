package verdict

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type decodeCase struct {
	name, encoding, in, want string
	flags                    decodeFlags
}

// decodeCases are shared with the fuzzers. What is wanted is what mail clients show.
var decodeCases = []decodeCase{
	{"empty", encBase64, "", "", 0},
	{"plain", encBase64, "aGVsbG8gd29ybGQ=\r\n", "hello world", 0},
	{"two lines", encBase64, "aGVsbG8g\r\nd29ybGQh\r\n", "hello world!", 0},
	{"LF only", encBase64, "aGVsbG8g\nd29ybGQh\n", "hello world!", 0},
	{"groups cut by line ends", encBase64, "aGVsb\r\nG8gd29y\r\nbGQh", "hello world!", 0},
	{"blanks", encBase64, " aGVs\tbG8g d29ybGQh \r\n", "hello world!", 0},
	{"stray bytes", encBase64, "aGVs*bG8g-d29y\x80bGQh", "hello world!", base64Junk},
	{"NUL", encBase64, "aGVs\x00bG8g", "hello ", base64Junk},
	{"missing padding, two bytes", encBase64, "aGVsbG8", "hello", base64Length},
	{"missing padding, one byte", encBase64, "aGVsbA", "hell", base64Length},
	{"one character too many", encBase64, "aGVsb", "hel", base64Length},
	{"half of the padding", encBase64, "aGVsbA=", "hell", 0},
	{"padding in the middle", encBase64, "aGVsbA==bG8gd29ybGQh", "helllo world!", base64Padding},
	{"padding at each line", encBase64, "aGVsbA==\r\nbG8=\r\nIQ==\r\n", "helllo!", base64Padding},
	{"early padding", encBase64, "=aGVsbG8h", "hello!", base64Padding},
	{"padding only", encBase64, "====", "", base64Padding},
	{"too much padding", encBase64, "aGVsbA====", "hell", 0},
	{"padding after one character", encBase64, "aGVsb===", "hel", base64Length},
	{"footer", encBase64, "aGVsbG8h\r\n--\r\n", "hello!", base64Junk},
	{"url alphabet", encBase64, "-_-_", "", base64Junk},
	{"CR inside", encBase64, "aGVs\rbG8h\r\n", "hello!", 0},

	{"plain", encQuoted, "caf=C3=A9 =3D\r\n", "café =\r\n", 0},
	{"soft break", encQuoted, "one =\r\ntwo=\nthree", "one twothree", 0},
	{"soft break with blanks", encQuoted, "one= \t \r\ntwo", "onetwo", 0},
	{"blanks at the end", encQuoted, "one \t \r\ntwo  ", "one\r\ntwo", 0},
	{"lower case", encQuoted, "=c3=a9", "é", 0},
	{"bad escape", encQuoted, "a=ZZb=4", "a=ZZb=4", qpEscape},
	{"equals at the end", encQuoted, "abc=", "abc", 0},
	{"doubled", encQuoted, "==41", "=A", qpEscape},
	{"8 bit", encQuoted, "\xC3\xA9=\r\n!", "é!", 0},
	{"bare CR", encQuoted, "a\rb\r\n", "a\rb\r\n", 0},
	{"LF", encQuoted, "a\nb\n", "a\nb\n", 0},

	{"plain", encUU, "begin 644 x.txt\n+:&5L;&\\@=V]R;&0\n`\nend\n", "hello world", 0},
	{"CRLF", encUU, "begin 644 x.txt\r\n+:&5L;&\\@=V]R;&0\r\n`\r\nend\r\n", "hello world", 0},
	{"text around", encUU, "see below\nbegin 644 x\n#86)C\n`\nend\nand above\n", "abc", 0},
	{"no end", encUU, "begin 644 x\n#86)C\n", "abc", 0},
	{"lost blanks", encUU, "begin 644 x\n#80\n`\nend\n", "a\x00\x00", 0},
	{"checksum", encUU, "begin 644 x\n#86)CX\n`\nend\n", "abc", 0},
	{"odd line", encUU, "begin 644 x\n#86)C\nhello there\n#86)C\nend\n", "abcabc", uuLine},
	{"no begin", encUU, "#86)C\nend\n", "", 0},
	{"two files", encUU, "begin 644 x\n#86)C\nend\nbegin 644 y\n#86)C\nend\n", "abc", 0},
}

// decodeAll decodes in through a reader that reads in the given way.
func decodeAll(t testing.TB, encoding, in string, wrap func(io.Reader) io.Reader) (string, decodeFlags) {
	t.Helper()
	r := newDecodeReader(io.NopCloser(wrap(strings.NewReader(in))), newDecoder(encoding))
	var out bytes.Buffer
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatalf("decoding: %v", err)
	}
	flags := r.dec.flags()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), flags
}

func atOnce(r io.Reader) io.Reader { return r }

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range decodeCases {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": atOnce, "bytes": iotest.OneByteReader, "half": iotest.HalfReader, "with EOF": iotest.DataErrReader,
		} {
			t.Run(c.encoding+"/"+c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				got, flags := decodeAll(t, c.encoding, c.in, wrap)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("content (-want +got):\n%s", diff)
				}
				if flags != c.flags {
					t.Errorf("flags %b, want %b", flags, c.flags)
				}
			})
		}
	}
}

// Lines and runs longer than any buffer must neither stall nor grow it.
func TestDecodeLongLines(t *testing.T) {
	t.Parallel()
	const n = 5*decodeSize + 3
	raw := strings.Repeat("abcdefg", n/7)
	for _, c := range []struct {
		name, encoding, in, want string
	}{
		{"base64", encBase64, base64.StdEncoding.EncodeToString([]byte(raw)), raw},
		{"base64 off the groups", encBase64, "\r\n " + base64.StdEncoding.EncodeToString([]byte(raw)), raw},
		{"qp", encQuoted, raw, raw},
		{"qp escapes", encQuoted, strings.Repeat("=41", n), strings.Repeat("A", n)},
		{"qp off", encQuoted, "x" + strings.Repeat("=41", n), "x" + strings.Repeat("A", n)},
		{"qp off by two", encQuoted, "xy" + strings.Repeat("=41", n), "xy" + strings.Repeat("A", n)},
		{"qp blanks", encQuoted, strings.Repeat(" ", n) + "x", strings.Repeat(" ", n) + "x"},
		{"qp equals signs", encQuoted, strings.Repeat("=", n) + "x", strings.Repeat("=", n) + "x"},
		{"uu", encUU, "begin 644 x\n#86)C\n" + raw + "\n#86)C\nend\n", "abcabc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _ := decodeAll(t, c.encoding, c.in, atOnce)
			if got != c.want {
				t.Errorf("%d bytes, want %d", len(got), len(c.want))
			}
		})
	}
}

func TestDecodeReaderErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	r := newDecodeReader(io.NopCloser(io.MultiReader(strings.NewReader("aGVsbG8h"), iotest.ErrReader(broken))), newDecoder(encBase64))
	if b, err := io.ReadAll(r); !errors.Is(err, broken) || string(b) != "hello!" {
		t.Errorf("got %q, %v; want hello! and the error of the source", b, err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("Read after Close succeeds")
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, c := range decodeCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		whole, flags := decodeAll(t, encBase64, in, atOnce)
		if pieces, pf := decodeAll(t, encBase64, in, iotest.OneByteReader); pieces != whole || pf != flags {
			t.Fatalf("in pieces %q %b, whole %q %b", pieces, pf, whole, flags)
		}
		want, err := base64.StdEncoding.DecodeString(in)
		if err == nil && (whole != string(want) || flags != 0) {
			t.Fatalf("%q flags %b, the standard library says %q", whole, flags, want)
		}
	})
}

func FuzzDecodeQP(f *testing.F) {
	for _, c := range decodeCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		whole, flags := decodeAll(t, encQuoted, in, atOnce)
		if pieces, pf := decodeAll(t, encQuoted, in, iotest.OneByteReader); pieces != whole || pf != flags {
			t.Fatalf("in pieces %q %b, whole %q %b", pieces, pf, whole, flags)
		}
		// The standard library is strict about control bytes, and lax about CR, which is not in question.
		if flags != 0 || len(in) > decodeSize/2 || strings.Contains(strings.ReplaceAll(in, "\r\n", ""), "\r") {
			return
		}
		want, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(in)))
		if err == nil && whole != string(want) {
			t.Fatalf("%q, the standard library says %q", whole, want)
		}
	})
}

func FuzzDecodeUU(f *testing.F) {
	for _, c := range decodeCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		whole, flags := decodeAll(t, encUU, in, atOnce)
		if pieces, pf := decodeAll(t, encUU, in, iotest.OneByteReader); pieces != whole || pf != flags {
			t.Fatalf("in pieces %q %b, whole %q %b", pieces, pf, whole, flags)
		}
		if len(whole) > len(in) {
			t.Fatalf("%d bytes of %d", len(whole), len(in))
		}
	})
}

func BenchmarkDecodeBase64(b *testing.B) {
	var in []byte
	line := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("abc"), 19)) + "\r\n")
	for len(in) < 5<<20 {
		in = append(in, line...)
	}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := newDecodeReader(bytesReader{bytes.NewReader(in)}, newDecoder(encBase64))
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
