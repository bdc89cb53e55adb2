package spamd_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/spamd"
)

// SpamAssassin is asked about messages of up to half a megabyte. Larger ones pass it unseen, and nobody listens here
// for the small ones.
func Example() {
	e := &verdict.Engine{Scanners: []verdict.Scanner{
		verdict.MaxSize(&spamd.Scanner{Address: "unix:/nonexistent/spamd.sock"}, 512<<10, verdict.Clean),
	}}
	for _, size := range []int{10, 1 << 20} {
		m := verdict.NewMessage(verdict.Bytes("Subject: hello\r\n\r\n" + strings.Repeat("x", size)))
		r := e.Judge(context.Background(), m)
		fmt.Println(r.Class, r.Findings[0].Code)
	}
	// Output:
	// unknown scanner.failed
	// clean scanner.size
}
