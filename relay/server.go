package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/postreeve/postreeve/verdict"
)

// Server takes mail by SMTP, has it judged and hands it on. It is configured by a literal; fields must
// not change once Serve has been called. What is missing fails closed: without a Directory every
// recipient is refused, without a Judge every message is deferred.
type Server struct {
	// Hostname is the gateway's own name: in the greeting, in Received fields, in loop detection.
	// It is required.
	Hostname string
	// Directory knows whose mail is taken. Nil refuses every recipient.
	Directory Directory
	// Auth finds out who really sent a message, and tells the next hop.
	Auth Auth
	// Judge says what a message is. Nil makes every message Unknown. An EnvelopeJudge is also asked
	// at MAIL and RCPT.
	Judge Judge
	// Hold keeps what a policy wants held. Nil refuses it with 550 5.7.1 instead.
	Hold Holder
	// Queue keeps what could not be delivered for domains in Continuity mode, and everything for those in
	// StoreAndForward mode. Nil: what cannot be delivered is deferred.
	Queue Queue
	// Ledger takes note of every message. Nil: nobody does.
	Ledger Ledger
	// Notify tells senders that their mail went to a hop without DSN. With it DSN (RFC 3461) is announced; the Queue,
	// if there is one, must then tell senders too of what becomes of what it has taken, as that of relay/store does.
	// Nil: DSN is not announced, and clients see to notices themselves.
	Notify Notifier

	// TLSConfig has the certificates for STARTTLS; see CertFile. Nil does not offer STARTTLS. At least
	// TLS 1.2 is required unless it says more.
	TLSConfig *tls.Config
	// Headers names the fields that are written on what is delivered.
	Headers Headers
	// Limits bound what clients can take.
	Limits Limits
	// Timeouts bound how long anything can take.
	Timeouts Timeouts
	// Spool says where messages live in transit. Nil means a Spool with its defaults.
	Spool *verdict.Spool

	// Clients may connect. Empty means everybody. Others are told 554 5.7.1 and closed.
	Clients []netip.Prefix
	// Proxies are balancers that must begin their connections with a PROXY header, version 1 or 2.
	Proxies []netip.Prefix
	// XClient are hosts that may say XCLIENT and XFORWARD to name the original client.
	XClient []netip.Prefix
	// Normalize turns bare CR and bare LF in messages into CRLF instead of refusing the message. It
	// changes bodies and breaks signatures: for senders that cannot be mended.
	Normalize bool
	// Postmaster is the address that stands for <Postmaster> without a domain (RFC 5321 section
	// 4.5.1). Empty refuses it.
	Postmaster string
	// Engine speaks SMTP with the clients. Nil means Strict.
	Engine Engine

	// Logger gets one record for each message, and for each refused connection and recipient. Nil logs nothing.
	// The id of a record about a message is the one in our reply to it, in its <Prefix>-Id and in our
	// Received field. Mail addresses stand in records of level debug only, unless a reply of the next hop,
	// which is quoted, has them; content never.
	Logger *slog.Logger
	// Trace has optional hooks.
	Trace Trace

	once       sync.Once
	admit      *admission
	flight     *semaphore.Weighted
	refused    refusals
	own        verdict.Spool // if the caller has none
	hostname   string        // in lower case
	authservID string        // in lower case
	ownNames   []string      // of both, each once
}

// Timeouts bound how long anything can take. Zero means the default. Judge and Deliver together have to stay
// below 10 minutes: senders wait no longer for the reply to a message (RFC 5321 section 4.5.3.2.6). The
// Holder or the Queue has what they leave of that, 1 minute at most.
type Timeouts struct {
	Command  time.Duration // for a client's next command; default 5 min (RFC 5321 section 4.5.3.2.7)
	Block    time.Duration // for each read of a message; default 3 min
	Message  time.Duration // for a message from its first byte to its last; default 30 min
	Write    time.Duration // for a reply to be taken; default 1 min
	Lookup   time.Duration // for the Directory; default 10 s
	Judge    time.Duration // for the Authenticator and the Judge; default 1 min
	Auth     time.Duration // of that for the Authenticator; default a third, 20 s at most
	Deliver  time.Duration // for the next hop; default 5 min
	Drain    time.Duration // for transactions under way when Serve is told to end; default 30 s
	Proxy    time.Duration // for a PROXY header; default 5 s
	Greeting time.Duration // to wait for early talkers before the greeting; default none
}

// Trace has hooks for metrics. They are optional, synchronous, called by many goroutines at once, and
// must not block. A hook that panics is logged, and nothing else comes of it.
type Trace struct {
	// Connected is called for each connection that was let in, Disconnected when it has ended.
	Connected, Disconnected func(addr netip.Addr)
	// Refused is called for each connection that was not let in.
	Refused func(addr netip.Addr, r *Reply)
	// Done is called once for each message whose content was received, before the reply is sent.
	Done func(o Outcome)
}

// Outcome is what became of a message.
type Outcome struct {
	ID         string // as in Message.ID, the log and the reply
	Domain     string // of the route
	Recipients int
	Size       int64         // in bytes, as it came in
	Class      verdict.Class // after the lists of the policy
	Action     Action
	Auth       verdict.AuthResults
	Report     *verdict.Report // nil if the message was refused before it was judged
	Reply      *Reply          // to the sender
	Hop        string          // what the next hop said to the first recipient, with its address: "192.0.2.7:25 250 2.0.0 queued as 4ABC"
	Held       string          // the holder's id
	Queued     bool
	Sealed     bool  // an ARC set was added
	Unsealed   error // why not, where there is a Sealer

	Authenticated time.Duration // for the Authenticator
	Judged        time.Duration // for the Judge
	Delivered     time.Duration // for the next hop
	Took          time.Duration // from the end of the data to the reply
}

// Valid says what keeps the server from serving, if anything does. Serve asks it first.
func (s *Server) Valid() error {
	if s.Hostname == "" || clean(s.Hostname, 255) != s.Hostname || strings.ContainsAny(s.Hostname, " ()<>;") {
		return fmt.Errorf("relay: Server.Hostname %q: the gateway needs a host name of its own", s.Hostname)
	}
	if id := s.Auth.ID; clean(id, 253) != id || strings.ContainsAny(id, " ()<>;\"\\=/") {
		return fmt.Errorf("relay: Server.Auth.ID %q: wants a name as a host has it (RFC 8601 section 2.5)", id)
	}
	if n := s.Limits.BytesInFlight; n > 0 && n < flightStep {
		return fmt.Errorf("relay: Limits.BytesInFlight %d: no message would fit, at least %d are needed", n, flightStep)
	}
	if s.Timeouts.judge()+s.Timeouts.deliver() >= patience {
		return errors.New("relay: Timeouts.Judge and Deliver together must be below 10 minutes: a sender waits no longer (RFC 5321 section 4.5.3.2.6) and would send again what has been delivered")
	}
	return s.Headers.Valid()
}

// Serve takes connections from ln until ctx ends. Then it stops accepting, tells idle clients 421,
// waits up to Timeouts.Drain for transactions under way, and returns nil. It closes ln. It may be
// called for several listeners at once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.Valid(); err != nil {
		return err
	}
	s.init()
	engine := s.Engine
	if engine == nil {
		engine = Strict
	}
	return engine.serve(ctx, s, ln)
}

func (s *Server) init() {
	s.once.Do(func() {
		s.admit = newAdmission(s.Limits)
		s.flight = semaphore.NewWeighted(bytesLimit(s.Limits.BytesInFlight, defaultFlight))
		s.hostname = strings.ToLower(strings.TrimSuffix(s.Hostname, "."))
		s.authservID = cmp.Or(strings.ToLower(strings.TrimSuffix(s.Auth.ID, ".")), s.hostname)
		s.ownNames = slices.Compact([]string{s.hostname, s.authservID})
	})
}

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

func (s *Server) spool() *verdict.Spool { return cmp.Or(s.Spool, &s.own) }

func (s *Server) maxMessage() int64 { return bytesLimit(s.Limits.MessageBytes, defaultMessage) }

// patience is how long senders wait for the reply to a message.
const patience = 10 * time.Minute

func (t Timeouts) command() time.Duration { return cmp.Or(t.Command, 5*time.Minute) }
func (t Timeouts) block() time.Duration   { return cmp.Or(t.Block, 3*time.Minute) }
func (t Timeouts) message() time.Duration { return cmp.Or(t.Message, 30*time.Minute) }
func (t Timeouts) write() time.Duration   { return cmp.Or(t.Write, time.Minute) }
func (t Timeouts) lookup() time.Duration  { return cmp.Or(t.Lookup, 10*time.Second) }
func (t Timeouts) judge() time.Duration   { return cmp.Or(t.Judge, time.Minute) }
func (t Timeouts) auth() time.Duration    { return cmp.Or(t.Auth, min(t.judge()/3, 20*time.Second)) }
func (t Timeouts) deliver() time.Duration { return cmp.Or(t.Deliver, 5*time.Minute) }
func (t Timeouts) store() time.Duration   { return min(time.Minute, patience-t.judge()-t.deliver()) }
func (t Timeouts) ledger() time.Duration  { return min(5*time.Second, t.store()) }
func (t Timeouts) drain() time.Duration   { return cmp.Or(t.Drain, 30*time.Second) }
func (t Timeouts) proxy() time.Duration   { return cmp.Or(t.Proxy, 5*time.Second) }
