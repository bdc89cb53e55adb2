package dnstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postreeve/postreeve/dnsverify"
)

// TB is what the package needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Records are the records of a zone by owner: "@" is the zone itself, other names are relative to it.
type Records map[string][]string

// Net is an Internet of name servers. Its methods may be called by many goroutines at once.
type Net struct {
	tb     TB
	strict atomic.Bool
	late   time.Duration
	done   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex // guards all below, and the data of all servers
	base     netip.Addr // the last address in use
	port     uint16
	zones    map[string]*Zone
	all      []*Server
	resolver *Server
	log      []Query
	count    int
	closed   bool
}

// Query is a question that a server got.
type Query struct {
	Server  netip.Addr
	Network string // "udp" or "tcp"
	Name    string // as asked, in lower case, without the final dot
	Type    string // "TXT"
}

// New starts a net with a root and a resolver. It ends with the test.
func New(tb TB) *Net {
	tb.Helper()
	n := &Net{tb: tb, late: 5 * time.Second, done: make(chan struct{}), zones: map[string]*Zone{},
		base: netip.AddrFrom4([4]byte{127, byte(1 + rand.N(250)), byte(rand.N(250)), 0})}
	tb.Cleanup(n.close)
	n.mu.Lock()
	defer n.mu.Unlock()
	root := n.newServer()
	n.zones[""] = n.newZone("", []*Server{root})
	n.resolver = n.newServer()
	n.resolver.recursive = true
	n.resolver.memory = map[string]remembered{}
	return n
}

// Use runs f with a net outside of a test, for examples. A misuse panics.
func Use(f func(n *Net)) {
	var tb scope
	defer tb.end()
	f(New(&tb))
}

type scope struct{ cleanups []func() }

func (s *scope) Helper()                           {}
func (s *scope) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *scope) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *scope) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *scope) end() {
	for _, f := range s.cleanups {
		f()
	}
}

// Strict fails the test for a question that a careful client would not put: recursion asked of an authoritative
// server or not asked of the resolver, no EDNS, or more than 1232 octets offered over UDP.
func (n *Net) Strict() { n.strict.Store(true) }

// Zone makes a zone on the given servers, or on two new ones, and delegates it from the zone above.
// Top-level domains that are missing are made. Its name servers are ns1, ns2, … in the zone, with glue.
func (n *Net) Zone(name string, records Records, servers ...*Server) *Zone {
	n.tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || n.zones[name] != nil {
		n.tb.Fatalf("dnstest: zone %q is there already", name)
	}
	if n.closed {
		n.tb.Fatalf("dnstest: Zone %q after the end of the test", name)
	}
	if tld := name[strings.LastIndexByte(name, '.')+1:]; tld != name && n.zones[tld] == nil {
		n.zones[tld] = n.newZone(tld, []*Server{n.newServer()})
		n.zones[tld].delegate(true)
	}
	if len(servers) == 0 {
		servers = []*Server{n.newServer(), n.newServer()}
	}
	z := n.newZone(name, servers)
	n.zones[name] = z
	for owner, rrs := range records {
		z.set(servers, owner, rrs)
	}
	z.delegate(true)
	return z
}

// Servers starts servers that hold nothing yet, for zones to come.
func (n *Net) Servers(count int) []*Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]*Server, count)
	for i := range out {
		out[i] = n.newServer()
	}
	return out
}

// Resolver is a validating resolver with a cache, which keeps negative answers too.
func (n *Net) Resolver() *Server { return n.resolver }

// Root is the server of the root zone.
func (n *Net) Root() *Server { return n.zones[""].servers[0] }

// Port is the port of all servers.
func (n *Net) Port() uint16 { return n.port }

// Allow says whether an address is one of a server that may be asked here: any loopback address.
func (n *Net) Allow(a netip.Addr) bool { return a.IsLoopback() }

// Client returns a client for this net, with short timeouts.
func (n *Net) Client() *dnsverify.Client {
	return &dnsverify.Client{
		Roots: []netip.Addr{n.Root().Addr()}, Port: n.port, Allow: n.Allow, Timeout: time.Second,
		Resolvers: []netip.AddrPort{netip.AddrPortFrom(n.resolver.Addr(), n.port)},
	}
}

// Queries returns the questions that all servers got so far, at most the first 10 000.
func (n *Net) Queries() []Query {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Query(nil), n.log...)
}

// Count returns the number of questions so far.
func (n *Net) Count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

func (n *Net) newZone(name string, servers []*Server) *Zone {
	z := &Zone{net: n, name: name, servers: servers}
	for i := range servers {
		ns := "ns" + fmt.Sprint(i+1) + "."
		if name != "" {
			ns += name + "."
		}
		z.hosts = append(z.hosts, ns)
	}
	for i, s := range servers {
		s.zones[name] = data{}
		z.base(i)
	}
	return z
}

// newServer takes the next loopback address. The first server finds the port for all.
func (n *Net) newServer() *Server {
	n.tb.Helper()
	var err error
	for range 100 {
		n.base = n.base.Next()
		var s *Server
		if s, err = n.listen(netip.AddrPortFrom(n.base, n.port)); err == nil {
			n.port = s.addr.Port()
			n.all = append(n.all, s)
			n.wg.Go(s.serveUDP)
			n.wg.Go(s.serveTCP)
			return s
		}
	}
	n.tb.Fatalf("dnstest: no loopback address to listen on (does this system need aliases of lo0?): %v", err)
	return nil
}

func (n *Net) listen(at netip.AddrPort) (*Server, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	at = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		udp.Close()
		return nil, err
	}
	return &Server{net: n, addr: at, udp: udp, tcp: tcp, zones: map[string]data{}}, nil
}

func (n *Net) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	close(n.done)
	for _, s := range n.all {
		s.close()
	}
	n.wg.Wait()
}
