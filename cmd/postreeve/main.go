// Command postreeve is an inline e-mail security gateway: run postreeve --help, or postreeve try to see
// it at work.
package main

import (
	"context"
	"os"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
)

func main() {
	os.Exit(app.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
