//go:build !unix

package smtpserver

import "net"

// waiting says whether octets have arrived on nc that nobody has read. This system has no way to look
// without waiting.
func waiting(net.Conn) bool { return false }
