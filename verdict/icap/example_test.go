package icap_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/icap"
)

// Content is scanned once for as long as the signatures stay the same. Nobody listens here, so nobody can tell.
func Example() {
	s := verdict.Cache(&icap.Scanner{URL: "icap://127.0.0.1:1/avscan"}, verdict.CacheOptions{ContentOnly: true})
	e := &verdict.Engine{Scanners: []verdict.Scanner{s}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: hello\r\n\r\nHi.\r\n")))
	fmt.Println(r.Class, r.Runs[0].Outcome)
	// Output: unknown failed
}
