package verdict_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// A scanner is a name and a function. The engine turns whatever happens to it into a finding.
func Example() {
	lottery := verdict.Func("lottery", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
		if strings.Contains(m.Header().Text("Subject"), "You have won") {
			return []verdict.Finding{{Code: "lottery.subject", Class: verdict.Spam, Detail: "promises a prize"}}, nil
		}
		return nil, nil
	})
	broken := verdict.Func("broken", func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
		panic("no signature file")
	})

	m := verdict.NewMessage(verdict.Bytes("From: a@example.org\r\nSubject: You have won\r\n\r\nClaim it now.\r\n"))
	for _, e := range []*verdict.Engine{
		{Scanners: []verdict.Scanner{lottery}},
		{Scanners: []verdict.Scanner{lottery, broken}},
		{Scanners: []verdict.Scanner{lottery, verdict.MonitorOnly(broken)}},
	} {
		r := e.Judge(context.Background(), m)
		fmt.Println(r.Class)
		for _, run := range r.Runs {
			fmt.Println(" ", run.Scanner, run.Outcome)
		}
	}
	// Output:
	// spam
	//   lottery done
	// unknown
	//   lottery done
	//   broken failed
	// spam
	//   lottery done
	//   broken failed
}
