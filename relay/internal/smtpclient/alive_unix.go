//go:build unix

package smtpclient

import (
	"net"
	"syscall"
)

// probe finds out whether a read would return at once: data that nobody asked for, or the end. It does
// not wait and takes nothing away.
type probe struct {
	rc    syscall.RawConn // nil if the connection is no socket
	look  func(fd uintptr)
	quiet bool
}

func newProbe(nc net.Conn) *probe {
	p := &probe{}
	if sc, ok := nc.(syscall.Conn); ok {
		p.rc, _ = sc.SyscallConn()
	}
	p.look = func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
	}
	return p
}

// readable is false for a connection that is no socket.
func (p *probe) readable() bool {
	return p.rc != nil && (p.rc.Control(p.look) != nil || !p.quiet)
}
