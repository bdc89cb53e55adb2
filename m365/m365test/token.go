package m365test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postreeve/postreeve/m365"
)

const (
	audienceExchange = "https://outlook.office365.com"
	audienceGraph    = "https://graph.microsoft.com"
	challengeClaims  = `{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}`
)

var challengeText = base64.StdEncoding.EncodeToString([]byte(challengeClaims))

// token is one that was handed out.
type token struct {
	audience string
	expires  time.Time
	stale    bool // answered 403 without a reason
	claims   bool // minted for the claims of the challenge
	wanting  bool // answered 401 with the challenge
}

// Token hands out a bearer token without a sign-in. The service is "exchange" or "graph".
func (s *Server) Token(service string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mint(map[string]string{"exchange": audienceExchange, "graph": audienceGraph}[service], false)
}

// Tokens returns a source that signs in nowhere: tokens of this tenant for whatever is asked.
func (s *Server) Tokens() m365.TokenSource { return source{s} }

type source struct{ s *Server }

func (t source) Token(ctx context.Context, req m365.TokenRequest) (m365.Token, error) {
	if err := ctx.Err(); err != nil {
		return m365.Token{}, err
	}
	aud, ok := audienceOf(req.Scope)
	if !ok {
		return m365.Token{}, fmt.Errorf("m365test: no service has the scope %q", req.Scope)
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return m365.Token{Value: t.s.mint(aud, req.Claims == challengeClaims)}, nil
}

// audienceOf finds the service that a list of scopes is about.
func audienceOf(scope string) (string, bool) {
	for f := range strings.FieldsSeq(scope) {
		for _, a := range []string{audienceExchange, audienceGraph} {
			if strings.HasPrefix(f, a+"/") {
				return a, true
			}
		}
	}
	return "", false
}

// mint makes a token in the form of a JWT. Its signature is none: the server knows what it handed out.
func (s *Server) mint(audience string, claims bool) string {
	exp := time.Now().Add(time.Duration(s.cfg.TokenSeconds) * time.Second)
	s.guids++
	b, _ := json.Marshal(map[string]any{"aud": audience, "tid": s.cfg.TenantID, "exp": exp.Unix(), "uti": s.guids, "upn": s.cfg.Admin})
	enc := base64.RawURLEncoding
	t := enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(b) + "." + enc.EncodeToString([]byte("m365test"))
	s.tokens[t] = &token{audience: audience, expires: exp, claims: claims}
	return t
}

// expireTokens makes every token of now one that is refused.
func (s *Server) expireTokens(claims bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if claims {
			t.wanting = true
		} else {
			t.stale = true
		}
	}
}

// allowed checks the token of a request and answers if it will not do. The lock is held.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, audience string) bool {
	raw, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t := s.tokens[raw]
	if t == nil || t.audience != audience || time.Now().After(t.expires) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	if t.wanting && !t.claims {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="`+challengeText+`"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	if t.stale {
		nul(w)
		return false
	}
	return true
}
