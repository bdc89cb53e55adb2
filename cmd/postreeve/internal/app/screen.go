package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/postreeve/postreeve/verdict"
)

// screen is where output goes. It may be used by many goroutines at once.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	color bool
	err   error // the first of writing
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok {
		s.tty = term.IsTerminal(int(f.Fd()))
	}
	s.color = s.tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// printf prints. What comes from outside has to go through show first.
func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil && s.err == nil {
		s.err = fmt.Errorf("writing output: %w", err)
	}
}

// line prints a value as one line of JSON.
func (s *screen) line(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		return
	}
	s.printf("%s\n", harmlessJSON(string(data)))
}

// harmlessJSON escapes what JSON may leave as it is and a terminal may act upon: characters that turn the direction
// of writing among them. It stays the same JSON.
func harmlessJSON(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsGraphic(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case strconv.IsGraphic(r):
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// failed returns the first error of writing, such as a disk that is full or a pipe that is closed.
func (s *screen) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Styles of ECMA-48.
const (
	bold    = "1"
	dim     = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
)

// style colours text that has been made safe already.
func (s *screen) style(style, text string) string {
	if !s.color || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func classStyle(c verdict.Class) string {
	switch c {
	case verdict.Clean:
		return green
	case verdict.Spam:
		return yellow
	case verdict.Malicious:
		return red
	}
	return magenta
}

// show makes text from outside safe for a terminal: control characters, format characters that turn the
// direction of writing, and broken UTF-8 are spelled out.
func show(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsGraphic(r) }) {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}

// cut shortens text to so many characters.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n++; n == most {
			return s[:i] + "…"
		}
	}
	return s
}

// table aligns rows of cells. Cells are made safe; styles are by row and column.
type table struct {
	rows   [][]string
	styles map[[2]int]string
}

func (t *table) row(cells ...string) *table {
	for i := range cells {
		cells[i] = show(cells[i])
	}
	t.rows = append(t.rows, cells)
	return t
}

// paint gives a cell of the last row a style.
func (t *table) paint(column int, style string) {
	if t.styles == nil {
		t.styles = map[[2]int]string{}
	}
	t.styles[[2]int{len(t.rows) - 1, column}] = style
}

// print writes the table with two blanks between columns.
func (t *table) print(s *screen, indent string) {
	var width []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, r := range t.rows {
		var b strings.Builder
		b.WriteString(indent)
		for i, c := range r {
			b.WriteString(s.style(t.styles[[2]int{n, i}], c))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		s.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") || strings.HasSuffix(noun, "x") {
		return strconv.Itoa(n) + " " + noun + "es"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
