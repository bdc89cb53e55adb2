package m365

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PublicClientID is the application of Microsoft that Connect-ExchangeOnline signs in with. It needs no
// registration and no consent, and gets tokens for Exchange only: Graph wants an application of one's own.
const PublicClientID = "fb78d390-0c51-40cd-8e17-fdbfab77341b"

// An AuthConfig says where and as which application to sign in.
type AuthConfig struct {
	// Tenant is the id of the tenant or one of its domains. Required.
	Tenant string
	// ClientID is the application. Empty: PublicClientID, which is good for people only.
	ClientID string
	// Cloud is where the tenant lives; zero: worldwide.
	Cloud Cloud
	// LoginURL replaces the address of the sign-in service. Plain http is taken on loopback only.
	LoginURL string
	// Transport carries the requests; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Cache keeps refresh tokens between runs, encrypted. Nil: nothing is kept.
	Cache *TokenCache
	// Wait waits between polls; nil: a timer.
	Wait func(ctx context.Context, d time.Duration) error
}

// early is how long before its end a token is no longer used.
const early = 3 * time.Minute

// A signer is a TokenSource that signs in by some grant and refreshes what it got. One sign-in at a time.
type signer struct {
	cfg   AuthConfig
	base  *url.URL
	http  *http.Client
	grant func(ctx context.Context, req TokenRequest) (tokenReply, error)
	human bool // somebody has to be there: ask for a refresh token

	turn    chan struct{}    // holds one: whoever fills it signs in, and has what follows
	tokens  map[string]Token // by scope
	refresh string
	loaded  bool
}

// String keeps what it holds out of whatever is printed.
func (s *signer) String() string { return "[sign-in to " + s.cfg.Tenant + "]" }

// GoString keeps what it holds out of %#v.
func (s *signer) GoString() string { return s.String() }

func newSigner(cfg AuthConfig, human bool) (*signer, error) {
	if !tenantForm.MatchString(cfg.Tenant) {
		return nil, fmt.Errorf("m365: tenant %q is neither an id nor a domain", cfg.Tenant)
	}
	cfg.Cloud = cfg.Cloud.orWorldwide()
	base, err := checkedURL("login", cmp.Or(cfg.LoginURL, cfg.Cloud.Login))
	if err != nil {
		return nil, err
	}
	if cfg.ClientID == "" {
		if !human {
			return nil, errors.New("m365: an application that signs in by itself needs a client id")
		}
		cfg.ClientID = PublicClientID
	}
	if !tenantForm.MatchString(cfg.ClientID) {
		return nil, errors.New("m365: the client id is no GUID")
	}
	s := &signer{cfg: cfg, base: base, human: human, http: newHTTPClient(cfg.Transport, time.Minute), tokens: map[string]Token{}}
	s.turn = make(chan struct{}, 1)
	return s, nil
}

func (s *signer) endpoint(op string) string {
	return s.base.JoinPath(s.cfg.Tenant, "oauth2", "v2.0", op).String()
}

// scopes is what is asked for: a refresh token too when a person signs in.
func (s *signer) scopes(scope string) string {
	if s.human {
		return scope + " offline_access openid profile"
	}
	return scope
}

// Token implements TokenSource. Concurrent callers wait for the one who signs in.
func (s *signer) Token(ctx context.Context, req TokenRequest) (Token, error) {
	if req.Scope == "" {
		return Token{}, errors.New("m365: a token without a scope is good for nothing")
	}
	select { // a person may take minutes at the browser, and who waits may give up
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return Token{}, err
	}
	if t, ok := s.tokens[req.Scope]; ok && !req.Refresh && req.Claims == "" && time.Until(t.Expires) > early {
		return t, nil
	}
	s.load()
	if s.refresh != "" {
		rep, err := s.post(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refresh}}, req)
		if err == nil {
			return s.keep(req.Scope, rep)
		}
		var ae *AuthError
		if !errors.As(err, &ae) || ae.Status >= 500 {
			return Token{}, err // no answer is no refusal: what there is stays
		}
		s.refresh = ""
	}
	rep, err := s.granted(ctx, req)
	if err != nil {
		return Token{}, err
	}
	return s.keep(req.Scope, rep)
}

// granted signs in. An application tries three times when there is no answer; a person decides that alone.
func (s *signer) granted(ctx context.Context, req TokenRequest) (tokenReply, error) {
	r := requester{retry: Retry{Wait: s.cfg.Wait}}
	for n := 1; ; n++ {
		rep, err := s.grant(ctx, req)
		var ae *AuthError
		refused := errors.As(err, &ae) && ae.Status < 500 && ae.Status != http.StatusTooManyRequests
		if err == nil || refused || s.human || n == 3 || ctx.Err() != nil {
			return rep, err
		}
		if err := r.wait(ctx, r.backoff(n)); err != nil {
			return rep, err
		}
	}
}

// keep remembers what was granted.
func (s *signer) keep(scope string, rep tokenReply) (Token, error) {
	t := Token{Value: rep.AccessToken, Expires: time.Now().Add(time.Duration(rep.ExpiresIn) * time.Second)}
	if err := validToken(t.Value); err != nil {
		return Token{}, fmt.Errorf("m365: sign-in: %w", err)
	}
	s.tokens[scope] = t
	if rep.RefreshToken != "" && rep.RefreshToken != s.refresh {
		s.refresh = rep.RefreshToken
		if s.cfg.Cache != nil {
			if err := s.cfg.Cache.store(s.cacheKey(), s.refresh); err != nil {
				return Token{}, err
			}
		}
	}
	return t, nil
}

// load gets the refresh token of an earlier run, once.
func (s *signer) load() {
	if s.loaded || s.cfg.Cache == nil || !s.human {
		return
	}
	s.loaded = true
	s.refresh = s.cfg.Cache.load(s.cacheKey()) // unreadable is like empty: one signs in again
}

func (s *signer) cacheKey() string {
	return strings.ToLower(s.base.String() + " " + s.cfg.Tenant + " " + s.cfg.ClientID)
}

// ClientSecret returns a source for an application with a secret. The secret is sent to the sign-in service
// and nowhere else.
func ClientSecret(cfg AuthConfig, secret string) (TokenSource, error) {
	if strings.TrimSpace(secret) == "" {
		return nil, errors.New("m365: the client secret is empty")
	}
	s, err := newSigner(cfg, false)
	if err != nil {
		return nil, err
	}
	s.grant = func(ctx context.Context, req TokenRequest) (tokenReply, error) {
		return s.post(ctx, url.Values{"grant_type": {"client_credentials"}, "client_secret": {secret}}, req)
	}
	return s, nil
}

// ClientCertificate returns a source for an application with a certificate: an assertion signed with its key
// (RFC 7523) takes the place of a secret. The key must be RSA, 2048 bits at least.
func ClientCertificate(cfg AuthConfig, cert tls.Certificate) (TokenSource, error) {
	s, err := newSigner(cfg, false)
	if err != nil {
		return nil, err
	}
	a, err := newAsserter(cert, s.cfg.ClientID, s.endpoint("token"))
	if err != nil {
		return nil, err
	}
	s.grant = func(ctx context.Context, req TokenRequest) (tokenReply, error) {
		jwt, err := a.sign(time.Now())
		if err != nil {
			return tokenReply{}, err
		}
		return s.post(ctx, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {jwt},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, req)
	}
	return s, nil
}
