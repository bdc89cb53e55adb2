package gworkspace

import (
	"cmp"
	"context"
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
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// googleTokenURL is where assertions become tokens, and who they are for.
const googleTokenURL = "https://oauth2.googleapis.com/token"

// An Exchange says how assertions become tokens. Zero fields have the defaults given.
type Exchange struct {
	TokenURL  string            // https://oauth2.googleapis.com/token; plain http on loopback only
	Transport http.RoundTripper // http.DefaultTransport
	Timeout   time.Duration     // of one attempt; 30 seconds
	Retry     Retry
}

// A ServiceAccount signs assertions with its own key (RFC 7523, RS256) and so acts as users of a tenant that
// granted it domain-wide delegation. It keeps tokens until shortly before they expire. It is safe for
// concurrent use; Exchange may be set before the first use.
type ServiceAccount struct {
	Exchange Exchange
	// Email and ClientID are those of the service account. ClientID is what a delegation is granted to.
	Email, ClientID string

	keyID string
	key   *rsa.PrivateKey
	cache tokenCache
}

// ReadServiceAccount reads a key file as the Google Cloud console hands it out. The address that it names for
// tokens is not used: set Exchange.TokenURL for another one.
func ReadServiceAccount(r io.Reader) (*ServiceAccount, error) {
	raw, err := io.ReadAll(io.LimitReader(r, 1<<16+1))
	if err != nil {
		return nil, fmt.Errorf("gworkspace: service account: %w", err)
	}
	var file struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		ClientID string `json:"client_id"`
		KeyID    string `json:"private_key_id"`
		Key      string `json:"private_key"`
	}
	if len(raw) > 1<<16 || json.Unmarshal(raw, &file) != nil {
		return nil, errors.New("gworkspace: service account: not a key file in JSON")
	}
	if file.Type != "service_account" || !isAddress(file.Email) {
		return nil, fmt.Errorf("gworkspace: service account: the key file has type %q, want service_account with a client_email", oneLine(file.Type, 40))
	}
	key, err := parseKey(file.Key)
	if err != nil {
		return nil, err
	}
	return &ServiceAccount{Email: file.Email, ClientID: file.ClientID, keyID: file.KeyID, key: key}, nil
}

func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("gworkspace: service account: private_key is not in PEM")
	}
	var key *rsa.PrivateKey
	if any, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		key, _ = any.(*rsa.PrivateKey)
	} else if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return nil, errors.New("gworkspace: service account: private_key cannot be read")
	}
	if key == nil || key.N.BitLen() < 2048 {
		return nil, errors.New("gworkspace: service account: want an RSA key with 2048 bits at least")
	}
	return key, nil
}

// Token asks for a token to act as the subject. An error of type [*ScopeError] names the scopes that the
// delegation lacks.
func (a *ServiceAccount) Token(ctx context.Context, req TokenRequest) (Token, error) {
	if a.key == nil {
		return Token{}, errors.New("gworkspace: service account: it has no key: use ReadServiceAccount")
	}
	e := exchanger{Exchange: a.Exchange, email: a.Email, cache: &a.cache, sign: func(_ context.Context, claims []byte) (string, error) {
		return signRS256(a.key, a.keyID, claims)
	}}
	return e.token(ctx, req)
}

// signRS256 makes a JWT (RFC 7515, RFC 7518 section 3.3).
func signRS256(key *rsa.PrivateKey, keyID string, claims []byte) (string, error) {
	head, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
		Kid string `json:"kid,omitempty"`
	}{"RS256", "JWT", keyID})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("gworkspace: sign: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// exchanger turns signed claims into tokens.
type exchanger struct {
	Exchange
	email string
	cache *tokenCache
	sign  func(ctx context.Context, claims []byte) (string, error)
}

func (e *exchanger) token(ctx context.Context, req TokenRequest) (Token, error) {
	if req.Subject == "" || len(req.Scopes) == 0 {
		return Token{}, errors.New("gworkspace: token: want the user to act as and a scope")
	}
	key := req.Subject + "\n" + strings.Join(req.Scopes, " ")
	if t, ok := e.cache.load(key); ok && !req.Refresh {
		return t, nil
	}
	t, err := e.ask(ctx, req.Subject, req.Scopes)
	if errors.Is(err, ErrScope) {
		return Token{}, e.missing(ctx, req, err)
	}
	if err != nil {
		return Token{}, err
	}
	e.cache.store(key, t)
	return t, nil
}

// missing asks for each scope alone to say which ones are not granted.
func (e *exchanger) missing(ctx context.Context, req TokenRequest, err error) error {
	out := &ScopeError{Client: e.email, Subject: req.Subject, Missing: req.Scopes}
	if len(req.Scopes) == 1 {
		return out
	}
	var lack []string
	for _, s := range req.Scopes {
		_, one := e.ask(ctx, req.Subject, []string{s})
		if errors.Is(one, ErrScope) {
			lack = append(lack, s)
		} else if one != nil {
			return errors.Join(err, one)
		}
	}
	if len(lack) > 0 {
		out.Missing = lack
	}
	return out
}

// ask makes one exchange.
func (e *exchanger) ask(ctx context.Context, subject string, scopes []string) (Token, error) {
	to, err := checkedURL("token", cmp.Or(e.TokenURL, googleTokenURL))
	if err != nil {
		return Token{}, err
	}
	now := time.Now()
	issued := now.Add(-10 * time.Second) // the clock here may be a little ahead: what is of the future is refused
	claims, err := json.Marshal(struct {
		Iss   string `json:"iss"`
		Scope string `json:"scope"`
		Aud   string `json:"aud"`
		Sub   string `json:"sub"`
		Iat   int64  `json:"iat"`
		Exp   int64  `json:"exp"`
	}{e.email, strings.Join(scopes, " "), to.String(), subject, issued.Unix(), issued.Add(time.Hour).Unix()})
	if err != nil {
		return Token{}, err
	}
	jwt, err := e.sign(ctx, claims)
	if err != nil {
		return Token{}, err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}
	var out struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
	}
	r := requester{transport: e.Transport, timeout: cmp.Or(e.Timeout, 30*time.Second), retry: e.Retry}
	_, err = r.do(ctx, &request{name: "token", object: subject, method: http.MethodPost, url: to, repeat: true, body: []byte(form.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		read: func(body []byte) error {
			if json.Unmarshal(body, &out) != nil || validToken(out.Token) != nil || !strings.EqualFold(out.Type, "Bearer") {
				return errors.New("the reply holds no token")
			}
			return nil
		}})
	if bad, ok := errors.AsType[*Error](err); ok && bad.Reason == "invalid_grant" && bad.Kind == ErrUnauthorized {
		bad.Message += ": this is about the service account " + e.email + ", not about the user: look whether it is there and enabled, and its key is"
	}
	if err != nil {
		return Token{}, err
	}
	return Token{Value: out.Token, Expires: now.Add(time.Duration(min(max(out.Expires, 0), 86400)) * time.Second)}, nil
}

// tokenCache keeps tokens until five minutes before they expire.
type tokenCache struct {
	mu  sync.Mutex
	all map[string]Token
}

const maxCached = 20_000

func (c *tokenCache) load(key string) (Token, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.all[key]
	return t, ok && time.Until(t.Expires) > 5*time.Minute
}

func (c *tokenCache) store(key string, t Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= maxCached {
		c.all = map[string]Token{} // rare, and a token is cheap
	}
	c.all[key] = t
}
