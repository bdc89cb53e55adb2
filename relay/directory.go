package relay

import (
	"context"
	"errors"
	"strings"
)

var (
	// ErrUnknownDomain is what a Directory returns for a domain that is not its business. The
	// recipient is refused for good (550 5.7.1): the gateway is no open relay.
	ErrUnknownDomain = errors.New("relay: unknown domain")
	// ErrUnverified is what a Directory returns for a domain whose ownership was never proven. The
	// recipient is deferred (451 4.7.1), so that nothing is lost while the proof is on its way.
	ErrUnverified = errors.New("relay: domain not verified")
)

// Directory knows whose mail is taken. Lookup is asked at every RCPT with the domain in lower case,
// without a trailing dot, in its ASCII form unless the client used SMTPUTF8. An error other than
// ErrUnknownDomain and ErrUnverified defers the recipient, and so does a nil Domain without one. It may
// be called by many goroutines at once.
type Directory interface {
	Lookup(ctx context.Context, domain string) (*Domain, error)
}

// DirectoryFunc makes a Directory of a function.
type DirectoryFunc func(ctx context.Context, domain string) (*Domain, error)

// Lookup calls f.
func (f DirectoryFunc) Lookup(ctx context.Context, domain string) (*Domain, error) {
	return f(ctx, domain)
}

// Mode says what a 250 to the sender is worth while the next hop is away.
type Mode uint8

const (
	// Synchronous: the sender gets 250 only after the next hop has said 250. A temporary failure
	// behind us is a temporary failure before us, and the sender's own queue keeps the mail.
	Synchronous Mode = iota
	// Continuity: on a temporary failure the message is queued durably and the sender gets 250.
	// It needs a Queue.
	Continuity
	// StoreAndForward: every message is queued durably, and the sender gets 250 then. It needs a Queue.
	StoreAndForward
)

// String returns the name of the mode as configuration spells it.
func (m Mode) String() string {
	switch m {
	case Continuity:
		return "continuity"
	case StoreAndForward:
		return "queue"
	}
	return "sync"
}

// Domain is what a Directory knows about a domain. It must not change once it has been returned.
type Domain struct {
	// Name of the domain, in lower case. It is required: what has no Group is kept apart from other
	// domains by its name. It also stands in logs and Received fields.
	Name string
	// Next is where its mail goes. Nil defers every recipient.
	Next NextHop
	// Policy says what becomes of what. The zero value is the default policy.
	Policy Policy
	// Mode is Synchronous, Continuity or StoreAndForward.
	Mode Mode
	// Tenant is whose domain it is, for the ledger and the quarantine. Empty: nobody's in particular.
	Tenant string
	// Group joins domains: recipients of domains with the same group can share a transaction, since
	// one route and one policy are right for all of them. Empty: the domain is a group of its own.
	// The next hop and the policy of the transaction are those of its first recipient. With a Hold, a Queue
	// or a Ledger only domains of one name share it: what is kept is kept as mail of one domain.
	Group string
	// Upstream is who may speak for the original client. The zero value is nobody.
	Upstream Upstream
	// Token is written into every message that is delivered, so that the rule that sends mail to the
	// gateway can leave alone what has been there. It is a secret of the tenant. A message that comes
	// with it is a loop. Empty: no token.
	Token string
}

func (d *Domain) group() string {
	if d.Group != "" {
		return "group " + d.Group
	}
	return "domain " + d.Name
}

// Static is a Directory that never changes: a map from names in lower case to domains. A key that
// begins with a dot, ".example.net", stands for all subdomains that have no key of their own.
type Static map[string]*Domain

// Lookup returns the domain, or ErrUnknownDomain. It never returns ErrUnverified.
func (s Static) Lookup(_ context.Context, domain string) (*Domain, error) {
	if d := s[domain]; d != nil {
		return d, nil
	}
	for rest := domain; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return nil, ErrUnknownDomain
		}
		if d := s[rest[i:]]; d != nil {
			return d, nil
		}
		rest = rest[i+1:]
	}
}
