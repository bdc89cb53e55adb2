package cfb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
	"github.com/postreeve/postreeve/verdict/internal/inspect"
	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
)

func open(t testing.TB, data string) (*cfb.File, error) {
	t.Helper()
	return cfb.Open(inspect.NewBudget(t.Context(), inspect.Limits{}), strings.NewReader(data), int64(len(data)))
}

func TestStreams(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", 5000)
	want := map[string]string{"": "", "small": "content", "empty": "", "a": "", "a/b": "", "a/b/large": large, "a/edge": large[:4096], "a/under": large[:4095]}
	f, err := open(t, CFB("small", "content", "empty", "", "a/b/large", large, "a/edge", large[:4096], "a/under", large[:4095]))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range f.Entries {
		e := &f.Entries[i]
		b, err := io.ReadAll(iotest.OneByteReader(f.Open(e)))
		if err != nil || e.Orphan {
			t.Errorf("%q: %v, orphan %v", e.Path, err, e.Orphan)
		}
		got[e.Path] = string(b)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestCutOff(t *testing.T) {
	t.Parallel()
	data := CFB("a", strings.Repeat("x", 10_000))
	for n := 0; n < len(data); n += 100 {
		f, err := open(t, data[:n])
		if err != nil {
			if !errors.Is(err, inspect.ErrFormat) {
				t.Errorf("at %d: %v", n, err)
			}
			continue
		}
		for i := range f.Entries {
			if _, err := io.Copy(io.Discard, f.Open(&f.Entries[i])); err != nil && err != io.ErrUnexpectedEOF {
				t.Errorf("at %d: %v", n, err)
			}
		}
	}
}

// TestCircle reads a stream whose only sector comes after itself: it ends where its size says.
func TestCircle(t *testing.T) {
	t.Parallel()
	data := []byte(CFB("a", strings.Repeat("x", 4096)))
	fat := len(data) - 512
	binary.LittleEndian.PutUint32(data[fat:], 0)
	f, err := open(t, string(data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f.Open(&f.Entries[1]))
	if len(b) != 4096 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestOrphan(t *testing.T) {
	t.Parallel()
	data := []byte(CFB("a", "x", "b", "y"))
	dir := (int(binary.LittleEndian.Uint32(data[48:])) + 1) * 512
	binary.LittleEndian.PutUint32(data[dir+128+72:], 0xFFFFFFFF) // "a" no longer has "b" beside it
	f, err := open(t, string(data))
	if err != nil || len(f.Entries) != 3 || !f.Entries[2].Orphan || f.Entries[2].Path != "b" {
		t.Fatalf("%v, %+v", err, f.Entries)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(CFB("a", "x", "b/c", strings.Repeat("y", 5000))))
	f.Add([]byte(cfb.Magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := cfb.Open(inspect.NewBudget(t.Context(), inspect.Limits{}), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, inspect.ErrFormat) && !errors.Is(err, inspect.ErrLimit) {
				t.Error(err)
			}
			return
		}
		for i := range file.Entries[:min(len(file.Entries), 50)] {
			n, _ := io.Copy(io.Discard, file.Open(&file.Entries[i]))
			if n > int64(len(data)) {
				t.Errorf("%d bytes out of %d", n, len(data))
			}
		}
	})
}
