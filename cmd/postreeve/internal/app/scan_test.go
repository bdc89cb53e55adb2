package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// row is a line of scan --json.
type row struct {
	Path     string
	Class    string
	Findings []struct{ Scanner, Code, Class, Part, Error string }
	TookMS   float64 `json:"took_ms"`
	Wrapped  bool
	Error    string
}

func message(subject, body string) string {
	return "From: <a@example.org>\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n"
}

func zipped(t testing.TB, name, content string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// write makes a folder of files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const fromLine = "From a@example.org Sat Nov 21 10:00:00 2026\n"

func TestScan(t *testing.T) {
	t.Parallel()
	spam, malicious := message("x", teststring.Spam), message("x", teststring.Malicious)
	for name, c := range map[string]struct {
		files map[string]string // paths are the folder
		stdin string            // path is -
		code  int
		want  []string // class, path relative to the folder, * for wrapped
	}{
		"clean":             {files: map[string]string{"a.eml": message("x", "hello")}, want: []string{"clean a.eml"}},
		"spam":              {files: map[string]string{"a": spam, "b": message("x", "y")}, code: 1, want: []string{"spam a", "clean b"}},
		"malicious":         {files: map[string]string{"a": malicious}, code: 2, want: []string{"malicious a"}},
		"unknown":           {files: map[string]string{"a": message("x", teststring.Unknown)}, code: 3, want: []string{"unknown a"}},
		"unknown over spam": {files: map[string]string{"a": message("x", teststring.Unknown), "b": spam}, code: 3, want: []string{"unknown a", "spam b"}},
		"malicious over all": {
			files: map[string]string{"a": malicious, "b": message("x", teststring.Unknown), "c": spam}, code: 2,
			want: []string{"malicious a", "unknown b", "spam c"},
		},
		"LF":      {files: map[string]string{"a": strings.ReplaceAll(spam, "\r\n", "\n")}, code: 1, want: []string{"spam a"}},
		"folders": {files: map[string]string{"b/2": spam, "b/1": "", "a/x/y": malicious}, code: 2, want: []string{"malicious a/x/y", "clean b/1", "spam b/2"}},
		"zip file": {
			files: map[string]string{"invoice.zip": zipped(t, "x.com", teststring.EICAR())}, code: 2, want: []string{"malicious invoice.zip *"},
		},
		"text file": {files: map[string]string{"a.txt": "just text with " + teststring.Spam}, code: 1, want: []string{"spam a.txt *"}},
		"calendar":  {files: map[string]string{"a.ics": "BEGIN:VCALENDAR\r\nDESCRIPTION:" + teststring.Spam + "\r\n"}, code: 1, want: []string{"spam a.ics *"}},
		"odd name":  {files: map[string]string{"a\"\r\nX: y.zip": zipped(t, "x", teststring.Spam)}, code: 1, want: []string{"spam a\"\r\nX: y.zip *"}},
		"mailbox": {
			files: map[string]string{"m": fromLine + message("1", "hi\n\nFrom here it is text") + "\n" + fromLine + spam + "\n" + fromLine + message("3", ">From x\n>>From y")},
			code:  1, want: []string{"clean m#1", "spam m#2", "clean m#3"},
		},
		"mailbox of one":   {files: map[string]string{"m": fromLine + spam}, code: 1, want: []string{"spam m"}},
		"mailbox of none":  {files: map[string]string{"m": "From "}, want: []string{"clean m"}},
		"stdin":            {stdin: spam, code: 1, want: []string{"spam -"}},
		"mailbox on stdin": {stdin: fromLine + malicious + "\n" + fromLine + spam, code: 2, want: []string{"malicious -#1", "spam -#2"}},
		"zip on stdin":     {stdin: zipped(t, "x", teststring.EICAR()), code: 2, want: []string{"malicious - *"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := "-"
			if c.files != nil {
				dir = write(t, c.files)
			}
			got := run(t, c.stdin, "scan", "--json", "--no-dns", dir)
			var have []string
			for _, r := range lines[row](t, got.out) {
				if r.Error != "" {
					t.Errorf("%s: %s", r.Path, r.Error)
				}
				s := r.Class + " " + strings.TrimPrefix(r.Path, dir+"/")
				if r.Wrapped {
					s += " *"
				}
				have = append(have, s)
			}
			if diff := cmp.Diff(c.want, have); diff != "" || got.code != c.code {
				t.Errorf("exit %d, want %d; (-want +got):\n%s", got.code, c.code, diff)
			}
			if !strings.Contains(got.err, fmt.Sprintf("%d message", len(c.want))) {
				t.Errorf("the summary is %q", got.err)
			}
			if plain := run(t, c.stdin, "scan", "--no-dns", dir); plain.code != c.code || strings.Count(plain.out, "\n") != len(c.want) {
				t.Errorf("without --json: %+v", plain)
			}
		})
	}
}

// TestScanMailboxUnescapes looks at what the quoting of mailboxes must not do to a message.
func TestScanMailboxUnescapes(t *testing.T) {
	t.Parallel()
	half := len(teststring.Spam) / 2
	// A test string is found only if ">From " at the beginning of a line loses its mark.
	body := fromLine + "From: <a@example.org>\n\n>From " + teststring.Spam[:half] + teststring.Spam[half:] + "\n"
	if got := run(t, body, "scan", "-"); got.code != 1 {
		t.Errorf("got %+v", got)
	}
	long := fromLine + message("x", strings.Repeat(">", 100_000)+"\n"+strings.Repeat("x", 300_000)+"\n"+teststring.Spam)
	if got := run(t, long, "scan", "-"); got.code != 1 {
		t.Errorf("long lines: %d %s", got.code, got.err)
	}
}

func TestScanUnreadable(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"a": message("x", "y")})
	got := run(t, "", "scan", "--json", filepath.Join(dir, "none\x1b"), dir)
	rows := lines[row](t, got.out)
	if got.code != 3 || len(rows) != 2 || rows[0].Class != "unknown" || rows[0].Error == "" || rows[1].Class != "clean" {
		t.Errorf("got %+v", got)
	}
	if plain := run(t, "", "scan", filepath.Join(dir, "none\x1b")); strings.Contains(plain.out, "\x1b") || !strings.Contains(plain.out, "no such file") {
		t.Errorf("hostile name: %q", plain.out)
	}
	if empty := run(t, "", "scan", "-"); empty.code != 3 || !strings.Contains(empty.out, "standard input is empty") {
		t.Errorf("nothing at all: %+v", empty)
	}
	if empty := run(t, "", "scan", t.TempDir()); empty.code != 3 {
		t.Errorf("an empty folder: %+v", empty)
	}
}

func TestScanConfig(t *testing.T) {
	t.Parallel()
	const head = "hostname: mx.gw.example\nlisten: [\":25\"]\ndomains: {ex.net: {next-hop: 192.0.2.1, verification: waived}}\n"
	dir := write(t, map[string]string{
		"none.yaml":      head + "scanners: []\n",
		"structure.yaml": head + "scanners: [structure]\n",
		"monitor.yaml":   head + "scanners: [structure, {name: teststring, monitor: true, timeout: 5s, on-error: spam}]\nscan: {stop-at-malicious: true}\n",
		"bad.yaml":       head + "scaners: []\n",
		"mail":           message("x", teststring.Malicious),
	})
	for name, want := range map[string]int{"none.yaml": 0, "structure.yaml": 0, "monitor.yaml": 0, "bad.yaml": 64, "missing.yaml": 64} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", "scan", "--json", "-c", filepath.Join(dir, name), filepath.Join(dir, "mail"))
			if got.code != want {
				t.Errorf("got %+v, want exit %d", got, want)
			}
			if name == "monitor.yaml" && !strings.Contains(got.out, "test.malicious") {
				t.Errorf("the finding of a monitor is evidence: %s", got.out)
			}
		})
	}
}

func TestScanInterrupted(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprint(i)] = message("x", "y")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errw bytes.Buffer
	if code := app.Run(ctx, []string{"scan", write(t, files)}, strings.NewReader(""), &out, &errw); code != 3 || !strings.Contains(errw.String(), "interrupted") {
		t.Errorf("exit %d, %s", code, errw.String())
	}
}

// TestScanOutputFails: a pipe that is closed ends the scan with an error, and no verdict.
func TestScanOutputFails(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var errw bytes.Buffer
	dir := write(t, map[string]string{"a": message("x", "y")})
	if code := app.Run(t.Context(), []string{"scan", "--json", dir}, strings.NewReader(""), w, &errw); code != 3 || !strings.Contains(errw.String(), "writing output") {
		t.Errorf("exit %d, %s", code, errw.String())
	}
}

// corpus finds test mail beside the module.
func corpus(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the test corpus is not here")
	}
	return dir
}

func TestScanCorpus(t *testing.T) {
	t.Parallel()
	root := corpus(t)
	want, all := 0, 0
	paths := []string{root}
	filepath.WalkDir(root, func(p string, d os.DirEntry, _ error) error {
		if !d.Type().IsRegular() {
			return nil
		}
		if all++; slowdown == 1 {
			want++
		} else if all%20 == 0 { // a sample, to end in a minute
			want++
			paths = append(paths, p)
		}
		return nil
	})
	if slowdown > 1 {
		paths = paths[1:]
	}
	got := run(t, "", append([]string{"scan", "--json", "--no-dns"}, paths...)...)
	seen := map[string]bool{}
	for _, r := range lines[row](t, got.out) {
		file, _, _ := strings.Cut(r.Path, "#")
		seen[file] = true
		if r.TookMS > 2000*slowdown || r.Error != "" {
			t.Errorf("%s: %v ms, %s", r.Path, r.TookMS, r.Error)
		}
	}
	if len(seen) != want || got.code > 3 {
		t.Errorf("exit %d, %d files of %d: %s", got.code, len(seen), want, got.err)
	}
}

// FuzzScan judges anything on standard input: there is always a class for each message, and nothing that
// speaks to a terminal.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"", message("x", "y"), fromLine + message("x", "y\n\n"+fromLine), "From ", fromLine + "\n>From \n\n" + fromLine,
		zipped(f, "x", teststring.Spam), "\x00\x1b[31m", "BEGIN:VCALENDAR\r\n", "Subject: \x1b\r\n\r\n" + teststring.Unknown,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := run(t, in, "scan", "--json", "--no-dns", "-")
		rows := lines[row](t, got.out)
		if len(rows) == 0 || got.code > 3 || got.code < 0 {
			t.Errorf("exit %d with %d rows", got.code, len(rows))
		}
		plain := run(t, in, "scan", "--no-dns", "-")
		if strings.ContainsFunc(plain.out, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) || plain.code != got.code {
			t.Errorf("exit %d and %d, output %q", plain.code, got.code, plain.out)
		}
	})
}
