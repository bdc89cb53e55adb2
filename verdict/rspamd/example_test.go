package rspamd_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/rspamd"
)

// A stand-in for rspamd that would add a header.
func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"is_skipped":false,"score":7.25,"required_score":15,"action":"add header",
			"symbols":{"MISSING_MID":{"score":2.5},"R_BAD":{"score":4.75}}}`)
	}))
	defer srv.Close()

	e := &verdict.Engine{Scanners: []verdict.Scanner{&rspamd.Scanner{URL: srv.URL}}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: hello\r\n\r\nHi.\r\n")))
	fmt.Println(r.Class, r.Findings[0].Detail)
	// Output: spam add header, score 7.25 of 15.00; R_BAD(4.75); MISSING_MID(2.50)
}
