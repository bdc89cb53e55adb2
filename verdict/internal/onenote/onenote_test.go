package onenote_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/onenote"
)

const (
	magic    = "\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3"
	guidFile = "\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC"
	packed   = "\x2F\xE9\x8D\x63\xD4\xA6\xC1\x4B\x9A\x36\xB3\xFC\x25\x11\xA5\xB7"

	idText  = "01020304-0506-0708-090A-0B0C0D0E0F10"
	idBytes = "\x04\x03\x02\x01\x06\x05\x08\x07\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10"
)

func le32(v int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }
func le64(v int) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(v))) }

func stored(size int, content string) string {
	return guidFile + le64(size) + strings.Repeat("\x00", 12) + content
}

// section is a section with one attached file, as the desktop program stores it.
func section() string {
	s := magic + strings.Repeat("\x00", 1024-16)
	place := len(s)
	s += stored(7, "content")
	s += "\x72" + le32(21) + Wide("<ifndf>{"+idText+"}") + le32(4) + Wide(".EXE")
	s += strings.Repeat("\x00", 40) + le64(place) + le32(99) + idBytes + strings.Repeat("\x00", 10)
	return s + "\x9C\x1D\x00\x1C" + le32(22) + Wide("invoice.exe")
}

func TestFacts(t *testing.T) {
	t.Parallel()
	head := magic + strings.Repeat("\x00", 32) + packed + "\x00\x00\x00\x00"
	for _, tt := range []struct {
		name, data string
		want       onenote.Report
	}{
		{"nothing", magic, onenote.Report{}},
		{"a file", section(), onenote.Report{Names: []string{"invoice.exe"}, Files: []onenote.File{{Name: "invoice.exe", Where: "offset 1060", Size: 7}}}},
		{"a file without a name", magic + stored(7, "content"), onenote.Report{Files: []onenote.File{{Where: "offset 52", Size: 7}}}},
		{"a file that is cut off", magic + stored(9999, "content"), onenote.Report{Files: []onenote.File{{Where: "offset 52", Size: 7}}}},
		// An object of type 2 with 8 bytes: a number of one byte, which is 7, and as many bytes.
		{"a package", head + string(binary.LittleEndian.AppendUint32(nil, 2|2<<3|8<<17)) + "\x0Fcontent" + "\x05", onenote.Report{Files: []onenote.File{{Where: "offset 73", Size: 7}}}},
		{"a package with a long object", head + string(binary.LittleEndian.AppendUint32(nil, 2|2<<3|0x7FFF<<17)) + "\x11" + "\x0Fcontent" + "\x07\x00" + "\x00\x00", onenote.Report{Files: []onenote.File{{Where: "offset 74", Size: 7}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := onenote.Inspect(t.Context(), strings.NewReader(tt.data), int64(len(tt.data)), onenote.Limits{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreUnexported(onenote.File{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, f := range got.Files {
				if c := string(Content(t, f)); c != "content" {
					t.Errorf("content %q", c)
				}
			}
		})
	}
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(t, "att-onenote-lnk/onenote/") {
		got, err := onenote.Inspect(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), onenote.Limits{})
		if err != nil || len(got.Files) > 0 || len(got.Names) > 0 {
			t.Errorf("%s: %v, %+v", s.Path, err, got)
		}
	}
}

func hostile() []string {
	return []string{"", magic[:15], magic, magic + guidFile, magic + stored(0, ""), magic + stored(-1, "x"), section()[:1100], magic + Wide("<ifndf>{") + "x", magic + Wide("<ifndf>{"+idText+"}") + "\xFF\xFF\xFF\xFF",
		magic + Wide("<ifndf>{zz"+idText[2:]+"}") + le32(1) + Wide("x"), magic + "\x9C\x1D\x00\x1C" + le32(1<<30),
		magic + strings.Repeat("\x00", 32) + packed + strings.Repeat("\xFE\xFF\xFF\xFF", 20), magic + strings.Repeat("\x00", 32) + packed + "\x00\x00\x00\x00\x12\x00\x02\x00\x80", magic + strings.Repeat("\x00", 32) + packed + strings.Repeat("\x12\x00\x02\x00\x00", 20)}
}

func check(t *testing.T, data []byte) {
	t.Helper()
	rep, err := onenote.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), onenote.Limits{})
	if rep == nil || err != nil && (!errors.Is(err, onenote.ErrFormat) && !errors.Is(err, onenote.ErrLimit) || strings.Contains(err.Error(), "gave up")) {
		t.Fatalf("%v, %+v", err, rep)
	}
	for _, f := range rep.Files {
		Content(t, f)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, data := range hostile() {
		check(t, []byte(data))
	}
}

func FuzzInspect(f *testing.F) {
	for _, data := range hostile() {
		f.Add([]byte(data))
	}
	f.Add([]byte(section()))
	f.Fuzz(check)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, lim := range []onenote.Limits{{Files: 2}, {Objects: 2}} {
		data := magic + strings.Repeat(stored(1, "x"), 3)
		if _, err := onenote.Inspect(t.Context(), strings.NewReader(data), int64(len(data)), lim); !errors.Is(err, onenote.ErrLimit) {
			t.Errorf("%+v: %v", lim, err)
		}
	}
}

func TestLinear(t *testing.T) {
	lim := onenote.Limits{Files: 1 << 30, Objects: 1 << 30}
	ref := Wide("<ifndf>{"+idText+"}") + le32(4) + Wide(".exe")
	for _, body := range []string{stored(1, "x"), ref, stored(1, "x") + ref + le64(1024) + idBytes, "\x9C\x1D\x00\x1C" + le32(10) + Wide("a.exe"), idBytes} {
		Linear(t, 1000, func(n int) string { return magic + ref + strings.Repeat(body, n) }, func(ctx context.Context, r io.ReaderAt, size int64) {
			onenote.Inspect(ctx, r, size, lim)
		})
	}
}
