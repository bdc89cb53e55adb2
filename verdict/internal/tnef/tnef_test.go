package tnef_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/tnef"
)

func inspectString(t testing.TB, data string, lim tnef.Limits) (*tnef.Report, error) {
	t.Helper()
	return tnef.Inspect(t.Context(), strings.NewReader(data), int64(len(data)), lim)
}

func le16(v int) string { return string(binary.LittleEndian.AppendUint16(nil, uint16(v))) }
func le32(v int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

// attr is an attribute with a wrong checksum.
func attr(level byte, id int, data string) string {
	return string([]byte{level}) + le32(id) + le32(len(data)) + data + "\xDE\xAD"
}

func message(attrs ...string) string { return tnef.Magic + "\x01\x00" + strings.Join(attrs, "") }

func props(list ...string) string { return le32(len(list)) + strings.Join(list, "") }

// prop is a property with one value of variable length.
func prop(kind, id int, value string) string {
	pad := strings.Repeat("\x00", -len(value)&3)
	return le16(kind) + le16(id) + le32(1) + le32(len(value)) + value + pad
}

const (
	subject, class, body, title, data = 0x18004, 0x78008, 0x2800C, 0x18010, 0x6800F
	render, mapi, attachment          = 0x69002, 0x69003, 0x69005
	messageID                         = "\x07\x03\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"
	storageID                         = "\x0B\x00\x00\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"
)

// packedRTF is the first example of MS-OXRTFCP section 3.
const packedRTF = "\x2d\x00\x00\x00\x2b\x00\x00\x00LZFu\xf1\xc5\xc7\xa7\x03\x00\x0a\x00rcpg125B2\x0a\xf3 hel\x09\x00 bw\x05\xb0ld}\x0a\x80\x0f\xa0"

func TestFacts(t *testing.T) {
	t.Parallel()
	inner := message(attr(1, body, "inner\x00"), attr(2, render, ""), attr(2, title, "inner.exe\x00"), attr(2, data, "MZ"))
	for _, tt := range []struct {
		name, data string
		want       tnef.Report
	}{
		{"nothing", message(), tnef.Report{}},
		{"a message", message(attr(1, class, "IPM.Note\x00"), attr(1, subject, "Hello\x00"), attr(1, body, "Text\x00")), tnef.Report{Class: "IPM.Note", Subject: "Hello", Bodies: []tnef.Body{{"text/plain", []byte("Text"), ""}}}},
		{"two attachments", message(attr(2, render, "x"), attr(2, title, "SHORT~1.TXT\x00"), attr(2, data, "content"), attr(2, attachment, props(prop(0x1F, 0x3707, Wide("a long name.txt\x00")))), attr(2, render, "x"), attr(2, data, "content")),
			tnef.Report{Files: []tnef.File{{Name: "a long name.txt", Where: "a long name.txt", Size: 7}, {Size: 7}}}},
		{"an attachment without its beginning", message(attr(2, data, "content")), tnef.Report{Files: []tnef.File{{Size: 7}}}},
		{"properties", message(attr(1, mapi, props(prop(0x1E, 0x0037, "Sub\x00"), le16(3)+le16(0x1234)+le32(5), prop(0x1F, 0x1000, Wide("Wide")), prop(0x102, 0x1013, "<b>")))),
			tnef.Report{Subject: "Sub", Bodies: []tnef.Body{{"text/plain", []byte("Wide"), ""}, {"text/html", []byte("<b>"), ""}}}},
		{"named properties", message(attr(1, mapi, props(le16(0x1E)+le16(0x8001)+strings.Repeat("g", 16)+le32(1)+le32(6)+Wide("abc")+"\x00\x00"+le32(1)+le32(2)+"x\x00\x00\x00", le16(3)+le16(0x8002)+strings.Repeat("g", 16)+le32(0)+le32(9)+le32(7), prop(0x102, 0x1013, "<b>")))),
			tnef.Report{Bodies: []tnef.Body{{"text/html", []byte("<b>"), ""}}}},
		{"many values", message(attr(1, mapi, props(le16(0x101E)+le16(0x1234)+le32(2)+le32(2)+"a\x00\x00\x00"+le32(5)+"bcde\x00\x00\x00\x00", le16(0x1003)+le16(0x1235)+le32(2)+le32(1)+le32(2), prop(0x102, 0x1013, "<b>")))),
			tnef.Report{Bodies: []tnef.Body{{"text/html", []byte("<b>"), ""}}}},
		{"data in a property", message(attr(2, render, ""), attr(2, attachment, props(prop(0x102, 0x3701, "content"), prop(0x1E, 0x3704, "s.txt\x00")))), tnef.Report{Files: []tnef.File{{Name: "s.txt", Where: "s.txt", Size: 7}}}},
		{"a storage", message(attr(2, render, ""), attr(2, title, "s\x00"), attr(2, attachment, props(prop(0xD, 0x3701, storageID+"content")))), tnef.Report{Files: []tnef.File{{Name: "s", Where: "s", Size: 7}}}},
		{"a message within", message(attr(2, render, ""), attr(2, title, "m\x00"), attr(2, attachment, props(prop(0xD, 0x3701, messageID+inner)))),
			tnef.Report{Bodies: []tnef.Body{{"text/plain", []byte("inner"), "m"}}, Files: []tnef.File{{Name: "inner.exe", Where: "m/inner.exe", Size: 2}}}},
		{"garbage at the end", message(attr(1, body, "x"), "\x00garbage garbage garbage"), tnef.Report{Bodies: []tnef.Body{{"text/plain", []byte("x"), ""}}}},
		{"RTF as it is", message(attr(1, mapi, props(prop(0x102, 0x1009, le32(18)+le32(6)+"MELA"+le32(0)+"{\\rtf}")))), tnef.Report{Bodies: []tnef.Body{{"application/rtf", []byte("{\\rtf}"), ""}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := inspectString(t, tt.data, tnef.Limits{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreUnexported(tnef.File{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, f := range got.Files {
				if c := string(Content(t, f)); c != "content" && c != "MZ" {
					t.Errorf("content %q", c)
				}
			}
		})
	}
}

// TestRTF decompresses the examples of MS-OXRTFCP section 3.
func TestRTF(t *testing.T) {
	t.Parallel()
	for packed, want := range map[string]string{
		packedRTF: "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
		"\x1a\x00\x00\x00\x1c\x00\x00\x00LZFu\xe2\xd4KQA\x00\x04 WXYZ\rn}\x01\x0e\xb0": "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}",
	} {
		got, err := inspectString(t, message(attr(1, mapi, props(prop(0x102, 0x1009, packed)))), tnef.Limits{})
		if err != nil || len(got.Bodies) != 1 || string(got.Bodies[0].Text) != want {
			t.Errorf("%v, %+v; want %q", err, got, want)
		}
	}
}

// TestCorpus compares the names of attachments with what other programs found.
func TestCorpus(t *testing.T) {
	t.Parallel()
	corpus := Corpus(t)
	for _, s := range Samples(t, "att-tnef/", "att-clamav/testfiles/clam.tnef", "att-poi/hmef/oom.tnef", "mime-misc/roundcube/body.tnef") {
		if !strings.HasSuffix(s.Path, ".tnef") {
			continue
		}
		got, err := tnef.Inspect(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), tnef.Limits{})
		if err != nil {
			t.Errorf("%s: %v", s.Path, err)
		}
		var names []string
		for _, f := range got.Files {
			Content(t, f)
			names = append(names, f.Name)
		}
		if strings.HasSuffix(s.Path, "clam.tnef") && !slices.Contains(names, "clam.exe") {
			t.Errorf("%s has %q", s.Path, names)
		}
		base := strings.TrimSuffix(filepath.Base(s.Path), ".tnef")
		for _, set := range []string{"verdammelt", "mimekit"} {
			list, err := os.ReadFile(filepath.Join(corpus, "att-tnef", set, base+".list"))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(list)) {
				line = strings.TrimSpace(line)
				kind := map[string]string{".rtf": "application/rtf", ".html": "text/html"}[filepath.Ext(line)]
				if strings.HasSuffix(line, "body"+filepath.Ext(line)) && kind != "" {
					if !slices.ContainsFunc(got.Bodies, func(b tnef.Body) bool { return b.Type == kind }) {
						t.Errorf("%s has no %s", s.Path, line)
					}
				} else if !slices.Contains(names, line) {
					t.Errorf("%s has %q, not %q", s.Path, names, line)
				}
			}
		}
	}
}

// TestCorpusContent compares content with what another program took out.
func TestCorpusContent(t *testing.T) {
	t.Parallel()
	corpus := Corpus(t)
	data, err := os.ReadFile(filepath.Join(corpus, "att-tnef/verdammelt/multi-value-attribute.tnef"))
	if err != nil {
		t.Skip(err)
	}
	got, err := tnef.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), tnef.Limits{})
	if err != nil || len(got.Files) != 1 || len(got.Bodies) != 1 {
		t.Fatalf("%v, %+v", err, got)
	}
	for name, b := range map[string][]byte{"208225__5_seconds__Voice_Mail.mp3.baseline": Content(t, got.Files[0]), "multi-value-attribute-body.rtf.baseline": got.Bodies[0].Text} {
		want, err := os.ReadFile(filepath.Join(corpus, "att-tnef/verdammelt", name))
		if err != nil {
			t.Skip(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s: %d bytes, want %d", name, len(b), len(want))
		}
	}
}

func hostile() map[string]string {
	loop := "x"
	for range 40 {
		loop = message(attr(2, render, ""), attr(2, attachment, props(prop(0xD, 0x3701, messageID+loop))))
	}
	return map[string]string{
		"nothing": "", "a magic": tnef.Magic, "a key": tnef.Magic + "\x01\x00", "an attribute that is cut off": message("\x01\x0C\x80\x02\x00\xFF\xFF\xFF\xFF"),
		"a length that is a lie":   message(attr(1, mapi, le32(1)+le16(0x102)+le16(0x1013)+le32(1)+le32(0x7FFFFFFF)+"x")),
		"many properties":          message(attr(1, mapi, le32(0x7FFFFFFF))),
		"many values":              message(attr(1, mapi, le32(1)+le16(0x1002)+le16(1)+le32(0x7FFFFFFF))),
		"values of no size":        message(attr(1, mapi, le32(1)+le16(0x1000)+le16(1)+le32(0x7FFFFFFF)), attr(1, mapi, le32(1)+le16(0x101E)+le16(1)+le32(0x7FFFFFFF)+strings.Repeat("\x00", 4000))),
		"a name that is a lie":     message(attr(1, mapi, le32(1)+le16(3)+le16(0x8000)+strings.Repeat("x", 16)+le32(1)+le32(0x7FFFFFFF))),
		"messages within messages": loop,
		"RTF of nothing":           message(attr(1, mapi, props(prop(0x102, 0x1009, ""), prop(0x102, 0x1009, strings.Repeat("\xFF", 16))))),
		"RTF of references":        message(attr(1, mapi, props(prop(0x102, 0x1009, le32(99)+le32(99)+"LZFu"+le32(0)+strings.Repeat("\xFF", 999))))),
		"RTF that is cut off":      message(attr(1, mapi, props(prop(0x102, 0x1009, le32(99)+le32(99)+"LZFu"+le32(0)+"\x03\x00")))),
		"an object of nothing":     message(attr(2, attachment, props(prop(0xD, 0x3701, ""), prop(0xD, 0x3701, messageID)))),
	}
}

func check(t *testing.T, data []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rep, err := tnef.Inspect(ctx, bytes.NewReader(data), int64(len(data)), tnef.Limits{})
	if rep == nil {
		t.Fatal("no report")
	}
	if err != nil && !errors.Is(err, tnef.ErrFormat) && !errors.Is(err, tnef.ErrLimit) {
		t.Errorf("an error of no kind: %v", err)
	}
	if err != nil && (strings.Contains(err.Error(), "gave up") || errors.Is(err, context.DeadlineExceeded)) {
		t.Error(err)
	}
	for _, f := range rep.Files {
		Content(t, f)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, data := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, []byte(data))
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, data string
		lim        tnef.Limits
	}{
		{"attributes", message(attr(1, 1, ""), attr(1, 1, ""), attr(1, 1, "")), tnef.Limits{Objects: 2}},
		{"attachments", message(attr(2, render, ""), attr(2, data, "x"), attr(2, render, ""), attr(2, data, "x")), tnef.Limits{Files: 1}},
		{"kept", message(attr(1, body, strings.Repeat("x", 1000))), tnef.Limits{Kept: 500}},
		{"nesting", hostile()["messages within messages"], tnef.Limits{}},
	} {
		if _, err := inspectString(t, tt.data, tt.lim); !errors.Is(err, tnef.ErrLimit) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func FuzzInspect(f *testing.F) {
	for _, data := range hostile() {
		f.Add([]byte(data))
	}
	f.Add([]byte(message(attr(2, render, ""), attr(2, title, "a"), attr(2, data, "b"), attr(2, attachment, props(prop(0x1F, 0x3707, Wide("c")))))))
	f.Add([]byte(message(attr(1, mapi, props(prop(0x102, 0x1009, packedRTF))))))
	f.Fuzz(check)
}

func TestLinear(t *testing.T) {
	lim := tnef.Limits{Files: 1 << 30, Objects: 1 << 30, Kept: 1 << 40}
	for _, tt := range []struct {
		name string
		make func(n int) string
	}{
		{"attributes", func(n int) string { return message(strings.Repeat(attr(1, subject, "x"), n)) }},
		{"attachments", func(n int) string { return message(strings.Repeat(attr(2, render, "")+attr(2, data, "x"), n)) }},
		{"properties", func(n int) string {
			return message(attr(1, mapi, le32(n)+strings.Repeat(prop(0x102, 1, strings.Repeat("x", 600)), n)))
		}},
		{"RTF", func(n int) string {
			return message(attr(1, mapi, props(prop(0x102, 0x1009, le32(9)+le32(9)+"LZFu"+le32(0)+strings.Repeat("\xAAx\x01\x1F", n)))))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Linear(t, 2000, tt.make, func(ctx context.Context, r io.ReaderAt, size int64) { tnef.Inspect(ctx, r, size, lim) })
		})
	}
}
