//go:build !unix

package smtpclient

import "net"

// probe cannot tell here, without taking data away, whether there is something to read: a connection
// that has ended shows at its next use, and then another is tried.
type probe struct{}

func newProbe(net.Conn) *probe { return &probe{} }

func (*probe) readable() bool { return false }
