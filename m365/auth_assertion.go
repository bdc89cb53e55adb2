package m365

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// asserter signs client assertions (RFC 7523 section 2.2) with PS256 (RFC 7518 section 3.5).
type asserter struct {
	key              crypto.Signer
	leaf             *x509.Certificate
	header           string // of the JWT, encoded
	client, endpoint string
}

func newAsserter(cert tls.Certificate, client, endpoint string) (*asserter, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("m365: no certificate")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("m365: certificate: %w", err)
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("m365: the certificate comes without a private key")
	}
	pub, ok := key.Public().(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < 2048 {
		return nil, errors.New("m365: the key of the certificate must be RSA with 2048 bits at least")
	}
	if !pub.Equal(leaf.PublicKey) {
		return nil, errors.New("m365: the private key is not the one of the certificate")
	}
	sum := sha256.Sum256(leaf.Raw)
	head, err := json.Marshal(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	return &asserter{key: key, leaf: leaf, client: client, endpoint: endpoint, header: base64.RawURLEncoding.EncodeToString(head)}, nil
}

// sign makes an assertion that is good for ten minutes and for once.
func (a *asserter) sign(now time.Time) (string, error) {
	if now.After(a.leaf.NotAfter) || now.Before(a.leaf.NotBefore) {
		return "", fmt.Errorf("m365: the certificate is valid from %s to %s: register and supply a new one",
			a.leaf.NotBefore.Format(time.DateOnly), a.leaf.NotAfter.Format(time.DateOnly))
	}
	body, err := json.Marshal(map[string]any{"aud": a.endpoint, "iss": a.client, "sub": a.client, "jti": newGUID(),
		"nbf": now.Unix(), "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	text := a.header + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(text))
	sig, err := a.key.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if err != nil {
		return "", errors.New("m365: the private key cannot sign")
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}
