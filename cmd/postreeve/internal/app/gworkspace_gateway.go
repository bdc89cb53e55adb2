package app

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
)

// ourSide is the gateway: its configuration and what it keeps. All of it may be nil.
type ourSide struct {
	cfg *config.Config
	st  *store.Store
	why string // why there is no store
}

// side opens what -c names. Without a store the probes are not checked, which is no mistake.
func (f *gworkspaceFlags) side(e *env) (*ourSide, error) {
	if f.Config == "" {
		return &ourSide{why: "the configuration of the gateway was not given (-c FILE), which says where its ledger is"}, nil
	}
	cfg, err := config.Load(f.Config)
	if err != nil {
		return nil, err
	}
	s := &ourSide{cfg: cfg}
	if !cfg.Keeps() {
		s.why = f.Config + " keeps no mail and no ledger: set state"
		return s, nil
	}
	if s.st, err = openKept(e, cfg); err != nil {
		s.st, s.why = nil, "its store cannot be read: "+plainStore(err)
	}
	return s, nil
}

func (s *ourSide) close() {
	if s.st != nil {
		_ = s.st.Close() // it was read from alone
	}
}

// facts are what the configuration says about the domains of a profile.
func (s *ourSide) facts(file string, p *gworkspace.Profile) []gworkspace.Gateway {
	if s.cfg == nil {
		return nil
	}
	var out []gworkspace.Gateway
	for _, name := range p.Domains {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		g := gworkspace.Gateway{Domain: name, From: file, Prefix: s.cfg.Headers.Prefix, Secrets: &gworkspace.Secrets{}}
		if d := serving(s.cfg, name); d != nil {
			g.Served, g.Gmail = true, d.Upstream.Kind == relay.Gmail
			g.Err = secretsOf(d, &g)
			for h := range strings.FieldsSeq(d.Route.Hosts) {
				if host, _, err := net.SplitHostPort(h); err == nil {
					g.NextHop = append(g.NextHop, host)
				}
			}
		}
		out = append(out, g)
	}
	return out
}

// secretsOf reads what the gateway takes and stamps. Errors name the reference and never the value.
func secretsOf(d *config.Domain, g *gworkspace.Gateway) error {
	loop, err := d.Token.Read()
	if loop != "" {
		g.Secrets.Loop = []string{loop}
	}
	proof := d.Upstream.Proof
	if proof == nil {
		return err
	}
	g.TenantHeader = proof.Header
	for _, one := range references(proof.ID) {
		v, rerr := one.Read()
		if v != "" {
			g.Secrets.Tenant = append(g.Secrets.Tenant, v)
		}
		if !errors.Is(rerr, fs.ErrNotExist) { // the one from before is gone when it is good no more
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// references are the places of secrets in the id of a proof. Names of files may have blanks in them.
func references(id string) []config.Secret {
	var out []config.Secret
	for id != "" {
		end := len(id)
		for _, kind := range []string{" file:", " env:"} {
			if i := strings.Index(id, kind); i >= 0 {
				end = min(end, i)
			}
		}
		if name, ok := strings.CutPrefix(id[:end], "file:"); ok {
			out = append(out, config.Secret{File: name})
		} else if name, ok := strings.CutPrefix(id[:end], "env:"); ok {
			out = append(out, config.Secret{Env: name})
		}
		id = strings.TrimPrefix(id[end:], " ")
	}
	return out
}

// backlog says what the gateway still has for the domains of a profile; nil without a store.
func (s *ourSide) backlog(p *gworkspace.Profile) func(context.Context) (gworkspace.Backlog, error) {
	if s.st == nil {
		return nil
	}
	return func(ctx context.Context) (out gworkspace.Backlog, err error) {
		for _, name := range s.domains(p) {
			queued, err := s.st.QueuedMessages(ctx, store.Filter{Domain: name, Limit: mostCounted})
			if err != nil {
				return out, err
			}
			held, err := s.st.HeldMessages(ctx, store.StateHeld, store.Filter{Domain: name, Limit: mostCounted})
			if err != nil {
				return out, err
			}
			last, err := s.st.Messages(ctx, store.Filter{Domain: name, Limit: 1})
			if err != nil {
				return out, err
			}
			out.Queued, out.Held = out.Queued+len(queued), out.Held+len(held)
			if len(last) > 0 && last[0].At.After(out.Last) {
				out.Last = last[0].At
			}
		}
		return out, nil
	}
}

// domains are the names under which the gateway keeps the mail of a profile.
func (s *ourSide) domains(p *gworkspace.Profile) []string {
	var out []string
	seen := map[string]bool{}
	for _, name := range p.Domains {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if d := serving(s.cfg, name); d != nil {
			name = d.Name
		}
		if !seen[name] {
			out = append(out, name)
		}
		seen[name] = true
	}
	return out
}
