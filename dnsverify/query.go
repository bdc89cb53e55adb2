package dnsverify

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Client asks name servers. The zero value asks the servers of the public Internet, from the root down,
// and the resolvers of the system. It may be used by many goroutines at once; its fields must not change once
// it is in use, and it must not be copied then.
type Client struct {
	// Roots are the addresses of the root servers. Empty means those of the public Internet.
	Roots []netip.Addr
	// Port is where authoritative servers listen; 0 means 53.
	Port uint16
	// Resolvers are validating resolvers. Empty means those in /etc/resolv.conf.
	Resolvers []netip.AddrPort
	// TrustAD believes the AD bit of Resolvers that are not on this host. Set it only if nobody
	// can change packets on the way to them.
	TrustAD bool
	// Allow says which addresses may be asked or connected to, of those that other people's records name.
	// Nil means Public. It does not apply to Roots and Resolvers.
	Allow func(netip.Addr) bool
	// Timeout is for one try; there are two for each question, the second over TCP. 0 means 3 s.
	Timeout time.Duration
	// Queries bounds the questions that one call may lead to; 0 means 400.
	Queries int
	// Exchanger carries the messages. Nil means UDP and TCP sockets.
	Exchanger Exchanger
	// HTTP fetches MTA-STS policies. Nil means a client that connects only to addresses that Allow allows.
	// Redirects are not followed, whatever it says.
	HTTP *http.Client
	// Logger gets one record per question at debug level. Nil logs nothing.
	Logger *slog.Logger

	cache cache
	asked atomic.Int64
}

// Asked returns how many questions have been sent so far.
func (c *Client) Asked() int64 { return c.asked.Load() }

func (c *Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 3 * time.Second
}

func (c *Client) port() uint16 {
	if c.Port != 0 {
		return c.Port
	}
	return 53
}

func (c *Client) allow(a netip.Addr) bool {
	if c.Allow != nil {
		return c.Allow(a.Unmap())
	}
	return Public(a)
}

func (c *Client) exchanger() Exchanger {
	if c.Exchanger != nil {
		return c.Exchanger
	}
	return sockets{}
}

// reserved lists what is neither private, loopback, link-local nor multicast for netip, and still nobody's
// server on the Internet (RFC 6890 and its registry).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

var globalV6 = netip.MustParsePrefix("2000::/3")

// Public says whether an address can be that of a server on the public Internet: not loopback, private,
// link-local, shared, documentation, multicast or otherwise reserved.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" || a.Is6() && !globalV6.Contains(a) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// budget bounds the questions of one call, so that no delegation can make us ask without end.
type budget struct{ left atomic.Int64 }

type budgetKey struct{}
type depthKey struct{}

func (c *Client) withBudget(ctx context.Context) context.Context {
	if _, ok := ctx.Value(budgetKey{}).(*budget); ok {
		return ctx
	}
	b := &budget{}
	b.left.Store(400)
	if c.Queries > 0 {
		b.left.Store(int64(c.Queries))
	}
	return context.WithValue(ctx, budgetKey{}, b)
}

var (
	errBudget = errors.New("too many questions for one check")
	errDepth  = errors.New("name servers whose names need other name servers, too deep")
)

func spent(ctx context.Context) bool {
	b, ok := ctx.Value(budgetKey{}).(*budget)
	return ok && b.left.Load() <= 0
}

// deeper counts look-ups within look-ups.
func deeper(ctx context.Context) (context.Context, error) {
	d, _ := ctx.Value(depthKey{}).(int)
	if d >= 4 {
		return ctx, errDepth
	}
	return context.WithValue(ctx, depthKey{}, d+1), nil
}

// mode is how a question is put.
type mode uint8

const (
	recursive mode = 1 << iota // RD: to a resolver
	noCheck                    // CD: give the answer even if it is bogus
	noEDNS
)

// reply is an answer, checked to belong to the question.
type reply struct {
	rcode      int
	aa, ad, ra bool
	tcp        bool
	answer     []dns.RR
	authority  []dns.RR
	extra      []dns.RR
	ede        []string // RFC 8914: "6 DNSSEC Bogus"
}

// ask puts one question to one server: UDP first, TCP if that was truncated, not answered, or doubtful.
func (c *Client) ask(ctx context.Context, server netip.AddrPort, name string, qtype uint16, m mode) (*reply, error) {
	if b, ok := ctx.Value(budgetKey{}).(*budget); ok && b.left.Add(-1) < 0 {
		return nil, errBudget
	}
	start := time.Now()
	r, err := c.try(ctx, "udp", server, name, qtype, m)
	if err != nil || r == nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		udp := err
		if r, err = c.try(ctx, "tcp", server, name, qtype, m); err != nil && udp != nil {
			err = fmt.Errorf("udp: %w; tcp: %w", udp, err)
		}
	}
	if r != nil && m&noEDNS == 0 && (r.rcode == dns.RcodeFormatError || r.rcode == dns.RcodeNotImplemented) {
		return c.ask(ctx, server, name, qtype, m|noEDNS) // RFC 6891 section 7
	}
	if c.Logger != nil {
		c.Logger.DebugContext(ctx, "dns question", "server", server.String(), "name", show(name, 80),
			"type", dns.TypeToString[qtype], "took", time.Since(start), "error", err)
	}
	return r, err
}

// try is one attempt. A nil reply without error means: ask again over TCP.
func (c *Client) try(ctx context.Context, network string, server netip.AddrPort, name string, qtype uint16, m mode) (*reply, error) {
	q, err := newQuery(name, qtype, m)
	if err != nil {
		return nil, err
	}
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	c.asked.Add(1)
	raw, err := c.exchanger().Exchange(ctx, network, server, wire)
	if err != nil {
		return nil, err
	}
	if !answers(wire, raw) {
		return nil, errMismatch
	}
	var in dns.Msg
	if err := in.Unpack(raw); err != nil {
		if network == "udp" {
			return nil, nil // cut off on the way, perhaps
		}
		return nil, fmt.Errorf("unreadable answer: %w", err)
	}
	if network == "tcp" && in.Truncated {
		return nil, errors.New("the answer does not fit into a message") // and what is missing may be the record
	}
	// A server that does not keep the letter case of the question may still be honest; a
	// connection shows that it is there.
	doubtful := len(in.Question) == 1 && in.Question[0].Name != q.Question[0].Name
	if network == "udp" && (in.Truncated || doubtful) {
		return nil, nil
	}
	return newReply(&in, network == "tcp"), nil
}

// newQuery makes a message with a random id and random letter case in its name.
func newQuery(name string, qtype uint16, m mode) (*dns.Msg, error) {
	var r [2 + 32]byte
	if _, err := rand.Read(r[:]); err != nil {
		return nil, err
	}
	q := &dns.Msg{}
	q.Id = binary.BigEndian.Uint16(r[:])
	q.RecursionDesired = m&recursive != 0
	q.AuthenticatedData = m&recursive != 0
	q.CheckingDisabled = m&noCheck != 0
	q.Question = []dns.Question{{Name: mixCase(dns.Fqdn(name), r[2:]), Qtype: qtype, Qclass: dns.ClassINET}}
	if m&noEDNS == 0 {
		q.SetEdns0(1232, true)
	}
	return q, nil
}

// mixCase writes each letter in upper or lower case, as the bits say.
func mixCase(name string, bits []byte) string {
	b := []byte(strings.ToLower(name))
	for i := range b {
		if b[i] >= 'a' && b[i] <= 'z' && bits[i/8%len(bits)]>>(i%8)&1 == 1 {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

func newReply(in *dns.Msg, tcp bool) *reply {
	r := &reply{rcode: in.Rcode, aa: in.Authoritative, ad: in.AuthenticatedData, ra: in.RecursionAvailable, tcp: tcp,
		answer: in.Answer, authority: in.Ns, extra: in.Extra}
	if opt := in.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok && len(r.ede) < 4 {
				r.ede = append(r.ede, show(strings.TrimSpace(fmt.Sprintf("%d %s %s", e.InfoCode,
					dns.ExtendedErrorCodeToString[e.InfoCode], e.ExtraText)), 80))
			}
		}
	}
	return r
}

// of returns the records of one type at one name in the answer section.
func of[T dns.RR](r *reply, name string) []T {
	return pick[T](r.answer, name)
}

func pick[T dns.RR](rrs []dns.RR, name string) []T {
	var out []T
	for _, rr := range rrs {
		if t, ok := rr.(T); ok && canonical(rr.Header().Name) == name {
			out = append(out, t)
		}
	}
	return out
}

// negativeTTL returns how long a cache keeps that there is nothing (RFC 2308 section 5), 0 without an SOA.
func (r *reply) negativeTTL() time.Duration {
	for _, rr := range r.authority {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
		}
	}
	return 0
}

// text joins the character-strings of one TXT record and takes the escapes of the presentation form back.
func text(t *dns.TXT) string { return unescape(strings.Join(t.Txt, "")) }

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			if n := int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0'); n < 256 {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func rcodeName(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE%d", rcode)
}
