package teststring_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// A message for each class, to try a gateway with.
func ExampleSample() {
	e := &verdict.Engine{Scanners: []verdict.Scanner{teststring.Scanner{}}}
	for _, class := range []verdict.Class{verdict.Clean, verdict.Spam, verdict.Malicious, verdict.Unknown} {
		raw := "From: ann@example.org\r\nSubject: a test\r\n\r\n" + teststring.Sample(class) + "\r\n"
		r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes(raw)))
		fmt.Println(r.Class, r.Findings[0].Code)
	}
	// Output:
	// clean test.clean
	// spam test.spam
	// malicious test.malicious
	// unknown test.unknown
}
