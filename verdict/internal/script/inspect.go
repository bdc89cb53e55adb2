package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// Inspect looks at text, in any charset that has ASCII in it, or in UTF-16 with a mark.
//
// The report is never nil: with an error it has what was found up to there. There is no text that is not
// of the format. Files of the report refer to text, which must not be changed.
func Inspect(ctx context.Context, text []byte, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	d := &document{b: inspect.NewBudget(ctx, lim), rep: rep, form: -1}
	text, err = d.narrow(text)
	if err == nil {
		err = d.markup(text, 0)
	}
	if err == nil && !rep.Markup {
		err = d.code(text)
	}
	if err != nil && !errors.Is(err, ErrLimit) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return rep, err
}

// document is a text under inspection.
type document struct {
	b    *inspect.Budget
	rep  *Report
	form int // index of the form that is open; -1 if none is
}

// narrow makes UTF-16 text bytes. Characters that are not ASCII do not matter.
func (d *document) narrow(text []byte) ([]byte, error) {
	var high int
	switch {
	case bytes.HasPrefix(text, []byte("\xFF\xFE")):
		high = 1
	case bytes.HasPrefix(text, []byte("\xFE\xFF")):
	default:
		return text, d.b.Spend(int64(len(text)))
	}
	if err := d.b.Keep(int64(len(text) / 2)); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(text)/2)
	for i := 2; i+1 < len(text); i += 2 {
		u := uint16(text[i+high])<<8 | uint16(text[i+1-high])
		if u < 0x80 {
			out = append(out, byte(u))
		} else if !utf16.IsSurrogate(rune(u)) {
			out = append(out, '?')
		}
	}
	return out, d.b.Spend(int64(len(text)))
}

// addText appends a text once, cut to a length that tells all.
func (d *document) addText(list *[]string, s string) error {
	const longest = 4096
	if s = strings.TrimSpace(s); len(s) > longest {
		s = s[:longest]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if slices.Contains(*list, s) {
		return nil
	}
	if len(*list) >= d.b.Limits.Files {
		return errMany(d.b.Limits.Files)
	}
	*list = append(*list, s)
	return nil
}

// markup walks the tags.
func (d *document) markup(p []byte, depth int) error {
	if depth > d.b.Limits.Depth {
		return fmt.Errorf("%w: documents nested more than %d deep", ErrLimit, d.b.Limits.Depth)
	}
	t := tokens{p: p}
	for {
		t.xml = d.rep.SVG
		more := t.next()
		if err := d.b.Object(); err != nil {
			return err
		}
		if more || d.rep.Markup {
			if err := d.literals(t.text); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		if t.name == "" {
			continue
		}
		if err := d.tag(&t, depth); err != nil {
			return err
		}
	}
}

// tag looks at a tag.
func (d *document) tag(t *tokens, depth int) error {
	d.rep.Markup = true
	if t.name[0] == '/' {
		if t.name == "/form" {
			d.form = -1
		}
		return nil
	}
	attrs := t.attrs()
	get := func(name string) string {
		for _, a := range attrs {
			if a.name == name {
				return a.value
			}
		}
		return ""
	}
	for _, a := range attrs {
		if err := d.attribute(t.name, a, depth); err != nil {
			return err
		}
	}
	switch t.name {
	case "script":
		return d.scriptElement(t, get("src")+get("href"))
	case "textarea", "style", "title", "xmp":
		return d.literals(t.raw)
	case "svg":
		d.rep.SVG = true
	case "foreignobject":
		d.rep.Foreign = true
	case "application":
		d.rep.HTA = d.rep.HTA || strings.HasPrefix(t.full, "hta:")
	case "job":
		d.rep.WSF = true
	case "meta":
		if strings.EqualFold(get("http-equiv"), "refresh") {
			return d.refresh(get("content"))
		}
	case "iframe", "frame", "embed":
		return d.frame(get("src"))
	case "object":
		return d.frame(get("data"))
	case "form":
		return d.openForm(get("action"))
	case "input":
		d.input(strings.ToLower(get("type")))
	}
	return nil
}

// attribute looks at an attribute: handlers of events, links that run code, data within it.
func (d *document) attribute(element string, a attr, depth int) error {
	switch {
	case strings.HasPrefix(a.name, "on") && len(a.name) > 3 && a.value != "":
		if !needsClick[a.name] {
			if err := d.addText(&d.rep.Handlers, a.name); err != nil {
				return err
			}
		}
		return d.code([]byte(a.value))
	case a.name == "srcdoc":
		return d.markup([]byte(a.value), depth+1)
	case a.name == "download":
		if element == "a" || element == "area" {
			return d.addText(&d.rep.Downloads, a.value)
		}
	case a.name == "type" || a.name == "class" || a.name == "style" && len(a.value) < 1000:
		return nil
	}
	if scheme, rest, ok := strings.Cut(strings.TrimLeft(a.value, " \t\r\n\x00\x01"), ":"); ok && len(scheme) < 40 {
		switch strings.ToLower(strings.Map(dropControl, scheme)) {
		case "javascript", "vbscript":
			// A link that does nothing is how buttons are made.
			if code := strings.Trim(rest, " ;"); code != "" && !strings.HasPrefix(code, "void(0") && !strings.HasPrefix(code, "//") {
				d.rep.Links++
			}
			return d.code([]byte(rest))
		case "data":
			return d.dataURI(rest)
		}
	}
	return d.literals([]byte(a.value))
}

func dropControl(r rune) rune {
	if r <= ' ' {
		return -1
	}
	return r
}

// needsClick are the events that happen only when the reader does something on purpose.
var needsClick = map[string]bool{
	"onclick": true, "ondblclick": true, "onsubmit": true, "onchange": true, "oninput": true, "onkeydown": true, "onkeyup": true,
	"onkeypress": true, "onmousedown": true, "onmouseup": true, "onselect": true, "onreset": true, "ondrop": true, "oncopy": true,
	"onpaste": true, "ontouchstart": true, "onmouseover": true, "onmouseout": true, "onmouseenter": true, "onmouseleave": true,
	"onblur": true, "oncontextmenu": true, "onsearch": true,
}

func (d *document) scriptElement(t *tokens, src string) error {
	if src != "" {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(src)), "data:") {
			d.rep.Scripts++
		} else if err := d.addText(&d.rep.Sources, src); err != nil {
			return err
		}
	}
	// Data for programs is no program; but it may be what a program unpacks.
	if kind := strings.ToLower(scriptType(t)); strings.Contains(kind, "json") || strings.Contains(kind, "template") {
		return d.literals(t.raw)
	}
	if len(bytes.TrimSpace(t.raw)) == 0 {
		return nil
	}
	d.rep.Scripts++
	return d.code(t.raw)
}

func scriptType(t *tokens) string {
	for _, a := range t.attrs() {
		if a.name == "type" {
			return a.value
		}
	}
	return ""
}

// refresh takes the target of a refresh: "0; url=…".
func (d *document) refresh(content string) error {
	i := strings.Index(strings.ToLower(content), "url")
	if i < 0 {
		return nil
	}
	target := strings.Trim(strings.TrimLeft(strings.TrimSpace(content[i+3:]), "= "), "\"' ")
	return d.redirect("meta", target)
}

func (d *document) redirect(kind, target string) error {
	const longest = 4096
	if len(target) > longest {
		target = target[:longest]
	}
	r := Redirect{kind, strings.ToValidUTF8(target, "\uFFFD")}
	if slices.Contains(d.rep.Redirects, r) || len(d.rep.Redirects) >= 100 {
		return nil
	}
	d.rep.Redirects = append(d.rep.Redirects, r)
	return nil
}

func (d *document) frame(src string) error {
	if src == "" || strings.HasPrefix(src, "data:") || strings.HasPrefix(src, "about:") {
		return nil
	}
	return d.addText(&d.rep.Frames, src)
}

func (d *document) openForm(action string) error {
	if len(d.rep.Forms) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d forms", ErrLimit, d.b.Limits.Files)
	}
	const longest = 4096
	action = strings.TrimSpace(action[:min(len(action), longest)])
	d.form = len(d.rep.Forms)
	d.rep.Forms = append(d.rep.Forms, Form{Action: strings.ToValidUTF8(action, "\uFFFD")})
	return nil
}

func (d *document) input(kind string) {
	if kind == "hidden" {
		return
	}
	d.rep.Password = d.rep.Password || kind == "password"
	if d.form >= 0 {
		f := &d.rep.Forms[d.form]
		f.Fields++
		f.Password = f.Password || kind == "password"
	}
}

func errMany(n int) error { return fmt.Errorf("%w: more than %d findings of one kind", ErrLimit, n) }
