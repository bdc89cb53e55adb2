package rspamd

import "github.com/postreeve/postreeve/verdict"

// Read makes the parser of answers visible to tests.
func Read(b []byte) ([]verdict.Finding, error) { return new(Scanner).read(b) }
