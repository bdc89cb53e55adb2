package m365test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// checkAssertion verifies a client assertion: PS256 with the certificate of the application, for this token
// endpoint, by and about the application, short-lived and not seen before (RFC 7523 section 3).
func (s *Server) checkAssertion(jwt, client, endpoint string, now time.Time) error {
	if s.cfg.Certificate == nil {
		return errors.New("the application has no certificate")
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return errors.New("the client assertion is no JWT")
	}
	var head struct{ Alg, Typ, X5t, Kid string }
	var x5t struct {
		S256 string `json:"x5t#S256"`
	}
	var body struct {
		Aud, Iss, Sub, Jti string
		Nbf, Exp, Iat      int64
	}
	for i, into := range []any{&head, &body} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return errors.New("the client assertion cannot be decoded")
		}
		if i == 0 {
			_ = json.Unmarshal(raw, &x5t)
		}
	}
	sum := sha256.Sum256(s.cfg.Certificate.Raw)
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	key, ok := s.cfg.Certificate.PublicKey.(*rsa.PublicKey)
	switch {
	case err != nil || !ok:
		return errors.New("the signature cannot be read")
	case head.Alg != "PS256" || head.Typ != "JWT":
		return errors.New("want alg PS256 and typ JWT")
	case x5t.S256 != base64.RawURLEncoding.EncodeToString(sum[:]):
		return errors.New("x5t#S256 is not the thumbprint of the registered certificate")
	case body.Aud != endpoint || body.Iss != client || body.Sub != client || body.Jti == "":
		return errors.New("aud, iss, sub or jti is wrong")
	case now.Unix() < body.Nbf-60 || now.Unix() > body.Exp || body.Exp-body.Nbf > 3600:
		return errors.New("the client assertion is not valid now, or for too long")
	case s.seenJTI[body.Jti]:
		return errors.New("the client assertion was used before")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPSS(key, crypto.SHA256, digest[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
		return errors.New("the signature does not fit")
	}
	s.seenJTI[body.Jti] = true
	return nil
}
