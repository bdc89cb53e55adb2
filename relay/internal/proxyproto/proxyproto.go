// Package proxyproto reads the PROXY protocol, versions 1 and 2, from listed balancers only.
//
// A listed peer must send a header: a connection of its without one is closed, since its mail would
// otherwise seem to come from the balancer. From anybody else nothing is read, so that a header is a
// bad SMTP command like any other. See https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ErrHeader says that a listed peer did not send a PROXY header that can be read.
var ErrHeader = errors.New("bad PROXY header")

// Conn is a connection whose RemoteAddr is that of the original client.
type Conn struct {
	net.Conn
	r      *bufio.Reader // nil once it is empty
	remote net.Addr
}

// Accept reads the header of a connection from a listed balancer, within the timeout. The result
// stands for the connection of the original client. On error the connection is still open.
func Accept(c net.Conn, timeout time.Duration) (net.Conn, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 256+16) // a v1 header has at most 107 octets; v2 is read beyond the buffer
	src, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("%w from %v: %w", ErrHeader, c.RemoteAddr(), err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	p := &Conn{Conn: c, r: r, remote: c.RemoteAddr()}
	if src.IsValid() { // else LOCAL or UNKNOWN: a health check of the balancer itself
		p.remote = net.TCPAddrFromAddrPort(src)
	}
	return p, nil
}

// RemoteAddr returns the address of the original client.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read returns what was read ahead of the header's end first.
func (c *Conn) Read(p []byte) (int, error) {
	if c.r == nil {
		return c.Conn.Read(p)
	}
	if c.r.Buffered() == 0 {
		c.r = nil
		return c.Conn.Read(p)
	}
	return c.r.Read(p[:min(len(p), c.r.Buffered())])
}

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

func readHeader(r *bufio.Reader) (netip.AddrPort, error) {
	first, err := r.Peek(1)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch first[0] {
	case 'P':
		return readV1(r)
	case signature[0]:
		return readV2(r)
	}
	return netip.AddrPort{}, errors.New("it begins with something else")
}

// readV1 reads "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n".
func readV1(r *bufio.Reader) (netip.AddrPort, error) {
	const maxLine = 107
	var line []byte
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxLine {
			return netip.AddrPort{}, errors.New("line over 107 octets")
		}
		b, err := r.ReadByte()
		if err != nil {
			return netip.AddrPort{}, err
		}
		line = append(line, b)
	}
	f := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if f[0] != "PROXY" || len(f) < 2 {
		return netip.AddrPort{}, errors.New("it begins with something else")
	}
	if f[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return netip.AddrPort{}, fmt.Errorf("unknown form %q", f[1])
	}
	addr, err := netip.ParseAddr(f[2])
	if err != nil || addr.Is4() != (f[1] == "TCP4") || addr.Zone() != "" {
		return netip.AddrPort{}, errors.New("bad source address")
	}
	port, err := strconv.ParseUint(f[4], 10, 16)
	if err != nil {
		return netip.AddrPort{}, errors.New("bad source port")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

func readV2(r *bufio.Reader) (netip.AddrPort, error) {
	var h [16]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return netip.AddrPort{}, err
	}
	if !bytes.Equal(h[:12], signature) || h[12]>>4 != 2 {
		return netip.AddrPort{}, errors.New("unknown signature or version")
	}
	const maxBody = 2048 // addresses and TLVs; a certificate in a TLV would be longer and is of no use here
	n := int(binary.BigEndian.Uint16(h[14:]))
	if n > maxBody {
		return netip.AddrPort{}, fmt.Errorf("%d octets of addresses", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, err
	}
	switch h[12] & 0x0f {
	case 0: // LOCAL
		return netip.AddrPort{}, nil
	case 1: // PROXY
	default:
		return netip.AddrPort{}, errors.New("unknown command")
	}
	switch {
	case h[13] == 0x11 && n >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[:4])), binary.BigEndian.Uint16(body[8:])), nil
	case h[13] == 0x21 && n >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[:16])).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	case h[13]>>4 == 0: // UNSPEC
		return netip.AddrPort{}, nil
	}
	return netip.AddrPort{}, fmt.Errorf("address family and protocol 0x%02x", h[13])
}
