package script

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

const (
	minLiteral = 96 // characters of base64 or digits that are worth decoding
	minCodes   = 32 // numbers
	minEscapes = 16
)

// literals looks for long runs of base64 or hexadecimal digits, also in pieces that are strings joined by
// a plus or a comma.
func (d *document) literals(p []byte) error {
	var run []byte
	for i := 0; i < len(p); {
		if !isBase64(p[i]) {
			i++
			continue
		}
		start := i
		run = run[:0]
		pieces := 0
		for {
			from := i
			for i < len(p) && isBase64(p[i]) {
				i++
			}
			next := resume(p, i)
			if pieces > 0 || next != i {
				run = append(run, p[from:i]...)
			}
			pieces++
			if next == i || next >= len(p) || !isBase64(p[next]) {
				break
			}
			i = next
			if err := d.b.Step(); err != nil {
				return err
			}
		}
		text := p[start:i]
		if pieces > 1 {
			text = run
		}
		if len(text) >= minLiteral {
			if err := d.literal(text, pieces > 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func isBase64(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' || c == '-' || c == '_'
}

// resume returns where a run goes on: behind a joint of two strings, the end of a line, an escaped end of
// a line. Otherwise it returns i.
func resume(p []byte, i int) int {
	if i >= len(p) {
		return i
	}
	switch p[i] {
	case '"', '\'', '`':
		if j := joint(p, i+1, "+,"); j > i+1 {
			return j + 1
		}
	case '\\', '\r', '\n':
		j := i
		for j < len(p) && j-i < 8 && (p[j] == '\\' || p[j] == '\r' || p[j] == '\n' || p[j] == 'n' && p[j-1] == '\\' || p[j] == 'r' && p[j-1] == '\\') {
			j++
		}
		return j
	}
	return i
}

// literal tries to decode a run. What it means can be known only by what comes out.
func (d *document) literal(text []byte, own bool) error {
	// An equals sign ends the data, or a name in front of it.
	longest := text[:0]
	for part := range bytes.SplitSeq(text, []byte("=")) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	if text = longest; len(text) < minLiteral {
		return nil
	}
	if isHex(text) {
		d.rep.Literals += len(text)
		return d.try("hex", text, own, decodeHex)
	}
	if !mixed(text) {
		return nil // a long word, a row of dashes
	}
	d.rep.Literals += len(text)
	n := len(d.rep.Payloads)
	if err := d.try("base64", text, own, decodeBase64); err != nil || len(d.rep.Payloads) > n {
		return err
	}
	// Some turn the text around, so that nobody recognises it.
	return d.try("base64", text, own, func(p []byte) []byte { return decodeBase64(reversed(p)) })
}

func isHex(p []byte) bool {
	for _, c := range p {
		if _, ok := inspect.Unhex(c); !ok {
			return false
		}
	}
	return true
}

// mixed says whether there are letters of both cases and digits at the beginning, as in any base64.
func mixed(p []byte) bool {
	var lower, upper, digit bool
	for _, c := range p[:min(len(p), 512)] {
		lower = lower || c >= 'a' && c <= 'z'
		upper = upper || c >= 'A' && c <= 'Z'
		digit = digit || c >= '0' && c <= '9'
	}
	return lower && upper && (digit || len(p) < 256)
}

func reversed(p []byte) []byte {
	p = bytes.Clone(p)
	slices.Reverse(p)
	return p
}

func decodeHex(p []byte) []byte {
	out := make([]byte, len(p)/2)
	n, _ := hex.Decode(out, p[:len(p)&^1])
	return out[:n]
}

// decodeBase64 decodes either alphabet, up to what is none of it.
func decodeBase64(p []byte) []byte {
	enc := base64.RawStdEncoding
	if bytes.ContainsAny(p, "-_") {
		enc = base64.RawURLEncoding
	}
	if i := bytes.IndexByte(p, '='); i >= 0 {
		p = p[:i]
	}
	if len(p)%4 == 1 {
		p = p[:len(p)-1]
	}
	out := make([]byte, enc.DecodedLen(len(p)))
	n, _ := enc.Decode(out, p)
	return out[:n]
}

// try decodes the beginning, and if that is of a type that matters, takes it all.
func (d *document) try(encoding string, text []byte, own bool, decode func([]byte) []byte) error {
	const enough = 4 * verdict.SniffLen
	head := text
	if encoding == "hex" || len(head) > enough {
		head = head[:min(len(head), enough)&^3]
	}
	if err := d.b.Spend(int64(len(head))); err != nil {
		return err
	}
	b := decode(head)
	kind := verdict.SniffType(b[:min(len(b), verdict.SniffLen)])
	if !matters(kind, b) {
		return nil
	}
	if own {
		text = bytes.Clone(text)
		if err := d.b.Keep(int64(len(text))); err != nil {
			return err
		}
	}
	size := int64(len(text) / 4 * 3)
	if encoding == "hex" {
		size = int64(len(text) / 2)
	}
	return d.payload(Payload{kind, encoding, size}, func() []byte { return decode(text) })
}

// matters says whether content of the type is worth telling.
func matters(kind string, b []byte) bool {
	switch kind {
	case "image/svg+xml":
		return true
	case "application/octet-stream", "application/x-empty":
		return false
	case "text/plain":
		// Code that is decoded to be run.
		low := bytes.ToLower(b[:min(len(b), 4096)])
		for _, w := range []string{"<script", "<html", "<form", "function", "eval(", "document.", "window.", "createobject", "powershell", "location"} {
			if bytes.Contains(low, []byte(w)) {
				return true
			}
		}
		return false
	}
	major, _, _ := strings.Cut(kind, "/")
	return major != "image" && major != "audio" && major != "video" && major != "font"
}

// payload adds what was decoded, once.
func (d *document) payload(p Payload, decode func() []byte) error {
	if len(d.rep.Payloads) >= d.b.Limits.Files {
		return errMany(d.b.Limits.Files)
	}
	d.rep.Payloads = append(d.rep.Payloads, p)
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(decode())), nil }
	d.rep.Files = append(d.rep.Files, inspect.NewFile("", p.Encoding, p.Size, open))
	return nil
}

// dataURI decodes what follows "data:" (RFC 2397).
func (d *document) dataURI(rest string) error {
	media, data, ok := strings.Cut(rest, ",")
	if !ok || data == "" {
		return nil
	}
	if err := d.b.Spend(int64(len(data))); err != nil {
		return err
	}
	var b []byte
	if strings.HasSuffix(strings.ToLower(strings.TrimSpace(media)), ";base64") {
		b = decodeBase64([]byte(strings.Map(dropControl, unescapePercent(data))))
	} else {
		b = []byte(unescapePercent(data))
	}
	kind := verdict.SniffType(b[:min(len(b), verdict.SniffLen)])
	declared, _, _ := strings.Cut(strings.ToLower(media), ";")
	if declared == "text/html" || declared == "image/svg+xml" {
		kind = declared // what a browser will take it for
	}
	if !matters(kind, b) {
		return nil
	}
	if err := d.b.Keep(int64(len(b))); err != nil {
		return err
	}
	return d.payload(Payload{kind, "data", int64(len(b))}, func() []byte { return b })
}

func unescapePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return string(decodeEscapes([]byte(s)))
}

// codes looks for rows of numbers that are the codes of characters or bytes.
func (d *document) codes(p []byte) error {
	for i := 0; i < len(p); {
		if p[i] < '0' || p[i] > '9' || i > 0 && isName(p[i-1]) {
			i++
			continue
		}
		if err := d.b.Step(); err != nil {
			return err
		}
		var out []byte
		start := i
		for i < len(p) {
			v, n := number(p[i:])
			if n == 0 || v > 0xFFFF {
				break
			}
			out = append(out, byte(min(v, 0xFF)))
			i += n
			for i < len(p) && isSpace(p[i]) {
				i++
			}
			if i >= len(p) || p[i] != ',' {
				break
			}
			i++
			for i < len(p) && isSpace(p[i]) {
				i++
			}
		}
		if i == start {
			i++
		}
		if len(out) < minCodes {
			continue
		}
		d.rep.Literals += i - start
		if err := d.decoded("codes", out); err != nil {
			return err
		}
	}
	return nil
}

// number reads a decimal or hexadecimal number; n is 0 if there is none.
func number(p []byte) (v, n int) {
	if len(p) > 2 && p[0] == '0' && p[1]|0x20 == 'x' {
		for n = 2; n < len(p) && n < 8; n++ {
			d, ok := inspect.Unhex(p[n])
			if !ok {
				break
			}
			v = v<<4 | int(d)
		}
		return v, n
	}
	for n < len(p) && n < 8 && p[n] >= '0' && p[n] <= '9' {
		v = v*10 + int(p[n]-'0')
		n++
	}
	return v, n
}

// escapes looks for text that is written in escapes: %3C or \x3c or \u003c.
func (d *document) escapes(p []byte) error {
	for i := 0; i < len(p); {
		if p[i] != '%' && p[i] != '\\' {
			i++
			continue
		}
		if err := d.b.Step(); err != nil {
			return err
		}
		start, count := i, 0
		for i < len(p) && p[i] != '"' && p[i] != '\'' && p[i] != '`' && p[i] != '\n' {
			if _, n := escape(p[i:]); n > 0 {
				count++
				i += n
				continue
			}
			i++
		}
		if i == start {
			i++
		}
		if count < minEscapes {
			continue
		}
		d.rep.Literals += i - start
		if err := d.decoded("escapes", decodeEscapes(p[start:i])); err != nil {
			return err
		}
	}
	return nil
}

// escape reads one escape; n is 0 if there is none.
func escape(p []byte) (c byte, n int) {
	switch {
	case len(p) >= 3 && p[0] == '%' && p[1] != 'u':
		hi, okHi := inspect.Unhex(p[1])
		lo, okLo := inspect.Unhex(p[2])
		if okHi && okLo {
			return hi<<4 | lo, 3
		}
	case len(p) >= 6 && (p[0] == '%' || p[0] == '\\') && p[1] == 'u', len(p) >= 4 && p[0] == '\\' && p[1] == 'x':
		q := append([]byte{'\\'}, p[1:min(len(p), 6)]...)
		if c, n := escaped1(q); n > 2 {
			return c, n
		}
	}
	return 0, 0
}

func decodeEscapes(p []byte) []byte {
	out := make([]byte, 0, len(p)/3)
	for len(p) > 0 {
		if c, n := escape(p); n > 0 {
			out = append(out, c)
			p = p[n:]
			continue
		}
		out = append(out, p[0])
		p = p[1:]
	}
	return out
}

// decoded adds bytes that were decoded, if their type matters.
func (d *document) decoded(encoding string, b []byte) error {
	if err := d.b.Spend(int64(len(b))); err != nil {
		return err
	}
	kind := verdict.SniffType(b[:min(len(b), verdict.SniffLen)])
	if !matters(kind, b) {
		return nil
	}
	if err := d.b.Keep(int64(len(b))); err != nil {
		return err
	}
	return d.payload(Payload{kind, encoding, int64(len(b))}, func() []byte { return b })
}
