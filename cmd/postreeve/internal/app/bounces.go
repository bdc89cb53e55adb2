package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// newBounces is the way of notices to senders elsewhere, nil if there is none. Those to senders in domains of ours go by
// the next hops of these.
func newBounces(c *config.Config, log *slog.Logger) (relay.NextHop, error) {
	b := c.Store.Bounces
	if b == nil {
		return nil, nil
	}
	if b.MX {
		return outbound{cfg: c, log: log}, nil
	}
	hop, err := newHop(c, b.Route, newResolver(c.DNS.Servers), log)
	if err != nil {
		return nil, fmt.Errorf("bounces: %w", err)
	}
	return hop, nil
}

// outbound delivers to the hosts that MX records of each recipient's domain name. There are few such messages, so
// no connections are kept.
type outbound struct {
	cfg *config.Config
	log *slog.Logger
}

// Deliver implements relay.NextHop.
func (o outbound) Deliver(ctx context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	hops := relay.ByDomain{}
	resolver := newResolver(o.cfg.DNS.Servers)
	for _, to := range e.To {
		name := verdict.Domain(to.Address)
		if name == "" || hops[name] != nil {
			continue
		}
		hop, err := newHop(o.cfg, config.Route{MX: name, Port: 25, Private: o.cfg.DNS.AllowPrivate}, resolver, o.log)
		if err != nil {
			return nil, err
		}
		defer hop.Close()
		hops[name] = hop
	}
	return hops.Deliver(ctx, e, body)
}
