package m365

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// tokenReply is what the token endpoint answers (RFC 6749 section 5).
type tokenReply struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
	Correlation string `json:"correlation_id"`
}

// An AuthError is a sign-in that was refused.
type AuthError struct {
	Code        string // of OAuth: invalid_grant, authorization_pending ...
	Number      string // of Entra: AADSTS53003 ...; may be empty
	Description string
	Correlation string // to be named in a support case
	Status      int
}

// Error says why, and what to do if that is known.
func (e *AuthError) Error() string {
	s := "m365: sign-in refused: " + e.Code
	if e.Description != "" {
		s += ": " + e.Description
	}
	if h := e.Hint(); h != "" {
		s += ": " + h
	}
	return s
}

// Hint says what to do about the refusal; empty: not known.
func (e *AuthError) Hint() string {
	switch e.Number {
	case "AADSTS53003", "AADSTS53000", "AADSTS53001", "AADSTS50097", "AADSTS530032", "AADSTS530034", "AADSTS530035":
		return "Conditional Access forbids this way of signing in: sign in with the browser (pkce), or as an application with a certificate"
	case "AADSTS65001", "AADSTS90094":
		return "the application has no consent in this tenant: a Global Administrator has to grant it first"
	case "AADSTS700016":
		return "the tenant does not know the application: check the client id and the tenant, or grant consent first"
	case "AADSTS7000215", "AADSTS7000222":
		return "the client secret is wrong or has expired: make a new one and supply its value, not its id"
	case "AADSTS700027", "AADSTS7000272":
		return "the certificate is not the one registered for the application"
	case "AADSTS90002", "AADSTS90013":
		return "check the tenant: its id, or one of its verified domains"
	case "AADSTS50076", "AADSTS50079":
		return "a second factor is demanded: sign in again and give it"
	case "AADSTS50059":
		return "name the tenant by its id or by one of its domains"
	}
	switch e.Code {
	case "authorization_declined", "access_denied":
		return "the person at the browser said no"
	case "expired_token", "code_expired":
		return "nobody entered the code in time: start again"
	}
	return ""
}

// post asks the token endpoint.
func (s *signer) post(ctx context.Context, form url.Values, req TokenRequest) (tokenReply, error) {
	form.Set("client_id", s.cfg.ClientID)
	if req.Scope != "" {
		form.Set("scope", s.scopes(req.Scope))
	}
	if req.Claims != "" {
		form.Set("claims", req.Claims)
	}
	var rep tokenReply
	err := s.send(ctx, s.endpoint("token"), form, &rep)
	if err == nil && rep.AccessToken == "" {
		err = errors.New("m365: sign-in: the reply has no token in it")
	}
	return rep, err
}

// send posts a form and decodes the reply into out. A refusal is an *AuthError.
func (s *signer) send(ctx context.Context, to string, form url.Values, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("m365: sign-in: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	return s.fetch(r, out)
}

func (s *signer) fetch(r *http.Request, out any) error {
	resp, err := s.http.Do(r)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("m365: sign-in at %s: %w", s.base.Host, err)
	}
	defer resp.Body.Close()
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil || len(body) > most {
		return fmt.Errorf("m365: sign-in at %s: the reply cannot be read, or has no end", s.base.Host)
	}
	if resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(body, out); err != nil {
			return fmt.Errorf("m365: sign-in at %s: the reply is not JSON", s.base.Host)
		}
		return nil
	}
	var rep tokenReply
	if json.Unmarshal(body, &rep) != nil || rep.Error == "" {
		return fmt.Errorf("m365: sign-in at %s: HTTP %d", s.base.Host, resp.StatusCode)
	}
	return newAuthError(rep, resp.StatusCode)
}

func newAuthError(rep tokenReply, status int) *AuthError {
	text, _, _ := strings.Cut(rep.Description, "\r\n") // what follows are ids and a time
	e := &AuthError{Code: oneLine(rep.Error, 60), Description: oneLine(text, 500), Correlation: oneLine(rep.Correlation, 80), Status: status}
	if head, _, ok := strings.Cut(e.Description, ":"); ok && strings.HasPrefix(head, "AADSTS") {
		e.Number = head
	}
	return e
}

// TenantID returns the id of the tenant of cfg, as the sign-in service knows it. No token is needed.
func TenantID(ctx context.Context, cfg AuthConfig) (string, error) {
	s, err := newSigner(cfg, true)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.JoinPath(cfg.Tenant, "v2.0", ".well-known", "openid-configuration").String(), nil)
	if err != nil {
		return "", fmt.Errorf("m365: tenant id: %w", err)
	}
	var doc struct{ Issuer string }
	if err := s.fetch(r, &doc); err != nil {
		return "", err
	}
	issuer, err := url.Parse(doc.Issuer)
	if err == nil {
		for part := range strings.SplitSeq(issuer.Path, "/") {
			if isGUID(part) {
				return strings.ToLower(part), nil
			}
		}
	}
	return "", fmt.Errorf("m365: the sign-in service at %s does not say the id of tenant %s", s.base.Host, cfg.Tenant)
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return false
		}
	}
	return true
}
