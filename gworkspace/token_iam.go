package gworkspace

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// A Keyless acts as users of a tenant like a [ServiceAccount], but has Google sign: IAM Credentials keeps the
// key. The caller needs the role Service Account Token Creator on the service account. It is safe for
// concurrent use; the fields may be set before the first use.
type Keyless struct {
	Exchange Exchange
	// Email is the service account that signs.
	Email string
	// Caller hands out tokens for the caller itself: it is asked with an empty subject and the scope
	// https://www.googleapis.com/auth/cloud-platform.
	Caller TokenSource
	// IAMURL replaces https://iamcredentials.googleapis.com; plain http on loopback only.
	IAMURL string

	cache tokenCache
}

const scopeCloud = "https://www.googleapis.com/auth/cloud-platform"

// Token asks for a token to act as the subject.
func (k *Keyless) Token(ctx context.Context, req TokenRequest) (Token, error) {
	if !isAddress(k.Email) || k.Caller == nil {
		return Token{}, errors.New("gworkspace: keyless: want the address of a service account, and tokens of the caller")
	}
	e := exchanger{Exchange: k.Exchange, email: k.Email, cache: &k.cache, sign: k.sign}
	return e.token(ctx, req)
}

// sign has the claims signed.
func (k *Keyless) sign(ctx context.Context, claims []byte) (string, error) {
	base, err := checkedURL("IAM", cmp.Or(k.IAMURL, "https://iamcredentials.googleapis.com"))
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{"payload": string(claims)})
	if err != nil {
		return "", err
	}
	var out struct {
		JWT string `json:"signedJwt"`
	}
	r := requester{transport: k.Exchange.Transport, timeout: cmp.Or(k.Exchange.Timeout, 30*time.Second), retry: k.Exchange.Retry}
	_, err = r.do(ctx, &request{name: "iam.signJwt", object: k.Email, method: http.MethodPost, url: base.JoinPath("v1/projects/-/serviceAccounts", k.Email+":signJwt"),
		header: http.Header{"Content-Type": {"application/json"}}, body: body, repeat: true, tokens: k.Caller, ask: TokenRequest{Scopes: []string{scopeCloud}},
		read: func(body []byte) error {
			if json.Unmarshal(body, &out) != nil || strings.Count(out.JWT, ".") != 2 {
				return errors.New("the reply holds no signed JWT")
			}
			return nil
		}})
	return out.JWT, err
}
