package verdicttest_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// lottery calls every promise of a prize spam.
func lottery(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	h := m.Header()
	if strings.Contains(h.Text("Subject"), "You have won") {
		return []verdict.Finding{{Code: "lottery.subject", Class: verdict.Spam}}, h.Err()
	}
	return nil, h.Err()
}

// The suite for a scanner that works in process.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		verdicttest.Run(t, verdicttest.Suite{
			New:  func(testing.TB, net.Addr) verdict.Scanner { return verdict.Func("lottery", lottery) },
			Hit:  func(tb testing.TB) *verdict.Message { return verdicttest.New(tb, "Subject: You have won\n\n") },
			Want: verdict.Spam,
		})
	}
}

// A message with an attachment, in one literal.
func ExampleMail() {
	b := verdicttest.Mail{
		Subject: "Invoice",
		Text:    "Please pay.\n",
		Attach:  []verdicttest.Attachment{{Name: "invoice.pdf", Type: "application/pdf", Data: []byte("%PDF-1.7")}},
	}.Bytes()
	for p, err := range verdict.NewMessage(verdict.Bytes(b)).Parts() {
		fmt.Println(p.Declared, p.Filename, err)
	}
	// Output:
	// multipart/mixed  <nil>
	// text/plain  <nil>
	// application/pdf invoice.pdf <nil>
}

// The suite for the scanner of the example holds, too.
func TestRunExample(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New:  func(testing.TB, net.Addr) verdict.Scanner { return verdict.Func("lottery", lottery) },
		Hit:  func(tb testing.TB) *verdict.Message { return verdicttest.New(tb, "Subject: You have won\n\n") },
		Want: verdict.Spam,
	})
}
