package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// newDNS asks the name servers of a configuration, or those of the system. What old has learnt from the same
// servers is kept.
func newDNS(c *config.Config, old *setup) *mailauth.DNS {
	if old != nil && slices.Equal(old.config.DNS.Servers, c.DNS.Servers) {
		return old.dns
	}
	return &mailauth.DNS{Servers: c.DNS.Servers}
}

// newAuthenticator is nil if nothing is to be found out about senders.
func newAuthenticator(c *config.Config, dns *mailauth.DNS) *mailauth.Authenticator {
	if !c.Authenticates() {
		return nil
	}
	return &mailauth.Authenticator{
		Resolver: dns, Hostname: c.Hostname, TrustedSealers: c.Auth.TrustedSealers,
	}
}

// newRotation reads the keys that seal. It is empty if there are none.
func newRotation(c *config.Config) (mailauth.Rotation, error) {
	var out mailauth.Rotation
	for _, k := range c.ARC {
		key, err := mailauth.ReadKey(k.File)
		if err != nil {
			return nil, err
		}
		s := &mailauth.Sealer{Hostname: cmp.Or(c.Auth.Name, c.Hostname), Domain: k.Domain, Selector: k.Selector, Key: key}
		if err := s.Valid(); err != nil {
			return nil, fmt.Errorf("%s: %w", k.File, err)
		}
		out = append(out, mailauth.Turn{From: k.From, Sealer: s})
	}
	return out, nil
}

// Authenticate implements relay.Authenticator.
func (l *live) Authenticate(ctx context.Context, m *verdict.Message) verdict.AuthResults {
	if a := l.cur.Load().auth; a != nil {
		return a.Authenticate(ctx, m)
	}
	return verdict.AuthResults{}
}

// AuthenticateBehind implements relay.Authenticator.
func (l *live) AuthenticateBehind(ctx context.Context, m *verdict.Message, authservID string) verdict.AuthResults {
	if a := l.cur.Load().auth; a != nil {
		return a.AuthenticateBehind(ctx, m, authservID)
	}
	return verdict.AuthResults{}
}

// Seal implements relay.Sealer.
func (l *live) Seal(ctx context.Context, m *verdict.Message, r verdict.AuthResults) ([]byte, error) {
	if seals := l.cur.Load().seals; len(seals) > 0 {
		return seals.Seal(ctx, m, r)
	}
	return nil, nil
}
