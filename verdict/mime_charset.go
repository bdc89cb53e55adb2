package verdict

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// charsetAliases maps other names of charsets (IANA character sets, and those in the wild) to ours.
var charsetAliases = map[string]string{
	"": "us-ascii", "ascii": "us-ascii", "ansi_x3.4-1968": "us-ascii", "iso646-us": "us-ascii", "us": "us-ascii",
	"utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-8-mac": "utf-8", "utf8mb4": "utf-8", "unicode": "utf-16",
	"utf16": "utf-16", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be", "ucs-2": "utf-16",
	// Browsers and mail clients read Latin 1 as windows-1252 (WHATWG Encoding section 4.2).
	"iso-8859-1": "windows-1252", "iso8859-1": "windows-1252", "iso_8859-1": "windows-1252", "latin1": "windows-1252",
	"latin-1": "windows-1252", "l1": "windows-1252", "cp819": "windows-1252", "cp1252": "windows-1252",
	"iso-8859-1-windows-3.1-latin-1": "windows-1252", "ansi": "windows-1252", "x-ansi": "windows-1252",
	"latin2": "iso-8859-2", "latin5": "iso-8859-9", "latin-9": "iso-8859-15", "latin9": "iso-8859-15", "l9": "iso-8859-15",
	"iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8", "iso-8859-11": "windows-874", "tis-620": "windows-874",
	"koi8": "koi8-r", "cp866": "ibm866", "mac": "macintosh", "x-mac-roman": "macintosh",
	"gbk": "gb2312", "gb18030": "gb2312", "gb_2312-80": "gb2312", "cp936": "gb2312", "hz-gb-2312": "gb2312", "euc-cn": "gb2312",
	"big5-hkscs": "big5", "cp950": "big5", "sjis": "shift_jis", "shift-jis": "shift_jis", "x-sjis": "shift_jis",
	"windows-31j": "shift_jis", "cp932": "shift_jis", "eucjp": "euc-jp", "ks_c_5601-1987": "euc-kr", "cp949": "euc-kr",
	"ksc5601": "euc-kr", "iso-2022-jp-1": "iso-2022-jp", "iso-2022-jp-2": "iso-2022-jp", "iso-2022-jp-ms": "iso-2022-jp",
	"cp50220": "iso-2022-jp",
}

// opaqueCharsets are well known, but only their ASCII is read here. The value says whether they switch
// to other characters with escape sequences, so that bytes below 0x80 need not be ASCII.
var opaqueCharsets = map[string]bool{
	"gb2312": false, "big5": false, "shift_jis": false, "euc-jp": false, "euc-kr": false, "euc-tw": false,
	"windows-874": false, "johab": false, "viscii": false, "tcvn": false,
	"iso-2022-jp": true, "iso-2022-kr": true, "iso-2022-cn": true,
}

// charsetName returns our name of a charset.
func charsetName(name string) string {
	name = strings.ToLower(strings.Trim(name, " \t\r\n\"'"))
	if alias, ok := charsetAliases[name]; ok {
		return alias
	}
	if rest, ok := strings.CutPrefix(name, "cp125"); ok && len(rest) == 1 {
		return "windows-125" + rest
	}
	if rest, ok := strings.CutPrefix(name, "iso8859-"); ok {
		return "iso-8859-" + rest
	}
	return name
}

// decodeCharset returns b as valid UTF-8, and whether the charset is known. Bytes that mean nothing
// become U+FFFD; those of an unknown charset are read as windows-1252.
func decodeCharset(name string, b []byte) (string, bool) {
	name = charsetName(name)
	switch name {
	case "utf-8", "us-ascii":
		// Undeclared 8 bit text is UTF-8 (RFC 6532), or else what old Windows clients write.
		if utf8.Valid(b) {
			return string(b), true
		}
		if name == "utf-8" {
			return strings.ToValidUTF8(string(b), "\uFFFD"), true
		}
		return decodeUpper(upperHalves["windows-1252"], b), true
	case "utf-16", "utf-16le", "utf-16be":
		return decodeUTF16(name, b), true
	}
	if table, ok := upperHalves[name]; ok {
		return decodeUpper(table, b), true
	}
	if escapes, ok := opaqueCharsets[name]; ok {
		return decodeOpaque(b, escapes), true
	}
	return decodeUpper(upperHalves["windows-1252"], b), false
}

func decodeUpper(table string, b []byte) string {
	if isASCII(b) {
		return string(b)
	}
	upper := []rune(table)
	var out strings.Builder
	out.Grow(len(b) + len(b)/4)
	for _, c := range b {
		if c < utf8.RuneSelf {
			out.WriteByte(c)
		} else {
			out.WriteRune(upper[c-utf8.RuneSelf])
		}
	}
	return out.String()
}

func isASCII[T string | []byte](b T) bool {
	for i := range len(b) {
		if b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// decodeUTF16 goes by the byte order mark; without one plain utf-16 is big endian (RFC 2781 section 4.3).
func decodeUTF16(name string, b []byte) string {
	var order binary.ByteOrder = binary.BigEndian
	if name == "utf-16le" {
		order = binary.LittleEndian
	}
	if len(b) > 1 {
		switch {
		case b[0] == 0xFE && b[1] == 0xFF:
			order, b = binary.BigEndian, b[2:]
		case b[0] == 0xFF && b[1] == 0xFE:
			order, b = binary.LittleEndian, b[2:]
		}
	}
	units := make([]uint16, 0, (len(b)+1)/2)
	for ; len(b) > 1; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	if len(b) > 0 {
		units = append(units, utf8.RuneError)
	}
	return string(utf16.Decode(units))
}

// decodeOpaque keeps ASCII and replaces each run of other bytes by one U+FFFD.
func decodeOpaque(b []byte, escapes bool) string {
	var out strings.Builder
	out.Grow(len(b))
	shifted, gap := false, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if escapes && c == 0x1B && i+2 < len(b) {
			// ESC ( B and ESC ( J lead back to ASCII or nearly so (RFC 1468); the rest away from it.
			shifted = b[i+1] != '(' || b[i+2] != 'B' && b[i+2] != 'J'
			i += 2
			continue
		}
		if c == '\n' || c == '\r' {
			shifted = false // RFC 1468: lines end in ASCII
		}
		if c < utf8.RuneSelf && !shifted {
			out.WriteByte(c)
			gap = false
		} else if !gap {
			out.WriteRune(utf8.RuneError)
			gap = true
		}
	}
	return out.String()
}
