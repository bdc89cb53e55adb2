package htmldoc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// shown are HTML, what a person sees of it and what style hides. The fuzzer begins with them.
var shown = []struct {
	name, in     string
	text, hidden string
}{
	{"blocks", "<p>Hello  <b>Bob</b>,\n<p>how are<br>you?<table><tr><td>a<td>b</table>", "Hello Bob,\nhow are\nyou?\na\nb", ""},
	{"entities", "a &amp; b&nbsp;c &#8212; &lt;d&gt;", "a & b c — <d>", ""},
	{"preformatted", "<pre>a\n b</pre>c d", "a\nb\nc d", ""},
	{"invisible characters", "Pay\u200bP\u00adal &zwnj;&#847;", "PayPal", ""},
	{"scripts and styles", "<style>a{b:c}</style><script>x()</script>t<noscript>n</noscript><!-- c --><iframe>i</iframe>", "tn", ""},
	{"display", `a<div style="DISPLAY : None !important">b<div style="display:block">c</div></div>d`, "a\nd", "b\nc"},
	{"visibility", `a<span style="visibility:hidden">b<span style="visibility:visible">c</span></span>`, "ac", "b"},
	{"letter size", `a<span style="font-size:0">b<span style="font-size:12px">c</span></span><i style="font:1px/1 Arial">d</i><i style="font-size:1em">e</i>`, "ace", "bd"},
	{"opacity", `a<i style="opacity:0">b</i><i style="opacity:0.9">c</i>`, "ac", "b"},
	{"colour", `a<font color="#ffffff">b</font><p style="color:rgb(254, 255,253)">c</p><p style="color:#fff;background:#000 none">d</p>`, "a\nd", "b\nc"},
	{"colour of a table", `<table bgcolor=navy><tr><td><font color=white>a</font></table><div style="background-color:#123456"><p style="color:#123456">b</p></div>`, "a", "b"},
	{"colour on a picture", `<td background="x.png" style="color:white">a</td><div style="background:url(x.png)"><p style="color:#fff">b`, "a\nb", ""},
	{"transparent", `<p style="color:transparent">a</p><p style="color:rgba(0,0,0,0)">b</p><p style="background:transparent">c`, "c", "a\nb"},
	{"off the screen", `<div style="position:absolute;left:-9999px">a</div><p style="text-indent:-9000px">b</p><p style="margin-left:-5px">c`, "c", "a\nb"},
	{"clipped", `<div style="max-height:0;overflow:hidden">a</div><div style="max-height:0">b</div>`, "b", "a"},
	{"for Outlook", `<span style="mso-hide:all">a</span>b`, "b", "a"},
	{"the attribute", `<p hidden>a</p>b<template>c</template>`, "b", "a\nc"},
	{"a style sheet", `<style>.pre, #top {display:none} .x{font-size:0px} p.z{display:none} @media print {.y{display:none}}</style><p class="q PRE">a</p><p id=top>b</p><td class=x>c</td><p class=y>d</p><b class=z></b>`, "d", "a\nb\nc"},
	{"a style sheet and a style", `<style>.pre{display:none}</style><p class=pre style="display:block">a</p>`, "a", ""},
	{"a style sheet that may hold", `<style>.a .b{background:#000} .c:hover{display:none}</style><p class=b style="color:#fff">a</p><p class=c>b`, "a\nb", ""},
	{"left open", "<div><p>a<b>b<div>c", "ab\nc", ""},
	{"closed too often", "</div></p>a</table></td>b", "a\nb", ""},
	{"cut", "a<p style=\"display:none", "a", ""},
	{"plaintext", "a<plaintext>b<c", "ab<c", ""},
	{"nothing", "", "", ""},
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range shown {
		d := htmldoc.Parse(c.in, htmldoc.Limits{})
		if diff := cmp.Diff([]string{c.text, c.hidden}, []string{d.Text, d.Hidden}); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if d.Truncated {
			t.Errorf("%s: truncated", c.name)
		}
	}
}

const everything = `<html><head><title>A
 title</title><base href="https://base.example.com/"><meta http-equiv=Refresh content="0; URL='https://meta.example.com/'">
<link rel=stylesheet href="s.css"><script src="https://s.example.com/x.js"></script></head>
<body onload="x()" background="bg.png"><a href=" https://a.example.com/?a=1&amp;b=2 " title="T">See <b>this</b> <img src="i.png" alt="Pic" width="20px" height=10></a>
<a href="https://open.example.com/">one<a href="https://hidden.example.com/" style="display:none">two</a>
<map><area href="area" alt="Area"></map>
<form action="https://f.example.com/"><input name=user><input type=hidden name=h><input type=submit formaction="https://b.example.com/"><input type=password></form>
<input name=passwd>
<iframe src="https://frame.example.com/"></iframe><svg><a xlink:href="https://svg.example.com/">s</a></svg>
<!--[if mso]><v:roundrect href="https://mso.example.com/"><center>x</center></v:roundrect><![endif]--><!--[if !mso]><!--><a href="java&#10;script:x()">j</a><!--<![endif]-->`

func TestLinks(t *testing.T) {
	t.Parallel()
	d := htmldoc.Parse(everything, htmldoc.Limits{})
	want := []htmldoc.Link{
		{Target: "https://meta.example.com/", Kind: "meta"},
		{Target: "s.css", Kind: "resource"},
		{Target: "https://s.example.com/x.js", Kind: "script"},
		{Target: "bg.png", Kind: "img"},
		{Target: "https://a.example.com/?a=1&b=2", Text: "See this", Alt: "Pic", Title: "T", Kind: "a", Images: 1},
		{Target: "i.png", Kind: "img"},
		{Target: "https://open.example.com/", Text: "one", Kind: "a"},
		{Target: "https://hidden.example.com/", Kind: "a", Hidden: true},
		{Target: "area", Alt: "Area", Kind: "area"},
		{Target: "https://f.example.com/", Kind: "form"},
		{Target: "https://b.example.com/", Kind: "button"},
		{Target: "https://frame.example.com/", Kind: "iframe"},
		{Target: "https://svg.example.com/", Text: "s", Kind: "a"},
		{Target: "https://mso.example.com/", Kind: "office"},
		{Target: "java\nscript:x()", Text: "j", Kind: "a"},
	}
	if diff := cmp.Diff(want, d.Links); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]htmldoc.Form{{Action: "https://f.example.com/", Password: true, Inputs: 2}, {Password: true, Inputs: 1}}, d.Forms); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]htmldoc.Image{{Source: "i.png", Alt: "Pic", Width: 20, Height: 10}}, d.Images); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"A title", "https://base.example.com/", 3, 0}, []any{d.Title, d.Base, d.Scripts, d.Styles}); diff != "" {
		t.Error(diff)
	}
	clicks := 0
	for _, l := range d.Links {
		if l.Clickable() {
			clicks++
		}
	}
	if clicks != 10 {
		t.Errorf("%d clickable links", clicks)
	}
}

func TestHiddenRatio(t *testing.T) {
	t.Parallel()
	d := htmldoc.Parse(`abcdef<p hidden>gh</p>`, htmldoc.Limits{})
	if r := d.HiddenRatio(); r != 0.25 {
		t.Errorf("%v", r)
	}
	if r := new(htmldoc.Document).HiddenRatio(); r != 0 {
		t.Errorf("%v", r)
	}
}

// hostile is HTML that wants much work.
func hostile() map[string]string {
	const n = 100_000
	return map[string]string{
		"nested":        strings.Repeat("<div style='color:red'>", n),
		"unclosed":      strings.Repeat("<a href=x>", n),
		"closing":       strings.Repeat("<b>", 1000) + strings.Repeat("</i>", n),
		"attributes":    "<a " + strings.Repeat("a=b ", n) + ">",
		"one attribute": "<a href='" + strings.Repeat("a", n) + "'>x</a>",
		"declarations":  "<p style='" + strings.Repeat("a:b;", n) + "'>",
		"rules":         "<style>" + strings.Repeat(".a,.b{color:red}", n/4) + "</style>" + strings.Repeat("<p class='a b'>x", 1000),
		"selectors":     "<style>" + strings.Repeat(".a,", n) + "{}</style>",
		"media":         "<style>" + strings.Repeat("@media{", n) + "</style>",
		"comments":      strings.Repeat("<!--[if mso]><a href=x><![endif]-->", n/10),
		"titles":        strings.Repeat("<title>"+strings.Repeat("a", 100)+"</title>", n/100),
		"forms":         strings.Repeat("<form><input>", n),
		"alts":          "<a href=x>" + strings.Repeat("<img src=y alt='some text'>", n/10),
		"brackets":      strings.Repeat("<", n),
		"entities":      strings.Repeat("&", n),
		"zero width":    strings.Repeat("\u200b", n),
		"bytes":         strings.Repeat("\xff\x00\x80<", n),
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, in := range hostile() {
		start := time.Now()
		d := htmldoc.Parse(in, htmldoc.Limits{})
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if len(d.Links) > 2000 || len(d.Forms) > 100 || len(d.Title) > 2000 || len(d.Text)+len(d.Hidden) > 2*len(in) {
			t.Errorf("%s: %d links, %d forms", name, len(d.Links), len(d.Forms))
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	in := "<p>a</p><a href=b>c</a><a href=d>e</a><form></form><form></form>"
	for name, c := range map[string]struct {
		lim  htmldoc.Limits
		want string
	}{
		"bytes":  {htmldoc.Limits{Bytes: 4}, "a"},
		"tokens": {htmldoc.Limits{Tokens: 2}, "a"},
		"links":  {htmldoc.Limits{Links: 1}, "a\nce"},
		"forms":  {htmldoc.Limits{Forms: 1}, "a\nce"},
	} {
		d := htmldoc.Parse(in, c.lim)
		if !d.Truncated || d.Text != c.want {
			t.Errorf("%s: %v, %q", name, d.Truncated, d.Text)
		}
	}
	if d := htmldoc.Parse("<i><b style='display:none'>x", htmldoc.Limits{Depth: 1}); !d.Truncated {
		t.Error("depth")
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	m := verdicttest.Mail{HTML: "<p>gr\u00fc\u00df</p>"}.Message(t)
	m.Limits.Text = 8
	for p, err := range m.Parts() {
		if err != nil {
			t.Fatal(err)
		}
		d, err := htmldoc.Of(m, p)
		if err != nil || d.Text != "gr\u00fc\uFFFD" && d.Text != "gr\u00fc" || !d.Truncated {
			t.Errorf("%+v, %v", d, err)
		}
		again, _ := htmldoc.Of(m, p)
		if again != d {
			t.Error("read twice")
		}
		if text, err := htmldoc.Plain(m, p); err == nil || !strings.HasPrefix(text, "<p>gr") {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range shown {
		f.Add(c.in)
	}
	f.Add(everything)
	f.Fuzz(func(t *testing.T, s string) {
		d := htmldoc.Parse(s, htmldoc.Limits{Links: 50, Depth: 20, Forms: 5, Rules: 10})
		if len(d.Links) > 50 || len(d.Forms) > 5 || len(d.Images) > 50 {
			t.Errorf("%d links, %d forms, %d images", len(d.Links), len(d.Forms), len(d.Images))
		}
		for _, text := range []string{d.Text, d.Hidden} {
			if strings.Contains(text, "  ") || strings.Contains(text, "\n\n") || strings.TrimSpace(text) != text && !strings.ContainsFunc(text, func(r rune) bool { return r == 0x85 || r > 0x2000 }) {
				t.Errorf("%q", text)
			}
		}
		if again := htmldoc.Parse(s, htmldoc.Limits{Links: 50, Depth: 20, Forms: 5, Rules: 10}); !cmp.Equal(d, again) {
			t.Error("not the same twice")
		}
	})
}
