package verdict_test

import (
	"fmt"
	"log"

	"github.com/postreeve/postreeve/verdict"
)

const invoiceMail = "From: Ann <ann@example.org>\r\n" +
	"Subject: =?utf-8?q?Rechnung_f=C3=BCr_Mai?=\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b1\r\n" +
	"\r\n" +
	"--b1\r\n" +
	"\r\n" +
	"Please pay.\r\n" +
	"--b1\r\n" +
	"Content-Type: application/pdf; name=invoice.pdf\r\n" +
	"Content-Disposition: attachment; filename=\"invoice.exe\"\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n" +
	"AAAAgAAAAA4fug4AtAnNIbgBTM0hVGhpcyBwcm9ncmFtIGNhbm5vdA==\r\n" +
	"--b1--\r\n"

// Walk the parts of a message. An error among them means that they are not all.
func ExampleMessage_Parts() {
	m := verdict.NewMessage(verdict.Bytes(invoiceMail))
	for p, err := range m.Parts() {
		if err != nil {
			log.Fatal(err)
		}
		size, err := p.Size()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q %s is %s, %d bytes, %q\n", p.Path, p.Declared, p.Type(), size, p.Filename)
	}
	// Output:
	// "" multipart/mixed is multipart/mixed, 314 bytes, ""
	// "1" text/plain is text/plain, 11 bytes, ""
	// "2" application/pdf is application/x-dosexec, 97 bytes, "invoice.exe"
}

// What two readers could understand differently is told, not guessed.
func ExampleMessage_Anomalies() {
	m := verdict.NewMessage(verdict.Bytes(invoiceMail))
	for _, a := range m.Anomalies() {
		fmt.Printf("%s in part %s: %s\n", a.Code, a.Part, a.Detail)
	}
	// Output:
	// mime.filename-type in part 2: "invoice.exe" and "invoice.pdf"
}

// Fields keep their exact bytes and their place in the message, so that one can be cut out.
func ExampleHeader() {
	m := verdict.NewMessage(verdict.Bytes(invoiceMail))
	h := m.Header()
	fmt.Println(h.Text("subject"))
	for f := range h.All() {
		fmt.Println(f.Offset(), f.Len(), f.Name)
	}
	fmt.Println("body at", h.BodyOffset())
	// Output:
	// Rechnung für Mai
	// 0 29 From
	// 29 44 Subject
	// 73 19 MIME-Version
	// 92 44 Content-Type
	// body at 138
}
