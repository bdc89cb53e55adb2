package htmldoc

import "strings"

// sheet has the rules of style sheets with a selector of one class, identifier or element: ".preheader", "#top",
// "td". What other rules say about colours makes those unknown; the rest of them is left out.
type sheet struct {
	rules map[string]facts // by the last simple selector: ".preheader", "#top", "td"
	count int
}

func (s *sheet) empty() bool { return len(s.rules) == 0 }

// add reads the text of a style element, until there are enough rules.
func (s *sheet) add(text string, limit int) {
	text = stripComments(text)
	for text != "" && s.count < limit {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			return
		}
		if text[i] == '}' {
			text = text[i+1:]
			continue
		}
		head := strings.TrimSpace(text[:i])
		if strings.HasPrefix(head, "@") { // a media query: for other screens, or none
			body, rest := braces(text[i+1:])
			s.backgrounds(body, limit)
			text = rest
			continue
		}
		body, rest, _ := strings.Cut(text[i+1:], "}")
		s.rule(head, parseStyle(body), false)
		text = rest
	}
}

// backgrounds takes from rules that may or may not hold only that a background is not known.
func (s *sheet) backgrounds(text string, limit int) {
	for text != "" && s.count < limit {
		head, rest, ok := strings.Cut(text, "{")
		if !ok {
			return
		}
		var body string
		body, text, _ = strings.Cut(rest, "}")
		s.rule(strings.TrimLeft(head, "} \t\r\n"), parseStyle(body), true)
	}
}

// rule keeps what a rule says for each of its selectors.
func (s *sheet) rule(selectors string, f facts, maybe bool) {
	s.count++
	if f.nothing() {
		return
	}
	n := 0
	for sel := range strings.SplitSeq(selectors, ",") {
		if n++; n > 50 {
			return
		}
		sel = strings.TrimSpace(sel)
		last := sel[strings.LastIndexAny(sel, " >+~\t\r\n")+1:]
		key := last
		if i := strings.IndexAny(last, ".#"); i > 0 {
			key = last[i:]
		}
		if key == "" || len(key) > 100 || strings.ContainsAny(key, ":[*") || strings.ContainsAny(key[1:], ".#") {
			continue
		}
		s.keep(strings.ToLower(key), f, maybe || last != sel || key != last)
	}
}

// keep adds facts to those of a key. Of a rule that need not apply only the backgrounds and colours are kept, as unknown.
func (s *sheet) keep(key string, f facts, maybe bool) {
	if maybe {
		g := facts{fg: unsaid, bg: unsaid}
		if f.bg != unsaid {
			g.bg = unknown
		}
		if f.fg != unsaid {
			g.fg = unknown
		}
		f = g
	}
	if s.rules == nil {
		s.rules = make(map[string]facts)
	}
	if old, ok := s.rules[key]; ok {
		f = f.over(old)
	}
	s.rules[key] = f
}

// of returns what the rules for its name, classes and identifier say about an element.
func (s *sheet) of(name string, a *attrs) facts {
	f := facts{fg: unsaid, bg: unsaid}
	if len(s.rules) == 0 {
		return f
	}
	add := func(key string) {
		if g, ok := s.rules[key]; ok {
			f = g.over(f)
		}
	}
	add(name)
	n := 0
	for class := range strings.FieldsSeq(a.get("class")) {
		if n++; n > 20 {
			break
		}
		add("." + strings.ToLower(class))
	}
	if id := a.get("id"); id != "" {
		add("#" + strings.ToLower(id))
	}
	return f
}

// braces returns what stands before the brace that closes the open one, and what stands behind it.
func braces(s string) (body, rest string) {
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

func stripComments(s string) string {
	if !strings.Contains(s, "/*") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "/*")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		if _, s, ok = strings.Cut(rest, "*/"); !ok {
			return b.String()
		}
	}
}
