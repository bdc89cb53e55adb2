package office_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/office"
)

// hostile is content made to break a parser: small, for the table test and for the fuzzer.
func hostile() map[string]string {
	circle := []byte(CFB("WordDocument", fib(0)+strings.Repeat("x", 9000), "dir", "x"))
	for i := len(circle) - 512; i+4 <= len(circle); i += 4 { // every sector comes after itself
		binary.LittleEndian.PutUint32(circle[i:], uint32((i-len(circle)+512)/4))
	}
	tree := []byte(CFB("a", "x", "b", "y"))
	dir := (int(binary.LittleEndian.Uint32(tree[48:])) + 1) * 512
	for _, off := range []int{68, 72, 76} { // every entry is its own neighbour and child
		for id := range 3 {
			binary.LittleEndian.PutUint32(tree[dir+128*id+off:], uint32(id))
		}
	}
	sizes := []byte(CFB("Workbook", workbook()))
	dir = (int(binary.LittleEndian.Uint32(sizes[48:])) + 1) * 512
	binary.LittleEndian.PutUint32(sizes[dir+128+120:], 0xFFFFFFF0)
	tables := []byte(CFB("a", "b"))
	for i := range 109 {
		binary.LittleEndian.PutUint32(tables[76+4*i:], 0)
	}
	binary.LittleEndian.PutUint32(tables[68:], 0)
	return map[string]string{
		"nothing":                  "",
		"a magic":                  "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
		"a header":                 string(circle[:512]),
		"chains in circles":        string(circle),
		"a tree in circles":        string(tree),
		"a size that is a lie":     string(sizes),
		"a table of tables":        string(tables),
		"a record that is a lie":   CFB("Workbook", "\x09\x08\xFF\xFF\x00\x06\x05\x00"),
		"short records":            CFB("Workbook", workbook(record(0x85, ""), record(0x18, "x"), record(0x1AE, "xx"), record(0x23, ""), record(0x17, "\xFF"), record(0x2F, ""), record(0x1B8, urlGUID))),
		"formulas of nothing":      CFB("Workbook", workbook()+macroSheet("", "\x22", "\x21\x00", "\x17\xFF", "\x19\x04\xFF\xFF", "\x42\x01\x6E")),
		"slides in slides":         CFB("PowerPoint Document", strings.Repeat("\x0F\x00\xE8\x03\xFF\xFF\xFF\xFF", 500)),
		"a slide of zlib garbage":  CFB("PowerPoint Document", ppt(0x10, 0x1011, "\xFF\xFF\xFF\xFFx\x9Cgarbage")),
		"VBA of garbage":           CFB("VBA/dir", "\x01\xFF\xB0\xFF\xFF\xFF\xFF\xFF\xFF", "VBA/a", "\x01\x00Attribut"),
		"VBA that copies nothing":  CFB("VBA/dir", packVBA("\x19\x00\xFF\xFF\xFF\xFF"), "VBA/m", "\x01\x03\xB0\x01\x00\x00\x00"),
		"a package of nothing":     CFB("\x01Ole10Native", "\xFF\xFF\xFF\xFF\x02\x00a\x00b\x00\x00\x00\x03\x00\xFF\xFF\xFF\xFF"),
		"monikers":                 CFB("\x01Ole", "\x01\x00\x00\x02\x01\x00\x00\x00"+strings.Repeat(urlGUID+"\xFF\xFF\xFF\xFF", 100)),
		"a class of nothing":       CFB("a/\x01CompObj", strings.Repeat("\xFF", 60)),
		"fields without an end":    word(strings.Repeat("\x13 DDE ", 2000)),
		"ends without a field":     word(strings.Repeat("\x15\x14", 2000)),
		"no zip":                   "PK\x03\x04",
		"an empty package":         Zip("[Content_Types].xml", ""),
		"relationships to nowhere": docx("", "word/_rels/document.xml.rels", rels(rel("", "../../../../../x", ""), rel("image", "", `TargetMode="External"`))),
		"tags without an end":      docx(strings.Repeat("<a ", 5000)),
		"quotes without an end":    docx(`<a b="` + strings.Repeat("x>", 5000)),
		"elements without an end":  docx(strings.Repeat("<w:fldSimple w:instr='DDE'>", 5000)),
		"a comment without an end": docx("<!-- " + strings.Repeat("--", 1000)),
		"a DOCTYPE without an end": docx("", "a.xml", "<!DOCTYPE a ["+strings.Repeat("<!ENTITY x '", 1001)),
		"entities of nothing":      docx("<w:instrText>&#xFFFFFFFFF;&#;&;&lt" + strings.Repeat("&", 100)),
		"a workbook of garbage":    xlsx("", `<Override PartName="/xl/w.bin" ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/>`, "xl/w.bin", "\x9C\x01\xFF\xFF\xFF\x7F", "xl/workbook.bin", "\x9C\x01\x04\x00"),
		"XML of nothing":           "<a/>",
		"XML in broken UTF-16":     "\xFF\xFE<\x00\x00\xD8\x00\xD8x",
		"binary data of nothing":   `<w:wordDocument><w:binData>!!!!</w:binData><w:binData>QWN0aXZlTWltZQ==</w:binData>`,
		"RTF without an end":       `{\rtf1` + strings.Repeat(`{\object{\*\objdata 0105`, 3000),
		"RTF with too many ends":   `{\rtf1` + strings.Repeat("}", 3000),
		"RTF of control words":     `{\rtf1\` + strings.Repeat("a", 3000) + `-999999999999999 \bin9999999999 x\u-1?\'zz\`,
		"an RTF object of garbage": `{\rtf1{\object{\*\objdata ` + strings.Repeat("ff", 100) + `}}}`,
		"SYLK of garbage":          "ID;P\nC;;;;E;K\nNN\nO;;;\n;;;;\n" + strings.Repeat(";", 1000),
		"ActiveMime of nothing":    "ActiveMime" + strings.Repeat("x", 100),
	}
}

func check(t *testing.T, data string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rep, err := office.Inspect(ctx, strings.NewReader(data), int64(len(data)), office.Limits{})
	if rep == nil {
		t.Fatal("no report")
	}
	if err != nil && !errors.Is(err, office.ErrFormat) && !errors.Is(err, office.ErrLimit) && !errors.Is(err, office.ErrEncrypted) {
		t.Errorf("an error of no kind: %v", err)
	}
	if err != nil && (strings.Contains(err.Error(), "gave up") || errors.Is(err, context.DeadlineExceeded)) {
		t.Error(err)
	}
	for _, f := range rep.Files {
		r, err := f.Open()
		if err != nil {
			continue
		}
		if _, err := io.Copy(io.Discard, r); err != nil && r.Close() != nil {
			t.Error(err)
		}
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, data := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, data)
		})
	}
}

func FuzzInspect(f *testing.F) {
	for _, data := range hostile() {
		f.Add([]byte(data))
	}
	f.Add([]byte(docx(`<w:fldSimple w:instr="DDE cmd"/>`, "a.bin", CFB(vbaStreams("", "Sub AutoOpen()")...))))
	f.Add([]byte(CFB("Workbook", workbook(boundSheet(0, 1, "M"), builtIn(1))+macroSheet("\x42\x01\x6E\x00"))))
	f.Add([]byte(CFB("PowerPoint Document", ppt(0x10, 0x1011, le32(5000)+deflated(CFB(vbaStreams("", "Sub A()")...))))))
	f.Add([]byte(`{\rt{\object{\*\objdata ` + rtfObject("Package", ole10("a", "b", "c")) + `}}}`))
	f.Fuzz(func(t *testing.T, data []byte) { check(t, string(data)) })
}

func FuzzTable(f *testing.F) {
	f.Add("=cmd|'/c calc'!A1,=HYPERLINK(\"x\")\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := office.InspectTable(t.Context(), []byte(text), office.Limits{}); err != nil && !errors.Is(err, office.ErrLimit) {
			t.Error(err)
		}
	})
}

// TestLinear doubles content that invites to do more than is needed.
func TestLinear(t *testing.T) {
	repeat := func(head, body, tail string) func(int) string {
		return func(n int) string { return head + strings.Repeat(body, n) + tail }
	}
	streams := func(name func(i int) string, content string) func(int) string {
		return func(n int) string {
			var pairs []string
			for i := range n / 8 {
				pairs = append(pairs, name(i), content)
			}
			return CFB(pairs...)
		}
	}
	lim := office.Limits{Files: 1 << 30, Objects: 1 << 30}
	for _, tt := range []struct {
		name string
		n    int
		make func(int) string
	}{
		{"RTF groups", 10_000, repeat(`{\rtf1`, `{\field{\*\fldinst `, "")},
		{"RTF objects", 5_000, repeat(`{\rtf1`, `{\object{\*\objdata 0105000002000000`, "")},
		{"RTF objects that end", 5_000, repeat(`{\rtf1`, `{\object{\*\objdata 01050000020000000000000000000000}}`, "")},
		{"fields in Word", 20_000, func(n int) string { return word(strings.Repeat("\x13 DDE x", n)) }},
		{"fields in XML", 8_000, repeat("<w:wordDocument>", `<w:fldChar w:fldCharType="begin"/><w:instrText>a "</w:instrText>`, "")},
		{"attributes", 50_000, repeat("<w:wordDocument><a ", `b="c" `, "/>")},
		{"entities", 50_000, repeat("<w:wordDocument><w:instrText>", "&amp", "")},
		{"a CDATA section", 100_000, repeat("<w:wordDocument><w:instrText><![CDATA[", "]]&", "")},
		{"an internal subset", 20_000, repeat("<!DOCTYPE a [", "<!ENTITY a '&a;'>", "]><w:wordDocument/>")},
		{"storages", 2_000, streams(func(i int) string { return "s" + string(rune('a'+i%26)) + strings.Repeat("x", i%20) + "/\x01CompObj" }, "x")},
		{"modules", 2_000, streams(func(i int) string { return "VBA/m" + strings.Repeat("x", i%25) }, "\x01\x00\xB0xAttribut")},
		{"parts", 1_000, func(n int) string {
			var pairs []string
			for range n / 4 {
				pairs = append(pairs, "word/a", "<a/>")
			}
			return docx("", pairs...)
		}},
		{"relationships", 2_000, func(n int) string {
			return docx("", "word/_rels/document.xml.rels", rels(strings.Repeat(rel("hyperlink", "http://a", `TargetMode="External"`), n)))
		}},
		{"sheets", 4_000, func(n int) string { return xlsx(strings.Repeat(`<sheet name="a" r:id="r1"/>`, n), "") }},
		{"records", 50_000, func(n int) string { return CFB("Workbook", workbook(strings.Repeat(builtIn(1), n/10))) }},
		{"SYLK", 20_000, repeat("ID;P\n", `C;E=a|;;`, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Linear(t, tt.n, tt.make, func(ctx context.Context, r io.ReaderAt, size int64) {
				_, err := office.Inspect(ctx, r, size, lim)
				if err != nil && strings.Contains(err.Error(), "gave up") {
					t.Error(err)
				}
			})
		})
	}
	t.Run("values", func(t *testing.T) {
		Linear(t, 50_000, repeat("", "=a|,", ""), func(ctx context.Context, r io.ReaderAt, size int64) {
			text, _ := io.ReadAll(io.NewSectionReader(r, 0, size))
			office.InspectTable(ctx, text, lim)
		})
	})
}

// TestBombs holds the memory for content that becomes much larger than it is.
func TestBombs(t *testing.T) {
	// The same in proportion as the defaults, so that the test is quick.
	lim := office.Limits{Bytes: 4 << 20, Kept: 1 << 20}
	zeros := strings.Repeat("\x00", 5<<20)
	for name, data := range map[string]string{
		"a document":   docx(zeros),
		"an object":    docx("", "word/embeddings/a.bin", CFB("a", "b")+zeros[:2<<20]),
		"in a slide":   CFB("PowerPoint Document", ppt(0x10, 0x1011, le32(0xFFFFFFF)+deflated(zeros[:2<<20]))),
		"an attribute": docx(`<a b="` + zeros[:2<<20]),
	} {
		t.Run(name, func(t *testing.T) {
			Bounded(t, 8<<20, func() {
				if _, err := inspectString(t, data, lim); !errors.Is(err, office.ErrLimit) {
					t.Errorf("got %v, want a limit", err)
				}
			})
		})
	}
}
