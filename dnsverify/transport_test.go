package dnsverify_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// poison is an Exchanger that adds an address for a name to every delegation.
type poison struct {
	name string
	addr netip.Addr
}

func (x poison) Exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	raw, err := redirect{}.Exchange(ctx, network, server, query)
	var m dns.Msg
	if err != nil || m.Unpack(raw) != nil || m.Authoritative || len(m.Ns) == 0 {
		return raw, err
	}
	m.Extra = append([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: x.name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
		A: net.IP(x.addr.AsSlice())}}, m.Extra...)
	return m.Pack()
}

// redirect is an Exchanger that takes one address for another.
type redirect struct{ from, to netip.AddrPort }

func (x redirect) Exchange(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	if server == x.from {
		server = x.to
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	t, _ := ctx.Deadline()
	c.SetDeadline(t)
	if network == "udp" {
		if _, err := c.Write(query); err != nil {
			return nil, err
		}
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		return buf[:n], err
	}
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(c, buf)
	return buf, err
}
