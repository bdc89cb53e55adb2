package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/clamd"
	execscan "github.com/postreeve/postreeve/verdict/exec"
	"github.com/postreeve/postreeve/verdict/icap"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/links"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/milter"
	"github.com/postreeve/postreeve/verdict/rspamd"
	"github.com/postreeve/postreeve/verdict/spamd"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/webhook"
)

// newScanner makes a scanner without its wrappers.
func newScanner(c *config.Config, w config.Scanner, p engineParts) (verdict.Scanner, error) {
	switch w.Kind {
	case "structure":
		return verdict.Structure{}, nil
	case "mailauth":
		return mailauth.Scanner{}, nil
	case "teststring":
		return teststring.Scanner{Spool: &verdict.Spool{Memory: 1 << 20, Dir: tempDir(c)}}, nil
	case "attach":
		s := settingsOf[config.Attach](w)
		return attach.Scanner{
			Limits: s.Limits, Passwords: s.Passwords, Spool: &verdict.Spool{Memory: 1 << 20, Total: 64 << 20, Dir: tempDir(c)},
		}, nil
	case "links":
		return newLinks(c, settingsOf[config.Links](w), p)
	case "impostor":
		s := impostor.Scanner{People: c.Protect.People, Domains: c.Protected()}
		if p.contacts != nil && settingsOf[config.Impostor](w).Contacts > 0 {
			s.Contacts = p.contacts
		}
		return s, nil
	}
	return newAdapter(c, w, p)
}

// settingsOf returns those of a scanner, which may have none.
func settingsOf[T any](w config.Scanner) T {
	if s, ok := w.Settings.(*T); ok {
		return *s
	}
	var none T
	return none
}

func newLinks(c *config.Config, s config.Links, p engineParts) (verdict.Scanner, error) {
	out := &links.Scanner{Protected: c.Protected(), Brands: s.Brands, Limits: s.Limits}
	if p.resolver == nil {
		return out, nil
	}
	var err error
	out.Resolver = p.resolver
	out.Lists, err = lists(s.Lists)
	return out, err
}

// lists puts the keys before the zones of lists.
func lists(all []config.List) ([]links.List, error) {
	var out []links.List
	for _, l := range all {
		key, err := l.Key.ReadAny()
		if err != nil {
			return nil, err
		}
		if key != "" {
			l.Zone = key + "." + l.Zone
		}
		out = append(out, l.List)
	}
	return out, nil
}

// newAdapter makes a scanner that asks somebody else.
func newAdapter(c *config.Config, w config.Scanner, p engineParts) (verdict.Scanner, error) {
	switch s := w.Settings.(type) {
	case *config.Blocklist:
		all, err := lists(s.Lists)
		return links.Blocklist{Lists: all, Resolver: p.resolver, Time: s.Time}, err
	case *config.Clamd:
		return &clamd.Scanner{Address: s.Address}, nil
	case *config.Rspamd:
		return newRspamd(c, s)
	case *config.Spamd:
		out := &spamd.Scanner{Address: s.Address, User: s.User, Report: s.Report, Hostname: c.Hostname}
		var err error
		if s.TLS != nil {
			out.TLS, err = peerTLS(*s.TLS)
		}
		return out, err
	case *config.ICAP:
		header, err := secrets(s.Headers)
		cfg, terr := optionalTLS(s.TLS)
		return &icap.Scanner{
			URL: s.URL, Socket: s.Socket, TLS: cfg, Reqmod: s.Reqmod, NoPreview: s.NoPreview, Class: s.Class, Header: header,
		}, errors.Join(err, terr)
	case *config.Milter:
		return &milter.Scanner{
			Address: s.Address, Hostname: c.Hostname, Reject: s.Reject, Discard: s.Discard, Quarantine: s.Quarantine, Rules: s.Rules,
		}, nil
	case *config.Webhook:
		return newWebhook(s)
	case *config.Exec:
		return newExec(s)
	}
	return nil, fmt.Errorf("%q is no scanner", w.Kind)
}

func newRspamd(c *config.Config, s *config.Rspamd) (verdict.Scanner, error) {
	word, err := s.Password.ReadAny()
	cfg, terr := optionalTLS(s.TLS)
	return &rspamd.Scanner{
		URL: s.URL, Password: word, TLS: cfg, Hostname: c.Hostname, Settings: s.Settings, AllSymbols: s.AllSymbols,
		Actions: s.Actions, Symbols: s.Symbols,
	}, errors.Join(err, terr)
}

func newWebhook(s *config.Webhook) (verdict.Scanner, error) {
	key, err := s.Key.Read()
	values, herr := secrets(s.Headers)
	cfg, terr := optionalTLS(s.TLS)
	header := http.Header{}
	for name, v := range values {
		header.Set(name, v)
	}
	return &webhook.Scanner{URL: s.URL, Key: []byte(key), Unsigned: s.Unsigned, Header: header, TLS: cfg}, errors.Join(err, herr, terr)
}

func newExec(s *config.Exec) (verdict.Scanner, error) {
	var env []string
	for name, v := range s.Env {
		env = append(env, name+"="+v)
	}
	hidden, err := secrets(s.Secrets)
	for name, v := range hidden {
		env = append(env, name+"="+v)
	}
	if fi, serr := os.Stat(s.Path); serr != nil {
		err = errors.Join(err, serr)
	} else if fi.IsDir() || fi.Mode().Perm()&0o111 == 0 {
		err = errors.Join(err, fmt.Errorf("%s is no program", s.Path))
	}
	return &execscan.Scanner{Path: s.Path, Args: s.Args, Env: env, Dir: s.Dir, Exit: s.Exit, JSON: s.JSON, Limit: s.Limit}, err
}

func secrets(in map[string]config.Secret) (map[string]string, error) {
	out := map[string]string{}
	for name, ref := range in {
		v, err := ref.ReadAny()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// optionalTLS is nil for the defaults.
func optionalTLS(t config.PeerTLS) (*tls.Config, error) {
	if t == (config.PeerTLS{}) {
		return nil, nil
	}
	return peerTLS(t)
}

func peerTLS(t config.PeerTLS) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: t.Name, MinVersion: tls.VersionTLS12}
	if t.Roots != "" {
		pem, err := os.ReadFile(t.Roots)
		if err != nil {
			return nil, fmt.Errorf("tls.roots: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.roots: %s has no certificate in PEM form", t.Roots)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// lookup asks for addresses, for lists over DNS.
type lookup interface {
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// addresses is a lookup that remembers answers.
type addresses struct{ dns *mailauth.DNS }

// LookupHost implements links.Resolver.
func (a addresses) LookupHost(ctx context.Context, name string) ([]string, error) {
	out, err := a.dns.Lookup(ctx, name, mailauth.A)
	switch {
	case errors.Is(err, mailauth.ErrNotExist), err == nil && len(out) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case err != nil:
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	}
	return out, nil
}
