package mailauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// publicKey is a key as a domain publishes it (RFC 6376 section 3.6.1, RFC 8463).
type publicKey struct {
	kind   string // "rsa" or "ed25519"
	rsa    *rsa.PublicKey
	ed     ed25519.PublicKey
	strict bool // t=s: i= has to have the very domain of d=
}

// minRSA is how long RSA keys have to be (RFC 8301 section 3.2), maxRSA what we spend time on.
const minRSA, maxRSA = 1024, 8192

var (
	errNoKey      = errors.New("the domain publishes no such key")
	errKeyRevoked = errors.New("the key is revoked")
	errWeakKey    = fmt.Errorf("the RSA key is shorter than %d bits", minRSA)
)

// parseKey reads a key record. Tags that no longer mean anything, like g=, are ignored.
func parseKey(txt string) (*publicKey, error) {
	tags, err := parseTags(txt)
	if err != nil {
		return nil, fmt.Errorf("key record: %w", err)
	}
	if v, ok := tags.get("v"); ok && (v != "DKIM1" || tags[0].name != "v") {
		return nil, fmt.Errorf("key record of version %.20q", v)
	}
	if h, ok := tags.get("h"); ok && !listHas(h, "sha256") {
		return nil, errors.New("the key is not for sha256")
	}
	if s, ok := tags.get("s"); ok && !listHas(s, "email") && !listHas(s, "*") {
		return nil, errors.New("the key is not for mail")
	}
	p, ok := tags.get("p")
	switch {
	case !ok:
		return nil, errors.New("key record without key")
	case p == "":
		return nil, errKeyRevoked
	}
	der, err := base64.StdEncoding.DecodeString(dropFWS(p))
	if err != nil {
		return nil, fmt.Errorf("key record: %w", err)
	}
	out := new(publicKey)
	if t, ok := tags.get("t"); ok {
		out.strict = listHas(t, "s")
	}
	k, given := tags.get("k")
	if !given {
		k = "rsa"
	}
	return out, out.decode(k, der)
}

func (k *publicKey) decode(kind string, der []byte) error {
	k.kind = kind
	switch kind {
	case "rsa":
		pub, err := x509.ParsePKIXPublicKey(der)
		if err != nil { // RFC 6376 says RSAPublicKey in one place, erratum 3017
			pub, err = x509.ParsePKCS1PublicKey(der)
		}
		if err != nil {
			return fmt.Errorf("key record: %w", err)
		}
		key, ok := pub.(*rsa.PublicKey)
		if !ok {
			return errors.New("key record: k=rsa with another key")
		}
		switch bits := key.N.BitLen(); {
		case bits < minRSA:
			return errWeakKey
		case bits > maxRSA:
			return fmt.Errorf("the RSA key is longer than %d bits", maxRSA)
		}
		k.rsa = key
		return nil
	case "ed25519":
		if len(der) != ed25519.PublicKeySize {
			return errors.New("key record: k=ed25519 needs 32 octets")
		}
		k.ed = der
		return nil
	}
	return fmt.Errorf("key record: unknown k=%.20q", kind)
}

// verify checks a signature over a SHA-256 digest (RFC 8463 section 3 signs the digest too).
func (k *publicKey) verify(digest, sig []byte) bool {
	if k.rsa != nil {
		return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, digest, sig) == nil
	}
	return ed25519.Verify(k.ed, digest, sig)
}

// matches says whether it is the public part of a signing key.
func (k *publicKey) matches(pub crypto.PublicKey) bool {
	if k.rsa != nil {
		return k.rsa.Equal(pub)
	}
	return k.ed.Equal(pub)
}

// fetchedKey is a key, or why there is none: temperror if nobody could tell.
type fetchedKey struct {
	key    *publicKey
	result verdict.AuthResult // of a signature with it, if key is nil
	err    error
}

// fetchKey looks a key up. Records beside it that are no key records are passed over; several keys are none
// (RFC 6376 section 3.6.2.2).
func fetchKey(ctx context.Context, r Resolver, name string) fetchedKey {
	txts, err := lookup(ctx, r, name, TXT)
	switch {
	case noData(err), err == nil && len(txts) == 0:
		return fetchedKey{nil, "permerror", errNoKey}
	case err != nil:
		return fetchedKey{nil, "temperror", err}
	}
	if len(txts) > 1 {
		var keys []string
		for _, t := range txts {
			if tags, err := parseTags(t); err == nil {
				if _, ok := tags.get("p"); ok {
					keys = append(keys, t)
				}
			}
		}
		if len(keys) != 1 {
			return fetchedKey{nil, "permerror", fmt.Errorf("%d key records where one should be", len(keys))}
		}
		txts = keys
	}
	k, err := parseKey(txts[0])
	if err != nil {
		return fetchedKey{nil, "permerror", err}
	}
	return fetchedKey{key: k}
}

// listHas says whether a colon-separated list has a word.
func listHas(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if trimFWS(w) == word {
			return true
		}
	}
	return false
}
