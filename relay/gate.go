package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/postreeve/postreeve/relay/internal/proxyproto"
)

// gateListener puts the gate before every connection.
type gateListener struct {
	net.Listener
	srv *Server
	ctx context.Context
}

func (l *gateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c, srv: l.srv, ctx: l.ctx}, nil
}

// gatedConn is a connection that has yet to pass the gate, or has passed it. That happens on the
// connection's own goroutine, at its first use, since a PROXY header may take its time.
type gatedConn struct {
	net.Conn // that of the original client, once it is open
	srv      *Server
	ctx      context.Context

	once    sync.Once
	refused *Reply // what to say instead of the greeting
	err     error  // nothing more is read
	addr    netip.Addr
	inside  bool // admitted, and to be counted out
	leave   sync.Once
}

// open reads the PROXY header of a listed balancer, and refuses strangers and those over a limit.
func (g *gatedConn) open() {
	g.once.Do(func() {
		s := g.srv
		if contains(s.Proxies, addrOf(g.Conn)) {
			c, err := proxyproto.Accept(g.Conn, s.Timeouts.proxy())
			if err != nil {
				s.log().WarnContext(g.ctx, "connection from a balancer closed", "error", err)
				g.refuse(&Reply{Code: 421, Enhanced: EnhancedCode{4, 3, 5}, Text: "a PROXY header was expected"})
				return
			}
			g.Conn = c
		}
		g.addr = addrOf(g.Conn)
		if len(s.Clients) > 0 && !contains(s.Clients, g.addr) {
			g.refuse(&Reply{Code: 554, Enhanced: EnhancedCode{5, 7, 1}, Text: "no SMTP service for your address"})
			return
		}
		if r := s.admit.connect(g.addr); r != nil {
			g.refuse(r)
			return
		}
		g.inside = true
		if s.Trace.Connected != nil {
			s.hook("Connected", func() { s.Trace.Connected(g.addr) })
		}
	})
}

func (g *gatedConn) refuse(r *Reply) {
	g.refused, g.err = r, errors.New(r.Text)
	g.srv.log().LogAttrs(g.ctx, slog.LevelInfo, "connection refused",
		slog.Any("peer", g.addr), slog.Int("code", r.Code), slog.String("text", r.Text))
	if g.srv.Trace.Refused != nil {
		g.srv.hook("Refused", func() { g.srv.Trace.Refused(g.addr, r) })
	}
}

func (g *gatedConn) RemoteAddr() net.Addr {
	g.open()
	return g.Conn.RemoteAddr()
}

func (g *gatedConn) Read(p []byte) (int, error) {
	g.open()
	if g.err != nil {
		return 0, g.err
	}
	return g.Conn.Read(p)
}

func (g *gatedConn) Write(p []byte) (int, error) {
	g.open()
	return g.Conn.Write(p)
}

// Close counts the connection out. It may be called more than once, by several goroutines, and before the
// gate was reached.
func (g *gatedConn) Close() error {
	g.once.Do(func() { g.err = net.ErrClosed })
	g.leave.Do(func() {
		if !g.inside {
			return
		}
		g.srv.admit.disconnect(g.addr)
		if g.srv.Trace.Disconnected != nil {
			g.srv.hook("Disconnected", func() { g.srv.Trace.Disconnected(g.addr) })
		}
	})
	return g.Conn.Close()
}

// CloseWrite is for engines that let a peer read the last reply before they close.
func (g *gatedConn) CloseWrite() error {
	c := g.Conn
	if p, ok := c.(*proxyproto.Conn); ok {
		c = p.Conn
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn is for engines that look whether a peer speaks too early. It hides what a PROXY header
// has brought with it, which the next Read returns.
func (g *gatedConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := g.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func contains(nets []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, n := range nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// addrOf is the address a connection comes from; the zero Addr if it is no address of a network.
func addrOf(c net.Conn) netip.Addr { return addrPortOf(c).Addr() }

func addrPortOf(c net.Conn) netip.AddrPort {
	if c.RemoteAddr() == nil {
		return netip.AddrPort{}
	}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
