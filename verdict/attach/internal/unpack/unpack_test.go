package unpack_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// listed is what was found of a member.
type listed struct {
	Name, Content, Err string
	Link               string
	Locked, Opened     bool
	Hidden             bool
}

func limits() unpack.Limits {
	return unpack.Limits{Entries: 100, Directory: 1 << 20, Memory: &unpack.Memory{Left: 64 << 20}}
}

// walk lists b, with up to 64 KiB of each member.
func walk(tb testing.TB, f unpack.Format, b []byte, lim unpack.Limits) ([]listed, unpack.Facts, error) {
	tb.Helper()
	var out []listed
	facts, err := unpack.Walk(tb.Context(), f, bytes.NewReader(b), int64(len(b)), lim, func(m *unpack.Member) error {
		l := listed{Name: m.Name, Link: m.Link, Locked: m.Locked, Opened: m.Opened, Hidden: m.Hidden}
		rc, err := m.Open()
		if err == nil {
			var p []byte
			p, err = io.ReadAll(io.LimitReader(rc, 64<<10))
			l.Content = string(p)
			rc.Close()
		}
		l.Err = kind(err)
		out = append(out, l)
		return nil
	})
	if lim.Memory.Left != limits().Memory.Left {
		tb.Errorf("%d bytes of memory were not given back", limits().Memory.Left-lim.Memory.Left)
	}
	return out, facts, err
}

// kind names the error that err wraps.
func kind(err error) string {
	for name, e := range map[string]error{"limit": unpack.ErrLimit, "locked": unpack.ErrLocked, "unopened": unpack.ErrUnopened, "broken": unpack.ErrFormat} {
		if errors.Is(err, e) {
			return name
		}
	}
	if err != nil {
		return "other"
	}
	return ""
}

func zipOf(names ...string) []byte {
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, n := range names {
		w, _ := zw.Create(n)
		io.WriteString(w, "content of "+n)
	}
	zw.Close()
	return b.Bytes()
}

func tarOf(name, content string) []byte {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	io.WriteString(tw, content)
	tw.Close()
	return b.Bytes()
}

func gzipOf(name string, content []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	zw.Name = name
	zw.Write(content)
	zw.Close()
	return b.Bytes()
}

func zlibOf(content string) []byte {
	var b bytes.Buffer
	zw := zlib.NewWriter(&b)
	io.WriteString(zw, content)
	zw.Close()
	return b.Bytes()
}

// rows are lines of twelve letters.
func rows(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(string(rune('a'+i)), 12) + "\n")
	}
	return b.String()
}

// unhex decodes bytes that were made with the format's own program.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func un64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// renamed changes the name in the header before the first member of a zip file, and not in its directory.
func renamed(b []byte, name string) []byte {
	out := bytes.Clone(b)
	copy(out[30:], name)
	return out
}

// hidden puts a member before a zip file that its directory does not name.
func hidden(b, other []byte) []byte {
	end := bytes.Index(other, []byte("PK\x01\x02"))
	out := append(bytes.Clone(other[:end]), b...)
	at := bytes.LastIndex(out, []byte("PK\x05\x06"))
	dir := binary.LittleEndian.Uint32(out[at+16:])
	binary.LittleEndian.PutUint32(out[at+16:], dir+uint32(end))
	// The offsets of the members count from the beginning too.
	for i := bytes.Index(out, []byte("PK\x01\x02")); i >= 0 && i < at; {
		off := binary.LittleEndian.Uint32(out[i+42:])
		binary.LittleEndian.PutUint32(out[i+42:], off+uint32(end))
		next := bytes.Index(out[i+4:], []byte("PK\x01\x02"))
		if next < 0 {
			break
		}
		i += 4 + next
	}
	return out
}

// overlapping makes all members of a zip file begin where the first does.
func overlapping(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; ; {
		next := bytes.Index(out[i:], []byte("PK\x01\x02"))
		if next < 0 {
			return out
		}
		i += next
		binary.LittleEndian.PutUint32(out[i+42:], 0)
		i += 4
	}
}

const (
	// The word hello, by the programs of these names.
	xzHello = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAEaGVsbG8AAAAAsTe52+XaHpsAAR0FuC2Arx+2830BAAAAAARZWg=="
	// Files of libarchive's test suite (BSD-2-Clause), for formats that nothing here writes.
	cabLZX     = "TVNDRgAAAACCAAAAAAAAACwAAAAAAAAAAwEBAAEAAAAAAAAARgAAAAEAAw8QAAAAAAAAAAAAIQAAACAAbHp4MTYuYmluAAAAAAA0ABAAABADAWdFq4nvzQLwCyIF7ff7AOgAAAAAAAAAAH+I//8A4AAAAAAAAAIA/yH//6rKAKgAAA=="
	cabStored  = "TVNDRgAAAAAKAQAAAAAAACwAAAAAAAAAAwEBAAMAAABrCQAAeAAAAAEAAAAAAAAAAAAAAAAAkT1GpSAAZW1wdHkAPAAAAAAAAAAAAJE9RqUgAGRpcjFcZmlsZTEATgAAADwAAAAAAJE9RqUgAGRpcjJcZmlsZTIAgwmNbIoAigAgICAgICAgICAgICAgICAgICAgICAgICAgIGZpbGUgMSBjb250ZW50cwpoZWxsbwpoZWxsbwpoZWxsbwogICAgICAgICAgICAgICAgICAgICAgICAgIGZpbGUgMiBjb250ZW50cwpoZWxsbwpoZWxsbwpoZWxsbwpoZWxsbwpoZWxsbwpoZWxsbwo="
	sevenZip   = "N3q8ryccAAOb+Z7N2QAAAAAAAAAiAAAAAAAAAAI8OAoAMOw9VMcMXRTAva2cJAOqlJsEW+ngAOAAgQAWXQAw7D1UxwxdFMC9rZwkA6qUmwRb6eAAAAAAgTMHrjGZxb6RCMO60ydoXfkcPFkkiBs4NStsE6aYqt+FBYgvAOVMh78dw6KAKniR6AqVLwmDxW265u4/LGjpj94Hp2t8DpymWhgvCsUJeIKwN9DK+0NpO1E28zce3Mrx9GTQEErSnOhg6i80qSFdlZs2wqlzH9aSAjsNmcSSi6eKtQQrRGP0tcyAzIu3yp3adFjEzvolaNahHz/nwQ4AAAAAFwY1AQmApAAHCwEAASMDAQEFXQAQAAAMgVgKAWB7nEgAAA=="
	rarStored  = "UmFyIRoHAQAzkrXlCgEFBgAFAQGAgAA4MAZjLAIDC50ABJ0ApIMCtEOglYAAAQ5oZWxsb3dvcmxkLnR4dAoDE34Oq1tW6Q4aaGVsbG8gbGliYXJjaGl2ZSB0ZXN0IHN1aXRlIQodd1ZRAwUEAA=="
	lhaFile    = "NQAtbGhkLQAAAAAAAAAAgVEBACACAABVBQAABd4DAAEHAAJkaXL/BQBQ6EEHAFHpA+kDAAA2AC1saGQtAAAAAAAAAACBUQEAIAIAAFUFAAAImQMAAQgAAmRpcjL/BQBQ7UEHAFHpA+kDAABHAC1saGQtAAAAAAAAAAACowIAIAIAAFUFAAC0qQgAAWZpbGUxFAACZGlyMv9zeW1saW5rMXwuLv8FAFDtoQcAUekD6QMAAEcALWxoZC0AAAAAAAAAAAKjAgAgAgAAVQUAAIftCAABZmlsZTIUAAJkaXIy/3N5bWxpbmsyfC4u/wUAUO2hBwBR6QPpAwAAMwAtbGg1LSIAAAA8AAAAgVEBACACpOdVBQAA/QEIAAFmaWxlMQUAUKSBBwBR6QPpAwAAABhCbmnF4/oB01od5kUMLAWoHyOhAI+eUQw7daa3OQUr9TMALWxoNS0iAAAATgAAAIFRAQAgAtUVVQUAAC/GCAABZmlsZTIFAFC2gQcAUekD6QMAAAAYQm5px2P6AdOaHOZFDCwFqN8LoQCPHlEMO3WmtzkFK/0A"
	bzip2Hello = "425a68393141592653591931653d00000081000244a000219a68334d07338bb9229c28480c98b29e80"
)

var walks = []struct {
	name   string
	format unpack.Format
	in     []byte
	want   []listed
	err    string
}{
	{"zip", unpack.Zip, zipOf("a.txt", "b/"), []listed{{Name: "a.txt", Content: "content of a.txt"}, {Name: "b/"}}, ""},
	{"zip with two names for one file", unpack.Zip, renamed(zipOf("a.txt"), "a.exe"),
		[]listed{{Name: "a.txt", Content: "content of a.txt"}, {Name: "a.exe", Content: "content of a.txt", Hidden: true}}, ""},
	{"zip with a file that the directory does not name", unpack.Zip, hidden(zipOf("a.txt"), zipOf("evil.exe")),
		[]listed{{Name: "a.txt", Content: "content of a.txt"}, {Name: "evil.exe", Content: "content of evil.exe", Hidden: true}}, ""},
	{"zip behind other data", unpack.Zip, append([]byte("GIF89a and so on"), zipOf("a.txt")...), []listed{{Name: "a.txt", Content: "content of a.txt"}}, ""},
	{"zip with members on top of each other", unpack.Zip, overlapping(zipOf("a", "b")), nil, "limit"},
	{"zip without its end", unpack.Zip, zipOf("a.txt")[:60], []listed{{Name: "a.txt", Content: "content of a.txt", Hidden: true}}, "broken"},
	{"tar", unpack.Tar, tarOf("a.txt", "hello"), []listed{{Name: "a.txt", Content: "hello"}}, ""},
	{"tar that is cut", unpack.Tar, tarOf("a.txt", "hello")[:514], []listed{{Name: "a.txt", Content: "he", Err: "broken"}}, "broken"},
	{"gzip", unpack.Gzip, gzipOf("a.txt", []byte("hello")), []listed{{Name: "a.txt", Content: "hello"}}, ""},
	{"gzip with something behind it", unpack.Gzip, append(gzipOf("", []byte("hello")), "garbage"...), []listed{{Content: "hello"}}, ""},
	{"gzip that is cut", unpack.Gzip, gzipOf("", []byte("hello"))[:14], []listed{{Content: "hel", Err: "broken"}}, ""},
	{"zlib", unpack.Zlib, zlibOf("hello"), []listed{{Content: "hello"}}, ""},
	{"xz", unpack.Xz, un64(xzHello), []listed{{Content: "hello"}}, ""},
	{"two xz streams", unpack.Xz, append(un64(xzHello), un64(xzHello)...), []listed{{Content: "hellohello"}}, ""},
	{"xz that is cut", unpack.Xz, un64(xzHello)[:30], []listed{{Content: "hel", Err: "broken"}}, ""},
	{"bzip2", unpack.Bzip2, unhex(bzip2Hello), []listed{{Content: "hello"}}, ""},
	{"base64", unpack.Base64, []byte("aGVs\r\nbG8="), []listed{{Content: "hello"}}, ""},
	{"uuencode", unpack.UU, []byte("text\nbegin 644 a.txt\n%:&5L;&\\ \n`\nend\n"), []listed{{Name: "a.txt", Content: "hello"}}, ""},
	{"BinHex", unpack.BinHex, []byte("(This file must be converted with BinHex 4.0)\r\n\r\n:\"@%ZG(Kd!&4&@&4dG(Kd!*!&%3#3\"QKPE'a[N!#3!''3#J#3\"!:"),
		[]listed{{Name: "a.txt", Content: "hello\x90\x90aaaaaaaaaa"}}, ""},
	{"cpio", unpack.Cpio, []byte("0707070000000000001006440000000000000000010000000000000000000000600000000005a.txt\x00hello" +
		"0707070000000000000000000000000000000000010000000000000000000001300000000000TRAILER!!!\x00"), []listed{{Name: "a.txt", Content: "hello"}}, ""},
	{"ar", unpack.Ar, []byte("!<arch>\na.txt/          0           0     0     644     5         `\nhello\n"), []listed{{Name: "a.txt", Content: "hello"}}, ""},
	{"SZDD", unpack.Szdd, []byte("SZDD\x88\xF0\x27\x33A\x00\x08\x00\x00\x00\xFFhello"), []listed{{Content: "hello"}}, ""},
	{"cab, LZX", unpack.Cab, un64(cabLZX), []listed{{Name: "lzx16.bin", Content: "ABABABABABABABAB"}}, ""},
	{"cab, stored", unpack.Cab, un64(cabStored), []listed{
		{Name: "empty"},
		{Name: "dir1/file1", Content: strings.Repeat(" ", 26) + "file 1 contents\nhello\nhello\nhello\n"},
		{Name: "dir2/file2", Content: strings.Repeat(" ", 26) + "file 2 contents\nhello\nhello\nhello\nhello\nhello\nhello\n"},
	}, ""},
	{"7z", unpack.SevenZip, un64(sevenZip), []listed{
		{Name: "dir1/file1", Content: rows(1)}, {Name: "file2", Content: rows(2)}, {Name: "file3", Content: rows(3)}, {Name: "file4", Content: rows(4)},
		{Name: "dir1/zfile1", Content: rows(1)}, {Name: "zfile2", Content: rows(2)}, {Name: "zfile3", Content: rows(3)}, {Name: "zfile4", Content: rows(4)},
		{Name: "dir1/"},
	}, ""},
	{"rar", unpack.Rar, un64(rarStored), []listed{{Name: "helloworld.txt", Content: "hello libarchive test suite!\n"}}, ""},
	{"lha", unpack.Lha, un64(lhaFile), []listed{
		{Name: "dir/", Err: "unopened"}, {Name: "dir2/", Err: "unopened"},
		{Name: "dir2/symlink1", Link: "../file1", Err: "unopened"}, {Name: "dir2/symlink2", Link: "../file2", Err: "unopened"},
		{Name: "file1", Err: "unopened"}, {Name: "file2", Err: "unopened"},
	}, ""},
	{"7z without its end", unpack.SevenZip, append([]byte("7z\xBC\xAF\x27\x1C\x00\x04"), make([]byte, 10)...), nil, "broken"},
	{"rar of nothing", unpack.Rar, []byte("Rar!\x1A\x07\x01\x00"), nil, "broken"},
	{"a format that is not opened", unpack.Ace, []byte("1234567**ACE**"), nil, "unopened"},
	{"an ISO image of nothing", unpack.Iso, make([]byte, 40<<10), nil, "broken"},
}

func TestWalk(t *testing.T) {
	t.Parallel()
	for _, c := range walks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := walk(t, c.format, c.in, limits())
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("members (-want +got):\n%s", d)
			}
			if kind(err) != c.err {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// TestDiffers sees to it that a directory's word is not the only one.
func TestDiffers(t *testing.T) {
	t.Parallel()
	_, facts, err := walk(t, unpack.Zip, renamed(zipOf("a.txt"), "a.exe"), limits())
	if err != nil || len(facts.Differs) != 1 {
		t.Errorf("facts %+v, error %v; want one difference", facts, err)
	}
	_, facts, err = walk(t, unpack.Zip, zipOf("a.txt", "b.txt"), limits())
	if err != nil || len(facts.Differs) != 0 {
		t.Errorf("facts %+v, error %v; want no difference", facts, err)
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, c := range walks {
		if c.format == unpack.UU || c.format == unpack.BinHex || c.format == unpack.Base64 || c.format == unpack.Iso {
			continue
		}
		got := unpack.Detect(c.in[:min(len(c.in), 36<<10)], c.in)
		if len(got) == 0 || got[len(got)-1] != c.format {
			t.Errorf("%s: Detect says %v, want %s", c.name, got, c.format)
		}
	}
	for _, s := range []string{"", "x", "hello, world", "x\x9c", "PK", strings.Repeat("\x00", 600)} {
		if got := unpack.Detect([]byte(s), []byte(s)); got != nil {
			t.Errorf("Detect(%q) says %v, want nothing", s, got)
		}
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	lim := limits()
	lim.Entries = 2
	for _, f := range []struct {
		format unpack.Format
		in     []byte
	}{{unpack.Zip, zipOf("a", "b", "c")}, {unpack.Tar, append(append(tarOf("a", "")[:512], tarOf("b", "")[:512]...), tarOf("c", "")...)}} {
		if _, _, err := walk(t, f.format, f.in, lim); !errors.Is(err, unpack.ErrLimit) {
			t.Errorf("%s of three members, two allowed: %v", f.format, err)
		}
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	lim := limits()
	lim.Memory = &unpack.Memory{Left: 1 << 10}
	var open error
	_, err := unpack.Walk(t.Context(), unpack.Bzip2, bytes.NewReader(unhex(bzip2Hello)), 40, lim, func(m *unpack.Member) error {
		_, open = m.Open()
		return nil
	})
	if err != nil || !errors.Is(open, unpack.ErrLimit) {
		t.Errorf("with no memory left: %v, %v; want a limit from Open", err, open)
	}
}

// FuzzWalk sees to it that nothing panics, hangs or keeps memory.
func FuzzWalk(f *testing.F) {
	for _, c := range walks {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		formats := unpack.Detect(in[:min(len(in), 36<<10)], in)
		if unpack.IsBase64(in) {
			formats = append(formats, unpack.Base64)
		}
		if unpack.IsUU(in) >= 0 {
			formats = append(formats, unpack.UU)
		}
		for _, format := range formats {
			lim := limits()
			lim.Passwords = []string{"a", "infected"}
			walk(t, format, in, lim)
			unpack.MayBeLocked(format, bytes.NewReader(in), int64(len(in)))
		}
	})
}
