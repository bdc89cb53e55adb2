package pdf

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

const (
	maxScript = 64 << 10
	maxTarget = 4096
	maxImages = 200
)

// facts walks all objects for what they do. First comes what starts by itself, so that it is known of an
// action when the action is met.
func (d *document) facts() error {
	for i := range d.objects {
		o := &d.objects[i]
		if o.dull {
			continue
		}
		v, data, err := d.read(o, d.seal)
		if err != nil {
			return err
		}
		data.num, data.gen = o.num, o.gen
		if err := d.collect(v, o.num, data, 0); err != nil {
			return err
		}
	}
	for _, step := range []func(node) error{d.trigger, d.act, d.form, d.embed, d.image} {
		for _, n := range d.found {
			if err := d.b.Step(); err != nil {
				return err
			}
			if err := step(n); err != nil {
				return err
			}
			if d.src.err != nil {
				return d.src.err
			}
		}
	}
	return d.strays()
}

// collect keeps the dictionaries in a value that say something.
func (d *document) collect(v any, num int32, data extent, depth int) error {
	switch v := v.(type) {
	case array:
		for _, e := range v {
			if err := d.collect(e, num, extent{}, depth+1); err != nil {
				return err
			}
		}
	case dict:
		if v.get("Type") == name("Page") {
			d.rep.Pages++
		}
		if tells(v) {
			if err := d.b.Keep(weight(v)); err != nil {
				return err
			}
			d.found = append(d.found, node{dict: v, num: num, data: data})
		}
		for _, p := range v {
			if err := d.collect(p.val, num, extent{}, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellsAny says whether there is anything in a value that collect would keep or count.
func tellsAny(v any) bool {
	switch v := v.(type) {
	case array:
		return slices.ContainsFunc(v, tellsAny)
	case dict:
		if v.get("Type") == name("Page") || tells(v) {
			return true
		}
		for _, p := range v {
			if tellsAny(p.val) {
				return true
			}
		}
	}
	return false
}

// tells says whether a dictionary has one of the keys or types that matter.
func tells(t dict) bool {
	for _, p := range t {
		switch p.key {
		case "JS", "URI", "OpenAction", "AA", "EF", "XFA", "AcroForm", "RichMediaContent":
			return true
		case "S":
			switch p.val {
			case name("JavaScript"), name("Launch"), name("GoToR"), name("GoToE"), name("SubmitForm"), name("ImportData"),
				name("Rendition"), name("Sound"), name("Movie"), name("RichMediaExecute"):
				return true
			}
		case "Subtype":
			switch p.val {
			case name("Image"), name("RichMedia"), name("3D"), name("Screen"), name("Movie"), name("Sound"):
				return true
			}
		case "Type":
			if p.val == name("EmbeddedFile") {
				return true
			}
		case "Fields":
			if l, ok := p.val.(array); ok && len(l) > 0 {
				return true
			}
		}
	}
	return false
}

// weight is about what a value takes in memory.
func weight(v any) int64 {
	const each = 48
	switch v := v.(type) {
	case text:
		return each + int64(len(v))
	case array:
		n := int64(each)
		for _, e := range v {
			n += weight(e)
		}
		return n
	case dict:
		n := int64(each)
		for _, p := range v {
			n += each + weight(p.val)
		}
		return n
	}
	return each
}

// trigger finds what starts by itself.
func (d *document) trigger(n node) error {
	if v := n.dict.get("OpenAction"); v != nil {
		if a, ok := d.resolve(v).(dict); ok {
			d.rep.OpenAction = d.rep.OpenAction || !harmless(a)
			d.mark(v, 0)
		}
	}
	if aa, ok := d.resolve(n.dict.get("AA")).(dict); ok && len(aa) > 0 {
		d.rep.Triggers = true
		for _, p := range aa {
			d.mark(p.val, 0)
		}
	}
	if l, ok := n.dict.get("Fields").(array); ok && len(l) > 0 && n.dict.get("S") == nil {
		d.rep.AcroForm = true
	}
	if f, ok := d.resolve(n.dict.get("AcroForm")).(dict); ok {
		if l, ok := d.resolve(f.get("Fields")).(array); ok && len(l) > 0 {
			d.rep.AcroForm = true
		}
	}
	switch n.dict.get("Subtype") {
	case name("RichMedia"), name("3D"), name("Screen"), name("Movie"), name("Sound"):
		d.rep.RichMedia = true
	}
	if n.dict.get("RichMediaContent") != nil {
		d.rep.RichMedia = true
	}
	return nil
}

// harmless says whether an action only shows a place of the file.
func harmless(a dict) bool {
	return (a.get("S") == name("GoTo") || a.get("S") == name("Named")) && a.get("Next") == nil
}

// mark notes that an action, and those after it, run by themselves.
func (d *document) mark(v any, depth int) {
	if depth > 8 {
		return
	}
	if r, ok := v.(ref); ok {
		if d.auto[r.num] || len(d.auto) > d.b.Limits.Files {
			return
		}
		d.auto[r.num] = true
	}
	switch v := d.resolve(v).(type) {
	case dict:
		if next := v.get("Next"); next != nil {
			d.mark(next, depth+1)
		}
	case array:
		for _, e := range v[:min(len(v), 16)] {
			d.mark(e, depth+1)
		}
	}
}

// act takes what actions do (ISO 32000-2 section 12.6.4).
func (d *document) act(n node) error {
	t, auto := n.dict, d.auto[n.num]
	kind, _ := d.resolve(t.get("S")).(name)
	if v := t.get("JS"); v != nil || kind == "JavaScript" {
		if err := d.script(v); err != nil {
			return err
		}
	}
	switch kind {
	case "Launch":
		return d.launch(t)
	case "GoToR", "GoToE":
		return d.link("file", d.filespec(t.get("F")), auto)
	case "SubmitForm":
		return d.link("submit", d.filespec(t.get("F")), auto)
	case "ImportData":
		d.rep.ImportData = true
		return nil
	case "Rendition", "Sound", "Movie", "RichMediaExecute":
		d.rep.RichMedia = true
	}
	switch u := d.resolve(t.get("URI")).(type) {
	case text:
		return d.link("uri", textString(u), auto)
	case dict: // of the catalog: the base of all others
		if base, ok := d.resolve(u.get("Base")).(text); ok {
			return d.link("uri", textString(base), false)
		}
	}
	return nil
}

// form takes the scripts of an XFA form, which is XML in one stream or in several (section 12.7.8 of
// ISO 32000-1).
func (d *document) form(n node) error {
	v := n.dict.get("XFA")
	if v == nil {
		return nil
	}
	d.rep.XFA = true
	parts, ok := d.resolve(v).(array)
	if !ok {
		parts = array{v}
	}
	for _, p := range parts[:min(len(parts), 64)] {
		v, data, num := d.follow(p)
		t, ok := v.(dict)
		if !ok || !data.there || d.rep.Locked {
			continue
		}
		b, err := d.readStream(t, data, 1<<20)
		if err := d.note(num, err); err != nil {
			return err
		}
		err = d.xfaScripts(string(b))
		d.b.Keep(-int64(len(b)))
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *document) xfaScripts(xml string) error {
	for {
		_, rest, ok := strings.Cut(xml, "<script")
		if !ok {
			return nil
		}
		_, rest, _ = strings.Cut(rest, ">")
		code, next, _ := strings.Cut(rest, "</script")
		if code = strings.TrimSpace(code); code != "" {
			if err := d.addScript(code); err != nil {
				return err
			}
		}
		xml = next
	}
}

// script adds the code of a JavaScript action: a string or a stream.
func (d *document) script(v any) error {
	code := ""
	switch v, data, num := d.follow(v); t := v.(type) {
	case text:
		code = textString(t)
	case dict:
		if !data.there || d.rep.Locked {
			break
		}
		b, err := d.readStream(t, data, maxScript)
		if err := d.note(num, err); err != nil {
			return err
		}
		d.b.Keep(-int64(len(b)))
		code = textString(text(b))
	}
	return d.addScript(code)
}

func (d *document) addScript(code string) error {
	if len(d.rep.Scripts) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d scripts", ErrLimit, d.b.Limits.Files)
	}
	if len(code) > maxScript {
		code = code[:maxScript]
	}
	code = strings.ToValidUTF8(code, "\uFFFD")
	if err := d.b.Keep(int64(len(code))); err != nil {
		return err
	}
	d.rep.Scripts = append(d.rep.Scripts, code)
	return nil
}

// launch adds the command of an action that starts a program.
func (d *document) launch(t dict) error {
	command := d.filespec(t.get("F"))
	for _, system := range []name{"Win", "Unix", "Mac"} {
		w, ok := d.resolve(t.get(system)).(dict)
		if !ok {
			continue
		}
		file, _ := d.resolve(w.get("F")).(text)
		parms, _ := d.resolve(w.get("P")).(text)
		if command = strings.TrimSpace(textString(file) + " " + textString(parms)); command != "" {
			break
		}
	}
	if len(d.rep.Launch) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d actions that start programs", ErrLimit, d.b.Limits.Files)
	}
	d.rep.Launch = append(d.rep.Launch, cut(command))
	return nil
}

// filespec returns the name in a file specification (section 7.11).
func (d *document) filespec(v any) string {
	switch v := d.resolve(v).(type) {
	case text:
		return textString(v)
	case dict:
		for _, key := range []name{"UF", "F", "Unix", "DOS", "Mac"} {
			if s, ok := d.resolve(v.get(key)).(text); ok && s != "" {
				return textString(s)
			}
		}
	}
	return ""
}

// link adds a target, once.
func (d *document) link(kind, target string, auto bool) error {
	const most = 20 // for each file that may be there: manuals have thousands of links
	target = cut(strings.TrimSpace(target))
	key := kind + " " + target
	if target == "" || d.rep.Locked || d.urls[key] && !auto {
		return nil
	}
	if len(d.rep.Links) >= most*d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d links", ErrLimit, len(d.rep.Links))
	}
	if err := d.b.Keep(2 * int64(len(key))); err != nil {
		return err
	}
	d.urls[key] = true
	d.rep.Links = append(d.rep.Links, Link{Kind: kind, Target: target, Auto: auto})
	return nil
}

func cut(s string) string {
	if len(s) > maxTarget {
		s = s[:maxTarget]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// textString decodes a text string (section 7.9.2.2): UTF-16 or UTF-8 with a mark, or one byte a character.
func textString(t text) string {
	s := string(t)
	switch {
	case strings.HasPrefix(s, "\xFE\xFF"), strings.HasPrefix(s, "\xFF\xFE"):
		high, low := 0, 1
		if s[0] == 0xFF {
			high, low = 1, 0
		}
		s = s[2:]
		units := make([]uint16, 0, len(s)/2)
		for ; len(s) >= 2; s = s[2:] {
			units = append(units, uint16(s[high])<<8|uint16(s[low]))
		}
		return string(utf16.Decode(units))
	case strings.HasPrefix(s, "\xEF\xBB\xBF"):
		return strings.ToValidUTF8(s[3:], "\uFFFD")
	}
	var sb strings.Builder
	sb.Grow(len(s))
	for i := range len(s) {
		sb.WriteRune(rune(s[i]))
	}
	return sb.String()
}
