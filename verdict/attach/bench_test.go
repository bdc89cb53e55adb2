package attach_test

import (
	"io"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func bench(b *testing.B, m *verdict.Message) {
	r, err := m.Open()
	if err != nil {
		b.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		b.Fatal(err)
	}
	r.Close()
	b.SetBytes(int64(len(raw)))
	m = verdict.NewMessage(verdict.Bytes(raw))
	for range m.Parts() { // parsed once for all scanners
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (attach.Scanner{}).Scan(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	b.Run("text 10 KB", func(b *testing.B) { bench(b, verdicttest.Text(b, 10<<10)) })
	b.Run("zip 10 KB", func(b *testing.B) { bench(b, message(b, "a.zip", source("a.c"))) })
	b.Run("5 MB", func(b *testing.B) { bench(b, verdicttest.Big(b, 5<<20)) })
}
