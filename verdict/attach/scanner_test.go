package attach_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// file is a file in an archive.
type file struct {
	name string
	data string
}

func zipped(files ...file) string {
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, f := range files {
		w, err := zw.Create(f.name)
		if err == nil {
			_, err = io.WriteString(w, f.data)
		}
		if err != nil {
			panic(err)
		}
	}
	zw.Close()
	return b.String()
}

func tarred(files ...file) string {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			panic(err)
		}
		io.WriteString(tw, f.data)
	}
	tw.Close()
	return b.String()
}

// linked is a tar file with a symbolic link.
func linked(name, target string) string {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}); err != nil {
		panic(err)
	}
	tw.Close()
	return b.String()
}

func gzipped(data string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	io.WriteString(zw, data)
	zw.Close()
	return b.String()
}

// exe begins like a program for Windows: the two headers, and nothing behind them.
var exe = "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00" + "PE\x00\x00" + strings.Repeat("\x00", 200)

const (
	elf = "\x7fELF\x02\x01\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"
	lnk = "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00F" + "\x00\x00\x00\x00"
	png = "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
)

// locked are zip files that are encrypted with "Summer-2026": one with a text, one with a program.
var (
	lockedText = unbase64("UEsDBAoACQAAABO0dV2GphA2EQAAAAUAAAAIABwAbm90ZS50eHRVVAkAAwUcAmsFHAJrdXgLAAEEAAAAAAQAAAAAWT3VsQs2LGw7cHmjFgeenghQSwcIhqYQNhEAAAAFAAAAUEsBAh4DCgAJAAAAE7R1XYamEDYRAAAABQAAAAgAGAAAAAAAAQAAAKSBAAAAAG5vdGUudHh0VVQFAAMFHAJrdXgLAAEEAAAAAAQAAAAAUEsFBgAAAAABAAEATgAAAGMAAAAAAA==")
	lockedExe  = unbase64("UEsDBBQACQAIABO0dV17A3g3EwAAAEIAAAAJABwAc2V0dXAuZXhlVVQJAAMFHAJrBRwCa3V4CwABBAAAAAAEAAAAAJIgmmTmadQ5vuapGffLyuT1/c5QSwcIewN4NxMAAABCAAAAUEsBAh4DFAAJAAgAE7R1XXsDeDcTAAAAQgAAAAkAGAAAAAAAAQAAAKSBAAAAAHNldHVwLmV4ZVVUBQADBRwCa3V4CwABBAAAAAAEAAAAAFBLBQYAAAAAAQABAE8AAABmAAAAAAA=")
)

func unbase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// image is an ISO image with one file in its root.
func image(name, data string) string {
	const sector = 2048
	b := make([]byte, 20*sector)
	volume := b[16*sector:]
	copy(volume, "\x01CD001\x01")
	record := func(p []byte, at, size int, flags byte, name string) int {
		p[0] = byte(34 + len(name) + len(name)%2)
		p[2], p[3] = byte(at), byte(at>>8)
		p[10], p[11], p[12] = byte(size), byte(size>>8), byte(size>>16)
		p[25], p[32] = flags, byte(len(name))
		copy(p[33:], name)
		return int(p[0])
	}
	record(volume[156:], 18, sector, 2, "\x00")
	copy(b[17*sector:], "\xFFCD001\x01")
	root := b[18*sector:]
	n := record(root, 18, sector, 2, "\x00")
	n += record(root[n:], 18, sector, 2, "\x01")
	record(root[n:], 19, len(data), 0, name)
	copy(b[19*sector:], data)
	return string(b)
}

// signed is an S/MIME message that was signed in one piece.
func signed(content string) string {
	tlv := func(tag byte, parts ...string) string {
		s := strings.Join(parts, "")
		return string([]byte{tag, 0x83, byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))}) + s
	}
	const signedData, data = "\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02", "\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01"
	return tlv(0x30, signedData, tlv(0xA0, tlv(0x30, "\x02\x01\x01", "\x31\x00", tlv(0x30, data, tlv(0xA0, tlv(0x04, content))))))
}

// source is a zip file with more files than who attacks would send.
func source(script string) string {
	files := []file{{script, "alert(1)"}}
	for i := range 15 {
		files = append(files, file{fmt.Sprintf("src/file%d.c", i), "int x;"})
	}
	return zipped(files...)
}

// message is one with an attachment.
func message(tb testing.TB, name, data string) *verdict.Message {
	return verdicttest.Mail{Attach: []verdicttest.Attachment{{Name: name, Data: []byte(data)}}}.Message(tb)
}

// codes are those of the findings, each once, in order; "!" stands behind those with an Err.
func codes(fs []verdict.Finding) (out []string) {
	for _, f := range fs {
		c := f.Code
		if f.Err != nil {
			c += "!"
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

var attachments = []struct {
	name, data string
	want       []string
	class      verdict.Class
}{
	// Nothing to say.
	{"", "hello", nil, verdict.Clean},
	{"notes.txt", "hello", nil, verdict.Clean},
	{"photo.png", png, nil, verdict.Clean},
	{"photos.zip", zipped(file{"a.png", png}, file{"b/", ""}, file{"b/c.txt", "hello"}), nil, verdict.Clean},
	{"logs.tar.gz", gzipped(tarred(file{"a.log", "hello"})), nil, verdict.Clean},
	{"site.example.com", "Visit us", nil, verdict.Clean},
	{"Anlage 1.2.pdf", "%PDF-1.7\n", nil, verdict.Clean},
	{"Termin 10:30.txt", "hello", nil, verdict.Clean},
	// What it is.
	{"setup.exe", exe, []string{"attachment.executable"}, verdict.Malicious},
	{"setup.exe", "nothing like a program", []string{"attachment.executable"}, verdict.Malicious},
	{"", exe, []string{"attachment.executable"}, verdict.Malicious},
	{"setup.bin", exe, []string{"attachment.executable"}, verdict.Malicious},
	{"invoice.pdf", exe, []string{"attachment.disguised", "attachment.executable"}, verdict.Malicious},
	{"tool", elf, []string{"attachment.program"}, verdict.Clean},
	{"invoice.js", "var a", []string{"attachment.script"}, verdict.Malicious},
	{"invoice.ps1", "Get-Item", []string{"attachment.script"}, verdict.Malicious},
	{"invoice.vbe", "#@~^AAAA==", []string{"attachment.script"}, verdict.Malicious},
	{"page", "<HTA:APPLICATION ID=x>", []string{"attachment.script"}, verdict.Malicious},
	{"page.txt", "<HTA:APPLICATION ID=x>", []string{"attachment.mismatch"}, verdict.Clean},
	{"invoice.lnk", lnk, []string{"attachment.shortcut"}, verdict.Malicious},
	{"invoice.pdf", lnk, []string{"attachment.disguised", "attachment.shortcut"}, verdict.Malicious},
	{"a.settingcontent-ms", "<?xml version=\"1.0\"?><PCSettings></PCSettings>", []string{"attachment.shortcut"}, verdict.Malicious},
	{"x.deploy", "<?xml version=\"1.0\"?><asmv1:assembly xmlns:asmv1=\"urn:schemas-microsoft-com:asm.v1\"/>", []string{"attachment.installer"}, verdict.Malicious},
	{"link.url", "[InternetShortcut]\nURL=http://example.org/\n", []string{"attachment.link-file"}, verdict.Spam},
	{"work.rdp", "full address:s:example.org\n", []string{"attachment.link-file"}, verdict.Spam},
	{"help.chm", "ITSF\x03\x00", []string{"attachment.risky"}, verdict.Spam},
	{"setup.jar", zipped(file{"META-INF/MANIFEST.MF", ""}, file{"A.class", "\xCA\xFE\xBA\xBE\x00\x00\x00\x34"}), []string{"attachment.risky"}, verdict.Spam},
	{"photo.png", "\x00\x01\x02\x03", []string{"attachment.mismatch"}, verdict.Clean},
	{"photo.jpg", png + zipped(file{"a.txt", "hello"}), []string{"attachment.polyglot", "archive.prefix"}, verdict.Clean},
	// What it is called.
	{"invoice.pdf.exe", exe, []string{"filename.double-extension", "attachment.executable"}, verdict.Malicious},
	{"invoice.pdf.html", "<html>", []string{"filename.double-extension"}, verdict.Spam},
	{"invoice\u202Efdp.exe", exe, []string{"filename.bidi", "attachment.executable"}, verdict.Malicious},
	{"invo\u200Bice.exe", exe, []string{"filename.hidden", "attachment.executable"}, verdict.Malicious},
	{"invoice.pdf" + strings.Repeat(" ", 100) + ".exe", exe, []string{"filename.padded", "filename.double-extension", "attachment.executable"}, verdict.Malicious},
	{"invoice.exe. .", "MZ", []string{"filename.trailing", "attachment.executable"}, verdict.Malicious},
	{"invoice.txt:evil.exe", exe, []string{"filename.stream", "attachment.executable"}, verdict.Malicious},
	{"invoice.exe::$DATA", exe, []string{"filename.stream", "attachment.executable"}, verdict.Malicious},
	{"COM1.txt", "hello", []string{"filename.device"}, verdict.Clean},
	{strings.Repeat("a", 300) + ".txt", "hello", []string{"filename.long"}, verdict.Clean},
	// What is in it.
	{"a.zip", zipped(file{"invoice.exe", exe}), []string{"attachment.executable"}, verdict.Malicious},
	{"a.zip", zipped(file{"b.zip", zipped(file{"c.tar.gz", gzipped(tarred(file{"invoice.scr", exe}))})}), []string{"archive.nested", "attachment.executable"}, verdict.Malicious},
	{"a.zip", zipped(file{"invoice.js", "var a"}), []string{"attachment.script"}, verdict.Malicious},
	{"a.zip", source("build.js"), []string{"attachment.source"}, verdict.Clean},
	{"a.zip", zipped(file{"mail.eml", string(verdicttest.Mail{Attach: []verdicttest.Attachment{{Name: "a.exe", Data: []byte(exe)}}}.Bytes())}), []string{"attachment.executable"}, verdict.Malicious},
	{"smime.p7m", signed("Content-Type: application/octet-stream; name=a.exe\r\n\r\n" + exe), []string{"attachment.executable"}, verdict.Malicious},
	{"a.iso", image("INVOICE.LNK;1", lnk), []string{"attachment.disk-image", "attachment.shortcut"}, verdict.Malicious},
	{"a.vhdx", "vhdxfile", []string{"attachment.disk-image", "archive.unopened!"}, verdict.Unknown},
	{"a.b64", base64.StdEncoding.EncodeToString([]byte(exe)), []string{"attachment.executable"}, verdict.Malicious},
	{"a.exe", exe + zipped(file{"b.txt", "hello"}), []string{"attachment.executable", "attachment.self-extracting", "archive.prefix"}, verdict.Malicious},
	{"a.zip", zipped(file{"../../a.txt", "hello"}), []string{"archive.traversal"}, verdict.Spam},
	{"a.zip", zipped(file{`C:\a.txt`, "hello"}), []string{"archive.traversal"}, verdict.Spam},
	{"a.tar", linked("a/b", "../../c"), []string{"archive.traversal"}, verdict.Spam},
	{"a.tar", linked("a/b", "c"), []string{"archive.link"}, verdict.Clean},
	{"a.zip", strings.Replace(zipped(file{"a.txt", "hello"}), "a.txt", "b.txt", 1), []string{"archive.differs"}, verdict.Spam},
	// What cannot be looked at.
	{"a.zip", lockedText, []string{"archive.locked", "attachment.locked"}, verdict.Spam},
	{"a.zip", lockedExe, []string{"attachment.executable", "archive.locked", "attachment.locked"}, verdict.Malicious},
	{"a.zip", "nothing like an archive\x00\x01\x02", []string{"archive.broken!"}, verdict.Unknown},
	{"a.ace", "1234567**ACE**\x00\x00", []string{"archive.unopened!"}, verdict.Unknown},
	{"a.r01", "\x01\x02\x03", []string{"archive.volume!"}, verdict.Unknown},
	{"a.gz", gzipped("hello")[:15], []string{"archive.broken!"}, verdict.Unknown},
	// Pages.
	{"report.html", "<html><body><h1>Report</h1></body></html>", nil, verdict.Clean},
	{"report.html", "<html><script>draw(1)</script></html>", []string{"html.script"}, verdict.Clean},
	{"voice.html", "<html><script>var b=atob('" + base64.StdEncoding.EncodeToString([]byte(zipped(file{"invoice.exe", exe}))) +
		"');var u=URL.createObjectURL(new Blob([b]));a.href=u;a.download='invoice.zip';a.click()</script></html>",
		[]string{"html.script", "html.saves", "html.smuggling", "attachment.executable"}, verdict.Malicious},
	{"login.htm", "<form action=https://example.org/x><input name=u><input type=password name=p></form>", []string{"html.password"}, verdict.Spam},
	{"scan.html", "<meta http-equiv=refresh content='0; url=https://example.org/'>", []string{"html.redirect"}, verdict.Spam},
	{"logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'><circle r='1'/></svg>", nil, verdict.Clean},
	{"logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>location='https://example.org/'</script></svg>", []string{"svg.script", "html.redirect"}, verdict.Spam},
	// Documents.
	{"letter.rtf", "{\\rtf1 hello}", nil, verdict.Clean},
	{"form.pdf", "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(eval\\(x\\))>>>>endobj\n", []string{"pdf.script-auto"}, verdict.Spam},
	{"form.pdf", "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/Launch/F(cmd.exe)>>>>endobj\n", []string{"pdf.launch"}, verdict.Malicious},
	{"meeting.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nBEGIN:VALARM\r\nACTION:PROCEDURE\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", []string{"calendar.procedure"}, verdict.Spam},
	{"table.csv", "a;b\n=cmd|'/c calc'!A0;1\n", []string{"document.dde"}, verdict.Malicious},
}

func TestScan(t *testing.T) {
	t.Parallel()
	for i, c := range attachments {
		t.Run(fmt.Sprintf("%d %.30s", i, c.name), func(t *testing.T) {
			t.Parallel()
			m := message(t, c.name, c.data)
			fs, err := attach.Scanner{}.Scan(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, codes(fs)); d != "" {
				t.Errorf("codes (-want +got):\n%s", d)
			}
			if got := (verdict.Weigh{}).Merge(m, fs); got != c.class {
				t.Errorf("class %v, want %v, by %v", got, c.class, fs)
			}
		})
	}
}

// TestCodes sees to it that every code is in the table.
func TestCodes(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, c := range verdict.Codes() {
		known[c.Code] = true
	}
	for _, c := range attachments {
		for _, code := range c.want {
			if code = strings.TrimSuffix(code, "!"); !known[code] {
				t.Errorf("%s is not in the table", code)
			}
		}
	}
}

// TestBody sees to it that text that is shown is no attachment, whatever stands in it.
func TestBody(t *testing.T) {
	t.Parallel()
	m := verdicttest.Mail{Text: "MZ is how programs begin", HTML: "<script>x</script>"}.Message(t)
	if fs, err := (attach.Scanner{}).Scan(t.Context(), m); len(fs) != 0 || err != nil {
		t.Errorf("findings %v, error %v; want none", fs, err)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, html, subject string
		attach              string
		want                []string
		class               verdict.Class
	}{
		{"Please see the attached file.", "", "", lockedText, []string{"archive.locked", "attachment.locked"}, verdict.Spam},
		{"The password is Summer-2026.", "", "", lockedText, []string{"archive.locked", "attachment.password"}, verdict.Spam},
		{"Passwort: Summer-2026", "", "", lockedExe, []string{"attachment.executable", "archive.locked", "attachment.password"}, verdict.Malicious},
		{"", "<p>Password:<b>Summer-2026</b></p>", "", lockedText, []string{"archive.locked", "attachment.password"}, verdict.Spam},
		{"hello", "", "Your file, пароль Summer-2026", lockedText, []string{"archive.locked", "attachment.password"}, verdict.Spam},
		{"Password: Winter-2025", "", "", lockedText, []string{"archive.locked", "attachment.locked", "attachment.password"}, verdict.Spam},
		{"I forgot my password again, sorry.", "", "", lockedText, []string{"archive.locked", "attachment.locked"}, verdict.Spam},
	} {
		mail := verdicttest.Mail{Subject: c.subject, Text: c.text, HTML: c.html, Attach: []verdicttest.Attachment{{Name: "a.zip", Data: []byte(c.attach)}}}
		m := mail.Message(t)
		fs, err := attach.Scanner{}.Scan(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, codes(fs)); d != "" {
			t.Errorf("%q: codes (-want +got):\n%s", c.text+c.html+c.subject, d)
		}
		if got := (verdict.Weigh{}).Merge(m, fs); got != c.class {
			t.Errorf("%q: class %v, want %v", c.text+c.html+c.subject, got, c.class)
		}
	}
	fs, err := attach.Scanner{Passwords: []string{"Summer-2026"}}.Scan(t.Context(), message(t, "a.zip", lockedText))
	if d := cmp.Diff([]string{"archive.locked"}, codes(fs)); d != "" || err != nil {
		t.Errorf("with a password of the configuration: %s, %v", d, err)
	}
}

// TestSource sees to it that the error of a source is no finding.
func TestSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	m := verdict.NewMessage(failing{verdicttest.Mail{Attach: []verdicttest.Attachment{{Name: "a.zip", Data: bytes.Repeat([]byte(exe), 4000)}}}.Bytes(), broken})
	if _, err := (attach.Scanner{}).Scan(t.Context(), m); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the source", err)
	}
}

// failing breaks behind its first 100 KB.
type failing struct {
	raw []byte
	err error
}

func (f failing) Size() int64 { return int64(len(f.raw)) }

func (f failing) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(f.raw[:100<<10]), errReader{f.err})), nil
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }
