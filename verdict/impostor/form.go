package impostor

import (
	"bytes"
	"strings"
)

// form looks at how the text is written and put into the message.
func (x *scan) form() {
	x.letters()
	x.letterCase()
	x.templates()
	x.greeting()
	x.parts()
}

// letters looks for words that are written so that people read them and programs do not find them.
func (x *scan) letters() {
	t := x.text
	hits := x.name.oddBrands + t.oddBrands
	for _, n := range t.oddHits {
		hits += n
	}
	for _, o := range t.odd {
		if word := t.folded.text[o.start:o.end]; o.how&oddSpaced != 0 && (bytes.HasPrefix(word, []byte("http")) || bytes.HasPrefix(word, []byte("www"))) {
			hits++
		}
	}
	if hits > 0 {
		x.add("text.obfuscated", "%s", x.oddExamples(^oddity(0)))
	}
	count := func(how oddity) (n int) {
		for _, r := range []*reading{t, x.name} {
			for _, o := range r.odd {
				if o.how&how != 0 && o.end-o.start >= 4 {
					n++
				}
			}
		}
		return n
	}
	if n := count(oddMixed); n > 0 {
		x.add("text.mixed-script", "%s", x.oddExamples(oddMixed))
	}
	if n := count(oddStyled); n > 1 {
		x.add("text.styled", "%d words, %s", n, x.oddExamples(oddStyled))
	}
	if n := count(oddHidden); n > 2 {
		x.add("text.invisible", "%d words, %s", n, x.oddExamples(oddHidden))
	}
	if n := count(oddSpaced); n > 0 {
		x.add("text.spaced", "%s", x.oddExamples(oddSpaced))
	}
}

// oddExamples quotes a few of the words with an oddity.
func (x *scan) oddExamples(how oddity) string {
	var out []string
	for _, r := range []*reading{x.name, x.text} {
		for _, o := range r.odd {
			if o.how&how != 0 && o.end-o.start >= 4 && len(out) < 5 {
				out = append(out, string(r.folded.text[o.start:o.end]))
			}
		}
	}
	return strings.Join(out, ", ")
}

// letterCase looks for letters of nothing but capitals.
func (x *scan) letterCase() {
	if t := x.text; t.long >= 30 && t.caps*100 >= t.long*35 && !x.post {
		x.add("text.capitals", "%d of %d words", t.caps, t.long)
	}
}

// blanks are what tools for mass mail leave where a name should have been put.
var templateMarks = []string{
	"[first-name]", "[first name]", "[firstname]", "[name]", "[username]", "[user]", "[email]", "[to]", "[e-mail]", "[-email-]", "[emailaddress]", "[domain]",
	"{first", "{name", "{email", "{user", "{to}", "{{", "%%", "%first", "%name", "%email", "##", "#email", "#name", "$email", "${", "__link", "*|", "[[", "%rnd", "%random",
	"<first", "<name>", "!*name", "{fname", "{random", "[random",
}

// templates looks for places in a form letter that were not filled in.
func (x *scan) templates() {
	if x.post {
		return
	}
	for i, s := range []string{x.mail.name(), x.from.first().address, x.toText, x.subject} {
		lower := strings.ToLower(s)
		for _, mark := range templateMarks {
			if mark == "##" && i == 3 { // help desks find their letters by it
				continue
			}
			if strings.Contains(lower, mark) {
				x.add("text.template", "%s", s)
				return
			}
		}
	}
	for _, s := range x.body.html {
		head := strings.ToLower(s[:min(len(s), 600)])
		for _, mark := range templateMarks[:12] {
			if i := strings.Index(head, mark); i >= 0 {
				x.add("text.template", "%s", mark)
				return
			}
		}
	}
}

// greetings are what a letter begins with.
var greetings = set(`dear hello hi hey hallo guten liebe lieber geehrte geehrter bonjour cher chère salut hola estimado
	estimada querido querida olá ola oi prezado prezada caro cara ciao gentile buongiorno beste geachte hoi attn attention user customer`)

// greeting looks for a letter that calls its reader by his address.
func (x *scan) greeting() {
	if x.post {
		return
	}
	for _, texts := range [][]string{x.body.plain, x.body.html} {
		for _, s := range texts {
			head := strings.ToLower(s[:min(len(s), 1000)])
			for a := range x.recipients {
				if len(a) < 6 {
					continue
				}
				at := strings.Index(head, strings.ToLower(a))
				if at < 0 {
					continue
				}
				words := strings.Fields(head[max(0, at-40):at])
				if at < 60 && len(words) <= 3 || len(words) > 0 && greetings[strings.Trim(words[len(words)-1], ",:!()a ")] ||
					len(words) > 1 && greetings[strings.Trim(words[len(words)-2], ",:!()")] {
					x.add("text.greets-address", "%s", a)
					return
				}
			}
		}
	}
}

// parts looks at how the text is put into the message.
func (x *scan) parts() {
	b := x.body
	if b.htmlParts > 0 && b.plainParts == 0 {
		x.add("body.html-only", "HTML without a text for those who do not show it")
		if b.alone {
			x.add("body.one-alternative", "HTML as the only alternative")
		}
	}
	if b.asciiBase64 {
		x.add("body.base64", "plain ASCII in base64")
	}
	if x.post && (x.refs != "" || x.inReply != "") && isReplyInList(x.subject) && quotes(b.plain) {
		x.add("thread.list", "an answer in a discussion list")
	}
}

// isReplyInList is isReply for subjects with the name of a list in front.
func isReplyInList(subject string) bool {
	s := strings.TrimSpace(subject)
	if strings.HasPrefix(s, "[") {
		if _, rest, ok := strings.Cut(s, "]"); ok {
			s = strings.TrimSpace(rest)
		}
	}
	return isReply(s)
}
