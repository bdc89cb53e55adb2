package pdf_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/ascii85"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/pdf"
)

func inspectString(t testing.TB, data string, lim pdf.Limits) (*pdf.Report, error) {
	t.Helper()
	return pdf.Inspect(t.Context(), strings.NewReader(data), int64(len(data)), lim)
}

// file makes a file of objects, numbered from 1 on, without a table: nobody believes it.
func file(objects ...string) string {
	var sb strings.Builder
	sb.WriteString("%PDF-1.7\n")
	for i, o := range objects {
		fmt.Fprintf(&sb, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	return sb.String() + "trailer\n<</Root 1 0 R>>\n%%EOF\n"
}

func stream(dict, data string) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(data), data)
}

func deflated(s string) string {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	w.Write([]byte(s))
	w.Close()
	return buf.String()
}

// objStm is an object stream with one object.
func objStm(num int, object string) string {
	head := fmt.Sprintf("%d 0 ", num)
	return stream(fmt.Sprintf("/Type/ObjStm/N 1/First %d/Filter/FlateDecode", len(head)), deflated(head+object))
}

var facts = cmp.Options{cmpopts.IgnoreUnexported(pdf.File{}, pdf.Image{}), cmpopts.EquateEmpty()}

func TestFacts(t *testing.T) {
	t.Parallel()
	script := "<</S/JavaScript/JS(app.alert\\(1\\))>>"
	alert := []string{"app.alert(1)"}
	for _, tt := range []struct {
		name, data string
		want       pdf.Report
	}{
		{"nothing", file("<</Type/Catalog>>", "<</Type/Page>>"), pdf.Report{Pages: 1}},
		{"a script when opened", file("<</OpenAction " + script + ">>"), pdf.Report{Scripts: alert, OpenAction: true}},
		{"a script by reference", file("<</OpenAction 2 0 R>>", script), pdf.Report{Scripts: alert, OpenAction: true}},
		{"a page when opened", file("<</OpenAction [3 0 R /Fit]>>", "<</OpenAction <</S/GoTo/D[1 0 R]>>>>"), pdf.Report{}},
		{"a name in escapes", file("<</Open#41ction<</#53/Java#53cript/J#53(app.alert\\(1\\))>>>>"), pdf.Report{Scripts: alert, OpenAction: true}},
		{"a script in hexadecimal digits and UTF-16", file("<</S/JavaScript/JS<" + hex.EncodeToString([]byte("\xFE\xFF\x00a\x00p\x00p")) + ">>>"), pdf.Report{Scripts: []string{"app"}}},
		{"a script in a stream", file("<</S/JavaScript/JS 2 0 R>>", stream("/Filter[/AHx/Fl]", hex.EncodeToString([]byte(deflated("app.alert(1)")))+">")), pdf.Report{Scripts: alert}},
		{"a script in an object stream", file("<</OpenAction 9 0 R>>", objStm(9, script)), pdf.Report{Scripts: alert, OpenAction: true}},
		{"a script in a stream without its end", "%PDF-1.7\n1 0 obj<</S/JavaScript/JS 2 0 R>>endobj 2 0 obj<</Length 9 0 R>>stream\napp.alert(1)", pdf.Report{Scripts: alert}},
		{"a script behind what hides it", "%PDF-1.7\n1 0 obj (\n2 0 obj" + script + "endobj\n", pdf.Report{Scripts: alert}},
		{"a script in a stream that hides it", file(stream("", "\n7 0 obj"+script+"endobj\n")), pdf.Report{Scripts: alert}},
		{"two objects of one number", file(script) + "1 0 obj<<>>endobj", pdf.Report{Scripts: alert}},
		{"a script in the trailer", "%PDF-1.\ntrailer<</Root<</OpenAction" + script + ">>>>", pdf.Report{Version: "1.", Scripts: alert, OpenAction: true}},
		{"a script of an event", file("<</AA<</O 2 0 R>>>>", script), pdf.Report{Scripts: alert, Triggers: true}},
		{"a script of a form", file("<</AcroForm<</Fields[2 0 R]/XFA[(a) 2 0 R]>>>>", stream("", `<x><script contentType="application/x-javascript">app.alert(1)</script></x>`)), pdf.Report{Scripts: alert, AcroForm: true, XFA: true}},
		{"a program", file("<</OpenAction<</S/Launch/Win<</F(cmd.exe)/P(/c calc)>>>>>>"), pdf.Report{Launch: []string{"cmd.exe /c calc"}, OpenAction: true}},
		{"a program by a file specification", file("<</S/Launch/F<</F(a.exe)/UF 2 0 R>>>>", "(b.exe)"), pdf.Report{Launch: []string{"b.exe"}}},
		{"links", file("<</Annots[<</A<</S/URI/URI(http://a.example)>>>><</A<</S/URI/URI(http://a.example)>>>>]/URI<</Base(http://b.example)>>>>", "<</OpenAction<</S/URI/URI(http://c.example)/Next 3 0 R>>>>", "<</S/SubmitForm/F<</FS/URL/F(http://d.example)>>>>", "<</S/GoToR/F(\\\\\\\\e.example\\\\f)>>"),
			pdf.Report{OpenAction: true, Links: []pdf.Link{{"uri", "http://b.example", false}, {"uri", "http://a.example", false}, {"uri", "http://c.example", false}, {"submit", "http://d.example", true}, {"file", `\\e.example\f`, false}}}},
		{"an embedded file", file("<</Type/Filespec/F(a.txt)/UF(\xFE\xFF\x00b)/EF<</F 2 0 R>>>>", stream("/Type/EmbeddedFile/Filter/FlateDecode/Params<</Size 7>>", deflated("content"))), pdf.Report{Files: []pdf.File{{Name: "b", Where: "object 2", Size: 7}}}},
		{"an embedded file that nothing names", file(stream("/Type/EmbeddedFile", "content")), pdf.Report{Files: []pdf.File{{Where: "object 1", Size: -1}}}},
		{"an annotation with a file", file("<</Subtype/FileAttachment/FS<</F(x.js)/EF<</F 2 0 R>>>>>>", stream("", "content")), pdf.Report{Files: []pdf.File{{Name: "x.js", Where: "object 2", Size: -1}}}},
		{"media", file("<</Subtype/RichMedia>>", "<</S/ImportData/F(x)>>"), pdf.Report{RichMedia: true, ImportData: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := inspectString(t, tt.data, pdf.Limits{})
			if tt.want.Version == "" {
				tt.want.Version = "1.7"
			}
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, facts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, f := range got.Files {
				if c := string(Content(t, f)); c != "content" {
					t.Errorf("content %q", c)
				}
			}
		})
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	const want = "content of a stream, content of a stream"
	rows := []byte("\x02" + want[:10] + "\x02")
	for i := range 10 {
		rows = append(rows, want[10+i]-want[i])
	}
	base85 := make([]byte, ascii85.MaxEncodedLen(len(want)))
	base85 = base85[:ascii85.Encode(base85, []byte(want))]
	for _, tt := range []struct{ name, dict, data, want string }{
		{"none", "", want, want},
		{"hexadecimal", "/Filter/ASCIIHexDecode", hex.EncodeToString([]byte(want)) + " >", want},
		{"base 85", "/Filter/A85", "<~" + string(base85) + "~>", want},
		{"runs", "/Filter/RunLengthDecode", "\x02abc\xFEx\x00y\x80zz", "abcxxxy"},
		{"deflate without its sum", "/Filter/FlateDecode", deflated(want)[:len(deflated(want))-4], want},
		{"deflate behind an end of line", "/Filter/FlateDecode", "\r\n" + deflated(want), want},
		{"deflate of rows", "/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 10>>", deflated(string(rows)), want[:20]},
		{"LZW", "/Filter/LZWDecode", "\x80\x0B\x60\x50\x22\x0C\x0C\x85\x01", "-----A---B"},
		{"a row of filters", "/Filter[/AHx /Fl]/DecodeParms[null null]", hex.EncodeToString([]byte(deflated(want))), want},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := inspectString(t, file(stream("/Type/EmbeddedFile"+tt.dict, tt.data)), pdf.Limits{})
			if err != nil || len(got.Files) != 1 {
				t.Fatalf("%v, %+v", err, got)
			}
			if diff := cmp.Diff(tt.want, string(Content(t, got.Files[0]))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	const image = "/Subtype/Image/Width 2/Height 2"
	for _, tt := range []struct {
		name, dict string
		more       string
		want       pdf.Image
		none       bool
	}{
		{"gray", "/BitsPerComponent 8/ColorSpace/DeviceGray", "", pdf.Image{Bits: 8, Components: 1}, false},
		{"RGB", "/BitsPerComponent 8/ColorSpace 2 0 R", "[/ICCBased 3 0 R]", pdf.Image{Bits: 8, Components: 3}, false},
		{"a mask", "/ImageMask true/Decode[1 0]", "", pdf.Image{Bits: 1, Components: 1, Mask: true, Inverted: true}, false},
		{"a palette", "/BitsPerComponent 4/ColorSpace[/Indexed/DeviceRGB 1<000000FFFFFF>]", "", pdf.Image{Bits: 4, Components: 1, Palette: []byte("\x00\x00\x00\xFF\xFF\xFF")}, false},
		{"a palette of CMYK in a stream", "/BitsPerComponent 1/ColorSpace[/Indexed/DeviceCMYK 0 2 0 R]", stream("", "\x00\x00\x00\xFF"), pdf.Image{Bits: 1, Components: 1, Palette: []byte{0, 0, 0}}, false},
		{"JPEG", "/BitsPerComponent 8/Filter/DCT/ColorSpace/DeviceRGB", "", pdf.Image{Filter: "DCTDecode", Bits: 8, Components: 3}, false},
		{"fax", "/BitsPerComponent 1/Filter/CCITTFaxDecode/ColorSpace/DeviceGray", "", pdf.Image{}, true},
		{"no colours", "/BitsPerComponent 8", "", pdf.Image{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			more := tt.more
			if more == "" {
				more = "null"
			}
			got, err := inspectString(t, file(stream(image+tt.dict, "samples"), more, stream("/N 3", "profile")), pdf.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var want []pdf.Image
			if !tt.none {
				tt.want.Width, tt.want.Height = 2, 2
				want = append(want, tt.want)
			}
			if diff := cmp.Diff(want, got.Images, facts); diff != "" {
				t.Fatalf("-want +got\n%s", diff)
			}
			for _, i := range got.Images {
				r, err := i.Open()
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(r); string(b) != "samples" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
			}
		})
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("00", 32)
	for _, e := range []string{
		"<</Filter/Standard/V 2/R 3/Length 128/P -4/O<" + zeros + ">/U<" + zeros + ">>>",
		"<</Filter/Standard/V 5/R 6/O<" + zeros + zeros + ">/U<" + zeros + zeros + ">/UE<" + zeros + ">>>",
		"<</Filter/Standard/V 4/R 4/CF<</StdCF<</CFM/AESV2>>>>/StmF/StdCF/StrF/StdCF>>",
		"<</Filter/Adobe.PubSec/V 4>>",
		"<</Filter/Standard/V 99>>",
	} {
		data := file("<</OpenAction<</S/JavaScript/JS(x)>>/A<</URI(\x81\x92)>>>>", e) + "trailer<</Encrypt 2 0 R/ID[<00>]>>"
		got, err := inspectString(t, data, pdf.Limits{})
		if !errors.Is(err, pdf.ErrEncrypted) || !got.Encrypted || !got.Locked || len(got.Scripts) != 1 || len(got.Links) != 0 {
			t.Errorf("%.60s: %v, %+v", e, err, got)
		}
	}
}

func TestNoPDF(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "text", strings.Repeat(" ", 2000) + "%PDF-1.4"} {
		if rep, err := inspectString(t, data, pdf.Limits{}); !errors.Is(err, pdf.ErrFormat) || rep == nil {
			t.Errorf("%.20q: %v", data, err)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	many := func(object string) string {
		var list []string
		for i := range 20 {
			list = append(list, strings.ReplaceAll(object, "#", fmt.Sprint(i)))
		}
		return file(list...)
	}
	for _, tt := range []struct {
		name, data string
		lim        pdf.Limits
	}{
		{"objects", many("null"), pdf.Limits{Objects: 10}},
		{"scripts", many("<</JS(#)>>"), pdf.Limits{Files: 10}},
		{"programs", many("<</S/Launch>>"), pdf.Limits{Files: 10}},
		{"files", many(stream("/Type/EmbeddedFile", "x")), pdf.Limits{Files: 10}},
		{"links", many("<</URI(#)>>"), pdf.Limits{Files: 0, Kept: 700}},
		{"bytes", file(objStm(5, "("+strings.Repeat("x", 10_000)+")")), pdf.Limits{Bytes: 5000}},
		{"a bomb between filters", file("<</JS 2 0 R>>", stream("/Filter[/Fl/AHx]", deflated(strings.Repeat(" ", 1<<20)))), pdf.Limits{Bytes: 100_000}},
		{"nesting", file(strings.Repeat("[", 1000)), pdf.Limits{}},
		{"objects that overlap", "%PDF-1.7 " + strings.Repeat("1 0 obj ( ", 20_000), pdf.Limits{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := inspectString(t, tt.data, tt.lim); !errors.Is(err, pdf.ErrLimit) {
				t.Errorf("got %v, want a limit; %+v", err, got)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := many("null")
	if _, err := pdf.Inspect(ctx, strings.NewReader(data), int64(len(data)), pdf.Limits{}); !errors.Is(err, pdf.ErrLimit) || !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

// TestCorpus holds the facts against the labels of the corpus.
func TestCorpus(t *testing.T) {
	t.Parallel()
	locked := false
	for _, s := range Samples(t, "att-pdf/corkami/pdf/", "att-pdf/spam-pdf/", "att-poi/hmef/quick-contents/quick.pdf") {
		if !strings.HasSuffix(s.Path, ".pdf") {
			continue
		}
		got, err := pdf.Inspect(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), pdf.Limits{})
		active := len(got.Scripts) > 0 || len(got.Launch) > 0 || len(got.Files) > 0
		if want := s.Label == "malicious-type:pdf-active"; active != want {
			t.Errorf("%s is %s: %v, %+v", s.Path, s.Label, err, got)
		}
		if strings.Contains(s.Path, "Encrypted_") && (!got.Encrypted || got.Locked || len(got.Links) != 1 || !strings.HasPrefix(got.Links[0].Target, "https://")) {
			t.Errorf("%s: %v, %+v", s.Path, err, got)
		}
		locked = locked || got.Locked
		for _, f := range got.Files {
			Content(t, f)
		}
		for _, i := range got.Images {
			r, err := i.Open()
			if err != nil {
				t.Errorf("%s: %v", s.Path, err)
				continue
			}
			if n, err := io.Copy(io.Discard, r); err != nil || i.Filter == "" && n < int64(i.Width*i.Height*i.Bits*i.Components/8) {
				t.Errorf("%s: image of %dx%d has %d bytes, %v", s.Path, i.Width, i.Height, n, err)
			}
		}
	}
	if locked {
		t.Error("no file of the corpus needs a password")
	}
}

func hostile() map[string]string {
	return map[string]string{
		"nothing":                      "",
		"a header":                     "%PDF-",
		"objects without an end":       file(strings.Repeat("<</A[(", 20)),
		"ends without an object":       "%PDF-1.7\n" + strings.Repeat(">> ] ) endobj endstream ", 200),
		"references in circles":        file("2 0 R", "1 0 R", "<</JS 1 0 R/OpenAction 4 0 R>>", "<</Next 4 0 R/S/URI/URI 1 0 R>>", stream("/Length 5 0 R/Filter 5 0 R/Type/ObjStm/N 5 0 R/First 1 0 R", "x")),
		"an object stream of itself":   file(objStm(1, "<</Type/ObjStm>>")),
		"an object stream of nothing":  file(stream("/Type/ObjStm/N 99999999999/First 99999", "1 2 3"), stream("/Type/ObjStm/N -1/First -1", "x"), stream("/Type/ObjStm/N 2/First 8", "1 0 2 99 x")),
		"numbers":                      file("[1.2.3 --5 +.5 -. 99999999999999999999 .-1 4294967296 0 R -1 0 R]"),
		"names":                        file("<</#/#0/#00/# #zz/A#4/" + strings.Repeat("x", 5000) + ">>"),
		"strings":                      file("[(\\)(\\\\)\\7\\77\\777\\8)(((<zz><1> <" + strings.Repeat("4", 999) + " (" + strings.Repeat("(", 500)),
		"lengths":                      file("<</Length -1>>stream\nx", "<</Length 9999999999999>>stream\rx\nendstream", "<</Length 1 0 R>>stream endstream"),
		"filters":                      file(stream("/Type/EmbeddedFile/Filter[/Fl/Fl/Fl/Fl/Fl/Fl/Fl/Fl/Fl]", "x"), stream("/Type/EmbeddedFile/Filter/Nope", "x"), stream("/Type/EmbeddedFile/Filter/LZW", "\xFF\xFF\xFF"), stream("/Type/EmbeddedFile/Filter/A85", "zzz!!~"), stream("/Type/EmbeddedFile/Filter/RL", "\xFF")),
		"rows":                         file(stream("/Type/EmbeddedFile/Filter/Fl/DecodeParms<</Predictor 15/Colors 99/Columns 99999999/BitsPerComponent 99>>", deflated("x")), stream("/Type/EmbeddedFile/Filter/LZW/DP<</Predictor 2>>", "\x80\x0B\x60\x50")),
		"encryption of nothing":        file("<</JS(x)>>") + "trailer<</Encrypt<<>>/ID 5>>",
		"encryption that encrypts":     file("<</Filter/Standard/V 5/R 6/U("+strings.Repeat("x", 48)+")/UE()>>") + "trailer<</Encrypt 1 0 R>>",
		"encryption in circles":        file("<</Filter 1 0 R/V 1 0 R/CF 1 0 R>>") + "trailer<</Encrypt 1 0 R/ID 1 0 R>>",
		"images":                       file(stream("/Subtype/Image/Width 99999999999/Height -5/ColorSpace[/Indexed[/Indexed 1 0 R]1 0 R 1 0 R]/Decode 1 0 R", "x"), stream("/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace 2 0 R", "")),
		"a form":                       file("<</XFA 1 0 R/AcroForm 1 0 R/Fields 1 0 R>>", "<</XFA[1 0 R 1 0 R(a)2 0 R]>>"),
		"file specifications":          file("<</EF<</F 1 0 R/UF 99 0 R>>/F 1 0 R/Desc 1 0 R>>", "<</EF 1 0 R/Params 1 0 R>>"),
		"nothing between the numbers":  "%PDF-1.7 0 obj 1 obj 1 0obj 1 0 obj",
		"trailers":                     "%PDF-1.7" + strings.Repeat("trailer<</Encrypt 1 0 R", 100),
		"comments":                     "%PDF-1.7\n1 0 obj % <</JS(x)>>\r(a)% " + strings.Repeat("%", 999),
		"a stream of an object stream": file(objStm(3, "<</Length 5>>stream\nhello\nendstream")),
	}
}

func check(t *testing.T, data string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rep, err := pdf.Inspect(ctx, strings.NewReader(data), int64(len(data)), pdf.Limits{})
	if rep == nil {
		t.Fatal("no report")
	}
	if err != nil && !errors.Is(err, pdf.ErrFormat) && !errors.Is(err, pdf.ErrLimit) && !errors.Is(err, pdf.ErrEncrypted) {
		t.Errorf("an error of no kind: %v", err)
	}
	if err != nil && (strings.Contains(err.Error(), "gave up") || errors.Is(err, context.DeadlineExceeded)) {
		t.Error(err)
	}
	for _, f := range rep.Files {
		if r, err := f.Open(); err == nil {
			io.Copy(io.Discard, r)
		}
	}
	for _, i := range rep.Images {
		if r, err := i.Open(); err == nil {
			io.Copy(io.Discard, r)
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
	f.Add([]byte(file("<</OpenAction 9 0 R>>", objStm(9, "<</S/JavaScript/JS(x)>>"))))
	f.Add([]byte(file(stream("/Subtype/Image/Width 2/Height 2/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/LZW", "\x80\x0B\x60\x50\x22\x0C\x0C\x85\x01"))))
	f.Fuzz(func(t *testing.T, data []byte) { check(t, string(data)) })
}

func TestLinear(t *testing.T) {
	repeat := func(body string) func(int) string {
		return func(n int) string { return "%PDF-1.7\n" + strings.Repeat(body, n) }
	}
	lim := pdf.Limits{Files: 1 << 30, Objects: 1 << 30, Kept: 1 << 40, Bytes: 1 << 40}
	for _, tt := range []struct {
		name string
		n    int
		make func(int) string
	}{
		{"objects without an end", 3_000, repeat("1 0 obj ( ")},
		{"dictionaries without an end", 10_000, repeat("1 0 obj << /A ")},
		{"streams without an end", 10_000, repeat("1 0 obj <<>> stream ")},
		{"streams of one number", 3_000, repeat("1 0 obj <</Length 1 0 R/Type/ObjStm/Filter 1 0 R>> stream x endstream ")},
		{"references to a large object", 4_000, func(n int) string {
			return "%PDF-1.7\n9 0 obj [" + strings.Repeat("1 ", n) + "] endobj " + strings.Repeat("1 0 obj <</JS 9 0 R>> ", n)
		}},
		{"names", 20_000, repeat("1 0 obj /a#41/ ")},
		{"trailers", 10_000, repeat("trailer <</Root ")},
		{"links", 5_000, repeat("1 0 obj <</URI(http://a)>> ")},
		{"numbers", 50_000, repeat("1 ")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Linear(t, tt.n, tt.make, func(ctx context.Context, r io.ReaderAt, size int64) {
				if _, err := pdf.Inspect(ctx, r, size, lim); err != nil && strings.Contains(err.Error(), "gave up") {
					t.Error(err)
				}
			})
		})
	}
}

func TestBombs(t *testing.T) {
	lim := pdf.Limits{Bytes: 4 << 20, Kept: 1 << 20}
	zeros := deflated(strings.Repeat("\x00", 5<<20))
	for name, data := range map[string]string{
		"an object stream": file(stream("/Type/ObjStm/N 1/First 5/Filter/Fl", zeros)),
		"values":           file("[" + strings.Repeat("[]", 2<<20)),
		"rows":             file("<</JS 2 0 R>>", stream("/Filter[/Fl/Fl]/DecodeParms[<</Predictor 12/Columns 65536/Colors 8/BitsPerComponent 16>>]", zeros)),
	} {
		t.Run(name, func(t *testing.T) {
			Bounded(t, 16<<20, func() {
				if _, err := inspectString(t, data, lim); err != nil && !errors.Is(err, pdf.ErrLimit) && !errors.Is(err, pdf.ErrFormat) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
