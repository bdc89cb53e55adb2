package teststring_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// The conformance suite, in three lines.
func TestConformance(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner { return teststring.Scanner{} }, Hit: verdicttest.Malicious, Want: verdict.Malicious,
	})
}

func TestStrings(t *testing.T) {
	t.Parallel()
	if len(teststring.EICAR()) != 68 || crc32.ChecksumIEEE([]byte(teststring.EICAR())) != 0x6851cf3c {
		t.Errorf("EICAR is %d bytes, CRC %x", len(teststring.EICAR()), crc32.ChecksumIEEE([]byte(teststring.EICAR())))
	}
	if len(teststring.GTUBE) != 68 {
		t.Errorf("GTUBE is %d bytes", len(teststring.GTUBE))
	}
	seen := map[string]bool{"": true}
	for c := verdict.Unknown; c <= verdict.Malicious; c++ {
		s := teststring.Sample(c)
		if seen[s] || len(s) < 60 || len(s) > 76 || !strings.HasPrefix(s, "POSTREEVE*TEST*") || !strings.Contains(s, strings.ToUpper(c.String())) {
			t.Errorf("%v: %q", c, s)
		}
		seen[s] = true
	}
	if s := teststring.Sample(77); s != "" {
		t.Errorf("no class: %q", s)
	}
}

// The source files are harmless on the machines of developers.
func TestSourcesTripNothing(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{teststring.EICAR(), teststring.GTUBE, teststring.Spam, teststring.Malicious, teststring.Unknown, teststring.Clean} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds %q in one piece", f, s[:10])
			}
		}
	}
}

// outcome is a result in short: the codes, "!" behind those that could not tell, the class, an error.
func outcome(fs []verdict.Finding, err error) string {
	var codes []string
	for _, f := range fs {
		if f.Err != nil {
			f.Code += "!"
		}
		codes = append(codes, f.Code)
	}
	class := verdict.Highest(nil, fs)
	if err != nil {
		class = verdict.Highest(nil, append(fs, verdict.Finding{Err: err}))
		codes = append(codes, "error")
	}
	return strings.Join(append(codes, class.String()), " ")
}

func scan(t testing.TB, s teststring.Scanner, m *verdict.Message) string {
	t.Helper()
	return outcome(s.Scan(t.Context(), m))
}

func attached(t testing.TB, data []byte) *verdict.Message {
	t.Helper()
	return verdicttest.Mail{Attach: []verdicttest.Attachment{{Name: "a.bin", Data: data}}}.Message(t)
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	eicar := teststring.EICAR()
	wide := func(s string) (out []byte) {
		for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
			out = append(out, byte(u), byte(u>>8))
		}
		return out
	}
	report := func(kind string) *verdict.Message {
		return verdicttest.Mail{Attach: []verdicttest.Attachment{{Type: kind, Data: []byte("Subject: " + teststring.GTUBE + "\r\n")}}}.Message(t)
	}
	for _, tt := range []struct {
		name string
		m    *verdict.Message
		want string
	}{
		{"nothing", verdicttest.Clean(t), "clean"},
		{"GTUBE in text", verdicttest.Spam(t), "test.gtube spam"},
		{"GTUBE in the subject", verdicttest.Mail{Subject: teststring.GTUBE}.Message(t), "test.gtube spam"},
		{"GTUBE in an encoded subject", verdicttest.Mail{Subject: "grüß " + teststring.GTUBE}.Message(t), "test.gtube spam"},
		{"GTUBE in HTML", verdicttest.Mail{HTML: "<p>" + teststring.GTUBE + "</p>"}.Message(t), "test.gtube spam"},
		{"GTUBE in a line of others", verdicttest.Mail{Text: "xXJS*" + teststring.GTUBE + "*x"}.Message(t), "test.gtube spam"},
		{"GTUBE with one letter changed", verdicttest.Mail{Text: strings.Replace(teststring.GTUBE, "C.34X", "C.34Y", 1)}.Message(t), "clean"},
		{"GTUBE in another field", verdicttest.Mail{Header: []string{"X-A: " + teststring.GTUBE}}.Message(t), "clean"},
		{"GTUBE in a big file", attached(t, append(noise(300<<10), teststring.GTUBE...)), "test.gtube spam"},
		{"GTUBE in UTF-16", verdicttest.Mail{Attach: []verdicttest.Attachment{{Type: "text/plain; charset=utf-16", Data: wide("a " + teststring.GTUBE)}}}.Message(t), "test.gtube spam"},
		{"GTUBE in an attached message", verdicttest.Mail{Attach: []verdicttest.Attachment{{Type: "message/rfc822", Data: verdicttest.Mail{Text: teststring.GTUBE}.Bytes()}}}.Message(t), "test.gtube spam"},
		{"quoted in a delivery report", report("message/delivery-status"), "clean"},
		{"quoted header in a report", report("text/rfc822-headers"), "clean"},
		{"EICAR attached", verdicttest.Malicious(t), "test.eicar malicious"},
		{"EICAR as text", verdicttest.Mail{Text: eicar + "\n"}.Message(t), "test.eicar malicious"},
		{"EICAR with white space up to 128", attached(t, []byte(eicar+strings.Repeat(" \t\r\n\x1a", 12))), "test.eicar malicious"},
		{"EICAR with white space beyond 128", attached(t, []byte(eicar+strings.Repeat(" ", 61))), "clean"},
		{"EICAR with text behind", attached(t, []byte(eicar+" x")), "clean"},
		{"EICAR not at the beginning", attached(t, []byte(" "+eicar)), "clean"},
		{"EICAR quoted in text", verdicttest.Mail{Text: "The file is\n" + eicar + "\n"}.Message(t), "clean"},
		{"ours, clean", verdicttest.Mail{Text: teststring.Clean}.Message(t), "test.clean clean"},
		{"ours, spam", verdicttest.Mail{Text: teststring.Spam}.Message(t), "test.spam spam"},
		{"ours, malicious", verdicttest.Mail{Text: teststring.Malicious}.Message(t), "test.malicious malicious"},
		{"ours, unknown", verdicttest.Mail{Text: teststring.Unknown}.Message(t), "test.unknown error unknown"},
		{"unknown and malicious", verdicttest.Mail{Text: teststring.Unknown, HTML: teststring.Malicious}.Message(t), "test.unknown test.malicious error malicious"},
		{"the prefix only", verdicttest.Mail{Text: teststring.Spam[:20]}.Message(t), "clean"},
		{"twice is once", verdicttest.Mail{Subject: teststring.GTUBE, Text: teststring.GTUBE}.Message(t), "test.gtube spam"},
	} {
		if got := scan(t, teststring.Scanner{}, tt.m); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A string is found wherever it lies across the borders of what is read at a time.
func TestBorders(t *testing.T) {
	t.Parallel()
	const around = 68 << 10
	for _, s := range []string{teststring.GTUBE, teststring.Malicious} {
		for at := around - len(s) - 2; at <= around+2; at++ {
			data := bytes.Repeat([]byte("x"), 3*around)
			copy(data[at:], s)
			if got := scan(t, teststring.Scanner{}, verdicttest.Mail{Attach: []verdicttest.Attachment{{Data: data, Encoding: "binary"}}}.Message(t)); !strings.HasPrefix(got, "test.") {
				t.Errorf("%.10s at %d: %s", s, at, got)
			}
		}
	}
}

func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

type file struct {
	name string
	data []byte
}

func zipped(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		method := zip.Deflate
		if len(f.data) == 0 {
			method = zip.Store
		}
		fw, err := w.CreateHeader(&zip.FileHeader{Name: f.name, Method: method})
		if err == nil {
			_, err = fw.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.data))})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stored returns a zip file with EICAR that is not compressed, and the place of its central directory.
func stored(t testing.TB) (z []byte, directory int) {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	fw, err := w.CreateHeader(&zip.FileHeader{Name: "a.txt", Method: zip.Store})
	if err == nil {
		_, err = io.WriteString(fw, teststring.EICAR())
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), bytes.Index(b.Bytes(), []byte("PK\x01\x02"))
}

func TestArchives(t *testing.T) {
	t.Parallel()
	eicar := []byte(teststring.EICAR())
	virus := file{"eicar.com", eicar}
	filler := file{"filler.bin", noise(200 << 10)}
	nest := func(n int, wrap func(testing.TB, ...file) []byte) []byte {
		data := eicar
		for range n {
			data = wrap(t, file{"inner", data})
		}
		return data
	}
	gz := func(t testing.TB, f ...file) []byte { return gzipped(t, f[0].data) }
	encrypted, dir := stored(t)
	encrypted[6] |= 1
	encrypted[dir+8] |= 1
	encrypted = bytes.ReplaceAll(encrypted, eicar, noise(len(eicar)))
	unknownMethod, dir := stored(t)
	unknownMethod[dir+10] = 9
	badSum, dir := stored(t)
	badSum[dir+16] ^= 1
	overlapping := overlap(t)
	cutZip := zipped(t, virus, filler)
	cutGzip := gzipped(t, append(noise(100<<10), eicar...))
	cutTar := tarred(t, file{"a", nil}, file{"b", noise(10 << 10)})
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"zip", zipped(t, file{"a", nil}, virus), "test.eicar malicious"},
		{"tar", tarred(t, file{"a", nil}, virus), "test.eicar malicious"},
		{"gzip", gzipped(t, eicar), "test.eicar malicious"},
		{"tar.gz", gzipped(t, tarred(t, filler, virus)), "test.eicar malicious"},
		{"large members, spooled", zipped(t, filler, file{"a.tar", tarred(t, filler, file{"b.zip", zipped(t, filler, virus)})}), "test.eicar malicious"},
		{"innocent", zipped(t, filler, file{"a.tar.gz", gzipped(t, tarred(t, filler))}), "clean"},
		{"empty zip", zipped(t), "clean"},
		{"zip behind other data", append(noise(1000), zipped(t, virus)...), "test.eicar malicious"},
		{"zip behind much other data", append(noise(500<<10), zipped(t, virus)...), "test.eicar malicious"},
		{"zip behind other data, in a zip", zipped(t, file{"p", append(noise(500<<10), zipped(t, virus)...)}), "test.eicar malicious"},
		{"gzip with a zip behind", append(gzipped(t, []byte("x")), zipped(t, virus)...), "archive.broken test.eicar malicious"},
		{"end record by chance", append(noise(1000), "PK\x05\x06 and so on, but no archive"...), "clean"},
		{"5 zips", nest(5, zipped), "test.eicar malicious"},
		{"6 zips", nest(6, zipped), "archive.limit! unknown"},
		{"5 gzips", nest(5, gz), "test.eicar malicious"},
		{"6 tars", nest(6, tarred), "archive.limit! unknown"},
		{"1,000 members", zipped(t, many(1000)...), "clean"},
		{"1,001 members", zipped(t, many(1001)...), "archive.limit! unknown"},
		{"1,001 members of a tar", tarred(t, many(1001)...), "archive.limit! unknown"},
		{"a directory of 50,000", zipped(t, many(50000)...), "archive.limit! unknown"},
		{"members on top of each other", overlapping, "archive.limit! unknown"},
		{"encrypted", encrypted, "archive.locked clean"},
		{"encrypted beside EICAR", zipped(t, file{"e.zip", encrypted}, virus), "archive.locked test.eicar malicious"},
		{"unknown method", unknownMethod, "archive.broken! unknown"},
		{"wrong sum, read to its end", badSum, "test.eicar archive.broken malicious"},
		{"zip cut", cutZip[:len(cutZip)-30], "archive.broken! unknown"},
		{"zip cut, in a tar", tarred(t, file{"z", cutZip[:300]}), "archive.broken! unknown"},
		{"gzip cut", cutGzip[:len(cutGzip)-1000], "archive.broken! unknown"},
		{"gzip with a wrong sum", append(cutGzip[:len(cutGzip)-8:len(cutGzip)-8], "wrong sum"...), "archive.broken! unknown"},
		{"gzip with other data behind", append(gzipped(t, eicar), noise(100)...), "test.eicar archive.broken malicious"},
		{"gzip that is none", []byte("\x1f\x8b\x08\xff\xff\xff"), "archive.broken! unknown"},
		{"tar cut", cutTar[:5000], "archive.broken! unknown"},
		{"EICAR in front of what is broken", zipped(t, virus, file{"z", cutZip[:300]}), "test.eicar archive.broken! malicious"},
		{"1 MiB of nothing", gzipped(t, make([]byte, 1<<20)), "clean"},
		{"2 MiB of nothing", gzipped(t, make([]byte, 2<<20)), "archive.limit! unknown"},
		{"90 MiB", gentle(t, 90), "clean"},
		{"110 MiB", gentle(t, 110), "archive.limit! unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := scan(t, teststring.Scanner{Time: time.Minute}, attached(t, tt.data)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func many(n int) []file {
	out := make([]file, n)
	for i := range out {
		out[i].name = fmt.Sprint(i)
	}
	return out
}

// gentle returns a gzip file of n MiB that is about a hundredth of that: one for each MiB, in a row.
func gentle(t testing.TB, n int) []byte {
	t.Helper()
	var mib []byte
	for seed := noise(1 << 20); len(mib) < 1<<20; seed = seed[40:] {
		mib = append(mib, bytes.Repeat(seed[:40], 100)...)
	}
	return bytes.Repeat(gzipped(t, mib[:1<<20]), n)
}

// overlap returns a zip file with a directory that names one member a hundred times.
func overlap(t testing.TB) []byte {
	t.Helper()
	z := zipped(t, file{"bomb", noise(1000)})
	dir := bytes.Index(z, []byte("PK\x01\x02"))
	end := bytes.LastIndex(z, []byte("PK\x05\x06"))
	out := append([]byte(nil), z[:dir]...)
	for range 100 {
		out = append(out, z[dir:end]...)
	}
	last := append([]byte(nil), z[end:]...)
	n := 100 * (end - dir)
	last[8], last[10] = 100, 100
	last[12], last[13], last[14] = byte(n), byte(n>>8), byte(n>>16)
	return append(out, last...)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	two := zipped(t, file{"a", noise(1000)}, file{"b", zipped(t, file{"c", noise(1000)})})
	for _, tt := range []struct {
		name string
		s    teststring.Scanner
		want string
	}{
		{"defaults", teststring.Scanner{}, "clean"},
		{"depth", teststring.Scanner{Depth: 1}, "archive.limit! unknown"},
		{"depth, enough", teststring.Scanner{Depth: 2}, "clean"},
		{"entries", teststring.Scanner{Entries: 2}, "archive.limit! unknown"},
		{"entries, enough", teststring.Scanner{Entries: 3}, "clean"},
		{"output", teststring.Scanner{Output: 3000}, "archive.limit! unknown"},
		{"output, enough", teststring.Scanner{Output: 4000}, "clean"},
		{"time", teststring.Scanner{Time: 1}, "archive.limit! unknown"},
	} {
		if got := scan(t, tt.s, attached(t, two)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// The limits hold for the message, not for each of its parts.
	both := verdicttest.Mail{Attach: []verdicttest.Attachment{{Data: two}, {Data: two}}}.Message(t)
	if got := scan(t, teststring.Scanner{Entries: 5}, both); got != "archive.limit! unknown" {
		t.Errorf("two parts: %s", got)
	}
}

// What cannot be unpacked for lack of space is an error, and no fault of the archive.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	s := teststring.Scanner{Spool: &verdict.Spool{Memory: 1, Total: 1, Dir: filepath.Join(t.TempDir(), "missing")}}
	data := zipped(t, file{"a", noise(300 << 10)})
	fs, err := s.Scan(t.Context(), attached(t, data))
	if !errors.Is(err, os.ErrNotExist) || len(fs) != 0 {
		t.Errorf("%v, %v", fs, err)
	}
}

// The place is named down to the member.
func TestPart(t *testing.T) {
	t.Parallel()
	m := verdicttest.Mail{Attach: []verdicttest.Attachment{{
		Name: "a.zip", Data: zipped(t, file{"b.tar", tarred(t, file{"dir/" + strings.Repeat("long", 100), []byte(teststring.GTUBE)})}),
	}}}.Message(t)
	fs, err := teststring.Scanner{}.Scan(t.Context(), m)
	if err != nil || len(fs) != 1 {
		t.Fatal(fs, err)
	}
	if want := "2 a.zip!b.tar!dir/longlong"; !strings.HasPrefix(fs[0].Part, want) || len(fs[0].Part) > 200 {
		t.Errorf("%q, want %q…", fs[0].Part, want)
	}
}

// The end of the context ends the work on an archive, as an error.
func TestContextInArchive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	m := attached(t, gentle(t, 90))
	for range m.Parts() { // parsed beforehand
	}
	fs, err := teststring.Scanner{Time: time.Hour}.Scan(ctx, m)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", fs, err)
	}
}

// Archives of the corpus: what is whole is read, what is not is never clean.
func TestCorpusArchives(t *testing.T) {
	t.Parallel()
	root := corpus(t)
	got := map[string]string{}
	for _, dir := range []string{"att-archives/go-zip", "att-archives/go-tar", "att-archives/archives"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got[filepath.Base(f)] = scan(t, teststring.Scanner{}, attached(t, b))
		}
	}
	for name, want := range map[string]string{
		"test-prefix.zip":        "clean",
		"gnu-incremental.tar":    "archive.limit! unknown", // a sparse file of 512 MB
		"pax-bad-hdr-file.tar":   "archive.broken! unknown",
		"crc32-not-streamed.zip": "clean",
	} {
		if d := cmp.Diff(want, got[name]); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for name, o := range got {
		if strings.Contains(o, "test.") {
			t.Errorf("%s: %s", name, o)
		}
	}
}

func corpus(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no module around this test")
		}
	}
	root := filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no corpus beside the module")
	}
	return root
}
