package gworkspacetest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/gworkspace"
)

// grant is what a token stands for.
type grant struct {
	subject string
	scopes  []string
	expires time.Time
}

// key is the one of the service account. One for all tenants: making it takes long.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // no randomness: nothing works
	}
	return k
})

const keyID = "0123456789abcdef0123456789abcdef01234567"

// callerToken is what whoever lets Google sign has to show.
const callerToken = "ya29.caller"

// Key is the key file of the service account, for gworkspace.ReadServiceAccount.
func (s *Server) Key() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key())
	if err != nil {
		panic(err) // it was made for this
	}
	raw, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "project", "private_key_id": keyID,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "client_email": ServiceAccount, "client_id": ClientID,
		"token_uri": s.URL() + "/token"})
	if err != nil {
		panic(err) // plain strings
	}
	return raw
}

// Account is the service account, ready to ask this tenant for tokens.
func (s *Server) Account() *gworkspace.ServiceAccount {
	a, err := gworkspace.ReadServiceAccount(bytes.NewReader(s.Key()))
	if err != nil {
		panic(err) // our own file
	}
	a.Exchange = s.exchange()
	return a
}

// Keyless is the same with keys that stay at Google.
func (s *Server) Keyless() *gworkspace.Keyless {
	return &gworkspace.Keyless{Email: ServiceAccount, Exchange: s.exchange(), IAMURL: s.URL(), Caller: gworkspace.StaticToken(callerToken)}
}

func (s *Server) exchange() gworkspace.Exchange {
	e := gworkspace.Exchange{TokenURL: s.URL() + "/token"}
	if s.http == nil {
		e.Transport = s.Transport()
	}
	return e
}

// ClientConfig leads a client of package gworkspace to this tenant.
func (s *Server) ClientConfig() gworkspace.ClientConfig {
	cfg := gworkspace.ClientConfig{Admin: Admin, Tokens: s.Account(), BaseURL: s.URL()}
	if s.http == nil {
		cfg.Transport = s.Transport()
	}
	return cfg
}

// Grant lets the service account act with these scopes, by exact text, and with no others.
func (s *Server) Grant(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants = slices.Clone(scopes)
}

// GrantAll lets it act with all scopes that package gworkspace asks for.
func (s *Server) GrantAll() {
	s.Grant(gworkspace.ScopePolicies, gworkspace.ScopeAudit, gworkspace.ScopeDomains, gworkspace.ScopeUnits, gworkspace.ScopeUsers, gworkspace.ScopeGroups,
		gworkspace.ScopeModify, gworkspace.ScopePurge)
}

// oauthError is the envelope of RFC 6749 section 5.2.
func oauthError(status int, code, text string) reply {
	return reply{status, map[string]string{"error": code, "error_description": text}}
}

// token turns an assertion into a token (RFC 7523 section 2.1).
func (s *Server) token(r *http.Request, body []byte) reply {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
	}
	c, err := s.claims(form.Get("assertion"))
	if err != nil {
		return oauthError(http.StatusBadRequest, "invalid_grant", "Invalid JWT Signature: "+err.Error())
	}
	scopes := strings.Fields(c.Scope)
	if len(scopes) == 0 {
		return oauthError(http.StatusBadRequest, "invalid_scope", "Empty or missing scope not allowed.")
	}
	u := s.find(c.Sub)
	if _, at, _ := strings.Cut(c.Sub, "@"); u == nil && !slices.ContainsFunc(s.domains, func(d gworkspace.Domain) bool { return strings.EqualFold(d.Name, at) }) {
		return oauthError(http.StatusUnauthorized, "unauthorized_client", // nobody granted anything there
			"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
	}
	if u == nil || u.Suspended {
		return oauthError(http.StatusBadRequest, "invalid_grant", "Invalid email or User ID")
	}
	for _, x := range scopes {
		if !slices.Contains(s.grants, x) {
			return oauthError(http.StatusUnauthorized, "unauthorized_client",
				"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
		}
	}
	s.next++
	value := fmt.Sprintf("ya29.%d", s.next)
	s.tokens[value] = grant{subject: u.Email, scopes: scopes, expires: time.Now().Add(time.Hour)}
	return ok(map[string]any{"access_token": value, "token_type": "Bearer", "expires_in": 3599})
}

type claims struct {
	Iss, Scope, Aud, Sub string
	Iat, Exp             int64
}

// claims checks an assertion.
func (s *Server) claims(jwt string) (*claims, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, errors.New("no JWT")
	}
	var head struct{ Alg, Typ, Kid string }
	var c claims
	for i, into := range []any{&head, &c} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return nil, errors.New("cannot be decoded")
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := time.Now().Unix()
	switch {
	case err != nil || rsa.VerifyPKCS1v15(&key().PublicKey, crypto.SHA256, sum[:], sig) != nil:
		return nil, errors.New("the signature does not fit")
	case head.Alg != "RS256" || head.Typ != "JWT":
		return nil, errors.New("want RS256 and JWT")
	case c.Iss != ServiceAccount || c.Aud != s.URL()+"/token":
		return nil, errors.New("iss or aud is wrong")
	case c.Exp-c.Iat > 3600 || now > c.Exp || now < c.Iat-300:
		return nil, errors.New("token must be a short-lived token (60 minutes) and in a reasonable timeframe")
	}
	return &c, nil
}

// signJWT signs for whoever may.
func (s *Server) signJWT(r *http.Request, body []byte) reply {
	if r.Header.Get("Authorization") != "Bearer "+callerToken {
		return apiError(http.StatusForbidden, "IAM_PERMISSION_DENIED", "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist).")
	}
	var in struct{ Payload string }
	if json.Unmarshal(body, &in) != nil || !json.Valid([]byte(in.Payload)) {
		return apiError(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid payload")
	}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT","kid":"` + keyID + `"}`))
	text := head + "." + base64.RawURLEncoding.EncodeToString([]byte(in.Payload))
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key(), crypto.SHA256, sum[:])
	if err != nil {
		return apiError(http.StatusInternalServerError, "INTERNAL", err.Error())
	}
	return ok(map[string]string{"keyId": keyID, "signedJwt": text + "." + base64.RawURLEncoding.EncodeToString(sig)})
}

// allow checks the token of a request: it needs one of the scopes. The reply is nil when it has.
func (s *Server) allow(r *http.Request, scopes ...string) (grant, *reply) {
	value, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, known := s.tokens[value]
	if !isBearer || !known || time.Now().After(g.expires) {
		rep := apiError(http.StatusUnauthorized, "authError", "Request had invalid authentication credentials.")
		return g, &rep
	}
	if !slices.ContainsFunc(scopes, func(x string) bool { return slices.Contains(g.scopes, x) }) {
		rep := apiError(http.StatusForbidden, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "Request had insufficient authentication scopes.")
		return g, &rep
	}
	return g, nil
}

// Expire makes all tokens worthless that were given out.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}
