package links

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// plainLink is what a mail program would make a link of in plain text.
type plainLink struct {
	target string
	bare   bool // no scheme: not every program makes a link of it
}

// findPlain yields what mail programs make links of in plain text: addresses with http, https or ftp, those that begin with
// "www.", and names of hosts under known top-level domains, with a path or under one of the commonest.
func findPlain(text string, yield func(plainLink) bool) {
	scheme := nextScheme(text, 0)
	for i := 0; i < len(text); {
		if scheme < i {
			scheme = nextScheme(text, i)
		}
		j := strings.IndexByte(text[i:scheme], '.')
		var more bool
		switch {
		case j >= 0 && i+j+1 < len(text) && text[i+j+1] <= ' ': // the end of a sentence
			i, more = i+j+1, true
		case j >= 0:
			i, more = plainHostAt(text, i, i+j, scheme, yield)
		case scheme < len(text):
			i, more = plainScheme(text, i, scheme, yield)
		}
		if !more {
			return
		}
	}
}

// nextScheme returns where the next "://" is, len(text) if there is none.
func nextScheme(text string, from int) int {
	if i := strings.Index(text[from:], "://"); i >= 0 {
		return from + i
	}
	return len(text)
}

// plainScheme looks at "://" at k in text, of which everything before from was looked at.
func plainScheme(text string, from, k int, yield func(plainLink) bool) (next int, more bool) {
	start := k
	for start > from && k-start < 6 && isLetter(text[start-1]) {
		start--
	}
	scheme := text[start:k]
	for len(scheme) > 3 && !isWebScheme(scheme) { // "seehttp://": letters of the word before
		scheme, start = scheme[1:], start+1
	}
	if !isWebScheme(scheme) {
		return k + 3, true
	}
	end := plainEnd(text, k+3)
	if end <= k+4 {
		return k + 3, true
	}
	return end, yield(plainLink{target: text[start:end]})
}

func isWebScheme(s string) bool {
	return strings.EqualFold(s, "http") || strings.EqualFold(s, "https") || strings.EqualFold(s, "ftp")
}

// plainHostAt looks at the dot at j, of which everything before from was looked at. scheme is where the next "://" is.
func plainHostAt(text string, from, j, scheme int, yield func(plainLink) bool) (next int, more bool) {
	if j == from || j+2 >= len(text) || !isHostByte(text[j-1]) || !isHostByte(text[j+1]) {
		return j + 1, true
	}
	start, end := j, j+1
	for start > from && j-start < 64 && (isHostByte(text[start-1]) || text[start-1] == '.') {
		start--
	}
	for end < len(text) && end-j < 256 && (isHostByte(text[end]) || text[end] == '.') {
		end++
	}
	host := strings.TrimRight(text[start:end], ".-")
	if host == "" { // dots and hyphens alone
		return end, true
	}
	end = start + len(host)
	if start > 0 && (text[start-1] == '@' || text[start-1] == '/' || text[start-1] == '\\' || text[start-1] == '=' || text[start-1] == '%' || text[start-1] == '&' || text[start-1] == '_') ||
		end < len(text) && (text[end] == '@' || text[end] == '_' || text[end] == '(') ||
		scheme == end {
		return end, true
	}
	www := len(host) > 4 && strings.EqualFold(host[:4], "www.")
	path := end < len(text) && (text[end] == '/' || text[end] == '?')
	if !www && !bareHost(host, path) {
		return end, true
	}
	if path || end < len(text) && text[end] == ':' {
		end = plainEnd(text, end)
	}
	return end, yield(plainLink{target: text[start:end], bare: !www})
}

// bareHost says whether a name without "www." is a link: under one of the commonest domains, or with a path.
func bareHost(host string, path bool) bool {
	i := strings.LastIndexByte(host, '.')
	if i <= 0 || len(host)-i < 3 || len(host)-i > 12 {
		return false
	}
	for _, c := range []byte(host[i+1:]) {
		if !isLetter(c) {
			return false
		}
	}
	tld := strings.ToLower(host[i+1:])
	if !path && !commonTLD(tld) {
		return false
	}
	if path && fileLike(tld) {
		return false
	}
	_, icann := publicsuffix.PublicSuffix(tld)
	return icann
}

func commonTLD(s string) bool {
	switch s {
	case "com", "net", "org", "info", "biz", "xyz", "top", "online", "site", "shop", "club", "icu", "live", "vip", "app", "io":
		return true
	}
	return false
}

// fileLike are top-level domains that are endings of files and names in programs more often than not.
func fileLike(s string) bool {
	switch s {
	case "py", "rs", "sh", "pl", "pm", "md", "so", "mm", "ps", "cc", "zip", "mov", "java", "name", "st", "in", "is", "it", "id", "to", "do", "no", "my":
		return true
	}
	return false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isHostByte(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || c == '-' || c >= utf8.RuneSelf
}

// plainEnd returns where an address that goes on at i ends: before white space, quotes and brackets, and without the
// punctuation of the sentence behind it.
func plainEnd(text string, i int) int {
	open := 0
	j := i
loop:
	for ; j < len(text) && j-i < maxAddress; j++ {
		switch c := text[j]; c {
		case ' ', '\t', '\r', '\n', '<', '>', '"', 0, 0x0B, 0x0C, '`':
			break loop
		case '(':
			open++
		case ')':
			if open == 0 {
				break loop
			}
			open--
		case 0xC2, 0xE2, 0xE3, 0xEF: // U+00A0, U+00BB, U+2019, U+201D, U+3000, U+FF0C and the like end it too
			if r, _ := utf8.DecodeRuneInString(text[j:]); r == 0xA0 || r == 0xBB || r >= 0x2018 && r <= 0x201F || r == 0x2028 || r >= 0x3000 && r <= 0x3011 || r == 0xFF0C || r == 0xFFFD {
				break loop
			}
		}
	}
	for j > i {
		switch text[j-1] {
		case '.', ',', ';', ':', '!', '?', '\'', '*', '_', ']', '}', '|', '~':
			j--
			continue
		}
		break
	}
	return j
}
