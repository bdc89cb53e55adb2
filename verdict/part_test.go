package verdict_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict"
)

// onePart returns the only part of a message with the header fields.
func onePart(t testing.TB, raw string) *verdict.Part {
	t.Helper()
	for p, err := range verdict.NewMessage(verdict.Bytes(raw)).Parts() {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatal("no parts")
	return nil
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		want         []string
	}{
		{"none", "", nil},
		{"quoted", `Content-Disposition: attachment; filename="a b.pdf"`, []string{"a b.pdf"}},
		{"token", `Content-Disposition: attachment; filename=a.pdf`, []string{"a.pdf"}},
		{"blanks without quotes", `Content-Disposition: attachment; filename=my file.pdf`, []string{"my file.pdf", "my"}},
		{"name only", `Content-Type: application/pdf; name="a.pdf"`, []string{"a.pdf"}},
		{"both", "Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=b.pdf", []string{"b.pdf", "a.pdf"}},
		{"2047 in quotes", `Content-Disposition: attachment; filename="=?utf-8?q?=C3=A9.pdf?="`, []string{"é.pdf", "=?utf-8?q?=C3=A9.pdf?="}},
		{"2047 without quotes", `Content-Disposition: attachment; filename==?utf-8?q?=C3=A9.pdf?=`, []string{"é.pdf", "=?utf-8?q?=C3=A9.pdf?="}},
		{"2231", `Content-Disposition: attachment; filename*=utf-8'en'%C3%A9.pdf`, []string{"é.pdf"}},
		{"2231, latin 1", `Content-Disposition: attachment; filename*=ISO-8859-1''%E9.pdf`, []string{"é.pdf"}},
		{"2231, no charset", `Content-Disposition: attachment; filename*=%C3%A9.pdf`, []string{"é.pdf"}},
		{"2231, pieces", `Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%A9.p; filename*2="df"`, []string{"é.pdf"}},
		{"2231, pieces in disorder", `Content-Disposition: attachment; filename*1=".exe"; filename*0="a"`, []string{"a.exe"}},
		{"2231, a piece twice", `Content-Disposition: attachment; filename*0="a"; filename*1=".exe"; filename*1=".txt"`, []string{"a.exe"}},
		{"2231 and plain", `Content-Disposition: attachment; filename="a.txt"; filename*=utf-8''a.exe`, []string{"a.exe", "a.txt"}},
		{"twice", `Content-Disposition: attachment; filename="a.txt"; filename="a.exe"`, []string{"a.txt", "a.exe"}},
		{"two fields", "Content-Disposition: attachment; filename=a.txt\r\nContent-Disposition: attachment; filename=a.exe", []string{"a.txt", "a.exe"}},
		{"escapes", `Content-Disposition: attachment; filename="a\"b\\c.exe"`, []string{`a"b\c.exe`, `a\"b\\c.exe`}},
		{"no closing quote", `Content-Disposition: attachment; filename="a.exe; x=y`, []string{"a.exe"}},
		{"folded", "Content-Disposition: attachment;\r\n\tfilename=\"a\r\n b.exe\"", []string{"a b.exe"}},
		{"8 bit", "Content-Disposition: attachment; filename=\"\xE9.exe\"", []string{"é.exe", "\uFFFD.exe"}},
		{"hidden line feed", `Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab%00.exe`, []string{"a\uFFFD\uFFFDb\uFFFD.exe"}},
		{"bad percent", `Content-Disposition: attachment; filename*=utf-8''100%.exe%zz%41`, []string{"100%.exe%zzA"}},
		{"comment", `Content-Disposition: attachment (hi); (there) filename=a.exe (x)`, []string{"a.exe (x)", "a.exe"}},
		{"semicolon missing", `Content-Type: application/pdf name=a.exe`, []string{"a.exe"}},
		{"blanks around equals sign", `Content-Disposition: attachment; filename = "a.exe"`, []string{"a.exe"}},
		{"upper case", `CONTENT-DISPOSITION: ATTACHMENT; FILENAME="A.EXE"`, []string{"A.EXE"}},
		{"junk behind the quotes", `Content-Disposition: attachment; filename="a.exe".txt; x=y`, []string{"a.exe"}},
		{"empty, then name", "Content-Disposition: attachment; filename=\"\"\r\nContent-Type: a/b; name=x.exe", []string{"x.exe"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := onePart(t, c.header+"\r\n\r\n")
			if diff := cmp.Diff(c.want, p.Names()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(c.want) > 0 && p.Filename != c.want[0] {
				t.Errorf("Filename %q, want %q", p.Filename, c.want[0])
			}
		})
	}
}

func TestDeclared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header, declared string
		params           map[string]string
	}{
		{"", "text/plain", nil},
		{"Content-Type: TEXT/HTML", "text/html", nil},
		{"Content-Type: text/html (page); charset=utf-8 (x)", "text/html", map[string]string{"charset": "utf-8"}},
		{"Content-Type: (page) text/html", "text/html", nil},
		{"Content-Type: text/html charset=utf-8", "text/html", map[string]string{"charset": "utf-8"}},
		{"Content-Type: text/html;;; charset=\"utf-8\";", "text/html", map[string]string{"charset": "utf-8"}},
		{"Content-Type: text", "text/plain", nil},
		{"Content-Type: /", "text/plain", nil},
		{"Content-Type: ;", "text/plain", nil},
		{"Content-Type:", "text/plain", nil},
		{"Content-Type: \"text/html\"", "text/html", nil},
		{"Content-Type: text/plain; a*0=x; a*1*=%41; b*=utf-8''%C3%A9; c=1; c=2", "text/plain", map[string]string{"a": "xA", "b": "é", "c": "1"}},
	} {
		p := onePart(t, c.header+"\r\n\r\n")
		if p.Declared != c.declared {
			t.Errorf("%s: declared %q, want %q", c.header, p.Declared, c.declared)
		}
		if diff := cmp.Diff(c.params, p.Params); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.header, diff)
		}
	}
}

func TestPartText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ charset, in, want string }{
		{"utf-8", "é", "é"},
		{"", "é", "é"},
		{"", "\xE9", "é"},
		{"us-ascii", "\xE9\x80", "é€"},
		{"iso-8859-1", "\xE9", "é"},
		{"Latin1", "\x93x\x94", "“x”"},
		{"iso-8859-15", "\xA4", "€"},
		{"iso-8859-2", "\xB1", "ą"},
		{"windows-1251", "\xCF", "П"},
		{"cp1251", "\xCF", "П"},
		{"KOI8-R", "\xF0", "П"},
		{"utf-16", "\x00h\x00i", "hi"},
		{"utf-16", "\xFF\xFEh\x00i\x00", "hi"},
		{"utf-16le", "h\x00i\x00", "hi"},
		{"utf-16be", "\xD8\x3D\xDE\x00\x00", "😀\uFFFD"},
		{"us-ascii", "\xEF\xBB\xBFhi", "hi"},
		{"", "\xFE\xFF\x00h", "h"},
		{"utf-8", "a\xFFb", "a\uFFFDb"},
		{"gb2312", "http://x \xC4\xE3\xBA\xC3 y", "http://x \uFFFD y"},
		{"iso-2022-jp", "a\x1B$BF|K\\\x1B(Bb", "a\uFFFDb"},
		{"x-what", "\xE9", "é"},
	} {
		raw := "Content-Type: text/plain; charset=\"" + c.charset + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			base64.StdEncoding.EncodeToString([]byte(c.in))
		if got, err := onePart(t, raw).Text(); got != c.want || err != nil {
			t.Errorf("%q in %s: %q, %v; want %q", c.in, c.charset, got, err, c.want)
		}
	}
}

func zipOf(t testing.TB, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		name, content, _ := strings.Cut(n, "=")
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func utf16le(s string) string {
	out := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

func TestSniffType(t *testing.T) {
	t.Parallel()
	at := func(off int, s string) string { return strings.Repeat("\x00", off) + s }
	const ooxml = "application/vnd.openxmlformats-officedocument."
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "application/x-empty"},
		{"text", "hello\r\n", "text/plain"},
		{"utf-8", "Привет, мир", "text/plain"},
		{"latin 1", "caf\xE9 au lait", "text/plain"},
		{"bytes", "\x01\x02\x03\x04", "application/octet-stream"},
		{"NUL", "text\x00", "application/octet-stream"},
		{"PE", "MZ" + at(58, "\x40\x00\x00\x00PE\x00\x00"), "application/vnd.microsoft.portable-executable"},
		{"DOS", "MZ\x90\x00\x03", "application/x-dosexec"},
		{"text that begins like DOS", "MZ is two letters.", "text/plain"},
		{"ELF", "\x7FELF\x02", "application/x-elf"},
		{"Mach-O", "\xCF\xFA\xED\xFE\x07", "application/x-mach-binary"},
		{"fat Mach-O", "\xCA\xFE\xBA\xBE\x00\x00\x00\x02", "application/x-mach-binary"},
		{"class", "\xCA\xFE\xBA\xBE\x00\x00\x00\x34", "application/java-vm"},
		{"wasm", "\x00asm\x01\x00\x00\x00", "application/wasm"},
		{"dex", "dex\n039\x00", "application/x-dex"},
		{"LNK", "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00F", "application/x-ms-shortcut"},
		{"script", "#!/bin/sh\n", "text/x-script"},
		{"CHM", "ITSF\x03\x00", "application/vnd.ms-htmlhelp"},
		{"URL", "[InternetShortcut]\r\nURL=x", "application/x-mswinurl"},
		{"zip", zipOf(t, "a.txt=x"), "application/zip"},
		{"empty zip", zipOf(t), "application/zip"},
		{"docx", zipOf(t, "[Content_Types].xml=", "_rels/.rels=", "word/document.xml="), ooxml + "wordprocessingml.document"},
		{"docx from the other end", zipOf(t, "word/document.xml=", "[Content_Types].xml="), ooxml + "wordprocessingml.document"},
		{"xlsx", zipOf(t, "[Content_Types].xml=", "xl/workbook.xml="), ooxml + "spreadsheetml.sheet"},
		{"pptx", zipOf(t, "[Content_Types].xml=", "ppt/x.xml="), ooxml + "presentationml.presentation"},
		{"docx with backslashes", zipOf(t, "[Content_Types].xml=", `WORD\document.xml=`), ooxml + "wordprocessingml.document"},
		{"package", zipOf(t, "[Content_Types].xml="), "application/vnd.openxmlformats-package"},
		{"ODF without its kind", zipOf(t, "mimetype=application/", "content.xml="), "application/zip"},
		{"ODF", zipOf(t, "mimetype=application/vnd.oasis.opendocument.text", "content.xml="), "application/vnd.oasis.opendocument.text"},
		{"EPUB", zipOf(t, "mimetype=application/epub+zip", "x="), "application/epub+zip"},
		{"jar", zipOf(t, "META-INF/MANIFEST.MF=", "A.class="), "application/java-archive"},
		{"apk", zipOf(t, "AndroidManifest.xml=", "classes.dex="), "application/vnd.android.package-archive"},
		{"cut zip", "PK\x03\x04", "application/zip"},
		{"gzip", "\x1F\x8B\x08", "application/gzip"},
		{"bzip2", "BZh91AY", "application/x-bzip2"},
		{"xz", "\xFD7zXZ\x00\x00", "application/x-xz"},
		{"7z", "7z\xBC\xAF\x27\x1C\x00", "application/x-7z-compressed"},
		{"rar4", "Rar!\x1A\x07\x00\xCF", "application/vnd.rar"},
		{"rar5", "Rar!\x1A\x07\x01\x00", "application/x-rar5"},
		{"cab", "MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"},
		{"ace", at(7, "**ACE**"), "application/x-ace"},
		{"lha", "\x20\x00-lh5-xxx", "application/x-lha"},
		{"tar", at(257, "ustar\x0000"), "application/x-tar"},
		{"ar", "!<arch>\nx", "application/x-archive"},
		{"OLE", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "application/x-ole-storage"},
		{"PDF", "%PDF-1.7", "application/pdf"},
		{"PDF behind junk", strings.Repeat("x", 1024) + "%PDF-1.7", "application/pdf"},
		{"PDF too late", strings.Repeat("x", 1025) + "%PDF-1.7", "text/plain"},
		{"RTF", "{\\rtf1", "application/rtf"},
		{"RTF, as Word takes it", "{\\rt", "application/rtf"},
		{"OneNote", "\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3", "application/onenote"},
		{"ISO", at(32769, "CD001"), "application/x-iso9660-image"},
		{"VHD", "conectix\x00", "application/x-vhd"},
		{"VHDX", "vhdxfile", "application/x-vhdx"},
		{"TNEF", "\x78\x9F\x3E\x22", "application/vnd.ms-tnef"},
		{"HTML", " \r\n<!DOCTYPE HTML>", "text/html"},
		{"HTML behind a comment", "<!-- x --><script>", "text/html"},
		{"HTML, element", "<Script\n>", "text/html"},
		{"HTML, UTF-16", utf16le("<html>"), "text/html"},
		{"no HTML", "<hello@example.org>", "text/plain"},
		{"SVG", "<svg xmlns=", "image/svg+xml"},
		{"SVG behind XML", "<?xml version=\"1.0\"?><!DOCTYPE svg><svg>", "image/svg+xml"},
		{"XML", "<?xml version=\"1.0\"?><a/>", "text/xml"},
		{"WSF", "<job><script>", "text/x-wsf"},
		{"HTA", "<hta:application id=x>", "application/hta"},
		{"calendar", "BEGIN:VCALENDAR\r\n", "text/calendar"},
		{"vcard", "\xEF\xBB\xBFBEGIN:VCARD\r\n", "text/vcard"},
		{"PNG", "\x89PNG\r\n\x1A\n", "image/png"},
		{"JPEG", "\xFF\xD8\xFF\xE0", "image/jpeg"},
		{"GIF", "GIF89a", "image/gif"},
		{"WebP", "RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"},
		{"BMP", "BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28", "image/bmp"},
		{"TIFF", "II*\x00", "image/tiff"},
		{"MP3", "ID3\x03", "audio/mpeg"},
		{"MP3, frame", "\xFF\xFB\x90\x44", "audio/mpeg"},
		{"MP4", "\x00\x00\x00\x20ftypisom", "video/mp4"},
		{"TrueType", "\x00\x01\x00\x00\x00\x0F", "font/ttf"},
		{"Access", "\x00\x01\x00\x00Standard Jet DB", "application/x-msaccess"},
		{"PKCS7", "0\x82\x05\x10\x06\x09", "application/pkcs7-mime"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := verdict.SniffType([]byte(c.in)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			p := onePart(t, "Content-Transfer-Encoding: base64\r\n\r\n"+base64.StdEncoding.EncodeToString([]byte(c.in)))
			if got := p.Type(); got != c.want {
				t.Errorf("Type of a part: %s, want %s", got, c.want)
			}
		})
	}
}

func FuzzSniffType(f *testing.F) {
	for _, s := range []string{"", "PK\x03\x04", zipOf(f, "mimetype=application/x"), "MZ", "BM", "<!--", "\xFF\xFE<", "\xCA\xFE\xBA\xBE"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		kind := verdict.SniffType(head)
		if major, minor, ok := strings.Cut(kind, "/"); !ok || major == "" || minor == "" || strings.ContainsAny(kind, " \r\n\x00") {
			t.Errorf("%q is no media type", kind)
		}
	})
}
