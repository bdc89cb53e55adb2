package htmldoc

import (
	"strconv"
	"strings"
)

// colour is 0xRRGGBB, or one of the two below.
type colour int32

const (
	black       colour = 0
	white       colour = 0xFFFFFF
	unsaid      colour = -1 // nothing is said about it
	unknown     colour = -2 // a picture, a gradient, a name that is not in the list
	transparent colour = -3
)

// look is how text in an element appears.
type look struct {
	gone   bool // display:none and the like: nothing inside can undo it
	veiled bool // visibility:hidden: something inside may be visible
	tiny   bool // letters of 0 or 1 pixel: something inside may be larger
	fg, bg colour
}

// unseen says whether text is not to be seen.
func (l look) unseen() bool {
	return l.gone || l.veiled || l.tiny || l.fg == transparent || l.fg >= 0 && l.bg >= 0 && near(l.fg, l.bg)
}

// near says whether nobody can tell two colours apart.
func near(a, b colour) bool {
	for shift := 0; shift <= 16; shift += 8 {
		if d := (a>>shift)&0xFF - (b>>shift)&0xFF; d > 6 || d < -6 {
			return false
		}
	}
	return true
}

// attributes applies what stands in attributes other than style.
func (l *look) attributes(name string, a *attrs) {
	if _, ok := a.lookup("hidden"); ok {
		l.gone = true
	}
	if c, ok := a.lookup("bgcolor"); ok {
		l.setBackground(parseColour(c))
	}
	if a.get("background") != "" {
		l.bg = unknown
	}
	switch name {
	case "a":
		l.fg = unknown // links have a colour of their own
	case "font":
		if c, ok := a.lookup("color"); ok {
			l.fg = parseColour(c)
		}
	case "body":
		if c, ok := a.lookup("text"); ok {
			l.fg = parseColour(c)
		}
	case "template", "datalist":
		l.gone = true
	}
}

func (l *look) setBackground(c colour) {
	if c != transparent && c != unsaid {
		l.bg = c
	}
}

// facts are what a style says, as far as it makes text seen or unseen.
type facts struct {
	gone, veiled, visible bool
	display               int8 // 0 unsaid, 1 none, 2 another
	size                  int8 // of letters: 0 unsaid, 1 tiny, 2 normal
	fg, bg                colour
}

func (f facts) nothing() bool { return f == facts{fg: unsaid, bg: unsaid} }

// over returns what holds if f is said after g about the same element.
func (f facts) over(g facts) facts {
	g.gone = g.gone || f.gone
	if f.veiled || f.visible {
		g.veiled, g.visible = f.veiled, f.visible
	}
	if f.display != 0 {
		g.display = f.display
	}
	if f.size != 0 {
		g.size = f.size
	}
	if f.fg != unsaid {
		g.fg = f.fg
	}
	if f.bg != unsaid {
		g.bg = f.bg
	}
	return g
}

// apply changes how an element looks.
func (f facts) apply(l *look) {
	l.gone = l.gone || f.gone || f.display == 1
	l.veiled = (l.veiled || f.veiled) && !f.visible
	switch f.size {
	case 1:
		l.tiny = true
	case 2:
		l.tiny = false
	}
	if f.fg != unsaid {
		l.fg = f.fg
	}
	l.setBackground(f.bg)
}

// parseStyle reads declarations: "display:none; color:#fff".
func parseStyle(s string) facts {
	f := facts{fg: unsaid, bg: unsaid}
	var flat, clipped, away bool
	for n := 0; s != "" && n < 100; n++ {
		var decl string
		decl, s, _ = strings.Cut(s, ";")
		prop, value, ok := strings.Cut(decl, ":")
		if !ok || len(value) > 500 {
			continue
		}
		value = strings.ToLower(strings.TrimSpace(value))
		value = strings.TrimSpace(strings.TrimSuffix(value, "!important"))
		switch strings.ToLower(strings.TrimSpace(prop)) {
		case "display":
			f.display = 2
			if value == "none" {
				f.display = 1
			}
		case "mso-hide":
			f.gone = f.gone || value == "all"
		case "visibility":
			f.veiled = value == "hidden" || value == "collapse"
			f.visible = value == "visible"
		case "opacity":
			if v, ok := number(value); ok && v <= 0.05 {
				f.gone = true
			}
		case "font-size":
			f.size = letterSize(value)
		case "font":
			f.size = max(f.size, fontSize(value))
		case "color":
			f.fg = parseColour(value)
		case "background", "background-color":
			f.bg = background(value)
		case "background-image":
			if value != "none" {
				f.bg = unknown
			}
		case "max-height", "height", "max-width", "width":
			if v, ok := number(value); ok && v == 0 {
				flat = true
			}
		case "overflow":
			clipped = value == "hidden"
		case "position":
			away = value == "absolute" || value == "fixed"
		case "left", "top", "right", "text-indent", "margin-left":
			if v, ok := number(value); ok && v <= -500 && !strings.HasSuffix(value, "%") {
				f.gone = true
			}
		case "clip":
			f.gone = f.gone || away && strings.HasPrefix(value, "rect(0")
		}
	}
	f.gone = f.gone || flat && clipped
	return f
}

// number returns the number at the beginning of s, whatever its unit.
func number(s string) (float64, bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || i == 0 && (s[i] == '-' || s[i] == '+')) {
		i++
	}
	v, err := strconv.ParseFloat(s[:i], 64)
	return v, err == nil
}

func letterSize(s string) int8 {
	v, ok := number(s)
	switch {
	case !ok:
		return 2
	case v == 0, v <= 1 && (strings.HasSuffix(s, "px") || strings.HasSuffix(s, "pt") || strings.HasSuffix(s, "%")), v <= 0.1 && strings.HasSuffix(s, "em"):
		return 1
	}
	return 2
}

// fontSize returns the size in a font shorthand: "0/0 Arial", "bold 12px/1.5 Arial".
func fontSize(s string) int8 {
	for word := range strings.FieldsSeq(s) {
		size, _, _ := strings.Cut(word, "/")
		if size != "" && (size[0] >= '0' && size[0] <= '9' || size[0] == '.') && (len(size) < 3 || !isWeight(size)) {
			return letterSize(size)
		}
	}
	return 0
}

func isWeight(s string) bool { return len(s) == 3 && s[1:] == "00" }

func background(s string) colour {
	if strings.Contains(s, "url(") || strings.Contains(s, "gradient") || strings.Contains(s, "var(") {
		return unknown
	}
	if strings.HasPrefix(s, "rgb") {
		return parseColour(s)
	}
	for word := range strings.FieldsSeq(s) {
		if c := parseColour(word); c != unknown {
			return c
		}
	}
	return unknown
}

// names are the colours that matter: those that hide, and those that are their background.
var names = map[string]colour{
	"white": white, "black": black, "transparent": transparent, "red": 0xFF0000, "green": 0x008000, "blue": 0x0000FF, "yellow": 0xFFFF00,
	"gray": 0x808080, "grey": 0x808080, "silver": 0xC0C0C0, "navy": 0x000080, "whitesmoke": 0xF5F5F5, "snow": 0xFFFAFA, "ivory": 0xFFFFF0,
	"lightgray": 0xD3D3D3, "lightgrey": 0xD3D3D3, "inherit": unsaid, "initial": unsaid, "unset": unsaid, "none": unsaid,
}

// parseColour reads "#fff", "#ffffff", "ffffff", "rgb(1, 2, 3)", "rgba(…)" and names.
func parseColour(s string) colour {
	s = strings.ToLower(strings.TrimSpace(s))
	if c, ok := names[s]; ok {
		return c
	}
	if rest, ok := strings.CutPrefix(s, "rgb"); ok {
		return rgb(rest)
	}
	s = strings.TrimPrefix(s, "#")
	switch len(s) {
	case 3, 4:
		s = string([]byte{s[0], s[0], s[1], s[1], s[2], s[2]})
	case 8:
		if s[6:] == "00" {
			return transparent
		}
		s = s[:6]
	}
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 6 {
		return unknown
	}
	return colour(v)
}

// rgb reads what stands behind "rgb".
func rgb(s string) colour {
	s = strings.Trim(strings.TrimPrefix(s, "a"), "() ")
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '/' })
	if len(parts) < 3 {
		return unknown
	}
	var c colour
	for _, p := range parts[:3] {
		v, ok := number(p)
		if !ok || v < 0 || v > 255 {
			return unknown
		}
		if strings.HasSuffix(p, "%") {
			v = v * 2.55
		}
		c = c<<8 | colour(min(v, 255))
	}
	if len(parts) > 3 {
		if alpha, ok := number(parts[3]); ok && alpha == 0 {
			return transparent
		}
		return unknown // mixed with what is behind
	}
	return c
}
