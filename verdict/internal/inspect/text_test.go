package inspect_test

import (
	"testing"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

func TestWide(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"a\x00b\x00":                "ab",
		"a\x00\x00\x00b\x00":        "a",
		"a\x00b":                    "a",
		"\x3D\xD8\x00\xDE!\x00":     "\U0001F600!",
		"\x00\xDEx\x00":             "\uFFFDx",
		"\x00\x00of the next field": "",
	} {
		if got := inspect.Wide([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUnhex(t *testing.T) {
	t.Parallel()
	values := map[byte]byte{}
	for i, c := range []byte("0123456789abcdef") {
		values[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		values[c] = byte(10 + i)
	}
	for c := range 256 {
		want, ok := values[byte(c)]
		if got, is := inspect.Unhex(byte(c)); got != want || is != ok {
			t.Errorf("%q: %d, %v, want %d, %v", byte(c), got, is, want, ok)
		}
	}
}
