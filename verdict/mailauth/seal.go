package mailauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
)

// Sealer adds an ARC set to messages (RFC 8617 section 5.1): what we found out about the sender, signed, for
// hops behind us that trust us.
//
// Fields must not change once it is in use; Seal may be called by many goroutines at once. Rotation is a
// new Sealer with another selector: the record of the old one stays published as long as mail is on its way.
type Sealer struct {
	// Hostname is the authserv-id in what is sealed.
	Hostname string
	// Domain and Selector name the key: its record is at <Selector>._domainkey.<Domain>.
	Domain, Selector string
	// Key is an RSA key of at least 1024 bits, or an Ed25519 key. See ReadKey.
	Key crypto.Signer
	// Headers are the fields that are signed, as far as the message has them. Nil means the usual ones. Fields
	// that hops add or change, like Received or Authentication-Results, do not belong here.
	Headers []string
}

// ErrNotSealed says that a message gets no ARC set, as the RFC has it: its chain is closed or full, or nobody
// could tell whether it is good.
var ErrNotSealed = errors.New("mailauth: not sealed")

var usualHeaders = []string{
	"From", "Reply-To", "Subject", "Date", "To", "Cc", "Message-ID", "In-Reply-To", "References", "MIME-Version",
	"Content-Type", "Content-Transfer-Encoding", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
	"DKIM-Signature",
}

// Seal returns the three fields of a new ARC set, with their line ends, to be put before everything else in
// the message. results are what Authenticate found: its result for ARC goes into the seal. The message must
// be delivered with the fields that are signed, and its body, as they are.
//
// The error is ErrNotSealed, or says that the message could not be read or the key does not do.
func (s *Sealer) Seal(ctx context.Context, m *verdict.Message, results verdict.AuthResults) ([]byte, error) {
	algorithm, err := s.algorithm()
	if err != nil {
		return nil, err
	}
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c, err := readHeader(m, r)
	if err != nil {
		return nil, err
	}
	chain := c.parseARC()
	cv, err := chain.status(results.ARC.Result)
	if err != nil {
		return nil, err
	}
	if err := c.readBody(ctx, r, false, true); err != nil {
		return nil, err
	}
	p := sealing{Sealer: s, algorithm: algorithm, instance: len(chain.sets) + 1, cv: cv, now: time.Now()}
	return p.fields(c, &chain, AuthenticationResults(s.Hostname, results))
}

func (s *Sealer) algorithm() (string, error) {
	if asciiDomain(s.Domain) == "" || asciiDomain(s.Selector) == "" {
		return "", fmt.Errorf("mailauth: sealing needs a domain and a selector, not %q and %q", s.Domain, s.Selector)
	}
	if s.Key == nil {
		return "", errors.New("mailauth: sealing needs a key")
	}
	switch pub := s.Key.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < minRSA {
			return "", fmt.Errorf("mailauth: %w: make a new one", errWeakKey)
		}
		return "rsa-sha256", nil
	case ed25519.PublicKey:
		return "ed25519-sha256", nil
	}
	return "", fmt.Errorf("mailauth: cannot seal with a %T", s.Key.Public())
}

// status returns cv= for the next set.
func (a *arcChain) status(found verdict.AuthResult) (string, error) {
	switch {
	case a.closed():
		return "", fmt.Errorf("%w: the chain was closed before", ErrNotSealed)
	case len(a.sets) >= maxARC:
		return "", fmt.Errorf("%w: the chain has %d sets", ErrNotSealed, maxARC)
	case len(a.sets) == 0 && a.err == nil:
		return "none", nil
	case a.err != nil || found == "fail":
		return "fail", nil
	case found == verdict.Pass:
		return "pass", nil
	}
	return "", fmt.Errorf("%w: the chain is %q", ErrNotSealed, found)
}

// sealing is one set in the making.
type sealing struct {
	*Sealer
	algorithm string
	instance  int
	cv        string
	now       time.Time
}

func (p *sealing) fields(c *content, chain *arcChain, payload string) ([]byte, error) {
	results := fmt.Sprintf("ARC-Authentication-Results: i=%d; %s\r\n", p.instance, payload)
	names := p.signedNames(c)
	message := fmt.Sprintf("ARC-Message-Signature: i=%d; a=%s; c=relaxed/relaxed; d=%s; s=%s; t=%d;\r\n\th=%s;\r\n\tbh=%s;\r\n\tb=",
		p.instance, p.algorithm, asciiDomain(p.Domain), asciiDomain(p.Selector), p.now.Unix(),
		strings.Join(names, ":\r\n\t "), base64.StdEncoding.EncodeToString(c.digests[true]))
	sig, err := p.sign(sha256.Sum256(c.signedHeader(names, []byte(message), true)))
	if err != nil {
		return nil, err
	}
	message += sig + "\r\n"
	seal := fmt.Sprintf("ARC-Seal: i=%d; a=%s; cv=%s; d=%s; s=%s; t=%d;\r\n\tb=",
		p.instance, p.algorithm, p.cv, asciiDomain(p.Domain), asciiDomain(p.Selector), p.now.Unix())
	if sig, err = p.sign(p.sealDigest(chain, results, message, seal)); err != nil {
		return nil, err
	}
	return []byte(seal + sig + "\r\n" + message + results), nil
}

// sealDigest covers all sets, or only ours if the ones before do not hold together (RFC 8617 section 5.1.2).
func (p *sealing) sealDigest(chain *arcChain, results, message, seal string) [sha256.Size]byte {
	var buf []byte
	if p.cv == "pass" {
		for _, s := range chain.sets {
			buf = appendRelaxed(buf, s.results)
			buf = appendRelaxed(buf, s.message.raw)
			buf = appendRelaxed(buf, s.seal.raw)
		}
	}
	buf = appendRelaxed(buf, []byte(results))
	buf = appendRelaxed(buf, []byte(message))
	buf = appendRelaxed(buf, []byte(seal))
	return sha256.Sum256(buf[:len(buf)-len(crlf)])
}

// signedNames lists the fields to sign, once for each that is there, in lower case.
func (p *sealing) signedNames(c *content) []string {
	list := p.Headers
	if list == nil {
		list = usualHeaders
	}
	var out []string
	for _, name := range list {
		for _, f := range c.fields {
			if strings.EqualFold(f.name, name) && len(out) < maxSigned {
				out = append(out, strings.ToLower(name))
			}
		}
	}
	return out
}

func (p *sealing) sign(digest [sha256.Size]byte) (string, error) {
	opts := crypto.SignerOpts(crypto.SHA256)
	if p.algorithm == "ed25519-sha256" {
		opts = crypto.Hash(0) // the digest is the message (RFC 8463 section 3)
	}
	sig, err := p.Key.Sign(rand.Reader, digest[:], opts)
	if err != nil {
		return "", fmt.Errorf("mailauth: signing with %s: %w", p.Selector, err)
	}
	return fold(base64.StdEncoding.EncodeToString(sig)), nil
}

// fold breaks a long word into lines of 72 octets.
func fold(s string) string {
	var b strings.Builder
	for len(s) > 72 {
		b.WriteString(s[:72])
		b.WriteString("\r\n\t ")
		s = s[72:]
	}
	b.WriteString(s)
	return b.String()
}
