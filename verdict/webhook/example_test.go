package webhook_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/webhook"
)

// Both sides: a server that asks a scanner, and a scanner that asks the server.
func Example() {
	key := []byte("32 random bytes that both sides know")
	srv := httptest.NewServer(&webhook.Handler{Scanner: &teststring.Scanner{}, Key: key})
	defer srv.Close()

	e := &verdict.Engine{Scanners: []verdict.Scanner{&webhook.Scanner{URL: srv.URL, Key: key}}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: test\r\n\r\n"+teststring.GTUBE+"\r\n")))
	for _, f := range r.Findings {
		fmt.Println(f.Code, f.Class)
	}
	// Output:
	// webhook.test.gtube spam
	// webhook.verdict spam
}
