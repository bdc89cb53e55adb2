package links_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/links"
)

// A gateway that protects example.com.
func ExampleScanner() {
	sc := &links.Scanner{Protected: []string{"example.com"}}
	m := verdict.NewMessage(verdict.Bytes("From: Ann <ann@letters.test>\r\n" +
		"Subject: Your account\r\n" +
		"Content-Type: text/html\r\n\r\n" +
		`<a href="https://examp1e.com/login">https://example.com/login</a>` + "\r\n"))
	found, err := sc.Scan(context.Background(), m)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range found {
		fmt.Println(f.Code, f.Score, f.Detail)
	}
	// Output:
	// link.look-alike 5 examp1e.com looks like example.com
	// link.text 3 "https://example.com/login" leads to examp1e.com
	// link.foreign 2.5 all links lead to examp1e.com, and the message says that it is from ann@letters.test
}

// A list of domains that answers with a set of bits. Its rules of use are read before it is turned on.
func ExampleList() {
	list := links.List{
		Zone:  "multi.lists.example",
		Mask:  true,
		Codes: map[byte]string{8: "phishing", 16: "malware", 64: "cracked"},
	}
	sc := &links.Scanner{Lists: []links.List{list}, Resolver: nil /* net.DefaultResolver, as a rule */}
	fmt.Println(sc.Name(), len(sc.Lists))
	// Output: links 1
}
