package mailauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// KeyKind is a kind of signing key.
type KeyKind string

// The kinds of keys. Every verifier knows RSA; Ed25519 (RFC 8463) has short records, and a third of the
// verifiers cannot read it.
const (
	RSA     KeyKind = "rsa"
	Ed25519 KeyKind = "ed25519"
)

// rsaBits is the length of new keys: what RFC 8301 section 3.2 recommends, and what fits DNS.
const rsaBits = 2048

// GenerateKey makes a signing key. It returns the private key in PEM (PKCS #8), to be kept secret, and the
// text of the TXT record that publishes the public one at <selector>._domainkey.<domain>. A record may be
// longer than the 255 octets of one string; see SplitTXT.
func GenerateKey(kind KeyKind) (private []byte, record string, err error) {
	var key crypto.Signer
	switch kind {
	case RSA:
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("mailauth: %q is no kind of key (rsa, ed25519)", kind)
	}
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	if record, err = KeyRecord(key); err != nil {
		return nil, "", err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), record, nil
}

// KeyRecord returns the text of the TXT record for a signing key (RFC 6376 section 3.6.1).
func KeyRecord(key crypto.Signer) (string, error) {
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", err
		}
		return "v=DKIM1; k=rsa; h=sha256; p=" + base64.StdEncoding.EncodeToString(der), nil
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; h=sha256; p=" + base64.StdEncoding.EncodeToString(pub), nil
	}
	return "", fmt.Errorf("mailauth: no key record for a %T", key.Public())
}

// SplitTXT cuts the text of a record into the strings that a TXT record is made of (RFC 1035 section 3.3.14).
func SplitTXT(record string) []string {
	const most = 255
	var out []string
	for len(record) > most {
		out, record = append(out, record[:most]), record[most:]
	}
	return append(out, record)
}

// maxKeyFile is more than any key takes.
const maxKeyFile = 64 << 10

// ReadKey reads a private key in PEM: PKCS #8 with RSA or Ed25519, or PKCS #1. A file that everybody on the
// machine may read or write is refused: a key that others may have had is no proof of anything.
func ReadKey(path string) (crypto.Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("mailauth: signing key: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("mailauth: signing key: %w", err)
	}
	if mode := fi.Mode().Perm(); mode&0o006 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("mailauth: signing key %s: everybody may read or write it (mode %04o): make a new key, or chmod o= if nobody else was on this machine", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("mailauth: signing key: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return key, nil
}

// ParseKey is ReadKey for text. Errors do not quote it.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("mailauth: signing key: no PEM block")
	}
	var (
		parsed any
		err    error
	)
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("mailauth: signing key: PEM block %.40q: want PRIVATE KEY or RSA PRIVATE KEY, not encrypted", block.Type)
	}
	if err != nil {
		return nil, errors.New("mailauth: signing key: the PEM block holds no key that can be read")
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return nil, fmt.Errorf("mailauth: signing key: %w", errWeakKey)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("mailauth: signing key: a %T: want RSA or Ed25519", parsed)
}
