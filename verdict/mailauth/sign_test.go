package mailauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// signDKIM puts a DKIM-Signature above a message. head are its first tags ("v=1; a=rsa-sha256;"), more are
// tags to add.
func signDKIM(domain, selector, head string, names []string, c string, key crypto.Signer, raw []byte, more string) ([]byte, error) {
	m := verdict.NewMessage(verdict.Bytes(raw))
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := readHeader(m, r)
	if err != nil {
		return nil, err
	}
	f, _ := parseForm(c)
	if err := content.readBody(context.Background(), r, !f.bodyRelaxed, f.bodyRelaxed); err != nil {
		return nil, err
	}
	field := fmt.Sprintf("DKIM-Signature: %s c=%s; d=%s; s=%s;%s\r\n\th=%s; bh=%s;\r\n\tb=", head, c, domain, selector, more,
		strings.Join(names, ":"), base64.StdEncoding.EncodeToString(content.digests[f.bodyRelaxed]))
	sum := sha256.Sum256(content.signedHeader(names, []byte(field), f.headerRelaxed))
	opts := crypto.SignerOpts(crypto.SHA256)
	if _, ok := key.(ed25519.PrivateKey); ok {
		opts = crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, sum[:], opts)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(field + base64.StdEncoding.EncodeToString(sig) + "\r\n")
	out.Write(raw)
	return out.Bytes(), nil
}
