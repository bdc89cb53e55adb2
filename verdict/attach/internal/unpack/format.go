package unpack

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
)

// Format is a format of archives or of compressed files.
type Format string

// The formats. Those of the last group are known and not opened: Walk returns ErrUnopened for them.
const (
	Zip      Format = "zip"
	Tar      Format = "tar"
	Cpio     Format = "cpio"
	Ar       Format = "ar"
	Cab      Format = "cab"
	SevenZip Format = "7z"
	Rar      Format = "rar"
	Arj      Format = "arj" // names only, but for stored members
	Lha      Format = "lha" // names only, but for stored members
	Iso      Format = "iso"
	CMS      Format = "cms" // a signed message, see RFC 8551

	Gzip     Format = "gzip"
	Bzip2    Format = "bzip2"
	Xz       Format = "xz"
	Lzma     Format = "lzma"
	Lzip     Format = "lzip"
	Zstd     Format = "zstd"
	Lz4      Format = "lz4"
	Zlib     Format = "zlib"
	Compress Format = "compress"
	Szdd     Format = "szdd"
	Base64   Format = "base64"
	UU       Format = "uuencode"
	BinHex   Format = "binhex"

	Ace   Format = "ace"
	Zoo   Format = "zoo"
	Alz   Format = "alz"
	Egg   Format = "egg"
	Xar   Format = "xar"
	Wim   Format = "wim"
	Rpm   Format = "rpm"
	Lrzip Format = "lrzip"
	Warc  Format = "warc"
	ISCab Format = "installshield"
	RarSE Format = "old rar"
)

// Single says whether the format holds one file that has no name of its own, as a rule.
func (f Format) Single() bool {
	switch f {
	case Gzip, Bzip2, Xz, Lzma, Lzip, Zstd, Lz4, Zlib, Compress, Szdd, Base64, UU, BinHex, CMS:
		return true
	}
	return false
}

// magics are beginnings; a dot in the mask matches any byte.
var magics = []struct {
	off         int
	magic, mask string
	format      Format
}{
	{0, "PK\x03\x04", "", Zip},
	{0, "PK\x05\x06", "", Zip},
	{0, "PK\x07\x08PK", "", Zip},
	{0, "PK00PK", "", Zip},
	{0, "7z\xBC\xAF\x27\x1C", "", SevenZip},
	{0, "Rar!\x1A\x07", "", Rar},
	{0, "RE~^", "", RarSE},
	{0, "\x1F\x8B\x08", "", Gzip},
	{0, "BZh", "", Bzip2},
	{0, "\xFD7zXZ\x00", "", Xz},
	{0, "LZIP\x01", "", Lzip},
	{0, "\x28\xB5\x2F\xFD", "", Zstd},
	{0, "\x50\x2A\x4D\x18", "", Zstd}, // a skippable frame, of which there are 16
	{0, "\x04\x22\x4D\x18", "", Lz4},
	{0, "\x02\x21\x4C\x18", "", Lz4},
	{0, "\x1F\x9D", "", Compress},
	{0, "SZDD\x88\xF0\x27\x33", "", Szdd},
	{0, "KWAJ\x88\xF0\x27\xD1", "", ISCab},
	{0, "MSCF\x00\x00\x00\x00", "", Cab},
	{0, "ISc(", "", ISCab},
	{7, "**ACE**", "", Ace},
	{0, "\x60\xEA", "", Arj},
	{2, "-lh0-", "   . ", Lha},
	{2, "-lz4-", "   . ", Lha},
	{0, "ZOO ", "", Zoo},
	{0, "ALZ\x01", "", Alz},
	{0, "EGGA", "", Egg},
	{0, "xar!", "", Xar},
	{0, "MSWIM\x00\x00\x00", "", Wim},
	{0, "!<arch>\n", "", Ar},
	{0, "070701", "", Cpio},
	{0, "070702", "", Cpio},
	{0, "070707", "", Cpio},
	{0, "\xC7\x71", "", Cpio},
	{0, "\x71\xC7", "", Cpio},
	{0, "\xED\xAB\xEE\xDB", "", Rpm},
	{0, "LRZI", "", Lrzip},
	{0, "WARC/", "", Warc},
	{32769, "CD001", "", Iso},
}

// Detect returns what content is by its beginning, and by its end: a zip file is read from there, so that
// anything may stand before it. tail is the end of the content, of at least TailLen bytes if there
// are as many.
func Detect(head, tail []byte) []Format {
	var out []Format
	if f := begins(head); f != "" {
		out = append(out, f)
	}
	// Behind other data an end record needs the entry of a directory before it: four bytes alone come
	// about by chance.
	if i := bytes.LastIndex(tail, []byte(zipEnd)); i >= 0 && (len(out) == 0 || out[0] != Zip) && bytes.Contains(tail[:i], []byte(zipEntry)) {
		out = append(out, Zip)
	}
	return out
}

// TailLen is the number of bytes at the end of content that Detect wants to see.
const TailLen = 66 << 10

func begins(head []byte) Format {
	for i := range magics {
		m := &magics[i]
		if len(head) >= m.off+len(m.magic) && matches(head[m.off:], m.magic, m.mask) {
			return m.format
		}
	}
	switch {
	case IsTar(head):
		return Tar
	case isZlib(head):
		return Zlib
	case isLzma(head):
		return Lzma
	}
	return ""
}

func matches(b []byte, magic, mask string) bool {
	if mask == "" {
		return string(b[:len(magic)]) == magic
	}
	for i := range len(magic) {
		if mask[i] != '.' && b[i] != magic[i] {
			return false
		}
	}
	return true
}

// isZlib says whether head begins like a zlib stream (RFC 1950) of the settings that programs use. Texts can
// begin with "x" too, so what follows must not be one.
func isZlib(head []byte) bool {
	if len(head) < 8 || head[0] != 0x78 || (head[1] != 0x01 && head[1] != 0x9C && head[1] != 0xDA) {
		return false
	}
	const blockType3 = 3
	return head[2]>>1&3 != blockType3
}

// isLzma says whether head begins with the header of an LZMA file (.lzma): it has no signature, but hardly
// any variation either.
func isLzma(head []byte) bool {
	if len(head) < 14 || head[0] != 0x5D || head[13] != 0 {
		return false
	}
	dict := binary.LittleEndian.Uint32(head[1:])
	if top := bits.Len32(dict); top < 13 || dict&(1<<(top-1)-1)&^(1<<(top-2)) != 0 {
		return false // neither 2^n nor 2^n + 2^(n-1)
	}
	size := head[5:13]
	return bytes.Equal(size, bytes.Repeat([]byte{0xFF}, 8)) || size[5] == 0 && size[6] == 0 && size[7] == 0
}

// IsTar says whether head begins with a header block whose sum is right (POSIX.1-2017, pax, "ustar
// Interchange Format"): the sum of all bytes, those of the sum itself counted as blanks.
func IsTar(head []byte) bool {
	const block = 512
	if len(head) < block || head[0] == 0 && string(head[257:262]) != "ustar" {
		return false
	}
	field := strings.Trim(string(head[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range head[:block] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c)) // as some old writers did
	}
	return want == unsigned || want == signed
}
