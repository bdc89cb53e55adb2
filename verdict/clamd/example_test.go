package clamd_test

import (
	"context"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/clamd"
)

// An engine with ClamAV behind all guards. Nobody listens at the address, so nobody can tell.
func Example() {
	av := verdict.Scanner(&clamd.Scanner{Address: "unix:/nonexistent/clamd.ctl"})
	av = verdict.Breaker(verdict.Deadline(av, 30*time.Second), 5, 10*time.Second)
	av = verdict.Cache(av, verdict.CacheOptions{ContentOnly: true})
	av = verdict.MaxSize(av, 100<<20, verdict.Unknown)

	e := &verdict.Engine{Scanners: []verdict.Scanner{av}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: hello\r\n\r\nHi.\r\n")))
	fmt.Println(r.Class, r.Runs[0].Scanner, r.Runs[0].Outcome)
	// Output: unknown clamd failed
}
