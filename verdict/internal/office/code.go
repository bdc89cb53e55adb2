package office

import (
	"bytes"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// readCode finds in source of Basic what runs by itself and what is worth a look.
func readCode(b *inspect.Budget, m *Macro, code []byte) error {
	seen := map[string]bool{}
	for line := range bytes.Lines(code) {
		if err := b.Step(); err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '\'' || hasFold(line, "rem ") || hasFold(line, "attribute vb_") {
			continue
		}
		if name := procedure(line); name != "" {
			m.HasCode = true
			if runsItself(name) {
				m.AutoExec = addOnce(m.AutoExec, name)
			}
		}
		if hasFold(line, "declare ") || hasFold(line, "public declare ") || hasFold(line, "private declare ") {
			m.HasCode = true
			m.Suspicious = addOnce(m.Suspicious, "Declare")
		}
		words(line, func(w []byte) { m.suspect(w, seen) })
		if !seen["cmd"] && startsCmd(line) { // alone it is what many call a variable
			seen["cmd"] = true
			m.Suspicious = append(m.Suspicious, "cmd")
		}
	}
	return nil
}

func startsCmd(line []byte) bool {
	line = bytes.ToLower(line)
	for _, w := range []string{"cmd.exe", "cmd /c", "cmd /k", "%comspec%"} {
		if bytes.Contains(line, []byte(w)) {
			return true
		}
	}
	return false
}

// readWords does the same with the names that are scattered in compiled code.
func readWords(b *inspect.Budget, m *Macro, p []byte) error {
	seen := map[string]bool{}
	words(p, func(w []byte) {
		if len(w) > 3 && runsItself(string(w)) {
			m.AutoExec = addOnce(m.AutoExec, string(w))
		}
		m.suspect(w, seen)
	})
	return b.Err()
}

func (m *Macro) suspect(w []byte, seen map[string]bool) {
	if len(w) > maxWord {
		return
	}
	var low [maxWord]byte
	for i, c := range w {
		low[i] = lower(c)
	}
	name, ok := suspiciousWords[string(low[:len(w)])]
	if !ok || seen[name] {
		return
	}
	seen[name] = true
	m.Suspicious = append(m.Suspicious, name)
}

// words calls f with every word, be it a name or a part of a string. Names with dots, as
// "WScript.Shell", come as the words that they are made of.
func words(p []byte, f func([]byte)) {
	for i := 0; i < len(p); {
		if !isWord(p[i]) {
			i++
			continue
		}
		j := i
		for j < len(p) && isWord(p[j]) {
			j++
		}
		f(p[i:j])
		i = j
	}
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}

func hasFold(p []byte, prefix string) bool {
	return len(p) >= len(prefix) && strings.EqualFold(string(p[:len(prefix)]), prefix)
}

func addOnce(list []string, s string) []string {
	const most = 50
	for _, have := range list {
		if strings.EqualFold(have, s) {
			return list
		}
	}
	if len(list) < most {
		list = append(list, s)
	}
	return list
}

// procedure returns the name of the procedure that begins in a line, or "".
func procedure(line []byte) string {
	for {
		word, rest := nextWord(line)
		switch strings.ToLower(word) {
		case "public", "private", "friend", "static", "global":
			line = rest
			continue
		case "sub", "function":
			name, _ := nextWord(rest)
			return name
		case "property":
			_, rest = nextWord(rest) // Get, Let, Set
			name, _ := nextWord(rest)
			return name
		}
		return ""
	}
}

func nextWord(p []byte) (string, []byte) {
	p = bytes.TrimLeft(p, " \t")
	n := 0
	for n < len(p) && n < 256 && (isWord(p[n]) || p[n] >= 0x80) {
		n++
	}
	return string(p[:n]), p[n:]
}

// runsItself says whether the program calls a procedure of that name without being told to.
func runsItself(name string) bool {
	low := strings.ToLower(name)
	if autoNames[low] {
		return true
	}
	object, event, ok := cutLast(low, '_')
	return ok && object != "" && autoEvents[event]
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
