package milter_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/milter"
)

// opendmarc's word counts as spam, and mail goes on when it is down.
func Example() {
	s := verdict.OnError(&milter.Scanner{Address: "unix:/nonexistent/opendmarc.sock"}, verdict.Clean)
	e := &verdict.Engine{Scanners: []verdict.Scanner{s}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: hello\r\n\r\nHi.\r\n")))
	fmt.Println(r.Class, r.Runs[0].Outcome)
	// Output: clean failed
}
