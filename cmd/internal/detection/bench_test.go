package detection_test

import (
	"context"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
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

// BenchmarkBuiltins judges a message with all built-in scanners, anew each time: nothing is remembered.
func BenchmarkBuiltins(b *testing.B) {
	text := prose()
	for _, c := range []struct {
		name string
		mail verdicttest.Mail
	}{
		{"text", verdicttest.Mail{Text: text}},
		{"links", verdicttest.Mail{Text: text + "https://www.example.org/a\nhttps://lists.example.net/b?c=d\n"}},
		{"html", verdicttest.Mail{HTML: "<html><body><p>" + strings.ReplaceAll(text, "\n", "</p>\n<p>") + "</p><a href=\"https://www.example.org/a\">more</a></body></html>"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			raw := c.mail.Bytes()
			e := engine()
			e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes(raw))) // the first makes the tables
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				m := verdict.NewMessage(verdict.Bytes(raw))
				m.Envelope.To = []verdict.Recipient{{Address: "bob@example.net"}}
				if r := e.Judge(b.Context(), m); r.Class != verdict.Clean {
					b.Fatalf("%v %v", r.Class, r.Findings)
				}
			}
		})
	}
}
