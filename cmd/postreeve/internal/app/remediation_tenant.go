package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/m365"
)

// remedyTenant is a tenant whose delivered mail can be taken back.
type remedyTenant struct {
	profile string // name of its file
	domains []string
	header  string // of our id, as the profile has it; empty: it says nothing
	where   string // as in: Microsoft 365
	cure    string
	taker   mailTaker
}

// mailTaker takes mail out of the mailboxes of one tenant, and puts it back.
type mailTaker interface {
	// refuses says why a message cannot be looked for at all, "" if it can.
	refuses(t target) string
	// open reads the secrets and asks nobody.
	open() error
	// signIn gets the tokens that are needed, and touches no mailbox.
	signIn(ctx context.Context) error
	// take does what it is told, and tells what became of each target in each mailbox. With an error there may be
	// targets and mailboxes that it does not tell of.
	take(ctx context.Context, restore bool, header string, targets []target) ([]remedied, error)
}

// newRemedyTenant reads a profile.
func newRemedyTenant(r *config.Remedy) (*remedyTenant, error) {
	t := &remedyTenant{profile: r.Profile}
	if r.Google != nil {
		p, err := config.LoadProfile(r.Profile, (*gworkspace.Profile).Check)
		if err != nil {
			return nil, err
		}
		g := &googleTaker{conf: r.Google, admin: r.Google.Admin}
		if g.admin == "" && p.Access != nil {
			g.admin = p.Access.Admin
		}
		if g.admin == "" {
			return nil, errors.New("nobody is named as whom the directory is read: set admin, or access.admin in the profile")
		}
		t.domains, t.header, t.where, t.cure, t.taker = p.Domains, cmp.Or(p.Headers.ID, idOf(p.Headers.Prefix)), "Google Workspace", g.conf.Cure, g
	} else {
		p, err := config.LoadProfile(r.Profile, (*m365.Profile).Check)
		if err != nil {
			return nil, err
		}
		m := &m365Taker{conf: r.M365, tenant: cmp.Or(r.M365.Tenant, p.Domains[0]), client: cmp.Or(r.M365.ClientID, p.RemediationApp)}
		if m.client == "" {
			return nil, errors.New("it is not known which application signs in: set client-id, or remediation-app in the profile")
		}
		if m.cloud, err = m365.CloudByName(r.M365.Cloud); err != nil {
			return nil, err
		}
		t.domains, t.header, t.where, t.cure, t.taker = p.Domains, idOf(p.Headers.Prefix), "Microsoft 365", m.conf.Cure, m
	}
	for i, name := range t.domains {
		t.domains[i] = asciiDomain(name)
	}
	return t, nil
}

func idOf(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix + "-Id"
}

// Retries within one attempt are few: the store comes back, and others wait.
const (
	remedyTries  = 4
	remedyBudget = 30 * time.Second
)

// renewed is something made of secrets, which is made anew when they have changed.
type renewed[T any] struct {
	mu   sync.Mutex
	sum  [sha256.Size]byte
	made bool
	cur  T
}

// get makes it of what read gives, unless it is made of that already.
func (r *renewed[T]) get(read func() ([]string, error), build func(secrets []string) (T, error)) (T, error) {
	var none T
	secrets, err := read()
	if err != nil {
		return none, err
	}
	sum := sha256.Sum256([]byte(strings.Join(secrets, "\x00")))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made && sum == r.sum {
		return r.cur, nil
	}
	cur, err := build(secrets)
	if err != nil {
		return none, err
	}
	r.cur, r.sum, r.made = cur, sum, true
	return cur, nil
}

// odd says whether a Message-ID or an address is none that can be looked for.
func odd(s string, most int) bool {
	return s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
	})
}

const (
	oddMessage = "its Message-ID is none that can be looked for"
	oddAddress = "the address is none that a mailbox there can have"
)

// m365Taker takes mail in Microsoft 365.
type m365Taker struct {
	conf           *config.M365Remedy
	tenant, client string
	cloud          m365.Cloud
	access         renewed[m365Access]
}

type m365Access struct {
	graph  *m365.Graph
	tokens m365.TokenSource
}

func (m *m365Taker) refuses(t target) string {
	switch {
	case odd(t.MessageID, 998):
		return oddMessage
	case odd(t.Recipient, 320) || !strings.Contains(t.Recipient, "@"):
		return oddAddress
	}
	return ""
}

func (m *m365Taker) secrets() ([]string, error) {
	if m.conf.Certificate == "" {
		secret, err := m.conf.ClientSecret.ReadAny()
		return []string{secret}, err
	}
	cert, err := readText("certificate", m.conf.Certificate, 1<<16)
	if err != nil {
		return nil, err
	}
	key, err := readText("key", cmp.Or(m.conf.Key, m.conf.Certificate), 1<<16)
	return []string{cert, key}, err
}

func (m *m365Taker) connect() (m365Access, error) {
	return m.access.get(m.secrets, func(secrets []string) (a m365Access, err error) {
		cfg := m365.AuthConfig{Tenant: m.tenant, ClientID: m.client, Cloud: m.cloud, LoginURL: m.conf.LoginURL}
		if len(secrets) == 1 {
			a.tokens, err = m365.ClientSecret(cfg, secrets[0])
		} else {
			pair, perr := tls.X509KeyPair([]byte(secrets[0]), []byte(secrets[1]))
			if perr != nil {
				return a, fmt.Errorf("certificate %s: %w", m.conf.Certificate, perr)
			}
			a.tokens, err = m365.ClientCertificate(cfg, pair)
		}
		if err != nil {
			return a, err
		}
		a.graph, err = m365.NewGraph(m365.GraphConfig{Tokens: a.tokens, Cloud: m.cloud, BaseURL: m.conf.GraphURL,
			Retry: m365.Retry{Attempts: remedyTries, Budget: remedyBudget}})
		return a, err
	})
}

func (m *m365Taker) open() error {
	_, err := m.connect()
	return err
}

func (m *m365Taker) signIn(ctx context.Context) error {
	a, err := m.connect()
	if err != nil {
		return err
	}
	_, err = a.tokens.Token(ctx, m365.TokenRequest{Scope: m.cloud.GraphScope()})
	return err
}

func (m *m365Taker) take(ctx context.Context, restore bool, header string, targets []target) ([]remedied, error) {
	a, err := m.connect()
	if err != nil {
		return nil, err
	}
	r := m365.Remedy{Cure: m365.Cure(m.conf.Cure), IDHeader: header}
	if restore {
		r.Cure = m365.Restore
	}
	for _, t := range targets {
		r.Targets = append(r.Targets, m365.Target(t))
	}
	found, err := a.graph.Remediate(ctx, r)
	if len(found) > 0 {
		err = nil // those that could not be done have failed, each by itself
	}
	return viewOf[[]remedied](found), err
}

// googleTaker takes mail in Google Workspace.
type googleTaker struct {
	conf   *config.GoogleRemedy
	admin  string
	access renewed[googleAccess]
}

type googleAccess struct {
	client       *gworkspace.Client
	tokens, mail gworkspace.TokenSource
}

func (g *googleTaker) refuses(t target) string {
	switch {
	case odd(t.MessageID, 998):
		return oddMessage
	case strings.ContainsAny(t.MessageID, " \t\"(){}"):
		return "Gmail cannot search for a Message-ID with blanks, quotes or brackets in it"
	case gworkspace.Target(t).Check() != nil: // one such target is the end of all in a remedy
		return oddAddress
	}
	return ""
}

// secrets returns the keys. The token of a caller is read for every request: it is looked at here, no more.
func (g *googleTaker) secrets() ([]string, error) {
	if g.conf.Key == "" {
		if _, err := readText("caller-token", g.conf.CallerToken, 1<<16); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, k := range []struct{ name, file string }{{"key", g.conf.Key}, {"mail-key", g.conf.MailKey}} {
		text := ""
		if k.file != "" {
			var err error
			if text, err = readText(k.name, k.file, 1<<16); err != nil {
				return nil, err
			}
		}
		out = append(out, text)
	}
	return out, nil
}

func (g *googleTaker) connect() (googleAccess, error) {
	return g.access.get(g.secrets, func(secrets []string) (a googleAccess, err error) {
		retry := gworkspace.Retry{Attempts: remedyTries, Budget: remedyBudget}
		exchange := gworkspace.Exchange{TokenURL: g.conf.TokenURL, Retry: retry}
		account := func(name, file, key string) (gworkspace.TokenSource, error) {
			s, err := gworkspace.ReadServiceAccount(strings.NewReader(key))
			if err != nil {
				return nil, fmt.Errorf("%s %s: %s", name, file, strings.TrimPrefix(err.Error(), "gworkspace: service account: "))
			}
			s.Exchange = exchange
			return s, nil
		}
		if g.conf.Key != "" {
			a.tokens, err = account("key", g.conf.Key, secrets[0])
		} else {
			a.tokens = &gworkspace.Keyless{Exchange: exchange, Email: g.conf.ServiceAccount, Caller: gworkspace.TokenFile(g.conf.CallerToken), IAMURL: g.conf.IAMURL}
		}
		a.mail = a.tokens
		if g.conf.MailKey != "" && err == nil {
			a.mail, err = account("mail-key", g.conf.MailKey, secrets[1])
		}
		if err != nil {
			return a, err
		}
		a.client, err = gworkspace.NewClient(gworkspace.ClientConfig{Admin: g.admin, Tokens: a.tokens, MailTokens: a.mail, BaseURL: g.conf.APIURL, Retry: retry})
		return a, err
	})
}

func (g *googleTaker) open() error {
	_, err := g.connect()
	return err
}

// signIn asks for a token with each of the scopes alone, all of them to act as the administrator.
func (g *googleTaker) signIn(ctx context.Context) error {
	a, err := g.connect()
	if err != nil {
		return err
	}
	lack, err := a.client.Granted(ctx, a.tokens, g.admin, []string{gworkspace.ScopeUsers, gworkspace.ScopeGroups})
	if err != nil {
		return err
	}
	mail, err := a.client.Granted(ctx, a.mail, g.admin, []string{gworkspace.ScopeModify})
	if err != nil {
		return err
	}
	if lack = append(lack, mail...); len(lack) > 0 {
		return &gworkspace.ScopeError{Subject: g.admin, Missing: lack}
	}
	return nil
}

func (g *googleTaker) take(ctx context.Context, restore bool, header string, targets []target) ([]remedied, error) {
	a, err := g.connect()
	if err != nil {
		return nil, err
	}
	r := gworkspace.Remedy{Cure: gworkspace.Cure(g.conf.Cure), IDHeader: header}
	if restore {
		r.Cure = map[string]gworkspace.Cure{"trash": gworkspace.Untrash, "spam": gworkspace.NotSpam}[g.conf.Cure]
	}
	for _, t := range targets {
		r.Targets = append(r.Targets, gworkspace.Target(t))
	}
	found, err := a.client.Remediate(ctx, r)
	return viewOf[[]remedied](found), err
}
