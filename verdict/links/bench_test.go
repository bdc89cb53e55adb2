package links_test

import (
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// scanAgain scans messages with one content, which are new each time: nothing is remembered.
func scanAgain(b *testing.B, raw []byte) {
	b.Helper()
	sc := &links.Scanner{Protected: []string{"example.com"}}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := verdict.NewMessage(verdict.Bytes(raw))
		for _, err := range m.Parts() { // found for all scanners once
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if _, err := sc.Scan(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkText10KB(b *testing.B) {
	scanAgain(b, verdicttest.Mail{Text: strings.Repeat("The quick brown fox jumps over the lazy dog. It, e.g. here, costs 1.50 today.\n", 128)}.Bytes())
}

func BenchmarkText10KBWithLinks(b *testing.B) {
	scanAgain(b, verdicttest.Mail{Text: strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody holds it back.\n", 140) +
		"https://www.example.org/a\nhttps://lists.example.net/b?c=d\n"}.Bytes())
}

func BenchmarkNewsletter50KB(b *testing.B) {
	row := `<tr><td style="color:#333;font-size:14px"><a href="https://news.example.org/a?b=c"><img src="https://img.example.org/x.png" alt="x"></a> Some text of a newsletter, which goes on for a while.</td></tr>` + "\n"
	scanAgain(b, verdicttest.Mail{HTML: "<html><body><table>" + strings.Repeat(row, 250) + "</table></body></html>"}.Bytes())
}
