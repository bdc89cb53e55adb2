package script

import (
	"bytes"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// calls are names that smuggling and scripts of attackers need, by their lower case. A name counts
// wherever it stands, in a string as well, because window["atob"] is the same as atob.
var calls = func() map[string]string {
	out := map[string]string{}
	for _, w := range strings.Fields(`
		atob btoa Blob createObjectURL msSaveBlob msSaveOrOpenBlob saveAs FileReader showSaveFilePicker
		fromCharCode fromCodePoint charCodeAt unescape decodeURIComponent decodeURI eval Uint8Array
		TextDecoder importScripts serviceWorker WebAssembly
		ActiveXObject WScript CreateObject GetObject ShellExecute Shell PowerShell mshta rundll32 regsvr32
		certutil bitsadmin cmd XMLHTTP ServerXMLHTTP WinHttpRequest ADODB SaveToFile FileSystemObject
		XMLHttpRequest fetch sendBeacon ajax WebSocket ExecuteGlobal Execute RegWrite winmgmts
		CryptoJS decrypt clipboard writeText execCommand fullscreen requestFullscreen`) {
		out[strings.ToLower(w)] = w
	}
	return out
}()

const longestName = 24

// code looks at code.
func (d *document) code(p []byte) error {
	for i := 0; i < len(p); {
		if !isName(p[i]) {
			i++
			continue
		}
		j := i
		for j < len(p) && isName(p[j]) {
			j++
		}
		if j-i <= longestName {
			if err := d.name(p, i, j); err != nil {
				return err
			}
		}
		i = j
		if err := d.b.Step(); err != nil {
			return err
		}
	}
	for _, step := range []func([]byte) error{d.joined, d.urls, d.literals, d.codes, d.escapes} {
		if err := step(p); err != nil {
			return err
		}
	}
	return nil
}

func isName(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c == '_' || c == '$'
}

// name looks at the name p[i:j].
func (d *document) name(p []byte, i, j int) error {
	word := string(p[i:j])
	d.call(word)
	switch word {
	case "location":
		return d.location(p[j:])
	case "replace", "assign":
		if bytes.HasSuffix(p[:i], []byte("location.")) {
			return d.redirect("script", literal(p[j:], '('))
		}
	case "open":
		if bytes.HasSuffix(p[:i], []byte("window.")) {
			return d.redirect("script", literal(p[j:], '('))
		}
	case "write", "writeln":
		if bytes.HasSuffix(p[:i], []byte("document.")) && !d.rep.Has("document.write") {
			d.rep.Calls = append(d.rep.Calls, "document.write")
		}
	case "Function":
		if rest := bytes.TrimLeft(p[j:], " "); len(rest) > 0 && rest[0] == '(' && !d.rep.Has("Function") {
			d.rep.Calls = append(d.rep.Calls, "Function")
		}
	case "download":
		if i > 0 && p[i-1] == '.' || bytes.HasSuffix(p[:i], []byte(`("`)) || bytes.HasSuffix(p[:i], []byte(`('`)) {
			return d.addText(&d.rep.Downloads, literal(bytes.TrimLeft(p[j:], `"'`), '=', ','))
		}
	}
	return nil
}

func (d *document) call(word string) {
	if name, ok := calls[strings.ToLower(word)]; ok && !d.rep.Has(name) {
		d.rep.Calls = append(d.rep.Calls, name)
	}
}

// location looks at an assignment to location or its href.
func (d *document) location(p []byte) error {
	p = bytes.TrimLeft(p, " \t")
	p = bytes.TrimPrefix(p, []byte(".href"))
	if rest := bytes.TrimLeft(p, " \t"); len(rest) > 1 && rest[0] == '=' && rest[1] != '=' {
		return d.redirect("script", literal(p, '='))
	}
	return nil
}

// literal returns the string that follows one of the signs, "" if there is none.
func literal(p []byte, signs ...byte) string {
	const longest = 4096
	p = bytes.TrimLeft(p[:min(len(p), longest)], " \t")
	if len(p) == 0 || bytes.IndexByte(signs, p[0]) < 0 {
		return ""
	}
	p = bytes.TrimLeft(p[1:], " \t\r\n")
	if len(p) == 0 || p[0] != '"' && p[0] != '\'' && p[0] != '`' {
		return ""
	}
	end := bytes.IndexByte(p[1:], p[0])
	if end < 0 {
		return ""
	}
	return string(p[1 : end+1])
}

// joined looks for names that were taken apart: 'at' + 'ob', or written in escapes.
func (d *document) joined(p []byte) error {
	var word []byte
	for i := 0; i < len(p); {
		if p[i] != '"' && p[i] != '\'' && p[i] != '`' {
			i++
			continue
		}
		if err := d.b.Step(); err != nil {
			return err
		}
		word = word[:0]
		pieces, escaped := 0, false
		for i < len(p) && (p[i] == '"' || p[i] == '\'' || p[i] == '`') {
			quote := p[i]
			i++
			for i < len(p) && p[i] != quote && p[i] != '\n' {
				c, n := p[i], 1
				if c == '\\' {
					c, n = escaped1(p[i:])
					escaped = true
				}
				if len(word) <= longestName {
					word = append(word, c)
				}
				i += n
			}
			i++
			pieces++
			i = joint(p, i, "+")
		}
		if (pieces > 1 || escaped) && len(word) <= longestName {
			d.call(string(word))
		}
	}
	return nil
}

// escaped1 reads an escape in a string and returns its length.
func escaped1(p []byte) (byte, int) {
	if len(p) >= 4 && p[1] == 'x' {
		if hi, ok := inspect.Unhex(p[2]); ok {
			if lo, ok := inspect.Unhex(p[3]); ok {
				return hi<<4 | lo, 4
			}
		}
	}
	if len(p) >= 6 && p[1] == 'u' && p[2] == '0' && p[3] == '0' {
		if hi, ok := inspect.Unhex(p[4]); ok {
			if lo, ok := inspect.Unhex(p[5]); ok {
				return hi<<4 | lo, 6
			}
		}
	}
	return 'x', min(2, len(p))
}

// joint returns where the next string begins if only space and one of the signs are between, otherwise i.
func joint(p []byte, i int, signs string) int {
	const most = 64 // bytes that may be between
	j, sign := i, false
	for j < len(p) && j-i < most {
		switch c := p[j]; {
		case isSpace(c):
		case strings.IndexByte(signs, c) >= 0 && !sign:
			sign = true
		case sign && (c == '"' || c == '\'' || c == '`'):
			return j
		default:
			return i
		}
		j++
	}
	return i
}

// urls takes the web addresses in code.
func (d *document) urls(p []byte) error {
	const most = 500
	for len(d.rep.URLs) < most {
		i := bytes.Index(p, []byte("://"))
		if i < 0 {
			return nil
		}
		start := i
		for start > 0 && isLetter(p[start-1]) && i-start < 8 {
			start--
		}
		end := i + 3
		for end < len(p) && end-start < 2048 && p[end] > ' ' && !strings.ContainsRune("\"'`<>\\|^{}),;", rune(p[end])) {
			end++
		}
		switch strings.ToLower(string(p[start:i])) {
		case "http", "https", "ftp", "wss", "ws":
			if err := d.addText(&d.rep.URLs, string(p[start:end])); err != nil {
				return err
			}
		}
		p = p[end:]
	}
	return nil
}
