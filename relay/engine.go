package relay

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
)

// Engine is what speaks SMTP with the clients of a Server: Strict or GoSMTP.
type Engine interface {
	serve(ctx context.Context, s *Server, ln net.Listener) error
}

// Strict is the gateway's own engine, and the default: it finds the end of a message in bulk, refuses
// whatever two servers could frame differently, and has a deadline for everything.
var Strict Engine = strict{}

// GoSMTP is the server of github.com/emersion/go-smtp behind a guard. It is slower, has neither
// XCLIENT nor XFORWARD, and ends a connection at the fourth bad command. It is there for comparison.
var GoSMTP Engine = goSMTP{}

// tlsText is how verdict.Client writes the state of TLS.
func tlsText(cs *tls.ConnectionState) string {
	return strings.Replace(tls.VersionName(cs.Version), "TLS ", "TLSv", 1) + " " + tls.CipherSuiteName(cs.CipherSuite)
}
