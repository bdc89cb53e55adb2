package relay

import (
	"context"
	"errors"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Auth says who finds out who really sent a message, and how the next hop learns of it. The zero value does
// neither. With package mailauth:
//
//	relay.Auth{Authenticator: &mailauth.Authenticator{Resolver: &mailauth.DNS{}, Hostname: hostname}, Results: mailauth.AuthenticationResults}
type Auth struct {
	// Authenticator fills Message.Auth before the message is judged. Nil leaves it empty: nobody checked.
	Authenticator Authenticator
	// Results writes the body of the Authentication-Results field (RFC 8601) that is put above everything
	// that came in, under the name of the authserv-id. Nil writes none.
	Results func(authservID string, r verdict.AuthResults) string
	// ID is the authserv-id. Empty means Server.Hostname. Fields in this name, or in that of the server, are
	// taken off what comes in, whoever wrote them (RFC 8601 section 5).
	ID string
	// Sealer adds an ARC set above all other fields. Nil adds none.
	Sealer Sealer
}

// Authenticator finds out who really sent a message: mailauth.Authenticator does.
//
// It is asked for Message.Origin, and has to end when ctx does. It is total: what it cannot find out is
// "temperror", which keeps no message. It must not change the message. It may be asked by many goroutines.
type Authenticator interface {
	Authenticate(ctx context.Context, m *verdict.Message) verdict.AuthResults
	// AuthenticateBehind is for a message from an upstream that is trusted to report what it has found out
	// itself: see Upstream.Results. authservID is the name in which it does, "" if it gives none.
	AuthenticateBehind(ctx context.Context, m *verdict.Message, authservID string) verdict.AuthResults
}

// Sealer seals what was found out for hops behind us: mailauth.Sealer and mailauth.Rotation do.
//
// Seal returns header fields with their line ends, to stand above all others: no empty line, no line of more
// than 998 octets, names that begin with "ARC-". After an error the message is delivered without. It may be
// asked by many goroutines.
type Sealer interface {
	Seal(ctx context.Context, m *verdict.Message, r verdict.AuthResults) ([]byte, error)
}

var errAuthPanic = errors.New("the authenticator panicked")

// authenticate fills in what is known about the sender. It never keeps a message.
func (s *Server) authenticate(ctx context.Context, tx *transaction, m *verdict.Message, o *Outcome) {
	a := s.Auth.Authenticator
	if a == nil {
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.auth())
	defer cancel()
	r, err := shield(s, "authenticator", func() (verdict.AuthResults, error) {
		if up := tx.domain.Upstream; up.Results && up.vouches(m.Peer.Addr.Addr(), m.Header()) {
			return a.AuthenticateBehind(ctx, m, up.AuthservID), nil
		}
		return a.Authenticate(ctx, m), nil
	})
	if err != nil {
		r = verdict.AuthResults{
			SPF:   verdict.SPFResult{Result: "temperror", Err: errAuthPanic},
			DMARC: verdict.DMARCResult{Result: "temperror", Err: errAuthPanic},
			ARC:   verdict.ARCResult{Result: "temperror", Err: errAuthPanic},
		}
	}
	m.Auth = r
	o.Auth, o.Authenticated = r, time.Since(start)
}

// checked says whether anybody has looked at who sent the message.
func checked(r verdict.AuthResults) bool {
	return r.SPF.Result != "" || len(r.DKIM) > 0 || r.DMARC.Result != "" || r.ARC.Result != ""
}

// stampResults says at the top what was found out.
func (s *Server) stampResults(st *stamps, m *verdict.Message) {
	if s.Auth.Results == nil || !checked(m.Auth) {
		return
	}
	body, err := shield(s, "writer of authentication results", func() (string, error) {
		return s.Auth.Results(s.authservID, m.Auth), nil
	})
	if err == nil {
		st.add(resultsName, body)
	}
}

// sealed returns the fields of an ARC set, or nothing if there is to be none.
func (s *Server) sealed(ctx context.Context, m *verdict.Message, o *Outcome) []byte {
	if s.Auth.Sealer == nil || !checked(m.Auth) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.auth())
	defer cancel()
	fields, err := shield(s, "sealer", func() ([]byte, error) { return s.Auth.Sealer.Seal(ctx, m, m.Auth) })
	if err == nil && len(fields) > 0 {
		err = wellSealed(fields)
	}
	if err != nil {
		o.Unsealed = err
		return nil
	}
	o.Sealed = len(fields) > 0
	return fields
}

// authWord is what the log says about the sender: "spf=pass dkim=pass dmarc=fail arc=none".
func authWord(r verdict.AuthResults) string {
	dkim := verdict.AuthResult("none")
	for _, d := range r.DKIM {
		if dkim == "none" || d.Result == verdict.Pass {
			dkim = d.Result
		}
	}
	word := func(r verdict.AuthResult) string {
		if r == "" {
			return "unknown"
		}
		return clean(string(r), 20)
	}
	return "spf=" + word(r.SPF.Result) + " dkim=" + word(dkim) + " dmarc=" + word(r.DMARC.Result) + " arc=" + word(r.ARC.Result)
}
