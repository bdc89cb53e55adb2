package smtpserver

import "net"

// NetConn is the connection as the listener gave it, below TLS. It is there to be recognised: reading or
// writing it breaks the session.
func (c *Conn) NetConn() net.Conn { return c.wire.raw }
