package teststring_test

import (
	"bytes"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func judge(b *testing.B, e *verdict.Engine, make func(testing.TB) *verdict.Message) {
	b.Helper()
	m := make(b)
	r, err := m.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(r); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(m.Size())
	b.ReportAllocs()
	for b.Loop() {
		m := verdict.NewMessage(verdict.Bytes(raw.Bytes())) // parsed anew each time
		if r := e.Judge(b.Context(), m); r.Class != verdict.Clean {
			b.Fatal(r.Class)
		}
	}
}

func text10KB(tb testing.TB) *verdict.Message { return verdicttest.Text(tb, 10<<10) }

func BenchmarkJudge10KB(b *testing.B) {
	for name, scanners := range map[string][]verdict.Scanner{
		"teststring":           {teststring.Scanner{}},
		"structure":            {verdict.Structure{}},
		"teststring+structure": {teststring.Scanner{}, verdict.Structure{}},
	} {
		b.Run(name, func(b *testing.B) { judge(b, &verdict.Engine{Scanners: scanners}, text10KB) })
	}
}

func BenchmarkJudge5MB(b *testing.B) {
	judge(b, &verdict.Engine{Scanners: []verdict.Scanner{teststring.Scanner{}}},
		func(tb testing.TB) *verdict.Message { return verdicttest.Big(tb, 5<<20) })
}

// The search alone, over an attachment that needs no decoding.
func BenchmarkSearch(b *testing.B) {
	for name, data := range map[string][]byte{
		"text":      bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, * and nobody holds it back.\r\n"), 100000),
		"noise":     noise(8 << 20),
		"asterisks": bytes.Repeat([]byte("*"), 8<<20),
		"worst":     bytes.Repeat([]byte("E*"), 4<<20),
	} {
		b.Run(name, func(b *testing.B) {
			m := verdicttest.Mail{Attach: []verdicttest.Attachment{{Data: data, Encoding: "binary"}}}.Message(b)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for range m.Parts() {
			}
			for b.Loop() {
				if fs, err := (teststring.Scanner{}).Scan(b.Context(), m); len(fs) != 0 || err != nil {
					b.Fatal(fs, err)
				}
			}
		})
	}
}
