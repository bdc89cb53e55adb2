package impostor_test

import (
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// prose is English as people write it, about 10 KB.
func prose() string {
	const text = `We had a long meeting about the new warehouse yesterday, and I promised to write down what was decided. The
roof has to be repaired before winter, so the company from next door will send somebody on Tuesday to look at it. Until
then nobody should put anything below the skylights. The account of last year is finished; thank you all for the work.
Please send me your holidays before the end of the month, and remember that the office is closed on the third of May.
`
	return strings.Repeat(text, 10<<10/len(text)+1)[:10<<10]
}

func BenchmarkScan(b *testing.B) {
	text := prose()
	for _, c := range []struct {
		name string
		mail verdicttest.Mail
	}{
		{"text", verdicttest.Mail{Text: text}},
		{"html", verdicttest.Mail{HTML: "<html><body><p>" + strings.ReplaceAll(text, "\n", "</p>\n<p>") + "</p></body></html>"}},
		{"accents", verdicttest.Mail{Text: strings.ReplaceAll(strings.ReplaceAll(text, "o", "ö"), "e", "é")}},
		{"cyrillic", verdicttest.Mail{Text: strings.Repeat("Сегодня мы решили, что крышу надо починить до зимы. ", 100)}},
		{"fraud", verdicttest.Mail{Text: strings.Repeat("Dear beneficiary, please verify your account and claim your prize. ", 150)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			raw := c.mail.Bytes()
			s := impostor.Scanner{}
			m := verdict.NewMessage(verdict.Bytes(raw))       // parsed once: all scanners share that
			if _, err := s.Scan(b.Context(), m); err != nil { // the first makes the tables
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := s.Scan(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
