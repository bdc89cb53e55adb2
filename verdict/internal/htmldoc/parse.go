package htmldoc

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// Parse reads HTML. There is none that it refuses.
func Parse(text string, lim Limits) *Document {
	lim = lim.withDefaults()
	p := &parser{lim: lim, doc: new(Document), link: -1}
	if len(text) > lim.Bytes {
		text, p.doc.Truncated = text[:lim.Bytes], true
	}
	p.open = append(p.open, element{look: look{fg: black, bg: white}})
	p.run(text, false)
	p.endLink()
	p.doc.Text = strings.TrimSpace(p.shown.String())
	p.doc.Hidden = strings.TrimSpace(p.hidden.String())
	p.doc.Title = collapse(p.doc.Title)
	return p.doc
}

// element is one that is open.
type element struct {
	name string
	look look
	pre  bool // white space stays
}

// parser is the work on one text.
type parser struct {
	lim    Limits
	doc    *Document
	open   []element // the first stands for the document
	sheet  sheet
	attrs  attrs // of the tag at hand
	shown  prose
	hidden prose

	link      int // index in doc.Links of the open anchor; -1
	linkText  prose
	form      int // number of the open form; 0: none
	tokens    int
	skipUntil string // raw text element whose content is not text
}

// run reads text; office: the content of a comment for Outlook, of which only links count.
func (p *parser) run(text string, office bool) {
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		kind := z.Next()
		if p.tokens++; p.tokens > p.lim.Tokens {
			p.doc.Truncated = true
			return
		}
		switch kind {
		case html.ErrorToken:
			return // the only error of a reader in memory is its end
		case html.TextToken:
			if !office {
				p.text(z)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			p.start(z, office)
		case html.EndTagToken:
			if name, _ := z.TagName(); !office {
				p.end(intern(name))
			}
		case html.CommentToken:
			if inner, ok := officeComment(z.Text()); ok && !office {
				p.run(inner, true)
			}
		}
	}
}

// officeComment returns the content of a conditional comment that Outlook shows.
func officeComment(b []byte) (string, bool) {
	s := string(b)
	cond, rest, ok := strings.Cut(s, "]>")
	cond = strings.ToLower(cond)
	if !ok || !strings.HasPrefix(strings.TrimSpace(cond), "[if") || strings.Contains(cond, "!mso") {
		return "", false
	}
	return strings.TrimSuffix(rest, "<![endif]"), true
}

// text takes a piece of text.
func (p *parser) text(z *html.Tokenizer) {
	switch p.skipUntil {
	case "title":
		if len(p.doc.Title) < 1000 {
			p.doc.Title += string(z.Text())
		}
		return
	case "style":
		p.sheet.add(string(z.Text()), p.lim.Rules)
		return
	case "":
	default:
		return
	}
	s := string(z.Text())
	top := &p.open[len(p.open)-1]
	if top.look.unseen() {
		p.hidden.add(s, top.pre)
		return
	}
	p.doc.Invisible += p.shown.add(s, top.pre)
	if p.link >= 0 {
		p.linkText.add(s, false)
	}
}

// start takes a tag that opens an element.
func (p *parser) start(z *html.Tokenizer, office bool) {
	nb, more := z.TagName()
	name := intern(nb)
	p.attrs.read(z, more)
	a := &p.attrs
	if office {
		if href := a.get("href"); href != "" {
			p.addLink(Link{Target: href, Kind: KindOffice})
		}
		return
	}
	p.doc.Scripts += a.handlers
	switch name {
	case "title", "style", "script", "textarea", "iframe":
		p.skipUntil = name
	case "noscript", "noembed", "noframes":
		z.NextIsNotRawText() // mail programs run no scripts: this is shown
	}
	if blocks[name] {
		p.lineBreak()
	}
	p.implied(name)
	look := p.inherit(name, a)
	p.collect(name, a, look)
	if void[name] {
		return
	}
	if len(p.open) > p.lim.Depth {
		p.doc.Truncated = true
		return
	}
	pre := p.open[len(p.open)-1].pre || name == "pre" || name == "xmp" || name == "listing" || name == "plaintext"
	p.open = append(p.open, element{name, look, pre})
}

// implied closes what a tag closes without saying so, as far as it matters for style.
func (p *parser) implied(name string) {
	top := p.open[len(p.open)-1].name
	switch {
	case name == "p" && top == "p", name == "li" && top == "li", name == "option" && top == "option",
		(name == "td" || name == "th") && (top == "td" || top == "th"), name == "tr" && top == "tr",
		name == "a" && top == "a":
		p.end(top)
	case name == "tr" && (top == "td" || top == "th"):
		p.end(top)
		p.end("tr")
	}
}

// inherit returns how an element looks inside the open ones.
func (p *parser) inherit(name string, a *attrs) look {
	l := p.open[len(p.open)-1].look
	if len(a.list) == 0 && p.sheet.empty() && name != "template" && name != "datalist" {
		return l
	}
	l.attributes(name, a)
	f := p.sheet.of(name, a)
	if s := a.get("style"); s != "" {
		f = parseStyle(s).over(f)
	}
	f.apply(&l)
	return l
}

// end takes a tag that closes an element, and with it those that were left open inside.
func (p *parser) end(name string) {
	if p.skipUntil == name {
		p.skipUntil = ""
	}
	if blocks[name] {
		p.lineBreak()
	}
	switch name {
	case "a":
		p.endLink()
	case "form":
		p.form = 0
	}
	for i := len(p.open) - 1; i > 0 && i > len(p.open)-40; i-- {
		if p.open[i].name == name {
			p.open = p.open[:i]
			return
		}
		if name != "table" && name != "body" && name != "html" && p.open[i].name == "table" {
			return // a tag in a table closes nothing around it
		}
	}
}

func (p *parser) lineBreak() {
	p.shown.lineBreak()
	p.hidden.lineBreak()
	if p.link >= 0 {
		p.linkText.space()
	}
}

// collect takes links, forms and images.
func (p *parser) collect(name string, a *attrs, l look) {
	hidden := l.unseen()
	add := func(kind, target string) int {
		return p.addLink(Link{Target: target, Title: a.get("title"), Kind: kind, Hidden: hidden})
	}
	if bg := a.get("background"); bg != "" {
		add(KindImage, bg)
	}
	switch name {
	case "a":
		p.endLink()
		if target, ok := a.first("href", "xlink:href"); ok {
			p.link = add(KindAnchor, target)
		}
	case "area":
		if i := add(KindArea, a.get("href")); i >= 0 {
			p.doc.Links[i].Alt = a.get("alt")
		}
	case "img", "image", "v:imagedata", "v:fill":
		p.image(a, hidden)
	case "form":
		p.form = 0
		if len(p.doc.Forms) >= p.lim.Forms {
			p.doc.Truncated = true
			break
		}
		p.doc.Forms = append(p.doc.Forms, Form{Action: strings.TrimSpace(a.get("action"))})
		p.form = len(p.doc.Forms)
		add(KindForm, a.get("action"))
	case "input", "select", "textarea", "button":
		p.field(name, a, hidden)
	case "meta":
		if strings.EqualFold(strings.TrimSpace(a.get("http-equiv")), "refresh") {
			add(KindMeta, refreshTarget(a.get("content")))
		}
	case "iframe", "frame", "embed":
		add(KindFrame, a.get("src"))
	case "object":
		add(KindFrame, a.get("data"))
	case "script":
		p.doc.Scripts++
		add(KindScript, a.get("src"))
	case "style":
		p.doc.Styles++
	case "link", "audio", "video", "source", "track":
		target, _ := a.first("href", "src")
		add(KindResource, target)
	case "base":
		if p.doc.Base == "" {
			p.doc.Base = strings.TrimSpace(a.get("href"))
		}
	case "v:roundrect", "v:rect", "v:shape":
		add(KindOffice, a.get("href"))
	}
}

// addLink keeps a link and returns its index; -1 if it was none, or one too many.
func (p *parser) addLink(l Link) int {
	l.Target = strings.Trim(l.Target, " \t\r\n\f\x00")
	if l.Target == "" {
		return -1
	}
	if len(p.doc.Links) >= p.lim.Links {
		p.doc.Truncated = true
		return -1
	}
	if hasScheme(l.Target, "javascript") || hasScheme(l.Target, "vbscript") {
		p.doc.Scripts++
	}
	p.doc.Links = append(p.doc.Links, l)
	return len(p.doc.Links) - 1
}

// hasScheme compares as browsers do, which ignore tabs and line ends inside.
func hasScheme(target, scheme string) bool {
	target = dropBreaks.Replace(target[:min(len(target), 64)])
	return len(target) > len(scheme) && target[len(scheme)] == ':' && strings.EqualFold(target[:len(scheme)], scheme)
}

var dropBreaks = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// endLink closes the open anchor.
func (p *parser) endLink() {
	if p.link >= 0 {
		p.doc.Links[p.link].Text = strings.TrimSpace(p.linkText.String())
	}
	p.link = -1
	p.linkText = prose{}
}

func (p *parser) image(a *attrs, hidden bool) {
	src, _ := a.first("src", "href", "xlink:href")
	if i := p.addLink(Link{Target: src, Kind: KindImage, Hidden: hidden}); i >= 0 && len(p.doc.Images) < p.lim.Links {
		p.doc.Images = append(p.doc.Images, Image{strings.TrimSpace(src), a.get("alt"), pixels(a.get("width")), pixels(a.get("height"))})
	}
	if p.link >= 0 {
		l := &p.doc.Links[p.link]
		l.Images++
		if alt := collapse(a.get("alt")); alt != "" && len(l.Alt) < 1000 {
			l.Alt = strings.TrimSpace(l.Alt + " " + alt)
		}
	}
}

// field takes something that can be filled in or pressed.
func (p *parser) field(name string, a *attrs, hidden bool) {
	kind := strings.ToLower(strings.TrimSpace(a.get("type")))
	p.addLink(Link{Target: a.get("formaction"), Kind: KindButton, Hidden: hidden})
	if name == "input" && kind == "image" {
		p.addLink(Link{Target: a.get("src"), Kind: KindImage, Hidden: hidden})
	}
	switch {
	case name == "button", kind == "hidden", kind == "submit", kind == "image", kind == "reset", kind == "button":
		return
	}
	if p.form == 0 { // a field without form: scripts send it
		if len(p.doc.Forms) >= p.lim.Forms {
			p.doc.Truncated = true
			return
		}
		p.doc.Forms = append(p.doc.Forms, Form{})
		p.form = len(p.doc.Forms)
	}
	f := &p.doc.Forms[p.form-1]
	f.Inputs++
	f.Password = f.Password || kind == "password" || isPasswordName(a.get("name")) || isPasswordName(a.get("placeholder"))
}

func isPasswordName(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "passw") || strings.Contains(s, "pwd") || s == "pass"
}

// refreshTarget returns the address in the content of a refresh: "0; url=https://…".
func refreshTarget(content string) string {
	i := strings.Index(strings.ToLower(content), "url")
	if i < 0 {
		return ""
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(content[i+3:]), "=")
	if !ok {
		return ""
	}
	return strings.Trim(rest, " \t\r\n'\"")
}

func pixels(s string) int {
	s = strings.TrimSuffix(strings.TrimSpace(s), "px")
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<20 {
		return 0
	}
	return n
}
