package lnk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/lnk"
)

func le16(v int) string   { return string(binary.LittleEndian.AppendUint16(nil, uint16(v))) }
func le32(v int64) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

func shortcut(flags, show int64, rest ...string) string {
	p := make([]byte, 76)
	copy(p, "L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46")
	binary.LittleEndian.PutUint32(p[20:], uint32(flags))
	binary.LittleEndian.PutUint32(p[60:], uint32(show))
	return string(p) + strings.Join(rest, "")
}

func wideText(s string) string { return le16(len(s)) + Wide(s) }

// info is where a target was: on a disk, in characters of one byte.
func info(path string) string {
	body := le32(28) + le32(1) + le32(0) + le32(28) + le32(0) + le32(int64(28+len(path)+1)) + path + "\x00" + "\x00"
	return le32(int64(len(body)+4)) + body
}

func variables(kind int64, path string) string {
	body := le32(kind) + path + strings.Repeat("\x00", 260-len(path)) + Wide(path) + strings.Repeat("\x00", 520-2*len(path))
	return le32(int64(len(body)+4)) + body
}

func item(kind byte, more string) string { return le16(3+len(more)) + string([]byte{kind}) + more }

func TestFacts(t *testing.T) {
	t.Parallel()
	list := item(0x1F, "xx") + item(0x2F, "C:\\\x00") + item(0x31, strings.Repeat("x", 11)+"Windows\x00") + item(0x32, strings.Repeat("x", 11)+"a.exe\x00") + "\x00\x00"
	for _, tt := range []struct {
		name, data string
		want       lnk.Report
	}{
		{"everything", shortcut(0x7F|0x80, 7, le16(len(list))+list, info(`C:\Windows\System32\cmd.exe`), wideText("Invoice"), wideText(`..\cmd.exe`), wideText(`C:\`), wideText("/c calc"), wideText("shell32.dll"), le32(0)),
			lnk.Report{Target: `C:\Windows\System32\cmd.exe`, Name: "Invoice", Relative: `..\cmd.exe`, WorkDir: `C:\`, Arguments: "/c calc", Icon: "shell32.dll", Minimized: true}},
		{"a list of items", shortcut(1, 1, le16(len(list))+list, le32(0)), lnk.Report{Target: `C:\Windows\a.exe`}},
		{"variables", shortcut(0x20, 1, le16(2)+"-x", variables(0xA0000001, `%comspec%`), variables(0xA0000007, `%icon%`), le32(0)), lnk.Report{Target: `%comspec%`, Icon: `%icon%`, Arguments: "-x"}},
		{"a machine", shortcut(0, 1, le32(0x60)+le32(0xA0000003)+le32(0x58)+le32(0)+"desktop-1\x00\x00\x00\x00\x00\x00\x00"+strings.Repeat("x", 64), le32(0)), lnk.Report{Machine: "desktop-1"}},
		{"content behind the end", shortcut(0, 1, le32(0), strings.Repeat("content ", 4)), lnk.Report{Files: []lnk.File{{Where: "offset 80", Size: 32}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := lnk.Inspect(t.Context(), strings.NewReader(tt.data), int64(len(tt.data)), lnk.Limits{})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreUnexported(lnk.File{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, f := range got.Files {
				if c := string(Content(t, f)); c != strings.Repeat("content ", 4) {
					t.Errorf("content %q", c)
				}
			}
		})
	}
}

func hostile() []string {
	return []string{"", "L", shortcut(0, 0)[:75], shortcut(0xFFFFFFFF, 0), shortcut(1, 0, "\xFF\xFF"), shortcut(1, 0, le16(4)+"\x02\x00xx"), shortcut(2, 0, "\x03\x00\x00\x00"), shortcut(2, 0, le32(0x7FFFFFFF)), shortcut(2, 0, le32(32)+strings.Repeat("\xFF", 28)),
		shortcut(2, 0, le32(60)+le32(0x24)+le32(3)+strings.Repeat("\x3A\x00\x00\x00", 12)), shortcut(0x80|4, 0, "\xFF\xFFx"), shortcut(0, 0, strings.Repeat(le32(4), 20)), shortcut(0, 0, le32(8)+le32(0xA0000001)), shortcut(0, 0, "\xFF\xFF\xFF\xFF")}
}

func check(t *testing.T, data []byte) {
	t.Helper()
	rep, err := lnk.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), lnk.Limits{})
	if rep == nil || err != nil && (!errors.Is(err, lnk.ErrFormat) && !errors.Is(err, lnk.ErrLimit) || strings.Contains(err.Error(), "gave up")) {
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
	f.Add([]byte(shortcut(0xFF, 7, le16(2)+"\x00\x00", info("C:\\a.exe"), wideText("a"), wideText("b"), wideText("c"), wideText("d"), wideText("e"), variables(0xA0000001, "x"))))
	f.Fuzz(check)
}
