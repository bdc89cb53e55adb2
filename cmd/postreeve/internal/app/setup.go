package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/idna"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/impostor"
	"github.com/postreeve/postreeve/verdict/mailauth"
)

// setup is what one reading of the configuration gives: all that a reload exchanges at once. It does
// not change once it is made.
type setup struct {
	config   *config.Config
	domains  relay.Static
	claims   map[string]dnsverify.Key // of domains that have to be proven, by name
	proofs   *proofs
	dns      *mailauth.DNS
	auth     *mailauth.Authenticator // nil: senders are not found out
	seals    mailauth.Rotation       // empty: nothing is sealed
	engine   *verdict.Engine
	contacts *impostor.Memory // nil: nobody is remembered
	cert     *relay.CertFile  // nil without TLS
	linkCert *relay.CertFile  // of the links in digests; nil without TLS
	hops     map[hopKey]*relay.SMTP
}

// hopKey tells next hops apart: domains with the same key share connections.
type hopKey struct{ route, hostname, dns string }

// newSetup makes everything that a configuration asks for but listeners. Next hops that old has already
// are taken over with their connections. The error has all that is wrong.
func newSetup(c *config.Config, old *setup, pr *proofs, log *slog.Logger, trace verdict.Trace) (*setup, error) {
	s := emptySetup(c)
	s.proofs = pr
	var errs []error
	var err error
	s.dns = newDNS(c, old)
	s.contacts = newContacts(c, old)
	if s.engine, err = newEngine(c, engineParts{trace, addresses{s.dns}, s.contacts}); err != nil {
		errs = append(errs, err)
	}
	s.auth = newAuthenticator(c, s.dns)
	if s.seals, err = newRotation(c); err != nil {
		errs = append(errs, fmt.Errorf("arc: %w", err))
	}
	if c.TLS != nil {
		s.cert = &relay.CertFile{Cert: c.TLS.Cert, Key: c.TLS.Key}
		if _, err := s.cert.GetCertificate(nil); err != nil {
			errs = append(errs, err)
		}
	}
	if t := c.LinkTLS(); t != nil {
		s.linkCert = &relay.CertFile{Cert: t.Cert, Key: t.Key}
		if _, err := s.linkCert.GetCertificate(nil); err != nil {
			errs = append(errs, fmt.Errorf("digest: %w", err))
		}
	}
	errs = append(errs, s.addDomains(old, log)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func emptySetup(c *config.Config) *setup {
	return &setup{config: c, domains: relay.Static{}, claims: map[string]dnsverify.Key{}, hops: map[hopKey]*relay.SMTP{}}
}

// newRoutes is a setup with nothing but the ways of the mail.
func newRoutes(c *config.Config, log *slog.Logger) (*setup, error) {
	s := emptySetup(c)
	if errs := s.addDomains(nil, log); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func (s *setup) addDomains(old *setup, log *slog.Logger) (errs []error) {
	resolver := newResolver(s.config.DNS.Servers)
	for _, d := range s.config.Domains {
		if err := s.addDomain(d, old, resolver, log); err != nil {
			errs = append(errs, fmt.Errorf("domains.%s: %w", d.Name, err))
		}
	}
	return errs
}

func (s *setup) addDomain(d *config.Domain, old *setup, resolver relay.Resolver, log *slog.Logger) error {
	token, err := d.Token.Read()
	if err != nil {
		return err
	}
	route, err := json.Marshal(d.Route)
	if err != nil {
		return err
	}
	key := hopKey{string(route), s.config.Hostname, strings.Join(s.config.DNS.Servers, " ")}
	if s.hops[key] == nil && old != nil && d.Route.TLSRoot == "" {
		if hop := old.hops[key]; hop != nil {
			s.hops[key] = hop
		}
	}
	if s.hops[key] == nil {
		hop, err := newHop(s.config, d.Route, resolver, log)
		if err != nil {
			return err
		}
		s.hops[key] = hop
	}
	dom := &relay.Domain{
		Name: d.Name, Next: s.hops[key], Policy: d.Policy, Mode: d.Mode, Upstream: d.Upstream, Token: token,
		Tenant: d.Tenant,
	}
	if dom.Group, err = group(d, token); err != nil {
		return err
	}
	s.domains[d.Name] = dom
	if !d.Waived {
		s.claims[d.Name] = dnsverify.Key{Tenant: d.Tenant, Domain: d.Claim(), Region: s.config.Verification.Region}
	}
	return nil
}

// group names all that has to be equal for domains to share a transaction.
func group(d *config.Domain, token string) (string, error) {
	same := *d
	same.Name, same.Token = "", config.Secret{}
	data, err := json.Marshal(same)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(data, token...))
	return fmt.Sprintf("%x", sum[:16]), nil
}

func newHop(c *config.Config, r config.Route, resolver relay.Resolver, log *slog.Logger) (*relay.SMTP, error) {
	hop := &relay.SMTP{
		Hosts: strings.Fields(r.Hosts), MX: r.MX, Port: r.Port, Hostname: c.Hostname, TLS: r.TLS,
		Resolver: resolver, AllowPrivate: r.Private, MaxConns: r.Conns, Logger: log,
	}
	cfg, err := hopTLS(r)
	if err != nil {
		return nil, err
	}
	hop.TLSConfig = cfg
	port := strconv.Itoa(int(r.Port))
	for _, l := range c.Listen {
		if host, lport, err := net.SplitHostPort(l); err == nil && lport == port {
			hop.Self = append(hop.Self, ownAddrs(host)...)
		}
	}
	return hop, nil
}

// hopTLS returns the TLS configuration of a route, nil for the defaults.
func hopTLS(r config.Route) (*tls.Config, error) {
	if r.TLSName == "" && r.TLSRoot == "" {
		return nil, nil
	}
	return peerTLS(config.PeerTLS{Name: r.TLSName, Roots: r.TLSRoot})
}

// ownAddrs returns the addresses that a listener on host has: those of all interfaces if it is empty.
func ownAddrs(host string) []string {
	ip := net.ParseIP(host)
	if host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{host}
	}
	addrs, _ := net.InterfaceAddrs() // without them there is less to compare, that is all
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			out = append(out, n.IP.String())
		}
	}
	return out
}

// newResolver asks the given servers in turn, or those of the system.
func newResolver(servers []string) *net.Resolver {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	var next atomic.Uint32
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		return d.DialContext(ctx, network, servers[int(next.Add(1)-1)%len(servers)])
	}}
}

// tempDir is where temporary files go; empty is the system's directory.
func tempDir(c *config.Config) string {
	if c.State == "" {
		return ""
	}
	return filepath.Join(c.State, "tmp")
}

// Lookup implements relay.Directory.
func (s *setup) Lookup(ctx context.Context, domain string) (*relay.Domain, error) {
	if strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 }) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return nil, relay.ErrUnknownDomain
		}
		domain = ascii
	}
	d, err := s.domains.Lookup(ctx, domain)
	if err != nil {
		return nil, err
	}
	if k, ok := s.claims[d.Name]; ok {
		if why := s.proofs.refuses(k); why != "" {
			return nil, fmt.Errorf("%w: %s", relay.ErrUnverified, why)
		}
	}
	return d, nil
}

// warnUnproven says which domains wait for their proof, as far as a log record is the place for it.
func (s *setup) warnUnproven(log *slog.Logger) {
	var names []string
	for name, k := range s.claims {
		if s.proofs.refuses(k) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 0 {
		log.Warn("mail for domains that are not proven is deferred with 451 4.7.1: see postreeve domain list",
			"domains", len(names), "first", strings.Join(names[:min(len(names), 10)], " "))
	}
}

// close ends the connections to next hops.
func (s *setup) close() {
	for _, hop := range s.hops {
		hop.Close()
	}
}

// files are those that change what the setup does: a change of one is a reason to reload.
func (s *setup) files() []string {
	out := []string{s.config.File}
	for _, t := range []*config.TLS{s.config.TLS, s.config.LinkTLS()} {
		if t != nil {
			out = append(out, t.Cert, t.Key)
		}
	}
	for _, d := range s.config.Domains {
		out = append(out, d.Token.File, d.Route.TLSRoot)
	}
	for _, k := range s.config.ARC {
		out = append(out, k.File)
	}
	for _, w := range s.config.Scanners {
		out = append(out, w.Files()...)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(f string) bool { return f == "" })
}

// live is the setup in force: the Directory and the Judge of running servers.
type live struct{ cur atomic.Pointer[setup] }

// Lookup implements relay.Directory.
func (l *live) Lookup(ctx context.Context, domain string) (*relay.Domain, error) {
	return l.cur.Load().Lookup(ctx, domain)
}

// Judge implements relay.Judge. Who sends clean mail becomes known to its recipients.
func (l *live) Judge(ctx context.Context, m *verdict.Message) *verdict.Report {
	s := l.cur.Load()
	r := s.engine.Judge(ctx, m)
	if s.contacts != nil && r.Class == verdict.Clean {
		s.contacts.Learn(m)
	}
	return r
}

// newContacts is the memory of who writes to whom, if a scanner wants one. It survives a reload.
func newContacts(c *config.Config, old *setup) *impostor.Memory {
	for _, w := range c.Scanners {
		days := settingsOf[config.Impostor](w).Contacts
		if days == 0 {
			continue
		}
		keep := time.Duration(days) * 24 * time.Hour
		if old != nil && old.contacts != nil && old.contacts.For == keep {
			return old.contacts
		}
		return &impostor.Memory{For: keep}
	}
	return nil
}

// JudgeEnvelope implements relay.EnvelopeJudge.
func (l *live) JudgeEnvelope(ctx context.Context, m *verdict.Message) *verdict.Report {
	return l.cur.Load().engine.JudgeEnvelope(ctx, m)
}

// certificate is for tls.Config.GetCertificate.
func (l *live) certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := l.cur.Load().cert
	if cert == nil {
		return nil, errors.New("no certificate is configured any more")
	}
	return cert.GetCertificate(h)
}
