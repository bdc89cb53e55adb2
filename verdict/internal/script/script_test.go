package script_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/script"
)

var facts = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(script.Report{}, "Files", "Literals")}

// program is what the head of a program of Windows looks like.
var program = "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00" + strings.Repeat("\x01\xFE\x90 x", 40)

func codes(s, sep string) string {
	var list []string
	for i := range len(s) {
		list = append(list, fmt.Sprint(s[i]))
	}
	return strings.Join(list, sep)
}

func pieces(s, joint string) string {
	var list []string
	for len(s) > 0 {
		n := min(len(s), 20)
		list = append(list, s[:n])
		s = s[n:]
	}
	return strings.Join(list, joint)
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

const peType = "application/vnd.microsoft.portable-executable"

func TestPayloads(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString([]byte(program))
	page := strings.Repeat("<script>location.replace('http://a.example')</script>", 3)
	for _, tt := range []struct {
		name, text, kind, encoding, content string
	}{
		{"base64", `<script>var a="` + b64 + `"</script>`, peType, "base64", program},
		{"base64 for addresses", `<script>var a="` + base64.RawURLEncoding.EncodeToString([]byte(program)) + `"</script>`, peType, "base64", program},
		{"base64 in pieces", `<script>var a="` + pieces(b64, "\" +\r\n\t\"") + `"</script>`, peType, "base64", program},
		{"base64 in a list", `<script>var a=['` + pieces(b64, "','") + `'].join('')</script>`, peType, "base64", program},
		{"base64 in lines", `<script>var a="` + pieces(b64, "\\\n") + `"</script>`, peType, "base64", program},
		{"base64 the wrong way round", `<script>var a="` + reversed(b64) + `"</script>`, peType, "base64", program},
		{"base64 in text", `<div id="x">` + pieces(b64, "\n") + `</div>`, peType, "base64", program},
		{"base64 in an attribute", `<div data-x="` + b64 + `">`, peType, "base64", program},
		{"base64 in a template", `<script type="text/template">` + b64 + `</script>`, peType, "base64", program},
		{"digits", `<script>var a="` + hex.EncodeToString([]byte(program)) + `"</script>`, peType, "hex", program},
		{"numbers", `<script>var a=[` + codes(program, ", ") + `]</script>`, peType, "codes", program},
		{"codes of characters", `<script>eval(String.fromCharCode(` + codes(page, ",") + `))</script>`, "text/html", "codes", page},
		{"percent escapes", `<script>document.write(unescape("` + escaped(page, "%%%02x") + `"))</script>`, "text/html", "escapes", page},
		{"percent escapes as usual", `<script>document.write(decodeURIComponent("` + url.PathEscape(page) + `"))</script>`, "text/html", "escapes", page},
		{"escapes of strings", `<script>document.write("` + escaped(page, `\x%02X`) + `")</script>`, "text/html", "escapes", page},
		{"escapes of Unicode", `<script>document.write("` + escaped(page, `\u%04x`) + `")</script>`, "text/html", "escapes", page},
		{"a data URI", `<a href="data:application/octet-stream;base64,` + b64 + `">x</a>`, peType, "data", program},
		{"a data URI of HTML", `<iframe src="data:text/html,%3Cb%3Ehello">`, "text/html", "data", "<b>hello"},
		{"in plain code", `var a = "` + b64 + `";`, peType, "base64", program},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := script.Inspect(t.Context(), []byte(tt.text), script.Limits{})
			if err != nil || len(got.Payloads) == 0 || len(got.Files) != len(got.Payloads) {
				t.Fatalf("%v, %+v", err, got)
			}
			if p := got.Payloads[0]; p.Type != tt.kind || p.Encoding != tt.encoding {
				t.Errorf("got %+v", p)
			}
			if c := Content(t, got.Files[0]); !bytes.HasPrefix(c, []byte(tt.content)) && !bytes.HasPrefix([]byte(tt.content), c[:len(c)-len(c)%3]) {
				t.Errorf("content %.80q", c)
			}
		})
	}
}

func escaped(s, format string) string {
	var sb strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&sb, format, s[i])
	}
	return sb.String()
}

func TestFacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       script.Report
	}{
		{"plain HTML", `<html><p>Hello</p><a href="http://a.example">x</a><img src="data:image/png;base64,iVBORw0KGgo=">`, script.Report{Markup: true}},
		{"smuggling", `<script>var b=new Blob([atob(x)]);a.href=URL.createObjectURL(b);a.download='invoice.zip';a.click()</script>`, script.Report{Markup: true, Scripts: 1, Calls: []string{"Blob", "atob", "createObjectURL"}, Downloads: []string{"invoice.zip"}}},
		{"smuggling the old way", `<script>navigator.msSaveOrOpenBlob(b,"x")</script>`, script.Report{Markup: true, Scripts: 1, Calls: []string{"msSaveOrOpenBlob"}}},
		{"names taken apart", `<script>window['at'+'ob'];w["\x65val"]("\u0065\u0076al")</script>`, script.Report{Markup: true, Scripts: 1, Calls: []string{"atob", "eval"}}},
		{"a download", `<a download="a.iso" href="x">`, script.Report{Markup: true, Downloads: []string{"a.iso"}}},
		{"handlers", `<body onload="go()" onclick="x"><img src=x onerror=eval(1)>`, script.Report{Markup: true, Handlers: []string{"onload", "onerror"}, Calls: []string{"eval"}}},
		{"links that run code", `<a href="javascript:go()">a</a><a href=" java&#10;script:go()">b</a><a href="javascript:void(0)">c</a><a href="javascript:;">d</a>`, script.Report{Markup: true, Links: 2}},
		{"a refresh", `<meta http-equiv="Refresh" content="0; URL='https://r.example'">`, script.Report{Markup: true, Redirects: []script.Redirect{{"meta", "https://r.example"}}}},
		{"a refresh of itself", `<meta http-equiv="refresh" content="30">`, script.Report{Markup: true}},
		{"redirects", `<script>window.location.href = "http://a.example"; location.replace('http://b.example'); location=x; if (location == "y") z()</script>`,
			script.Report{Markup: true, Scripts: 1, URLs: []string{"http://a.example", "http://b.example"}, Redirects: []script.Redirect{{"script", "http://a.example"}, {"script", "http://b.example"}, {"script", ""}}}},
		{"a password", `<form action="http://p.example/x"><input name=a><input type="PassWord"><input type=hidden></form><input>`, script.Report{Markup: true, Password: true, Forms: []script.Form{{"http://p.example/x", true, 2}}}},
		{"a password without a form", `<input type=password>`, script.Report{Markup: true, Password: true}},
		{"SVG", `<?xml version="1.0"?><svg:svg onload="x()"><script href="http://s.example/a.js"/><foreignObject/><script><![CDATA[eval(1)]]></script>`, script.Report{Markup: true, SVG: true, Scripts: 1, Sources: []string{"http://s.example/a.js"}, Handlers: []string{"onload"}, Calls: []string{"eval"}, Foreign: true}},
		{"HTA", `<hta:application id=x><script language="VBScript">CreateObject("WScript.Shell").Run "cmd"</script>`, script.Report{Markup: true, HTA: true, Scripts: 1, Calls: []string{"CreateObject", "WScript", "Shell", "cmd"}}},
		{"WSF", `<job><script language="JScript">new ActiveXObject(x)</script></job>`, script.Report{Markup: true, WSF: true, Scripts: 1, Calls: []string{"ActiveXObject"}}},
		{"frames", `<iframe src="http://f.example"></iframe><object data="http://o.example"><embed src="about:blank">`, script.Report{Markup: true, Frames: []string{"http://f.example", "http://o.example"}}},
		{"a page in a frame", `<iframe srcdoc="&lt;script&gt;eval(1)&lt;/script&gt;"></iframe>`, script.Report{Markup: true, Scripts: 1, Calls: []string{"eval"}}},
		{"comments", `<!--> <script>eval(1)</script> --><!-- <script>atob(1)</script> --!><b>`, script.Report{Markup: true, Scripts: 1, Calls: []string{"eval"}}},
		{"a script that looks closed", `<script src=x />eval(1)</script>`, script.Report{Markup: true, Scripts: 1, Sources: []string{"x"}, Calls: []string{"eval"}}},
		{"plain code", `var x = new ActiveXObject("MSXML2.XMLHTTP"); // 1 < 2`, script.Report{Calls: []string{"ActiveXObject", "XMLHTTP"}}},
		{"UTF-16", "\xFF\xFE" + Wide(`<script>eval("ü")</script>`), script.Report{Markup: true, Scripts: 1, Calls: []string{"eval"}}},
		{"data in a page", `<script type="application/ld+json">{"url":"http://a.example"}</script>`, script.Report{Markup: true}},
		{"nothing", "", script.Report{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := script.Inspect(t.Context(), []byte(tt.text), script.Limits{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, facts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSaves(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`<script>new Blob([x]);URL.createObjectURL(b)</script>`: true,
		`<script>a.download="x";atob(y)</script>`:               true,
		`<script>navigator.msSaveBlob(b)</script>`:              true,
		`<script>eval(atob(x))</script>`:                        false,
		`<a download="a.pdf" href="http://a.example/a.pdf">`:    false,
	} {
		got, err := script.Inspect(t.Context(), []byte(text), script.Limits{})
		if err != nil || got.Saves() != want {
			t.Errorf("%s: %v, %v", text, got.Saves(), err)
		}
	}
}

// TestHonestMail holds that the bodies of newsletters, as HTML files, show no payload.
func TestHonestMail(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(t, "corpus-newsletters/", "scan-spamassassin/nice") {
		got, err := script.Inspect(t.Context(), s.Data, script.Limits{})
		if err != nil || len(got.Payloads) > 0 && !strings.Contains(string(s.Data), "base64") || got.Saves() {
			t.Errorf("%s: %v, %+v", s.Path, err, got.Payloads)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString([]byte(program))
	for _, tt := range []struct {
		name, text string
		lim        script.Limits
	}{
		{"bytes", strings.Repeat("x", 100), script.Limits{Bytes: 50}},
		{"tags", strings.Repeat("<a>", 100), script.Limits{Objects: 50}},
		{"payloads", strings.Repeat("<script>'"+b64+"'</script>", 5), script.Limits{Files: 3}},
		{"forms", strings.Repeat("<form>", 5), script.Limits{Files: 3}},
		{"handlers", "<a onload=1><a onfocus=1><a onerror=1><a onabort=1>", script.Limits{Files: 3}},
		{"kept", "<script>['" + pieces(b64, "','") + "']</script>", script.Limits{Kept: 50}},
		{"nesting", `<iframe srcdoc="<iframe srcdoc='<iframe srcdoc=x>'>">`, script.Limits{Depth: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := script.Inspect(t.Context(), []byte(tt.text), tt.lim); !errors.Is(err, script.ErrLimit) {
				t.Errorf("got %v, want a limit; %+v", err, got)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := script.Inspect(ctx, []byte("<a>"), script.Limits{}); !errors.Is(err, script.ErrLimit) || !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

func hostile() []string {
	return []string{
		"", "<", "<>", "</", "</>", "<!", "<!-", "<!--", "<!-->", "<!--->", "<?", "<![CDATA[", "<a", "<a ", "<a b", "<a b=", "<a b='", "<a =", "<a / / b = = c>",
		"<script", "<script>", "<script></", "<script></scrip", "<SCRIPT></sCrIpT x>", "<svg><script/>x", "<:a>", "<a:>", "</:>", "<a:b:c onload=>",
		"<script>'", "<script>\"\\", "<script>`\\x", "<script>'a'+", "<script>'a' + 'b", "<script>location", "<script>location=", "<script>location='", "<script>.download=",
		"<script>0x</script>", "<script>1,2,3,", "<script>0x,0x1,", "<script>://", "<script>http://", "%", "%u", "%u00", "\\x", "\\u00", "<script>%%%", "\xFF\xFE", "\xFE\xFF\x00", "\xFF\xFE\x00\xD8",
		"<meta http-equiv=refresh content=url>", "<a href='data:'>", "<a href='data:,'>", "<a href='data:;base64,!'>", "<a href=':'>", "<form><form></form></form>",
		strings.Repeat("<a b='", 500), strings.Repeat("<!--", 500), strings.Repeat("<script>'", 500), strings.Repeat("'+'", 500), strings.Repeat("\"\\", 500), strings.Repeat("=", 500), strings.Repeat("A=", 500),
	}
}

func check(t *testing.T, text []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rep, err := script.Inspect(ctx, text, script.Limits{})
	if rep == nil {
		t.Fatal("no report")
	}
	if err != nil && (!errors.Is(err, script.ErrLimit) || errors.Is(err, context.DeadlineExceeded)) {
		t.Errorf("%.40q: %v", text, err)
	}
	for _, f := range rep.Files {
		Content(t, f)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, text := range hostile() {
		check(t, []byte(text))
	}
}

func FuzzInspect(f *testing.F) {
	for _, text := range hostile() {
		f.Add([]byte(text))
	}
	f.Add([]byte(`<script>var a="` + base64.StdEncoding.EncodeToString([]byte(program)) + `",b=[` + codes(program[:40], ",") + `]</script>`))
	f.Fuzz(check)
}

func TestLinear(t *testing.T) {
	lim := script.Limits{Files: 1 << 30, Objects: 1 << 30}
	for _, tt := range []struct{ name, head, body string }{
		{"tags", "", "<a b=c>"}, {"quotes", "", "<a b='"}, {"comments", "", "<!-- "}, {"short comments", "", "<!---->"},
		{"scripts", "", "<script>"}, {"ends", "<script>", "</"}, {"strings", "<script>", "'a'+"}, {"joints", "<script>", `"a" + `},
		{"joints with space", "<script>'", "'      +      '"}, {"numbers", "<script>", "1, "}, {"escapes", "<script>", `\x41`}, {"percent", "<script>", "%41 "},
		{"base64", "<script>'", "Ab0+"}, {"equals signs", "<script>'", "Ab0="}, {"lines", "<script>'", "Ab0\\\n"}, {"addresses", "<script>", "http://"},
		{"locations", "<script>", "location='a"}, {"downloads", "<script>", ".download='"}, {"forms", "", "<form><input>"}, {"ends of tags", "", "</a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Linear(t, 10_000, func(n int) string { return tt.head + strings.Repeat(tt.body, n) }, func(ctx context.Context, r io.ReaderAt, size int64) {
				text, _ := io.ReadAll(io.NewSectionReader(r, 0, size))
				script.Inspect(ctx, text, lim)
			})
		})
	}
}
