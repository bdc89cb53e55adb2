package dnsverify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Exchanger carries one DNS message in wire form to one server and brings the answer back.
//
// The network is "udp" or "tcp". Over UDP an Exchanger drops what does not answer the query (another id,
// another question) and goes on waiting, so that a forged datagram cannot end the question; the caller
// checks again. It must stop when ctx ends, which it always does. It may be used by many goroutines at once.
// Other transports, such as DNS over TLS to a fixed resolver, are Exchangers too.
type Exchanger interface {
	Exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error)
}

var errMismatch = errors.New("answered with another id or another question")

// sockets is the Exchanger that is used if none is given: a fresh connected socket for every query.
type sockets struct{}

func (sockets) Exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if t, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(t); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return exchangeStream(conn, query)
	}
	return exchangeDatagram(conn, query)
}

func exchangeDatagram(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, 2048) // more than the 1232 that we offer
	foreign := false
	for {
		n, err := conn.Read(buf)
		switch {
		case err != nil && foreign:
			return nil, fmt.Errorf("%w: %w", errMismatch, err)
		case err != nil:
			return nil, err
		case answers(query, buf[:n]):
			return buf[:n], nil
		}
		foreign = true
	}
}

func exchangeStream(conn net.Conn, query []byte) ([]byte, error) {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, len(query)+2), uint16(len(query)))
	if _, err := conn.Write(append(out, query...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	return buf, nil
}

// answers says whether reply is a response with the id of query and, unless it reports that it could not
// parse the query, with its question in any letter case.
func answers(query, reply []byte) bool {
	const header = 12
	if len(query) < header || len(reply) < header || query[0] != reply[0] || query[1] != reply[1] || reply[2]&0x80 == 0 {
		return false
	}
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		return reply[3]&0x0f == 1 || reply[3]&0x0f == 4 // FORMERR, NOTIMP
	}
	n := questionLen(query[header:])
	if n < 0 || len(reply) < header+n || binary.BigEndian.Uint16(reply[4:]) != 1 {
		return false
	}
	q, r := query[header:header+n], reply[header:header+n]
	for i := range q {
		if lowerByte(q[i]) != lowerByte(r[i]) {
			return false
		}
	}
	return true
}

// questionLen returns the length of the first question in b, which holds an uncompressed name, or -1.
func questionLen(b []byte) int {
	for i := 0; i < len(b); i += int(b[i]) + 1 {
		switch {
		case b[i] > 63:
			return -1
		case b[i] == 0 && i+5 <= len(b):
			return i + 5
		case b[i] == 0:
			return -1
		}
	}
	return -1
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
