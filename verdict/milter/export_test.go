package milter

import (
	"net"

	"github.com/postreeve/postreeve/verdict"
)

// Converse makes a session over any connection visible to tests.
func Converse(c net.Conn, m *verdict.Message) ([]verdict.Finding, error) {
	return new(Scanner).converse(c, m)
}
