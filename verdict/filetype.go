package verdict

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// SniffLen is the number of bytes from which SniffType can tell every type that it knows.
const SniffLen = 36 << 10

// signature is a sequence of bytes at a fixed place; a dot in mask matches any byte.
type signature struct {
	off   int
	magic string
	mask  string // as long as magic: bytes under a dot do not count; empty if all do
	kind  string
}

const cfbMagic = "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"

// signatures are tried in order: the more specific ones stand first.
var signatures = [...]signature{
	// Programs and what starts them.
	{0, "\x7FELF", "", "application/x-elf"},
	{0, "\xFE\xED\xFA\xCE", "", "application/x-mach-binary"},
	{0, "\xFE\xED\xFA\xCF", "", "application/x-mach-binary"},
	{0, "\xCE\xFA\xED\xFE", "", "application/x-mach-binary"},
	{0, "\xCF\xFA\xED\xFE", "", "application/x-mach-binary"},
	{0, "\x00asm", "", "application/wasm"},
	{0, "dex\n035\x00", "     ...", "application/x-dex"},
	{0, "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00F", "", "application/x-ms-shortcut"},
	{0, "#!", "", "text/x-script"},
	{0, "ITSF", "", "application/vnd.ms-htmlhelp"},
	{0, "regf", "", "application/x-ms-registry-hive"},
	{0, "REGEDIT4", "", "text/x-ms-regedit"},
	{0, "Windows Registry Editor", "", "text/x-ms-regedit"},
	{0, "\xFF\xFEW\x00i\x00n\x00d\x00o\x00w\x00s\x00 \x00R\x00e\x00g\x00", "", "text/x-ms-regedit"},
	{0, "[InternetShortcut]", "", "application/x-mswinurl"},
	{0, "[{000214A0-0000-0000-C000-000000000046}]", "", "application/x-mswinurl"},
	{0, "ID;P", "", "text/x-sylk"},
	// Documents.
	{0, "{\\rt", "", "application/rtf"},
	{0, "\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3", "", "application/onenote"},
	{0, "\xA1\x2F\xFF\x43\xD9\xEF\x76\x4C\x9E\xE2\x10\xEA\x57\x22\x76\x5F", "", "application/onenote"},
	{0, cfbMagic, "", "application/x-ole-storage"},
	{0, "%!PS", "", "application/postscript"},
	{0, "\xC5\xD0\xD3\xC6", "", "application/postscript"},
	{0, "AT&TFORM", "", "image/vnd.djvu"},
	{0, "\x78\x9F\x3E\x22", "", "application/vnd.ms-tnef"},
	{0, "!BDN", "", "application/vnd.ms-outlook-pst"},
	{0, "\x00\x01\x00\x00Standard Jet DB", "", "application/x-msaccess"},
	{0, "\x00\x01\x00\x00Standard ACE DB", "", "application/x-msaccess"},
	{0, "SQLite format 3\x00", "", "application/vnd.sqlite3"},
	// Archives and disk images.
	{0, "\x1F\x8B", "", "application/gzip"},
	{0, "BZh", "", "application/x-bzip2"},
	{0, "\xFD7zXZ\x00", "", "application/x-xz"},
	{0, "\x28\xB5\x2F\xFD", "", "application/zstd"},
	{0, "\x04\x22\x4D\x18", "", "application/x-lz4"},
	{0, "LZIP", "", "application/x-lzip"},
	{0, "\x1F\x9D", "", "application/x-compress"},
	{0, "7z\xBC\xAF\x27\x1C", "", "application/x-7z-compressed"},
	{0, "Rar!\x1A\x07\x01\x00", "", "application/x-rar5"},
	{0, "Rar!\x1A\x07\x00", "", "application/vnd.rar"},
	{0, "RE~^", "", "application/vnd.rar"},
	{0, "MSCF\x00\x00\x00\x00", "", "application/vnd.ms-cab-compressed"},
	{0, "ISc(", "", "application/x-installshield-cab"},
	{7, "**ACE**", "", "application/x-ace"},
	{0, "\x60\xEA", "", "application/x-arj"},
	{2, "-lh0-", "   . ", "application/x-lha"},
	{0, "ZOO ", "", "application/x-zoo"},
	{0, "ALZ\x01", "", "application/x-alz"},
	{0, "EGGA", "", "application/x-egg"},
	{0, "xar!", "", "application/x-xar"},
	{0, "MSWIM\x00\x00\x00", "", "application/x-ms-wim"},
	{257, "ustar", "", "application/x-tar"},
	{0, "!<arch>\n", "", "application/x-archive"},
	{0, "070701", "", "application/x-cpio"},
	{0, "070707", "", "application/x-cpio"},
	{0, "\xED\xAB\xEE\xDB", "", "application/x-rpm"},
	{0, "vhdxfile", "", "application/x-vhdx"},
	{0, "conectix", "", "application/x-vhd"},
	{0, "KDMV", "", "application/x-vmdk"},
	{0, "QFI\xFB", "", "application/x-qcow2"},
	{32769, "CD001", "", "application/x-iso9660-image"},
	{32769, "BEA01", "", "application/x-udf-image"},
	// Images, sound, film, fonts.
	{0, "\x89PNG\r\n\x1A\n", "", "image/png"},
	{0, "\xFF\xD8\xFF", "", "image/jpeg"},
	{0, "GIF87a", "", "image/gif"},
	{0, "GIF89a", "", "image/gif"},
	{0, "RIFF\x00\x00\x00\x00WEBP", "    ....    ", "image/webp"},
	{0, "RIFF\x00\x00\x00\x00WAVE", "    ....    ", "audio/wav"},
	{0, "RIFF\x00\x00\x00\x00AVI ", "    ....    ", "video/x-msvideo"},
	{0, "II*\x00", "", "image/tiff"},
	{0, "MM\x00*", "", "image/tiff"},
	{0, "\x00\x00\x01\x00", "", "image/x-icon"},
	{0, "\xD7\xCD\xC6\x9A", "", "image/wmf"},
	{40, " EMF", "", "image/emf"},
	{4, "ftypheic", "", "image/heic"},
	{4, "ftypavif", "", "image/avif"},
	{4, "ftypqt  ", "", "video/quicktime"},
	{4, "ftyp", "", "video/mp4"},
	{0, "\x1A\x45\xDF\xA3", "", "video/webm"},
	{0, "ID3", "", "audio/mpeg"},
	{0, "OggS", "", "audio/ogg"},
	{0, "fLaC", "", "audio/flac"},
	{0, "MThd", "", "audio/midi"},
	{0, "FWS", "", "application/x-shockwave-flash"},
	{0, "CWS", "", "application/x-shockwave-flash"},
	{0, "ZWS", "", "application/x-shockwave-flash"},
	{0, "OTTO\x00", "", "font/otf"},
	{0, "\x00\x01\x00\x00\x00", "", "font/ttf"},
	{0, "wOFF", "", "font/woff"},
	{0, "wOF2", "", "font/woff2"},
	// Keys and encrypted things.
	{0, "Salted__", "", "application/x-openssl-encrypted"},
	{0, "-----BEGIN PGP", "", "application/pgp"},
}

func (s *signature) matches(b []byte) bool {
	if len(b) < s.off+len(s.magic) {
		return false
	}
	b = b[s.off : s.off+len(s.magic)]
	if s.mask == "" {
		return string(b) == s.magic
	}
	for i := range b {
		if s.mask[i] != '.' && b[i] != s.magic[i] {
			return false
		}
	}
	return true
}

// SniffType returns the media type of content that begins with head, by its own bytes: for what can
// harm and for what is common. See Part.Type for content without a signature. If head is shorter than
// SniffLen and not all of the content, the answer may be less specific.
//
// Zip files are told apart by the names in them: OOXML, ODF, EPUB, jar and apk. OLE files are all
// "application/x-ole-storage", be they documents, messages or installers.
func SniffType(head []byte) string {
	if len(head) == 0 {
		return "application/x-empty"
	}
	switch {
	case hasPrefix(head, "MZ") || hasPrefix(head, "ZM"):
		return peType(head)
	case hasPrefix(head, "\xCA\xFE\xBA\xBE"):
		// Java and fat Mach-O have the same magic: one goes on with a version, one with a small count.
		if len(head) >= 8 && binary.BigEndian.Uint32(head[4:]) < 40 {
			return "application/x-mach-binary"
		}
		return "application/java-vm"
	case hasPrefix(head, "PK\x03\x04"), hasPrefix(head, "PK\x05\x06"), hasPrefix(head, "PK\x07\x08PK\x03\x04"), hasPrefix(head, "PK00PK\x03\x04"):
		return zipType(head)
	}
	for i := range signatures {
		if signatures[i].matches(head) {
			return signatures[i].kind
		}
	}
	// Readers accept a PDF that begins within the first kilobyte.
	if bytes.Contains(head[:min(len(head), 1024+5)], []byte("%PDF-")) {
		return "application/pdf"
	}
	if kind := textType(head); kind != "" {
		return kind
	}
	return binaryType(head)
}

// peType tells programs of Windows from those of DOS; both run.
func peType(b []byte) string {
	if len(b) >= 64 {
		at := int64(binary.LittleEndian.Uint32(b[60:]))
		if at+4 <= int64(len(b)) && string(b[at:at+4]) == "PE\x00\x00" {
			return "application/vnd.microsoft.portable-executable"
		}
	}
	if kind := textType(b); kind != "" {
		return kind // a text may begin with these letters
	}
	return "application/x-dosexec"
}

// zipNames map the beginnings of names in a zip file to what the file is then.
var zipNames = [...]struct{ prefix, kind string }{
	{"AndroidManifest.xml", "application/vnd.android.package-archive"},
	{"classes.dex", "application/vnd.android.package-archive"},
	{"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"visio/", "application/vnd.ms-visio.drawing"},
	{"AppxManifest.xml", "application/appx"},
	{"META-INF/MANIFEST.MF", "application/java-archive"},
}

func zipType(b []byte) string {
	const header = 30 // bytes of a local file header before the name
	kind, ooxml := "", false
	for rest := b; ; {
		i := bytes.Index(rest, []byte("PK\x03\x04"))
		if i < 0 || i+header > len(rest) {
			break
		}
		rest = rest[i:]
		n := int(binary.LittleEndian.Uint16(rest[26:]))
		name := string(rest[header:min(len(rest), header+n)])
		if name == "mimetype" {
			// ODF and EPUB: the type is the content of the first member, stored as it is.
			extra := int(binary.LittleEndian.Uint16(rest[28:]))
			return odfType(rest[min(len(rest), header+n+extra):])
		}
		// Windows accepts backslashes in the names.
		name = strings.ReplaceAll(name, "\\", "/")
		ooxml = ooxml || strings.EqualFold(name, "[Content_Types].xml")
		for _, z := range zipNames {
			if len(name) >= len(z.prefix) && strings.EqualFold(name[:len(z.prefix)], z.prefix) && kind == "" {
				kind = z.kind
			}
		}
		rest = rest[4:]
	}
	switch {
	case kind != "":
		return kind
	case ooxml:
		return "application/vnd.openxmlformats-package"
	}
	return "application/zip"
}

func odfType(b []byte) string {
	s := string(b[:min(len(b), 100)])
	if !strings.HasPrefix(s, "application/") {
		return "application/zip"
	}
	if end := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }); end >= 0 {
		s = s[:end]
	}
	s = strings.TrimSuffix(s, "PK") // the signature of what follows
	if s == "application/" {
		return "application/zip"
	}
	return s
}

// binaryType knows what only a closer look tells.
func binaryType(b []byte) string {
	switch {
	case len(b) > 14 && b[0] == 'B' && b[1] == 'M' && binary.LittleEndian.Uint32(b[6:]) == 0:
		return "image/bmp"
	case len(b) > 3 && b[0] == 0xFF && b[1]&0xE0 == 0xE0 && b[1]&0x06 != 0 && b[2]&0xF0 != 0xF0:
		return "audio/mpeg"
	case len(b) >= 512 && isOldTar(b):
		return "application/x-tar"
	case len(b) > 2 && b[0] == 0x30 && (b[1] == 0x82 || b[1] == 0x83 || b[1] == 0x80):
		return "application/pkcs7-mime" // DER or BER: signatures, certificates, keys
	}
	return "application/octet-stream"
}

// isOldTar checks the sum of a tar header of before POSIX.
func isOldTar(b []byte) bool {
	field := strings.Trim(string(b[148:156]), " \x00")
	want, sum := 0, 8*int(' ')
	for _, c := range []byte(field) {
		if c < '0' || c > '7' {
			return false
		}
		want = want<<3 | int(c-'0')
	}
	for i, c := range b[:512] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	return field != "" && want == sum && b[0] != 0
}

// textType returns a type of text, or "" if head is none.
func textType(head []byte) string {
	text, ok := asText(head)
	if !ok {
		return ""
	}
	s := strings.ToLower(strings.TrimLeft(text, "\uFEFF \t\r\n\f\v"))
	for {
		rest, ok := strings.CutPrefix(s, "<!--")
		if !ok {
			break
		}
		_, s, _ = strings.Cut(rest, "-->")
		s = strings.TrimLeft(s, " \t\r\n\f\v")
	}
	for _, t := range textPrefixes {
		if strings.HasPrefix(s, t.prefix) {
			return t.kind
		}
	}
	if strings.HasPrefix(s, "<?xml") || strings.HasPrefix(s, "<!doctype svg") {
		return xmlType(s)
	}
	if isHTML(s) {
		return "text/html"
	}
	return "text/plain"
}

var textPrefixes = [...]struct{ prefix, kind string }{
	{"<!doctype html", "text/html"},
	{"<html", "text/html"},
	{"<svg", "image/svg+xml"},
	{"<hta:application", "application/hta"},
	{"<job", "text/x-wsf"},
	{"<package", "text/x-wsf"},
	{"<librarydescription", "application/x-ms-library"},
	{"begin:vcalendar", "text/calendar"},
	{"begin:vcard", "text/vcard"},
}

// xmlType goes by the first element that is told apart.
func xmlType(s string) string {
	s = s[:min(len(s), 4096)]
	switch {
	case strings.Contains(s, "<svg"):
		return "image/svg+xml"
	case strings.Contains(s, "<html"):
		return "text/html"
	case strings.Contains(s, "<job"), strings.Contains(s, "<package>"):
		return "text/x-wsf"
	case strings.Contains(s, "<librarydescription"):
		return "application/x-ms-library"
	case strings.Contains(s, "progid=\"word.document\""), strings.Contains(s, "progid=\"excel.sheet\""):
		return "application/x-office-xml"
	}
	return "text/xml"
}

// isHTML says whether s, in lower case, begins with an element that browsers take for HTML (WHATWG
// MIME Sniffing section 7.1).
func isHTML(s string) bool {
	name, ok := strings.CutPrefix(s, "<")
	if !ok {
		return false
	}
	end := strings.IndexAny(name, " \t\r\n>/")
	if end < 0 {
		return false
	}
	switch name[:end] {
	case "head", "body", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "br", "p",
		"meta", "img", "form", "center", "span", "link", "base", "embed", "object":
		return true
	}
	return false
}

// asText returns the beginning of head as text, if it is some. UTF-16 needs a byte order mark.
func asText(head []byte) (string, bool) {
	head = head[:min(len(head), 4096)]
	if hasPrefix(head, "\xFF\xFE") || hasPrefix(head, "\xFE\xFF") {
		text := decodeUTF16("utf-16", head[:len(head)&^1])
		return text, !strings.ContainsRune(text, 0)
	}
	high := 0
	for _, c := range head {
		switch {
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1B, c == 0x7F:
			return "", false
		case c >= utf8.RuneSelf:
			high++
		}
	}
	// Text in a charset of one byte a character has ASCII between; anything else must be UTF-8, of
	// which the last character may be cut.
	if high*2 > len(head) && !utf8.Valid(head) && !validButEnd(head) {
		return "", false
	}
	return string(head), true
}

// validButEnd says whether b is UTF-8 up to a character that is cut at its end.
func validButEnd(b []byte) bool {
	for n := 1; n < utf8.UTFMax && n < len(b); n++ {
		if utf8.Valid(b[:len(b)-n]) {
			return true
		}
	}
	return false
}
