//go:build unix

package execscan_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict"
	execscan "github.com/postreeve/postreeve/verdict/exec"
)

// A script that goes by the subject.
func Example() {
	s := &execscan.Scanner{
		Path: "/bin/sh",
		Args: []string{"-c", `if grep -qi '^subject:.*you have won'; then echo "promises a prize"; exit 1; fi`},
	}
	e := &verdict.Engine{Scanners: []verdict.Scanner{s}}
	r := e.Judge(context.Background(), verdict.NewMessage(verdict.Bytes("Subject: You have won\r\n\r\nClaim it now.\r\n")))
	fmt.Println(r.Class, r.Findings[0].Code, r.Findings[0].Detail)
	// Output: spam exec.verdict promises a prize
}
