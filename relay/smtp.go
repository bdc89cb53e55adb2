package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
	"github.com/postreeve/postreeve/verdict"
)

// AllOrNone is a NextHop that can promise to give a message to every recipient or to nobody.
//
// It is for callers that have one reply for all recipients: had some got the message and others not,
// a temporary reply would send it twice and a permanent one would lose it.
type AllOrNone interface {
	NextHop
	// DeliverAll is Deliver, but if any recipient is refused nobody gets the message. The receipts then
	// hold the refusals, and for the others a temporary reply that wraps ErrNotSent. A hop that cannot
	// promise that for these recipients sends nothing and returns an error that wraps ErrNotAllOrNone.
	DeliverAll(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error)
}

var (
	// ErrNotSent is the cause in the reply for a recipient who was not refused, but is not given the
	// message since another one was.
	ErrNotSent = errors.New("not sent, since another recipient was refused")
	// ErrNotAllOrNone is what DeliverAll returns, having sent nothing, if it cannot promise all or none.
	// The caller may still Deliver.
	ErrNotAllOrNone = errors.New("relay: the next hop cannot promise all or none")
	// ErrUncertain is a cause where the connection broke between the end of the data and the reply: the
	// next hop may have the message, and another attempt may deliver it twice.
	ErrUncertain = errors.New("the next hop may have taken the message")
	// ErrLacking is a cause where the next hop was not asked at all, since it does not offer what the message needs:
	// SMTP has the list. Such a refusal is for good, and says nothing about the content.
	ErrLacking = errors.New("the next hop lacks what the message needs")
	// ErrClosed is the cause after SMTP.Close.
	ErrClosed = errors.New("relay: next hop closed")
)

// SMTP is a next hop that speaks SMTP. Either Hosts or MX must be set; every other field may be left
// out. Fields must not change once it is in use. It may be used by many goroutines, and one value
// should be shared by all domains that have the same next hop, since it pools connections.
//
// # What is sent
//
// The body goes out byte for byte, with BDAT where the hop offers CHUNKING and with DATA elsewhere.
// SIZE, BODY, SMTPUTF8, REQUIRETLS and the parameters of DSN are handed on where the hop offers them.
// A message that needs what the hop lacks is refused with a permanent reply: 552 5.3.4 if it is over
// its SIZE, 554 5.6.3 without 8BITMIME, 550 5.6.7 without SMTPUTF8, 550 5.7.30 without REQUIRETLS under
// verified TLS to a host that was configured and not found by MX (RFC 8689 section 4.2.1). A client that
// asked for 8BITMIME or SMTPUTF8 without need, for a message that is all ASCII, is not held to it; a body
// with 8 bit bytes that nobody labelled goes as it is. These refusals have ErrLacking as their cause. Without DSN its
// parameters are dropped, and Receipt.DSN is false: a Server has a Notifier for what RFC 3461 section 5.2.2 asks then.
//
// # What comes back
//
// A reply of the hop to MAIL, RCPT, DATA or the message is handed on with its code and text, only 421
// becomes 451. A refusal before MAIL says that our set-up is wrong and not the message, so it is
// temporary, and the next host is tried. The next host is tried too when a connection ends
// before MAIL is answered; after that nothing is repeated here.
type SMTP struct {
	// Hosts are the hosts of the next hop in the order in which they are tried: "mail.example.org",
	// "192.0.2.1:2525", "[2001:db8::1]:25". They may be private addresses.
	Hosts []string
	// MX is a domain whose MX records name the next hop (RFC 5321 section 5.1), instead of Hosts.
	MX string
	// Port is used for MX, and for Hosts without one. 0 means 25.
	Port uint16

	// Hostname is our name in EHLO. A next hop with the same name is taken for ourselves and refused
	// with 554 5.4.6. Empty says the address of the connection, and then only Self is compared.
	Hostname string
	// Self are more names, and addresses, that are ours. MX records that lead to them end the list, with
	// all of equal or worse preference.
	Self []string

	// TLS says how connections are protected. Zero is TLSOpportunistic.
	TLS TLSMode
	// TLSConfig has roots, client certificates and ServerName, which is the name of the host if empty.
	// Nil means the system's roots and no certificate. TLS 1.2 is the least in any case.
	TLSConfig *tls.Config

	// Resolver is asked for MX and addresses. Nil means net.DefaultResolver.
	Resolver Resolver
	// AllowPrivate lets MX records lead to addresses that are not public. Who writes the records of a
	// domain could otherwise make us connect to services in our own network.
	AllowPrivate bool
	// Dial makes connections to "address:port". Nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// MaxConns is how many connections there are at most; more deliveries wait. 0 means 20.
	MaxConns int
	// MaxIdle is how many of these are kept when idle. 0 means MaxConns, less than 0 none.
	MaxIdle int
	// IdleTimeout is how long. 0 means 30 s.
	IdleTimeout time.Duration
	// MaxPerConn is how many messages a connection carries. 0 means 100.
	MaxPerConn int
	// NoChunking never sends BDAT, for hops that offer it but fail at it.
	NoChunking bool
	// Timeouts bound each step. Zero fields have defaults.
	Timeouts HopTimeouts
	// BreakAfter is how many failures in a row to connect make an address be left alone for a while,
	// from 10 s growing to 5 min. 0 means 5, less than 0 never.
	BreakAfter int

	// Logger gets what an operator must know: loops, lost TLS, hosts that fail and recover. Nil: nothing.
	Logger *slog.Logger

	once   sync.Once
	broken error // of the set-up
	static []target
	self   selves
	pool   pool
	health health
	tls    *tls.Config
}

// HopTimeouts bound the steps of a delivery. Zero means the default, which is that of RFC 5321 section
// 4.5.3.2 where it names one. The context of a delivery bounds all of them.
type HopTimeouts struct {
	Reach     time.Duration // all that is done to get a connection, over all hosts: 2 min
	Connect   time.Duration // one TCP connection: 30 s, a third of it while other addresses are left
	Greeting  time.Duration // the first 220: 5 min
	Hello     time.Duration // EHLO, HELO, STARTTLS and RSET: 5 min
	Handshake time.Duration // TLS: 1 min
	Mail      time.Duration // MAIL: 5 min
	Rcpt      time.Duration // each RCPT: 5 min
	Data      time.Duration // DATA until 354: 2 min
	Block     time.Duration // each MiB of the body: 3 min
	End       time.Duration // the reply to the message: 10 min
}

func (t HopTimeouts) client() smtpclient.Timeouts {
	return smtpclient.Timeouts{
		Connect: t.Connect, Greeting: t.Greeting, Hello: t.Hello, Handshake: t.Handshake,
		Mail: t.Mail, Rcpt: t.Rcpt, Data: t.Data, Block: t.Block, End: t.End,
	}.WithDefaults()
}

func (s *SMTP) log() *slog.Logger { return cmp.Or(s.Logger, noLog) }

var noLog = slog.New(slog.DiscardHandler)

// start makes s ready at its first use.
func (s *SMTP) start() error {
	s.once.Do(func() {
		s.pool.init(cmp.Or(max(s.MaxConns, 0), 20), s.MaxIdle, cmp.Or(s.IdleTimeout, 30*time.Second))
		s.health.init(cmp.Or(s.BreakAfter, 5))
		s.broken = s.configure()
	})
	return s.broken
}

func (s *SMTP) configure() (err error) {
	switch {
	case len(s.Hosts) == 0 && s.MX == "":
		return errors.New("relay: SMTP has no next hop: set Hosts or MX")
	case len(s.Hosts) > 0 && s.MX != "":
		return errors.New("relay: SMTP has both Hosts and MX: set one of them")
	case !plainWord(s.Hostname):
		return fmt.Errorf("relay: SMTP.Hostname %q is not a host name", s.Hostname)
	case s.TLS > TLSVerify:
		return fmt.Errorf("relay: SMTP.TLS is %v", s.TLS)
	}
	s.self = makeSelves(s.Hostname, s.Self)
	s.tls = tlsConfig(s.TLSConfig, s.TLS)
	s.static, err = parseHosts(s.Hosts, cmp.Or(s.Port, 25))
	return err
}

// plainWord says whether s can stand in a command: no spaces, no controls.
func plainWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= 255
}

// Close ends all connections, also those in use, and waits until the deliveries on them have returned.
// Afterwards Deliver fails with ErrClosed. A hop that is merely not used any more, after a change of
// configuration, need not be closed: its idle connections end after IdleTimeout.
func (s *SMTP) Close() error {
	s.start() // a set-up that is wrong can be closed too
	s.pool.close()
	return nil
}

// Deliver sends the message to those recipients that the next hop accepts. It is what a queue wants;
// AllOrNone tells why others want DeliverAll.
func (s *SMTP) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	return s.deliver(ctx, e, body, false)
}

// DeliverAll sends the message only if the next hop accepts every recipient: see AllOrNone. With more
// than one recipient it costs a round trip more, since DATA must wait for the replies.
func (s *SMTP) DeliverAll(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]Receipt, error) {
	return s.deliver(ctx, e, body, true)
}

func (s *SMTP) deliver(ctx context.Context, e verdict.Envelope, body verdict.Source, all bool) ([]Receipt, error) {
	if err := s.start(); err != nil {
		return nil, err
	}
	if len(e.To) == 0 {
		return nil, errors.New("relay: delivery to no recipients")
	}
	if err := s.pool.acquire(ctx); err != nil {
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 5}, Text: "next hop is busy", Err: err}
	}
	defer s.pool.release()
	out := make([]Receipt, 0, len(e.To))
	for len(out) < len(e.To) { // once, unless the hop limits recipients
		part := e
		part.To = e.To[len(out):]
		got, err := s.transact(ctx, part, body, all)
		if err != nil && len(out) == 0 {
			return nil, err
		}
		if err != nil {
			got = refuseAll(part.To, asReply(err))
		}
		out = append(out, got...)
	}
	return out, nil
}

// transact sends one message to as many recipients as the hop takes at once, over a connection from the
// pool or a new one. As long as MAIL has not been answered it may be tried again: once after a connection
// from the pool that turned out to be dead, and then at every address that is left.
func (s *SMTP) transact(ctx context.Context, e verdict.Envelope, body verdict.Source, all bool) ([]Receipt, error) {
	var d *search
	c := s.pool.take()
	for {
		if c == nil {
			if d == nil {
				d = s.search(ctx)
				defer d.end()
			}
			var err error
			if c, err = d.next(); err != nil {
				return nil, err
			}
		}
		n := share(e.To, c.Extensions())
		if all && n < len(e.To) {
			s.pool.put(c)
			return overLimit(e.To, n, c.at), nil
		}
		part := e
		part.To = e.To[:n]
		dsn := c.Extensions().DSN
		res := c.Send(ctx, part, body, smtpclient.SendOptions{AllOrNone: all})
		s.finish(c)
		if !res.Unanswered {
			return receipts(part.To, res, c.at, dsn)
		}
		if d != nil {
			d.failed(c.at, hopReply(res.Err, c.at))
		}
		c = nil
	}
}

// finish gives a connection back.
func (s *SMTP) finish(c *hopConn) {
	if c.Sent() >= cmp.Or(max(s.MaxPerConn, 0), 100) {
		c.expires = time.Time{}
	}
	s.pool.put(c)
}

// share returns how many of the recipients one transaction may have (RFC 9422).
func share(to []verdict.Recipient, x smtpclient.Extensions) int {
	n := len(to)
	if x.RcptMax > 0 {
		n = min(n, x.RcptMax)
	}
	if x.RcptDomainMax == 0 {
		return n
	}
	domains := map[string]bool{}
	for i, r := range to[:n] {
		if domains[verdict.Domain(r.Address)] = true; len(domains) > x.RcptDomainMax {
			return i
		}
	}
	return n
}
