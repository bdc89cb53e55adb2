package verdict_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

func TestSources(t *testing.T) {
	t.Parallel()
	want := []byte("From: a@example.org\r\n\r\nbody\r\n")
	path := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := verdict.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]verdict.Source{"bytes": verdict.Bytes(want), "file": file, "message": verdict.NewMessage(verdict.Bytes(want))} {
		if s.Size() != int64(len(want)) {
			t.Errorf("%s: size %d", name, s.Size())
		}
		first, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 4)
		if _, err := io.ReadFull(first, head); err != nil || string(head) != "From" {
			t.Errorf("%s: %q, %v", name, head, err)
		}
		if got := read(t, s); !bytes.Equal(got, want) {
			t.Errorf("%s: a second reader gets %q", name, got)
		}
		if rest, err := io.ReadAll(first); err != nil || !bytes.Equal(rest, want[4:]) {
			t.Errorf("%s: the first reader goes on with %q, %v", name, rest, err)
		}
		if err := first.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		path string
		want error
	}{
		"missing":  {filepath.Join(dir, "none"), os.ErrNotExist},
		"a folder": {dir, os.ErrInvalid},
	} {
		if _, err := verdict.OpenFile(tt.path); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// The zero message is one without bytes.
func TestZeroMessage(t *testing.T) {
	t.Parallel()
	var m verdict.Message
	if got := read(t, &m); m.Size() != 0 || len(got) != 0 {
		t.Errorf("%d, %q", m.Size(), got)
	}
}

func TestBytesReadAt(t *testing.T) {
	t.Parallel()
	p := make([]byte, 3)
	if n, err := verdict.Bytes("abcde").ReadAt(p, 3); n != 2 || err != io.EOF || string(p[:n]) != "de" {
		t.Errorf("%d, %v, %q", n, err, p[:n])
	}
}
