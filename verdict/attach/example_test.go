package attach_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
)

// A zip file that holds a script with the name of a document.
func Example() {
	var file bytes.Buffer
	zw := zip.NewWriter(&file)
	w, _ := zw.Create("invoice.pdf.js")
	fmt.Fprintln(w, "var a = 1")
	zw.Close()
	raw := "From: ann@example.org\r\nSubject: Your invoice\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: application/zip\r\nContent-Disposition: attachment; filename=invoice.zip\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(file.Bytes())

	e := &verdict.Engine{Scanners: []verdict.Scanner{attach.Scanner{Limits: attach.Limits{Time: 10 * time.Second}}}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes(raw)))
	fmt.Println(r.Class)
	for _, f := range r.Findings {
		fmt.Println(f.Code, f.Part)
	}
	// Output:
	// malicious
	// filename.double-extension 1 invoice.zip!invoice.pdf.js
	// attachment.script 1 invoice.zip!invoice.pdf.js
}
