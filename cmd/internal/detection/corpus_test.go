package detection_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// file is one labelled file of the corpus.
type file struct {
	path, set, label string
}

// corpusDir finds the shared corpus beside the module.
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
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		t.Fatal("no go.mod above the working directory")
	}
	dir = filepath.Join(dir, "..", "shared", "corpus")
	if _, err := os.Stat(filepath.Join(dir, "labels.tsv")); err != nil {
		t.Skip("no shared corpus beside the module")
	}
	return dir
}

// labelled lists the files whose label want accepts.
func labelled(t *testing.T, dir string, want func(label string) bool) (out []file) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(raw))
	for sc.Scan() {
		cols := strings.Split(sc.Text(), "\t")
		if len(cols) < 2 || !want(cols[1]) {
			continue
		}
		set, _, _ := strings.Cut(cols[0], "/")
		out = append(out, file{filepath.Join(dir, cols[0]), set, cols[1]})
	}
	if len(out) == 0 {
		t.Fatal("the corpus has no file of these labels")
	}
	return out
}

// engine has all built-in scanners with their defaults, and asks no network.
func engine() *verdict.Engine {
	return &verdict.Engine{Scanners: []verdict.Scanner{
		verdict.Structure{}, teststring.Scanner{}, mailauth.Scanner{}, attach.Scanner{}, &links.Scanner{}, impostor.Scanner{},
	}}
}

// judged is what became of a file.
type judged struct {
	file
	*verdict.Report
}

// judge has all files judged, by as many workers as there are scanners' locks to show.
func judge(t *testing.T, files []file) []judged {
	t.Helper()
	e := engine()
	out := make([]judged, len(files))
	var wg sync.WaitGroup
	const workers = 2
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(files); i += workers {
				raw, err := os.ReadFile(files[i].path)
				if err != nil {
					t.Error(err)
					continue
				}
				out[i] = judged{files[i], e.Judge(context.Background(), message(files[i].path, raw))}
			}
		})
	}
	wg.Wait()
	return out
}

// message makes a message of a file: cleaned if it is one, wrapped as its attachment otherwise.
func message(path string, raw []byte) *verdict.Message {
	var m *verdict.Message
	if isMail(raw) {
		m = verdict.NewMessage(verdict.Bytes(clean(raw)))
	} else {
		head := "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"" +
			strings.ReplaceAll(filepath.Base(path), `"`, "_") + "\"\r\nContent-Transfer-Encoding: binary\r\n\r\n"
		m = verdict.NewMessage(verdict.Bytes(append([]byte(head), raw...)))
	}
	m.ID, m.Received = filepath.Base(path), time.Now()
	return m
}

// isMail says whether a file begins with a header that has one of the fields of every mail.
func isMail(raw []byte) bool {
	first, _, _ := bytes.Cut(raw, []byte("\n"))
	if name, _, ok := bytes.Cut(first, []byte(":")); !bytes.HasPrefix(raw, []byte("From ")) && (!ok || bytes.ContainsAny(name, " \t<%\x00")) {
		return false
	}
	for f := range verdict.NewMessage(verdict.Bytes(raw)).Header().All() {
		switch strings.ToLower(f.Name) {
		case "from", "to", "subject", "date", "received", "return-path", "message-id", "mime-version", "content-type":
			return true
		}
	}
	return false
}
