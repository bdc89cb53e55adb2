package verdict_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

// corpusDir returns the folder of messages that lies beside the module, if there is one.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no go.mod above the working directory")
		}
		dir = up
	}
	dir = filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(filepath.Join(dir, "labels.tsv")); err != nil {
		t.Skip("no corpus beside the module")
	}
	return dir
}

// corpusFiles are the paths of the files with one of the labels.
func corpusFiles(t *testing.T, dir string, labels ...string) (paths []string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wanted := make(map[string]bool)
	for _, l := range labels {
		wanted[l] = true
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		if cols := strings.Split(s.Text(), "\t"); len(cols) > 1 && wanted[cols[1]] {
			paths = append(paths, filepath.Join(dir, cols[0]))
		}
	}
	if len(paths) == 0 {
		t.Fatal("no files with these labels")
	}
	return paths
}

// Every message of the corpus is taken apart, the same way from memory and from a file, with little memory.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	for _, path := range corpusFiles(t, dir, "ham", "spam", "phish", "parser", "malformed", "bounce", "report", "fuzz") {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			file, err := verdict.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m := verdict.NewMessage(verdict.Bytes(raw))
			if h := m.Header(); h.Err() == nil {
				checkOffsets(t, raw, h)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := lastError(m)
			runtime.ReadMemStats(&after)
			if err != nil && !errors.Is(err, verdict.ErrTooComplex) {
				t.Fatal(err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+16*uint64(len(raw)) {
				t.Errorf("%d bytes allocated for a message of %d with %d parts", used, len(raw), n)
			}
			if len(raw) > 16<<10 {
				m.Anomalies()
				return
			}
			fromMemory, _ := summarize(t, m)
			fromFile, _ := summarize(t, verdict.NewMessage(file))
			if diff := cmp.Diff(fromMemory, fromFile); diff != "" {
				t.Errorf("(-memory +file):\n%s", diff)
			}
		})
	}
}

// Real mail that people wanted is nearly free of anomalies that have a score.
func TestCorpusHamHasForm(t *testing.T) {
	dir := corpusDir(t)
	paths := corpusFiles(t, dir, "ham")
	scored := 0
	for _, path := range paths {
		file, err := verdict.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found, err := verdict.Structure{}.Scan(t.Context(), verdict.NewMessage(file))
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		score := 0.0
		for _, f := range found {
			score += f.Score
		}
		if score > 0 {
			scored++
			t.Logf("%s: %v %+v", path, score, found)
		}
	}
	if scored*100 > len(paths)*2 {
		t.Errorf("%d of %d messages have a score for their form", scored, len(paths))
	}
}

// Structures that were read off the messages by people, or by the other parsers that they come from.
func TestCorpusStructure(t *testing.T) {
	t.Parallel()
	dir := corpusDir(t)
	for path, want := range map[string][]string{
		"mime-cpython/msg_10.txt":                {" multipart/mixed", "1 text/plain 32", "2 text/html 45", "3 text/plain 33", "4 text/plain 34", "5 text/plain 47"},
		"mime-cpython/msg_38.txt":                {" multipart/mixed", "1 multipart/mixed", "1.1 multipart/alternative", "1.1.1 text/plain 124", "1.2 text/plain 4", "2 text/plain 1556", "3 text/plain 50"},
		"mime-cpython/msg_46.txt":                {"1 message/rfc822", "1.1 text/plain 49"},
		"mime-enmime/parts/similar-boundary.raw": {" multipart/mixed", "1 text/plain 12", "2 multipart/alternative", "2.1 text/plain 14", "2.2 text/html 15"},
		"mime-enmime/parts/bin-attach.raw":       {" multipart/mixed", "1 text/plain 14", "2 application/octet-stream=application/zip 16 test.bin"},
		"mime-mime4j/mimetools-testmsgs/multi-nested3.msg": {" multipart/mixed", "1 text/plain 213", "2 text/plain 144", "3 multipart/parallel",
			"3.1 image/gif=image/gif 419 3d-vise.gif", "3.2 image/gif=image/gif 357 3d-eye.gif", "4 text/richtext 152", "5 message/rfc822 nice.name", "5.1 text/plain 58"},
		"mime-mime4j/mimetools-testmsgs/dup-names.msg": {" multipart/mixed", "1 image/gif=image/gif 419 one.gif", "2 image/gif=image/gif 357 one.gif",
			"3 image/gif=image/gif 419 two.nice.gif", "4 image/gif=image/gif 357 two.nice.gif", "5 image/gif=image/gif 357 two.nice.gif"},
		"mime-mime4j/testmsgs/base64encoded-rfc822message.msg": {"1 message/rfc822", "1.1 text/plain 12"},
		"mime-horde/uudecode.txt":                              {"1 text/plain 130", "1.uu1 application/octet-stream=text/plain 11 test.txt", "1.uu2 application/octet-stream=text/plain 10 test2.txt"},
		"mime-horde/sample_msg.txt":                            {" multipart/mixed", "1 text/plain 7", "2 message/rfc822 Forwarded Message", "2.TEXT multipart/mixed", "2.1 text/plain 12", "2.2 text/plain 6 test.txt", "3 image/png=image/png 342 index.png"},
		"mime-stalwart/legacy/017.eml":                         {" multipart/mixed", "1 text/plain 764", "2 image/png=image/png 1298 greenball.png", "3 image/png=image/png 1325 blueball.png"},
		"mime-stalwart/rfc/008.eml":                            {" multipart/mixed", "1 text/plain 54", "2 message/rfc822 attached_email.eml", "2.TEXT multipart/alternative", "2.1 text/plain 30", "2.2 text/html 173"},
		"mime-stalwart/malformed/009.eml":                      {" multipart/mixed", "1 multipart/mixed", "1.1 text/plain 1", "1.2 text/plain 2", "2 text/plain 4"},
		"mime-flanker/messages/enclosed-broken.eml":            {" multipart/mixed", "1 text/plain 7", "2 message/rfc822 thanks.eml", "2.TEXT multipart/alternative", "2.1 text/plain 285", "2.2 text/html 615"},
		"scan-spamassassin/spam/badmime2.txt":                  {" multipart/related", "1 text/html 3659"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			file, err := verdict.OpenFile(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for p, err := range verdict.NewMessage(file).Parts() {
				if err != nil {
					t.Fatal(err)
				}
				line := p.Path + " " + p.Declared
				if !p.IsContainer() {
					n, err := p.Size()
					if err != nil {
						t.Fatal(err)
					}
					if !strings.HasPrefix(p.Declared, "text/") {
						line += "=" + p.Type()
					}
					line += fmt.Sprintf(" %d", n)
				}
				if p.Filename != "" {
					line += " " + p.Filename
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
