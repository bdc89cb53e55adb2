package attach_test

import (
	"bytes"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
)

// corpusDir returns the folder of test files that lies beside the module, if there is one.
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

// wanted are the codes by which each kind of file is recognised: one of them is enough. What is a QR code
// is for the package links.
var wanted = map[string][]string{
	"eicar-class":        {"attachment.executable", "archive.unopened", "archive.broken", "attachment.mismatch"},
	"dde":                {"document.dde", "document.object", "document.embedded"},
	"external-template":  {"document.external", "document.template", "document.starts"},
	"xlm-macro":          {"document.xlm", "document.xlm-auto"},
	"encrypted-document": {"document.encrypted"},
	"embedded-lnk":       {"document.starts", "attachment.shortcut"},
	"rtf-object":         {"document.rtf-object", "document.exploit"},
	"macro":              {"document.macro", "document.macro-auto"},
	"xml-bomb":           {"document.doctype", "attachment.unread"},
	"encrypted-archive":  {"archive.locked"},
	"zip-bomb":           {"archive.limit", "archive.lying-size", "archive.broken"},
	"path-traversal":     {"archive.traversal", "archive.link"},
	"self-extracting":    {"attachment.self-extracting"},
	"risky-filetype": {"attachment.executable", "attachment.program", "attachment.script", "attachment.shortcut", "attachment.installer",
		"attachment.link-file", "attachment.disk-image", "attachment.risky"},
	"embedded-file": {"document.embedded", "attachment.executable", "attachment.risky"},
	"pdf-active":    {"pdf.script", "pdf.script-auto", "pdf.launch", "pdf.active", "pdf.embedded"},
	"attachment":    {"attachment.executable", "archive.volume", "archive.broken", "attachment.mismatch"},
}

// load returns the file as postreeve scan does: what is no message is the attachment of one.
func load(t *testing.T, path string) *verdict.Message {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if rest, ok := bytes.CutPrefix(b, []byte("From ")); ok {
		_, b, _ = bytes.Cut(rest, []byte("\n"))
	}
	first := bytes.IndexAny(b, ": \r\n")
	if strings.HasPrefix(verdict.SniffType(b[:min(len(b), verdict.SniffLen)]), "text/") || first > 0 && b[first] == ':' {
		m := verdict.NewMessage(verdict.Bytes(b))
		for f := range m.Header().All() {
			switch strings.ToLower(f.Name) {
			case "from", "to", "subject", "date", "received", "return-path", "message-id", "mime-version", "content-type":
				return m
			}
		}
	}
	head := "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Disposition: " +
		mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(path)}) + "\r\nContent-Transfer-Encoding: binary\r\n\r\n"
	return verdict.NewMessage(verdict.Bytes(append([]byte(head), b...)))
}

// TestCorpus sees to it that every file of a harmful kind is recognised by a code of its kind, and that
// nothing harmless is called malicious.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dir := corpusDir(t)
	labels, err := os.ReadFile(filepath.Join(dir, "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	seen, missed := 0, 0
	for line := range strings.Lines(string(labels)) {
		cols := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(cols) < 2 {
			continue
		}
		kind, harmful := strings.CutPrefix(cols[1], "malicious-type:")
		harmless := cols[1] == "benign-attachment" || cols[1] == "ham" || cols[1] == "report" || cols[1] == "bounce"
		if harmful && wanted[kind] == nil || !harmful && !harmless && cols[1] != "malformed" && cols[1] != "parser" && cols[1] != "fuzz" {
			continue
		}
		seen++
		m := load(t, filepath.Join(dir, filepath.FromSlash(cols[0])))
		start := time.Now()
		// The time is that of a machine that may be busy; TestBombs looks at the limit.
		fs, err := attach.Scanner{Limits: attach.Limits{Time: time.Minute}}.Scan(t.Context(), m)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", cols[0], took)
		}
		switch {
		case harmful && !slices.ContainsFunc(fs, func(f verdict.Finding) bool { return slices.Contains(wanted[kind], f.Code) }):
			t.Errorf("%s is not recognised as %s: %v, error %v", cols[0], kind, codes(fs), err)
			missed++
		case harmless && (verdict.Weigh{}).Merge(m, fs) == verdict.Malicious:
			t.Errorf("%s, %s, is called malicious: %v", cols[0], cols[1], codes(fs))
		case cols[1] == "ham" && (verdict.Weigh{}).Merge(m, fs) == verdict.Spam:
			t.Errorf("%s, %s, is called spam: %v", cols[0], cols[1], codes(fs))
		}
	}
	t.Logf("%d files, %d not recognised", seen, missed)
}
