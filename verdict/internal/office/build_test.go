package office_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"strings"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
)

func le16(v int) string { return string(binary.LittleEndian.AppendUint16(nil, uint16(v))) }
func le32(v int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

// sized is text with its length in 32 bits before it and a NUL at its end.
func sized(s string) string { return le32(len(s)+1) + s + "\x00" }

// packVBA compresses with nothing but literals.
func packVBA(s string) string {
	out := "\x01"
	for s != "" {
		part := s[:min(len(s), 3000)]
		s = s[len(part):]
		var chunk strings.Builder
		for part != "" {
			n := min(len(part), 8)
			chunk.WriteString("\x00" + part[:n])
			part = part[n:]
		}
		out += le16(0xB000|(chunk.Len()+2-3)) + chunk.String()
	}
	return out
}

// vbaStreams is a project with one module, in the storage at dir.
func vbaStreams(dir, code string) []string {
	list := "\x09\x00" + le32(4) + le32(1) + le16(1) +
		"\x19\x00" + le32(7) + "Module1" + "\x1A\x00" + le32(7) + "Module1" + "\x32\x00" + le32(14) + Wide("Module1") +
		"\x31\x00" + le32(4) + le32(3)
	return []string{
		dir + "/VBA/dir", packVBA(list),
		dir + "/VBA/Module1", "xyz" + packVBA("Attribute VB_Name = \"Module1\"\r\n"+code),
		dir + "/VBA/_VBA_PROJECT", "\xCC\x61",
	}
}

// fib is the beginning of a Word document with the flags of its byte 11.
func fib(flags byte) string {
	p := make([]byte, 512)
	copy(p, "\xEC\xA5\xC1\x00")
	p[11] = flags
	return string(p)
}

func word(text string, more ...string) string {
	return CFB(append([]string{"WordDocument", fib(0) + text, "1Table", "x"}, more...)...)
}

func record(id int, data string) string { return le16(id) + le16(len(data)) + data }

// workbook is a workbook of records between its beginning and its end.
func workbook(records ...string) string {
	return record(0x0809, le16(0x0600)+le16(5)+strings.Repeat("\x00", 12)) + strings.Join(records, "") + record(0x000A, "")
}

func boundSheet(state, kind byte, name string) string {
	return record(0x85, "\x00\x00\x00\x00"+string([]byte{state, kind, byte(len(name)), 0})+name)
}

func macroSheet(formulas ...string) string {
	out := record(0x0809, le16(0x0600)+le16(0x40)+strings.Repeat("\x00", 12))
	for _, f := range formulas {
		out += record(6, strings.Repeat("\x00", 20)+le16(len(f))+f)
	}
	return out + record(0x000A, "")
}

// builtIn is a name that Excel knows by its number.
func builtIn(n byte) string {
	return record(0x18, le16(0x21)+"\x00\x01"+strings.Repeat("\x00", 10)+"\x00"+string(rune(n)))
}

// ole10 is what the packager of Windows makes of a file.
func ole10(label, path, content string) string {
	body := le16(2) + label + "\x00" + path + "\x00" + le16(0) + le16(3) + sized(path) + le32(len(content)) + content
	return le32(len(body)) + body
}

// rtfObject is an object of OLE 1 in hexadecimal digits.
func rtfObject(class, native string) string {
	return hex.EncodeToString([]byte(le32(0x501) + le32(2) + sized(class) + le32(0) + le32(0) + le32(len(native)) + native))
}

const contentTypes = `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
	`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`

// docx is a Word package with the body and further parts.
func docx(body string, more ...string) string {
	return Zip(append([]string{
		"[Content_Types].xml", contentTypes + `<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`,
		"word/document.xml", `<w:document xmlns:w="w"><w:body>` + body + `</w:body></w:document>`,
	}, more...)...)
}

// xlsx is an Excel package with the workbook, further content types and parts.
func xlsx(book, types string, more ...string) string {
	return Zip(append([]string{
		"[Content_Types].xml", contentTypes + `<Override PartName="/xl/workbook.xml" ContentType="application/vnd.ms-excel.sheet.macroEnabled.main+xml"/>` + types + `</Types>`,
		"xl/workbook.xml", `<workbook xmlns:r="r">` + book + `</workbook>`,
	}, more...)...)
}

func rels(list ...string) string {
	return `<Relationships>` + strings.Join(list, "") + `</Relationships>`
}

func rel(kind, target, more string) string {
	return `<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/` + kind + `" Target="` + target + `" ` + more + `/>`
}

func deflated(s string) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	w.Write([]byte(s))
	w.Close()
	return buf.String()
}

// ppt is a record of PowerPoint.
func ppt(version, kind int, data string) string {
	return le16(version) + le16(kind) + le32(len(data)) + data
}
