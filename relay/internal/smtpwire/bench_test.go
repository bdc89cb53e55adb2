package smtpwire_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

// repeated hands out the same octets again and again.
type repeated struct {
	what []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.what[r.at:])
	r.at = (r.at + n) % len(r.what)
	return n, nil
}

func textOf(line string) []byte { return []byte(strings.Repeat(line+"\r\n", 1<<20/(len(line)+2))) }

var benchTexts = []struct {
	name string
	text []byte
}{
	{"76", textOf(strings.Repeat("x", 76))},
	{"20", textOf(strings.Repeat("x", 20))},
	{"dots", textOf("." + strings.Repeat("x", 20))},
}

func BenchmarkDataReader(b *testing.B) {
	for _, c := range benchTexts {
		b.Run(c.name, func(b *testing.B) {
			src := &repeated{what: append(bytes.ReplaceAll(c.text, []byte("\n."), []byte("\n..")), ".\r\n"...)}
			r := smtpwire.NewReader(src, 0)
			defer r.Release()
			b.SetBytes(int64(len(src.what)))
			b.ReportAllocs()
			for b.Loop() {
				body := r.Data(smtpwire.BodyLimits{})
				if _, err := body.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDotWriter(b *testing.B) {
	for _, c := range benchTexts {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			var d smtpwire.DotWriter
			for b.Loop() {
				d.Reset(io.Discard)
				for part := range (len(c.text) + 32<<10 - 1) / (32 << 10) {
					if _, err := d.Write(c.text[part*32<<10 : min(len(c.text), (part+1)*32<<10)]); err != nil {
						b.Fatal(err)
					}
				}
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestDataAllocatesNothing(t *testing.T) {
	src := &repeated{what: append(textOf(strings.Repeat("x", 76)), ".\r\n"...)}
	r := smtpwire.NewReader(src, 0)
	defer r.Release()
	got := testing.AllocsPerRun(20, func() {
		if _, err := r.Data(smtpwire.BodyLimits{}).WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
	if got >= 1 {
		t.Errorf("%v allocations for a message, want none", got)
	}
}
